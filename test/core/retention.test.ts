/** What leaves a namespace, what never does, and what happens when it is full. */
import { expect, test } from "vitest";
import { type CoordinationClient, MessageType, type PublishRequest } from "../../src/index.ts";
import { PREFIX, type State, refused, useRedis } from "../harness.ts";

const bench = useRedis();
const NOTE: PublishRequest = { type: MessageType.NOTIFICATION, subject: "note", description: "text", to: "bob" };
const ASK: PublishRequest = { type: MessageType.GENERAL, subject: "question", description: "text", to: "bob" };

async function publish(client: CoordinationClient, count: number, request: PublishRequest = NOTE): Promise<string[]> {
  const ids = [];
  for (let i = 0; i < count; i++) ids.push((await client.publishMessage(request)).messageId);
  return ids;
}

const stored = (): Promise<string[]> => bench.raw.zrange(`${PREFIX}:timeline`, "0", "-1");

/** All that is stored becomes decades old. */
const age = async (): Promise<unknown> => {
  const key = `${PREFIX}:timeline`;
  return Promise.all((await stored()).map((id) => bench.raw.zincrby(key, -1e15, id)));
};

/** Without what only counts, and what expires by itself. */
function lasting({ meta: _meta, presence: _presence, ...state }: State): State {
  return Object.fromEntries(Object.entries(state).filter(([name]) => !name.startsWith("once:")));
}

test("[G2] a settled message that goes leaves no trace: not in inbox, outbox, thread, queue, nor anywhere else", async () => {
  const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
  const before = lasting(await bench.state());
  const [note] = await publish(alice, 1);
  await publish(alice, 1, { ...NOTE, to: "all" });
  const [question] = await publish(alice, 1, { ...ASK, ackWithin: 60 });
  await bob.checkMessages();
  await bob.publishMessage({ ...NOTE, subject: "answer", to: "alice", replyTo: question! });
  await bob.ackMessage(note!);
  await carol.publishMessage({ ...NOTE, subject: "unseen", to: "bob", replyTo: question! });
  await age();
  expect(await alice.sweep()).toMatchObject({ removed: 5, more: false });
  const { "notifications:alice": events, ...rest } = lasting(await bench.state());
  expect(rest).toEqual(before);
  // What alice has not been told yet she still is: that is no trace of a message but what became of hers.
  expect(events).toMatchObject([{ event: "message_acknowledged" }]);
});

test("[G2] beyond the maximum the oldest settled ones go, with the next publish", async () => {
  const [alice] = await bench.clients("alice", "bob");
  await alice.changeNamespaceSetting("max_messages", 10);
  const ids = await publish(alice, 25);
  expect(await stored()).toEqual(ids.slice(-10));
  expect((await alice.checkMessages({ to: "bob" })).messages.map(({ id }) => id)).toEqual(ids.slice(-10).toReversed());
});

test("[G3] reading on from a cursor works after its message has gone", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  await alice.changeNamespaceSetting("max_messages", 3);
  const ids = await publish(alice, 6);
  expect((await bob.checkMessages({ since: ids[1]! })).messages.map(({ id }) => id)).toEqual(ids.slice(3));
});

test("[G2] a long tail of unanswered messages neither blocks retention nor is taken by it, and goes once it is answered", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  const unanswered = await publish(alice, 30, ASK);
  await alice.changeNamespaceSetting("max_messages", 40);
  const notes = await publish(alice, 50);
  expect(await stored()).toEqual([...unanswered, ...notes.slice(-10)]);
  await bob.ackMessage([unanswered[3]!, unanswered[7]!]);
  const [last] = await publish(alice, 1);
  const left = unanswered.filter((id) => id !== unanswered[3]);
  expect(await stored()).toEqual([...left, ...notes.slice(-10), last]);
  // The tail was passed once: nothing of it is looked at again.
  expect(await bench.raw.zrange(`${PREFIX}:expired`, "0", "-1")).toEqual([unanswered[7]]);
});

