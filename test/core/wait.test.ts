import { describe, expect, test, vi } from "vitest";
import type { CheckResult, CoordinationClient } from "../../src/index.ts";
import { PREFIX, refused, startProxy, until, useRedis } from "../harness.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;
/** Longer than a test may take: who is not woken fails. */
const LONG = 50;
vi.setConfig({ testTimeout: 15_000 });
/** For waits that find nothing. */
const SHORT = 0.2;

/** Begins to wait and resolves, with the promise of the result in an array, once it listens. */
async function waiting(client: CoordinationClient, request: object, channel: string): Promise<[Promise<CheckResult>]> {
  const listeners = async (): Promise<number> => Number((await bench.raw.pubsub("NUMSUB", channel))[1]);
  const before = await listeners();
  const result = client.checkMessages({ waitSeconds: LONG, ...request });
  result.catch(() => undefined);
  await until(async () => (await listeners()) > before);
  return [result];
}

const found = async (result: Promise<CheckResult>): Promise<string> =>
  (await bench.plain((await result).messages)).map(({ id }) => id).join(" ");

describe("the own inbox", () => {
  test("what was not presented yet is returned at once, oldest first, and then presented", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    await bob.checkMessages();
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(await found(bob.checkMessages({ waitSeconds: LONG }))).toBe("m2 m3");
    expect((await bench.state())["unread:bob"]).toBeUndefined();
    expect(await bob.checkMessages({ waitSeconds: SHORT })).toMatchObject({ count: 0, messages: [] });
  });

  test("a publish wakes whoever waits, a broadcast everybody", async () => {
    const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
    const [bobs] = await waiting(bob, {}, `${PREFIX}:notify:bob`);
    const [carols] = await waiting(carol, {}, `${PREFIX}:notify:carol`);
    await alice.publishMessage({ ...GENERAL, to: "all" });
    expect([await found(bobs), await found(carols)]).toEqual(["m1", "m1"]);
  });

  test("a message for somebody else, or one that does not match, does not end a wait", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    const request = { type: "META_CHANGE_REQUEST" } as const;
    const [bobs] = await waiting(bob, request, `${PREFIX}:notify:bob`);
    await alice.publishMessage({ ...GENERAL, ...request, to: "carol" });
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    await alice.publishMessage({ ...GENERAL, ...request, to: "bob" });
    expect(await found(bobs)).toBe("m3");
    expect((await bench.state())["unread:bob"]).toEqual(["m2"]);
  });

  test("two waiters of one name get each message once, together all", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const second = await bench.client("bob");
    const [one] = await waiting(bob, { waitSeconds: 1.5 }, `${PREFIX}:notify:bob`);
    const [two] = await waiting(second, { waitSeconds: 1.5 }, `${PREFIX}:notify:bob`);
    const three = bob.checkMessages({ waitSeconds: 1.5 });
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect([await found(one), await found(two), await found(three)].sort()).toEqual(["", "", "m1"]);
  });

  test("nothing in time is an ordinary result with nothing in it", async () => {
    const [bob] = await bench.clients("bob");
    expect(await bob.checkMessages({ waitSeconds: SHORT })).toEqual({
      count: 0,
      messages: [],
      more: false,
      unreadable: [],
    });
  });

  test("a signal ends a wait early, without an error, also when it came before", async () => {
    const [bob] = await bench.clients("bob");
    const controller = new AbortController();
    const [result] = await waiting(bob, { signal: controller.signal }, `${PREFIX}:notify:bob`);
    controller.abort();
    expect(await result).toMatchObject({ count: 0 });
    expect(await bob.checkMessages({ waitSeconds: LONG, signal: controller.signal })).toMatchObject({ count: 0 });
  });

  test("a wait leaves no subscription behind", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const [first] = await waiting(bob, {}, `${PREFIX}:notify:bob`);
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    await first;
    await bob.checkMessages({ waitSeconds: SHORT });
    expect(await bench.raw.pubsub("CHANNELS", `${PREFIX}:*`)).toEqual([]);
  });

  test("since and pendingOnly wait for what they name, also when it was presented before", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    await bob.checkMessages();
    expect(await found(bob.checkMessages({ pendingOnly: true, waitSeconds: LONG }))).toBe("m1");
    await bob.ackMessage(messageId);
    const [pending] = await waiting(bob, { pendingOnly: true }, `${PREFIX}:notify:bob`);
    const [since] = await waiting(await bench.client("bob"), { since: messageId }, `${PREFIX}:notify:bob`);
    await alice.publishMessage({ ...GENERAL, to: "bob", requiresAck: false });
    expect(await found(since)).toBe("m2");
    expect(await found(bob.checkMessages({ since: messageId, waitSeconds: LONG }))).toBe("m2");
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(await found(pending)).toBe("m3");
  });

  test("a filter of sender or thread waits for a match as well", async () => {
    const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
    const asked = await bob.publishMessage({ ...GENERAL, to: "alice" });
    const [thread] = await waiting(bob, { thread: asked.messageId }, `${PREFIX}:notify:bob`);
    const [from] = await waiting(await bench.client("bob"), { from: "alice" }, `${PREFIX}:notify:bob`);
    await carol.publishMessage({ ...GENERAL, to: "bob" });
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(await found(from)).toBe("m3");
    await alice.publishMessage({ ...GENERAL, to: "bob", replyTo: asked.messageId });
    expect(await found(thread)).toBe("m4");
  });

  test("an unknown cursor and a malformed wait are refused at once", async () => {
    const [bob] = await bench.clients("bob");
    expect(await refused(bob.checkMessages({ waitSeconds: LONG, since: "nonsense" }))).toMatchObject({
      code: "NOT_FOUND",
    });
    expect(await refused(bob.waitForMessages({ waitSeconds: 51 }))).toMatchObject({ code: "INVALID" });
    expect(await bench.raw.pubsub("CHANNELS", `${PREFIX}:*`)).toEqual([]);
  });

  test("what cannot be read is told once, and does not stand before what is new", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const gone = await alice.publishMessage({ ...GENERAL, to: "bob" });
    await bench.raw.del(`${PREFIX}:msg:${gone.messageId}`);
    const request = { waitSeconds: LONG, limit: 1 };
    const unreadable = [{ id: gone.messageId, reason: "the message is gone" }];
    expect(await bob.checkMessages(request)).toMatchObject({ count: 0, unreadable });
    const [result] = await waiting(bob, request, `${PREFIX}:notify:bob`);
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect((await result).messages).toHaveLength(1);
    // It stays pending, since nobody can say that it is done; there it ends a wait only where nothing else has room.
    expect(await bob.checkMessages({ ...request, pendingOnly: true })).toMatchObject({
      count: 0,
      unreadable,
      more: true,
    });
    expect(await bob.checkMessages({ waitSeconds: LONG, pendingOnly: true })).toMatchObject({ count: 1, unreadable });
  });

  test("waitForMessages waits without being told how long", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const result = bob.waitForMessages();
    await until(async () => (await bench.raw.pubsub("CHANNELS", `${PREFIX}:*`)).length === 1);
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(await found(result)).toBe("m1");
  });
});

