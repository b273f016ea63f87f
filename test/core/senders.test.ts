/** Who sent a message, proven by Redis users of their own: real users, and mallory with every right that she has. */
import { beforeEach, describe, expect, test } from "vitest";
import type { CoordinationClient, PublishRequest } from "../../src/index.ts";
import { instanceRule } from "../../src/store/acl.ts";
import { openRedis, type Redis } from "../raw-redis.ts";
import { ON_CLUSTER, PREFIX, refused, useRedis } from "../harness.ts";

const bench = useRedis();
const NAMES = ["alice", "bob", "mallory"] as const;
const HELLO: PublishRequest = { type: "GENERAL", subject: "hello", description: "as agreed", to: "bob" };

let alice: CoordinationClient;
let bob: CoordinationClient;
/** Of mallory, who knows Redis. */
let raw: Redis;

/** A client that is logged in as the user of `user` and says that it is `instance`. */
function as(user: string, instance: string = user): CoordinationClient {
  return bench.command(instance, { env: { REDIS_USERNAME: `${user}@${PREFIX}`, REDIS_PASSWORD: "secret" } });
}

beforeEach(async () => {
  if (ON_CLUSTER) return;
  for (const name of NAMES) {
    const rule = instanceRule(PREFIX, `${name}@${PREFIX}`, name).rule.replace(">PASSWORD", ">secret").split(" ");
    await bench.raw.call("ACL", "SETUSER", ...rule.slice(2));
  }
  [alice, bob] = [as("alice"), as("bob")];
  await alice.touch();
  await bob.touch();
  raw = openRedis({ path: bench.redis.socketPath, username: `mallory@${PREFIX}`, password: "secret" });
  return () => raw.disconnect();
});

const demand = async (senders: string): Promise<unknown> => alice.changeNamespaceSetting("senders", senders);
const read = async (id: string): Promise<unknown> => {
  const { messages, unreadable } = await bob.checkMessages();
  const message = messages.find((it) => it.id === id);
  return message === undefined ? unreadable.find((it) => it.id === id)?.reason : (message.proven ?? "not asked");
};
const ofMallory = "its sender is not proven: alice has not written it, or not so";

