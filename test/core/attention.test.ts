/** What needs a person: the same for the page, for `coord notify` and for `coord` alone. */
import { expect, test } from "vitest";
import { type Need, whatNeedsAttention } from "../../src/client/attention.ts";
import { type CoordinationClient, MessageType } from "../../src/index.ts";
import { PREFIX, useRedis } from "../harness.ts";

const bench = useRedis();
const REQUEST = { type: MessageType.GENERAL, subject: "tests", description: "run them", ackWithin: 60 };

async function passAndSweep(client: CoordinationClient): Promise<void> {
  await bench.passDeadlines();
  await client.sweep();
}

/** Each need by its kind, the message it is about, and who it is about. */
async function needs(person = "operator"): Promise<unknown[]> {
  const attention = await whatNeedsAttention(bench.command(person));
  expect(attention.more).toBe(false);
  return (await bench.plain(attention.needs)).map(({ kind, message, instances, pending }: Need) => [
    kind,
    message?.id ?? pending ?? null,
    instances,
  ]);
}

async function does(instance: string, doing: string, secondsAgo: number): Promise<void> {
  const iso = (seconds: number): string => new Date(Date.now() - seconds * 1000).toISOString();
  const session = { number: 1, doing, doing_at: iso(secondsAgo) };
  const entry = { last_heartbeat: iso(0), left: false, session };
  await bench.raw.hset(`${PREFIX}:presence`, instance, JSON.stringify(entry));
}

test("nothing does where everybody answers, and to look changes nothing", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  const { messageId } = await alice.publishMessage({ ...REQUEST, to: "bob" });
  await alice.publishMessage({ ...REQUEST, to: "all", requiresAck: false });
  expect(await bench.changes(() => needs())).toEqual({});
  await bob.ackMessage(messageId);
  expect(await needs()).toEqual([]);
});

test("a message to the person does until it has seen it, or acknowledged what asks for that", async () => {
  const [alice] = await bench.clients("alice");
  await alice.publishMessage({ ...REQUEST, to: "operator", requiresAck: false });
  const { messageId } = await alice.publishMessage({ ...REQUEST, to: "operator" });
  const asked = ["addressed", "m2", ["operator"]];
  expect(await bench.changes(() => needs())).toEqual({});
  expect(await needs()).toEqual([["addressed", "m1", ["operator"]], asked]);
  const operator = await bench.client("operator");
  await operator.checkMessages();
  expect(await needs()).toEqual([asked]);
  await passAndSweep(alice); // then it is still addressed, and not overdue besides
  expect(await needs()).toEqual([asked]);
  await operator.ackMessage(messageId);
  expect(await needs()).toEqual([]);
});

test("a message does when it was announced again, and when it is dead; each names who has not acknowledged", async () => {
  const [alice, bob] = await bench.clients("alice", "bob", "carol");
  const { messageId } = await alice.publishMessage({ ...REQUEST, to: "bob" });
  await alice.publishMessage({ ...REQUEST, to: "all", subject: "everybody" });
  await passAndSweep(alice);
  expect(await needs()).toEqual([
    ["overdue", "m1", ["bob"]],
    ["overdue", "m2", ["bob", "carol"]],
  ]);
  for (let deadlines = 2; deadlines <= 4; deadlines++) await passAndSweep(alice);
  await bob.ackMessage(messageId);
  expect(await needs()).toEqual([["dead", "m2", ["bob", "carol"]]]);
  const before = (await whatNeedsAttention(bench.command("operator"))).needs;
  const { messages } = await alice.listDead();
  await alice.retryDead([messages[0]!.id]);
  expect(await needs()).toEqual([]);
  for (let deadlines = 1; deadlines <= 4; deadlines++) await passAndSweep(alice);
  const again = (await whatNeedsAttention(bench.command("operator"))).needs;
  expect(again[0]!.kind).toBe("dead");
  expect(again[0]!.key).not.toBe(before[0]!.key);
});

test("a message does whose recipient was not there at its deadline, until it is back", async () => {
  const [alice] = await bench.clients("alice");
  await bench.seen({ bob: 5 }, true);
  await alice.publishMessage({ ...REQUEST, to: "bob" });
  expect(await needs()).toEqual([]);
  await passAndSweep(alice);
  expect(await needs()).toEqual([["undelivered", "m1", ["bob"]]]);
  await bench.seen({ bob: 5 });
  expect(await needs()).toEqual([]);
  await alice.sweep(); // its deadline begins anew
  expect(await needs()).toEqual([]);
});

test("an agent does that waits for a permission, and one that idles a minute on unanswered mail", async () => {
  const [alice] = await bench.clients("alice");
  await does("asks", "waiting", 5);
  await does("rests", "idle", 90);
  await does("pauses", "idle", 20);
  await does("works", "working", 90);
  for (const to of ["asks", "rests", "pauses", "works"]) await alice.publishMessage({ ...REQUEST, to });
  await does("free", "idle", 90);
  expect(await needs()).toEqual([
    ["waiting", null, ["asks"]],
    ["idle", 1, ["rests"]],
  ]);
  const keys = async (): Promise<string[]> =>
    (await whatNeedsAttention(bench.command("operator"))).needs.map(({ key }) => key);
  const [first] = await keys();
  expect((await keys())[0]).toBe(first);
  await does("asks", "waiting", 1);
  expect((await keys())[0]).not.toBe(first);
});

test("[G12] two thousand that are late hold up no call: the first hundred are listed, and it is said that there are more", async () => {
  const [alice] = await bench.clients("alice", "bob");
  const ids = await Promise.all(
    Array.from({ length: 150 }, async () => (await alice.publishMessage({ ...REQUEST, to: "bob" })).messageId),
  );
  const deadlines = `${PREFIX}:deadlines`;
  // Most deadlines are not over yet, and stand before those that are.
  await bench.raw.call("ZADD", deadlines, ...Array.from({ length: 3000 }, (_, i) => ["1", `msg-none${i}`]).flat());
  for (let sweeps = 0; sweeps < 6; sweeps++) {
    for (const id of ids) await bench.raw.zadd(deadlines, "XX", "1", id);
    await alice.sweep();
  }
  await bench.raw.call("ZADD", deadlines, ...Array.from({ length: 3000 }, (_, i) => ["1", `msg-none${i}`]).flat());
  const { needs: found, more } = await whatNeedsAttention(bench.command("operator"));
  expect({ count: found.length, kinds: [...new Set(found.map(({ kind }) => kind))], more }).toEqual({
    count: 100,
    kinds: ["overdue"],
    more: true,
  });
  expect(new Set(found.map(({ key }) => key)).size).toBe(100);
});