describe("other people's messages", () => {
  test.each([
    { request: { all: true }, channel: `${PREFIX}:events`, expected: "m3" },
    { request: { to: "carol" }, channel: `${PREFIX}:notify:carol`, expected: "m4" },
    { request: { from: "bob" }, channel: `${PREFIX}:events`, expected: "m5" },
  ])("a wait on %j returns only what comes from now on", async ({ request, channel, expected }) => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    await alice.publishMessage({ ...GENERAL, to: "carol" });
    await bob.publishMessage({ ...GENERAL, to: "carol" });
    const [result] = await waiting(bob, request, channel);
    await alice.publishMessage({ ...GENERAL, to: "dave" });
    await alice.publishMessage({ ...GENERAL, to: "carol" });
    await bob.publishMessage({ ...GENERAL, to: "carol" });
    expect((await found(result)).split(" ")[0]).toBe(expected);
    expect((await bench.state())["unread:carol"]).toEqual(["m1", "m2", "m4", "m5"]);
  });

  test("a wait on everything in an empty namespace returns the first message ever", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const [result] = await waiting(bob, { all: true }, `${PREFIX}:events`);
    await alice.publishMessage({ ...GENERAL, to: "carol" });
    expect(await found(result)).toBe("m1");
  });
});

describe("a lost connection", () => {
  test.each(["pubsub", "normal", "both"])("a wait goes on after the loss of its connections (%s)", async (kind) => {
    const [, bob] = await bench.clients("alice", "bob");
    const [result] = await waiting(bob, {}, `${PREFIX}:notify:bob`);
    if (kind !== "pubsub") await bench.kill("normal");
    if (kind !== "normal") await bench.kill("pubsub");
    const alice = await bench.client("alice");
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(await found(result)).toBe("m1");
  });

  test("what is published while nobody listens is found when the connection is back", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const [result] = await waiting(bob, {}, `${PREFIX}:notify:bob`);
    for (let n = 0; n < 3; n++) await bench.kill("pubsub");
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(await found(result)).toBe("m1");
  });

  test("[G7] a connection that fell silent without a word is left, and what was missed on it is found", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const dead = new Set<unknown>();
    const listening = new Set<unknown>();
    const verdict = (connection: unknown): "pass" | "drop" => (dead.has(connection) ? "drop" : "pass");
    const redis = await startProxy(bench.redis.socketPath, {
      request: (bytes, connection) => {
        if (bytes.includes("subscribe")) listening.add(connection);
        return verdict(connection);
      },
      reply: (_bytes, connection) => verdict(connection),
    });
    const [result] = await waiting(await bench.client("bob", { redis }), {}, `${PREFIX}:notify:bob`);
    for (const connection of listening) dead.add(connection);
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(await found(result)).toBe("m1");
  });

  test("closing the client ends its waits, and leaves no connection behind", async () => {
    const [bob] = await bench.clients("bob");
    const [result] = await waiting(bob, { waitSeconds: 3 }, `${PREFIX}:notify:bob`);
    bob.close();
    await result.catch(() => undefined);
    await until(async () => (await connections()) === 0);
  });

  test("a closed client stays closed", async () => {
    const [bob] = await bench.clients("bob");
    bob.close();
    await until(async () => (await connections()) === 0);
    expect(await refused(bob.checkMessages())).toMatchObject({ code: "UNAVAILABLE" });
    expect(await connections()).toBe(0);
  });

  /** How many our programs have. */
  async function connections(): Promise<number> {
    return String(await bench.raw.client("LIST")).match(/ user=default /g)?.length ?? 0;
  }
});