test("[G12] a settled broadcast to many goes in steps, and is whole for nobody or gone in the end", async () => {
  const [alice] = await bench.clients("alice");
  const names = Array.from({ length: 450 }, (_, n) => `i${n}`);
  await bench.seen(Object.fromEntries(names.map((name) => [name, 0])));
  const before = lasting(await bench.state());
  await publish(alice, 1, { ...NOTE, to: "all" });
  await age();
  const steps = [];
  for (let step = await alice.sweep(); ; step = await alice.sweep()) {
    steps.push([step.removed, (await bench.raw.keys(`${PREFIX}:inbox:*`)).length]);
    if (!step.more) break;
  }
  expect(steps.reduce((sum, [removed]) => sum + removed!, 0)).toBe(1);
  expect(steps.at(-1)![1]).toBe(0);
  for (const [i, [, left]] of steps.slice(1).entries()) expect(steps[i]![1]! - left!).toBeLessThanOrEqual(100);
  expect(lasting(await bench.state())).toEqual(before);
});

test("[G2] a namespace full of unanswered messages refuses, names who holds it up, and stores nothing", async () => {
  const [alice, bob, , dave] = await bench.clients("alice", "bob", "carol", "dave");
  await alice.changeNamespaceSetting("max_messages", 5);
  const ids = [...(await publish(alice, 3, ASK)), ...(await publish(bob, 2, { ...ASK, to: "carol" }))];
  const changes = await bench.changes(async () => {
    for (const request of [ASK, NOTE, { ...ASK, to: "all" }]) {
      const { code, message } = await refused(dave.publishMessage(request));
      expect([code, message]).toEqual([
        "FULL",
        "The namespace holds 5 messages that are not acknowledged, its maximum; most are for bob (3), carol (2).",
      ]);
    }
  });
  expect(changes).toEqual({});
  await bob.ackMessage(ids[0]!);
  const [id] = await publish(alice, 1);
  expect(await stored()).toEqual([...ids.slice(1), id]);
});

test("[G2] what is dead fills a namespace too, until it is dropped", async () => {
  const [alice] = await bench.clients("alice", "bob");
  await alice.changeNamespaceSetting("max_messages", 1);
  await alice.changeNamespaceSetting("ack_attempts", 0);
  const [id] = await publish(alice, 1, { ...ASK, ackWithin: 60 });
  for (let i = 0; i < 2; i++) {
    await bench.passDeadlines();
    await alice.sweep();
  }
  expect((await refused(alice.publishMessage(NOTE))).code).toBe("FULL");
  await alice.dropDead([id!]);
  expect(await stored()).toEqual([id]);
  expect(await publish(alice, 1)).toEqual(await stored());
});

test("one sweep does a bounded part, and says that there is more", async () => {
  const [alice] = await bench.clients("alice", "bob");
  await Promise.all(Array.from({ length: 1200 }, () => alice.publishMessage(NOTE)));
  await alice.changeNamespaceSetting("max_messages", 1);
  const parts = [];
  for (let part = await alice.sweep(); ; part = await alice.sweep()) {
    parts.push(part.removed);
    if (!part.more) break;
  }
  expect(Math.max(...parts)).toBeLessThanOrEqual(100);
  expect(parts.reduce((sum, removed) => sum + removed, 0)).toBe(1199);
  expect(await stored()).toHaveLength(1);
});

test("a key of another type keeps its trace and keeps nothing else from going", async () => {
  const [alice] = await bench.clients("alice", "bob", "carol");
  await publish(alice, 2);
  await publish(alice, 1, { ...NOTE, to: "carol" });
  await bench.raw.set(`${PREFIX}:inbox:bob`, "text");
  await age();
  expect(await alice.sweep()).toMatchObject({ removed: 3 });
  const { "inbox:bob": inbox, ...rest } = lasting(await bench.state());
  expect([inbox, rest]).toMatchObject([{ text: "text" }, {}]);
  expect(Object.keys(rest)).toEqual([]);
});
