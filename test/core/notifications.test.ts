import { describe, expect, test } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import type { CoordinationEvent } from "../../src/index.ts";
import { PREFIX, startProxy, until, useRedis } from "../harness.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;

const subjects = (events: readonly CoordinationEvent[]): (string | undefined)[] => events.map(({ subject }) => subject);

describe("the queue", () => {
  test("with a limit of 2 of 5 the oldest 2 are handed out and 3 remain", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    for (let n = 1; n <= 5; n++) await alice.publishMessage({ ...GENERAL, to: "bob", subject: `s${n}` });
    const event = { type: "GENERAL", from: "alice", to: "bob", requiresAck: true, timestamp: "<time>" };
    const published = (n: number): CoordinationEvent => ({
      event: "message_published",
      messageId: `m${n}`,
      subject: `s${n}`,
      ...event,
    });
    const first = await bob.getNotifications({ limit: 2 });
    expect(await bench.plain(first)).toEqual({ count: 2, notifications: [published(1), published(2)], remaining: 3 });
    const state = await bench.state();
    expect(state["notifications:bob"]).toHaveLength(3);
    expect(state["unread:bob"]).toHaveLength(5); // told is not presented
    expect(await bench.plain(await bob.getNotifications())).toEqual({
      count: 3,
      notifications: [published(3), published(4), published(5)],
      remaining: 0,
    });
    expect(await bob.getNotifications()).toEqual({ count: 0, notifications: [], remaining: 0 });
  });

  test("[G7] what was handed out is confirmed, also when the client closes at once or a loop over events is left", async () => {
    const alice = await bench.client("alice");
    for (let n = 1; n <= 3; n++) await alice.publishMessage({ ...GENERAL, to: "bob", subject: `s${n}` });
    const lent = (): Promise<number> => bench.raw.hlen(`${PREFIX}:loans:bob`);
    const bob = await bench.client("bob");
    expect(subjects((await bob.getNotifications({ limit: 1 })).notifications)).toEqual(["s1"]);
    bob.close();
    await until(async () => (await lent()) === 0);
    const again = await bench.client("bob");
    for await (const { subject } of again.events()) if (subject === "s3") break;
    expect(await lent()).toBe(0);
  });

  test("it is fed while its owner is offline, was never seen, or has left", async () => {
    await bench.seen({ offline: 10_000 });
    await bench.seen({ departed: 10 }, true);
    const alice = await bench.client("alice");
    for (const to of ["offline", "departed", "unborn"]) await alice.publishMessage({ ...GENERAL, to, subject: to });
    for (const name of ["offline", "departed", "unborn"]) {
      expect(subjects((await (await bench.client(name)).getNotifications()).notifications)).toEqual([name]);
    }
  });

  test("what was presented or acknowledged since is passed over and does not count towards the limit", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const ids: string[] = [];
    for (let n = 1; n <= 6; n++) {
      ids.push((await alice.publishMessage({ ...GENERAL, to: "bob", subject: `s${n}` })).messageId);
    }
    await bob.checkMessages({ pendingOnly: true, limit: 2 });
    await bob.ackMessage(ids[3]!);
    const first = await bob.getNotifications({ limit: 2 });
    expect([subjects(first.notifications), first.remaining]).toEqual([["s3", "s5"], 1]);
    expect(subjects((await bob.getNotifications()).notifications)).toEqual(["s6"]);
  });

  test("a sender is told of acknowledgements with who, what and the comment", async () => {
    const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "all" });
    await bob.ackMessage(messageId, { comment: 'done "well"' });
    await bob.ackMessage(messageId, { comment: "again" });
    await carol.publishMessage({ type: "NOTIFICATION", subject: "answer", description: "", replyTo: messageId });
    const { notifications, remaining } = await alice.getNotifications();
    expect(remaining).toBe(0);
    expect(await bench.plain(notifications)).toEqual([
      {
        event: "message_acknowledged",
        messageId: "m1",
        type: "GENERAL",
        from: "bob",
        to: "alice",
        subject: "s",
        requiresAck: false,
        timestamp: "<time>",
        comment: 'done "well"',
      },
      {
        event: "message_published",
        messageId: "m2",
        type: "NOTIFICATION",
        from: "carol",
        to: "alice",
        subject: "answer",
        requiresAck: false,
        timestamp: "<time>",
        replyTo: "m1",
        acknowledged: true,
      },
    ]);
  });

  test("a queue over 1,000 events keeps the newest and one that says how many were skipped", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const publish = async (count: number): Promise<unknown> =>
      Promise.all(Array.from({ length: count }, () => alice.publishMessage({ ...GENERAL, to: "bob" })));
    await publish(1000);
    expect(await bench.raw.llen(`${PREFIX}:notifications:bob`)).toBe(1000);
    expect(await bench.raw.lindex(`${PREFIX}:notifications:bob`, 0)).toContain("message_published");
    await publish(1);
    expect(await bench.raw.lindex(`${PREFIX}:notifications:bob`, 0)).toBe('{"event":"events_skipped","count":2}');
    await publish(499);
    expect(await bench.raw.llen(`${PREFIX}:notifications:bob`)).toBe(1000);
    const { notifications, remaining } = await bob.getNotifications({ limit: 1000 });
    const ids = await bench.raw.zrange(`${PREFIX}:inbox:bob`, "0", "-1");
    expect(remaining).toBe(0);
    expect(notifications[0]).toEqual({ event: "events_skipped", count: 501 });
    expect(notifications.slice(1).map(({ messageId }) => messageId)).toEqual(ids.slice(501));
    expect((await bob.checkMessages({ limit: 1000 })).count).toBe(1000); // the inbox still has them all
    expect(ids).toHaveLength(1500);
  });

  test("a bound in bytes leaves in the queue what it did not hand out, and hands out at least one", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    for (let n = 1; n <= 4; n++) {
      await alice.publishMessage({ ...GENERAL, to: "bob", subject: `${n}${"x".repeat(150)}` });
    }
    const take = async (bytes: number): Promise<unknown> => {
      const { result, confirm } = await new Mailbox(bob).takeNotifications({}, { bytes });
      await confirm();
      const { notifications, remaining } = result;
      return [subjects(notifications).map((subject) => subject?.[0]), remaining];
    };
    expect(await take(1)).toEqual([["1"], 3]);
    expect(await take(800)).toEqual([["2", "3"], 1]);
    expect(await take(0)).toEqual([["4"], 0]);
  });

  test("what is no event is reported in its place, and events of a newer version come along", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const queue = `${PREFIX}:notifications:bob`;
    const damaged = ['{"event":"message_publ', "", "null", "[]", "5", '"text"', "{}", '{"event":5}'];
    await bench.raw.rpush(queue, ...damaged, '{"event":"message_aged","new_field":{"a_b":1},"message_id":"x"}');
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    const { count, notifications } = await bob.getNotifications();
    expect(count).toBe(damaged.length + 2);
    for (const event of notifications.slice(0, damaged.length)) {
      expect(event).toEqual({ event: "unreadable", reason: expect.any(String) });
    }
    expect(notifications.slice(damaged.length)).toMatchObject([
      { event: "message_aged", messageId: "x" },
      { event: "message_published" },
    ]);
  });
});