// Redis does not replicate users: each node of a cluster would need them.
describe.skipIf(ON_CLUSTER)("where senders are proven", () => {
  test("a message of alice is proven, its receipt as well, and a reply proves both", async () => {
    await demand("proven");
    const { messageId } = await alice.publishMessage(HELLO);
    expect(await read(messageId)).toBe(true);
    await bob.ackMessage(messageId, { comment: "done" });
    const answer = await bob.publishMessage({ ...HELLO, to: "alice", replyTo: messageId });
    const second = await alice.publishMessage({ ...HELLO, to: "all" });
    await bob.publishMessage({ ...HELLO, to: "alice", replyTo: second.messageId });
    const shown = async (id: string): Promise<unknown> =>
      (await alice.showMessage(id)).messages.map((it) => [it.proven, it.receipts!.map((of) => [of.state, of.proven])]);
    expect(await shown(messageId)).toEqual([[true, [["acknowledged", true]]]]);
    expect(await shown(answer.messageId)).toEqual([[true, [["stored", undefined]]]]);
    expect(await shown(second.messageId)).toEqual([[true, [["acknowledged", true]]]]);
    expect((await bob.searchMessages("agreed")).messages.map((it) => it.proven)).toEqual([true, true, true, true]);
  });

  test.each(["mark", "proven"])("%s: mallory as alice is refused before anything is stored", async (senders) => {
    await demand(senders);
    const { messageId } = await alice.publishMessage(HELLO);
    const forger = as("mallory", "alice");
    const state = await bench.state();
    const refusal = { code: "IDENTITY", message: "This Redis user may not speak for alice." };
    expect(await refused(forger.publishMessage({ ...HELLO, idempotencyKey: "k" }))).toMatchObject(refusal);
    expect(await refused(as("mallory", "bob").ackMessage(messageId))).toMatchObject({ code: "IDENTITY" });
    // The user of plain `coord acl` is nobody's.
    expect(await refused(bench.command("alice").publishMessage(HELLO))).toMatchObject(refusal);
    expect(await bench.state()).toEqual(state);
  });

  test("what mallory writes or changes past our programs is not shown as alice's", async () => {
    await demand("proven");
    const { messageId } = await alice.publishMessage(HELLO);
    await raw.call("HSET", `${PREFIX}:msg:${messageId}`, "description", "send me the key");
    expect(await read(messageId)).toBe(ofMallory);
    await raw.call("HSET", `${PREFIX}:msg:${messageId}`, "description", HELLO.description);
    expect(await read(messageId)).toBe(true);
    const own = await as("mallory").publishMessage(HELLO);
    expect(await read(own.messageId)).toBe(true);
    await raw.call("HSET", `${PREFIX}:msg:${own.messageId}`, "from", "alice");
    expect(await read(own.messageId)).toBe(ofMallory);
    for (const key of [`${PREFIX}:seal:alice`, `${PREFIX}:seal:`, `${PREFIX}:once:alice:k`, `${PREFIX}:outbox:alice`]) {
      for (const command of [
        ["HSET", key, own.messageId, "0"],
        ["SET", key, "0"],
        ["DEL", key],
        ["ZADD", key, "1", "x"],
      ]) {
        await expect(raw.call(...(command as [string, ...string[]])), command.join(" ")).rejects.toThrow("NOPERM");
      }
    }
  });

  test.each([
    ["description", "other"],
    ["subject", "other"],
    ["type", "NOTIFICATION"],
    ["to", "all"],
    ["timestamp", "2020-01-01T00:00:00.000Z"],
    ["requires_ack", "0"],
    ["ack_within", "5"],
    ["outside", "1"],
    ["reply_to", "msg-hoggrkz047"],
    ["thread", "msg-hoggrkz047"],
    ["id", "msg-hoggrkz047"],
  ])("a changed %s is seen", async (field, value) => {
    await demand("mark");
    const { messageId } = await alice.publishMessage(HELLO);
    await raw.call("HSET", `${PREFIX}:msg:${messageId}`, field, value);
    const { messages } = await bob.showMessage(messageId);
    expect(messages.map(({ proven }) => proven)).toEqual([false]);
  });

  test("an acknowledgement that mallory has written or changed is not proven", async () => {
    await demand("proven");
    const { messageId } = await alice.publishMessage(HELLO);
    await bob.ackMessage(messageId, { comment: "done" });
    const key = `${PREFIX}:msg:${messageId}`;
    const receipt = await raw.hget(key, "receipt:bob");
    for (const changed of [receipt!.replace("done", "refused"), receipt!.replace(/ \d+/, " 1795000000000000")]) {
      await raw.call("HSET", key, "receipt:bob", changed);
      expect((await alice.showMessage(messageId)).messages[0]!.receipts).toMatchObject([{ proven: false }]);
    }
    await raw.call("HSET", key, "receipt:bob", receipt!);
    expect((await alice.showMessage(messageId)).messages[0]!.receipts).toMatchObject([{ proven: true }]);
  });

  test("mark shows everything, what is older is shown with proven too, and off says nothing", async () => {
    const older = await alice.publishMessage(HELLO);
    expect(await read(older.messageId)).toBe("not asked");
    await demand("mark");
    const marked = await alice.publishMessage(HELLO);
    await raw.call("HSET", `${PREFIX}:msg:${marked.messageId}`, "subject", "changed");
    expect([await read(older.messageId), await read(marked.messageId)]).toEqual([false, false]);
    await demand("proven");
    const later = await alice.publishMessage(HELLO);
    expect([await read(older.messageId), await read(later.messageId)]).toEqual([false, true]);
    await demand("off");
    expect([await read(older.messageId), await read(later.messageId)]).toEqual(["not asked", "not asked"]);
    expect((await alice.getNamespaceSettings()).senders).toBe("off");
  });

  test("who may write every seal is told that nothing is proven, and nothing is hidden from it", async () => {
    await demand("proven");
    await alice.publishMessage(HELLO);
    await raw.call("HSET", `${PREFIX}:meta`, "senders_since", "0");
    const administrator = bench.command("bob", { env: { REDIS_USERNAME: "admin", REDIS_PASSWORD: "admin" } });
    const { messages, unreadable } = await administrator.checkMessages();
    expect([messages.map(({ proven }) => proven), unreadable]).toEqual([[false], []]);
  });

  test("the first client brings the setting, and no seal stands where it is off", async () => {
    await alice.publishMessage(HELLO);
    expect(await bench.raw.keys(`${PREFIX}:seal:*`)).toEqual([]);
    expect(await bench.raw.hget(`${PREFIX}:meta`, "senders")).toBeNull();
    await bench.raw.flushall();
    const env = { REDIS_USERNAME: `alice@${PREFIX}`, REDIS_PASSWORD: "secret", COORD_SENDERS: "proven" };
    const { messageId } = await bench.command("alice", { env }).publishMessage(HELLO);
    expect(await read(messageId)).toBe(true);
    expect(await bench.raw.keys(`${PREFIX}:seal:*`)).toEqual([`${PREFIX}:seal:alice`]);
  });

  test("the seals of messages that are gone go, with later ones of their owner or an administrator's sweep", async () => {
    await demand("proven");
    await alice.changeNamespaceSetting("max_messages", 10);
    for (let i = 0; i < 200; i++) await alice.publishMessage({ ...HELLO, requiresAck: false });
    expect(Number(await bench.raw.call("HLEN", `${PREFIX}:seal:alice`))).toBeLessThan(60);
    const administrator = bench.command("bob", { env: { REDIS_USERNAME: "admin", REDIS_PASSWORD: "admin" } });
    await administrator.changeNamespaceSetting("max_messages", 1);
    for (let i = 0; i < 30; i++) await administrator.sweep();
    expect(Number(await bench.raw.call("HLEN", `${PREFIX}:seal:alice`))).toBeLessThan(5);
  });
});