describe("the iterator", () => {
  test("it yields what waits and then what comes, in order and once, also across killed connections", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const publish = async (from: number, to: number): Promise<void> => {
      for (let n = from; n <= to; n++) await alice.publishMessage({ ...GENERAL, to: "bob", subject: String(n) });
    };
    const got: (string | undefined)[] = [];
    const controller = new AbortController();
    const listening = (async () => {
      for await (const event of bob.events({ signal: controller.signal })) got.push(event.subject);
    })();
    const reached = (count: number): Promise<boolean> => until(async () => got.length >= count);
    await publish(1, 3);
    await reached(3);
    await publish(4, 4);
    await reached(4);
    await bench.kill("pubsub");
    await publish(5, 6);
    await reached(6);
    for (let n = 0; n < 3; n++) await bench.kill("pubsub");
    await publish(7, 250);
    await reached(250);
    controller.abort();
    await listening;
    expect(got).toEqual(Array.from({ length: 250 }, (_, n) => String(n + 1)));
    await until(async () => (await bench.raw.pubsub("CHANNELS", `${PREFIX}:*`)).length === 0);
  });

  test("it goes on after a call failed because the connection broke", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const controller = new AbortController();
    const got: (string | undefined)[] = [];
    const listening = (async () => {
      for await (const event of bob.events({ signal: controller.signal })) got.push(event.subject);
    })();
    await alice.publishMessage({ ...GENERAL, to: "bob", subject: "first" });
    await until(async () => got.length === 1);
    // Both of bob's connections are closed, and while they come back, messages are sent.
    await bench.kill("normal");
    await bench.kill("pubsub");
    const sender = await bench.client("alice");
    await sender.publishMessage({ ...GENERAL, to: "bob", subject: "second" });
    await until(async () => got.length === 2);
    controller.abort();
    await listening;
    expect(got).toEqual(["first", "second"]);
  });

  test("an event that a broken call did not fetch is fetched without waiting for another event", async () => {
    const [alice] = await bench.clients("alice");
    let cutting = false;
    const url = await startProxy(bench.redis.socketPath, {
      request: (bytes) => {
        if (!cutting || !/evalsha/i.test(bytes)) return "pass";
        cutting = false;
        return "cut";
      },
    });
    const bob = await bench.client("bob", { redis: url });
    const got: (string | undefined)[] = [];
    const controller = new AbortController();
    const listening = (async () => {
      for await (const event of bob.events({ signal: controller.signal })) got.push(event.subject);
    })();
    await alice.publishMessage({ ...GENERAL, to: "bob", subject: "first" });
    await until(async () => got.length === 1);
    cutting = true;
    await alice.publishMessage({ ...GENERAL, to: "bob", subject: "second" });
    await until(async () => got.length === 2, 3000).finally(() => controller.abort());
    await listening;
    expect(got).toEqual(["first", "second"]);
  });

  test("whoever leaves it early has lost nothing: the rest is still in the queue", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    for (let n = 1; n <= 5; n++) await alice.publishMessage({ ...GENERAL, to: "bob", subject: `s${n}` });
    const got: (string | undefined)[] = [];
    for await (const event of bob.events()) if (got.push(event.subject) === 2) break;
    const { notifications } = await bob.getNotifications();
    expect([...got, ...subjects(notifications)]).toEqual(["s1", "s2", "s3", "s4", "s5"]);
  });
});