describe.skipIf(ON_CLUSTER)("the user of an instance, where nothing is asked for", () => {
  test("works as its instance with every operation, and speaks for no other", async () => {
    const { messageId } = await alice.publishMessage(HELLO);
    const key = await alice.publishMessage({ ...HELLO, idempotencyKey: "k" });
    expect(await alice.publishMessage({ ...HELLO, idempotencyKey: "k" })).toMatchObject({
      messageId: key.messageId,
      repeated: true,
    });
    await bob.join({ agent: "test" });
    expect((await bob.getNotifications()).count).toBe(2);
    await bob.ackMessage(messageId);
    await bob.publishMessage({ ...HELLO, to: "all" });
    expect((await alice.getNotifications()).count).toBe(2);
    await alice.sweep();
    await alice.listDead();
    await alice.dropMessages([key.messageId]);
    await alice.leave();
    const state = await bench.state();
    const forger = as("mallory", "alice");
    expect(await refused(forger.publishMessage(HELLO))).toMatchObject({ code: "IDENTITY" });
    expect(await bench.state()).toEqual(state);
  });

  test("takes no events of another, and imports nothing", async () => {
    await alice.publishMessage(HELLO);
    const state = await bench.state();
    const forger = as("mallory", "bob");
    expect(await refused(forger.getNotifications())).toMatchObject({ code: "UNAVAILABLE" });
    const lines = ['{"kind":"namespace","format":1,"protocol":2,"export":"e","prefix":"coord","meta":{}}'];
    expect(await refused(alice.importLines(stream(lines)))).toMatchObject({ code: "IDENTITY" });
    expect(await bench.state()).toEqual(state);
  });
});

async function* stream(lines: readonly string[]): AsyncGenerator<string, void, undefined> {
  yield* lines;
}
