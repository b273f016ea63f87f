import { describe, expect, test } from "vitest";
import * as fc from "fast-check";
import type { CoordinationClient, MessageType } from "../../src/index.ts";
import { PREFIX, idOf, refused, stampOf, useRedis } from "../harness.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;

const timeline = async (): Promise<string[]> => bench.raw.zrange(`${PREFIX}:timeline`, "0", "-1");

async function several(count: number, sender: string): Promise<CoordinationClient[]> {
  return Promise.all(Array.from({ length: count }, () => bench.client(sender)));
}

/** All pages of `limit`, towards newer messages from `since`, or towards older ones. */
async function pages(reader: CoordinationClient, limit: number, since?: string): Promise<string[][]> {
  const found: string[][] = [];
  let cursor = since;
  for (;;) {
    const direction = since === undefined ? { before: cursor } : { since: cursor };
    const page = await reader.checkMessages({ ...direction, limit });
    found.push(page.messages.map(({ id }) => id));
    cursor = since === undefined ? page.nextBefore : page.nextSince;
    if (!page.more) return found;
  }
}

describe("order", () => {
  test("[G3] 1,000 messages of 8 connections, 80 in flight, have one strict order, the same for every reader", async () => {
    const [reader, second] = await bench.clients("reader", "second");
    const senders = await bench.clients(...Array.from({ length: 8 }, (_, i) => `sender${i}`));
    // Ten at a time of each: a busy machine does not carry out a thousand broadcasts before their senders give up.
    const sent = (
      await Promise.all(
        senders.map(async (sender, i) => {
          const ids: string[] = [];
          for (let n = 0; n < 125;) {
            const request = { ...GENERAL, to: "all", requiresAck: false };
            const some = Array.from({ length: Math.min(10, 125 - n) }, () => ({ ...request, subject: `${i} ${n++}` }));
            const results = await Promise.all(some.map((one) => sender.publishMessage(one)));
            ids.push(...results.map(({ messageId }) => messageId));
          }
          return ids;
        }),
      )
    ).flat();
    const order = await timeline();
    expect(order).toHaveLength(1000);
    expect(new Set(order)).toEqual(new Set(sent));
    expect([...order].sort()).toEqual(order);

    const forwards = await pages(reader, 300, idOf(0));
    expect(forwards.map((page) => page.length)).toEqual([300, 300, 300, 100]);
    expect(forwards.flat()).toEqual(order);
    expect((await pages(second, 77)).flat()).toEqual(order.toReversed());
    const { notifications, remaining } = await second.getNotifications({ limit: 1000 });
    expect([notifications, remaining]).toEqual([[], 0]); // all were presented
    const third = await bench.client("sender0");
    const others = await third.getNotifications({ limit: 1000 });
    const ofSender0 = new Set(sent.slice(0, 125));
    expect(others.notifications.map(({ messageId }) => messageId)).toEqual(order.filter((id) => !ofSender0.has(id)));
    for (const sender of senders) {
      const own = new Set(sent.slice(125 * senders.indexOf(sender), 125 * (senders.indexOf(sender) + 1)));
      const { messages } = await sender.checkMessages({
        from: sender.session.instance,
        since: idOf(0),
        limit: 1000,
      });
      expect(messages.map(({ id }) => id)).toEqual(order.filter((id) => own.has(id)));
    }
  });

  test("[G3] the order of one sender's calls is the order of its messages", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    await Promise.all(
      Array.from({ length: 200 }, (_, n) => alice.publishMessage({ ...GENERAL, to: "bob", subject: String(n) })),
    );
    const { messages } = await bob.checkMessages({ pendingOnly: true, limit: 1000 });
    expect(messages.map(({ subject }) => Number(subject))).toEqual(Array.from({ length: 200 }, (_, n) => n));
  });

  test("[G3] with the clock stepped back an hour the order goes on, and times shown are those of the clock", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const ahead = Date.now() * 1000 + 3_600_000_000;
    await bench.raw.hset(`${PREFIX}:meta`, "stamp", String(ahead));
    const sent = [];
    for (let n = 0; n < 5; n++) sent.push(await alice.publishMessage({ ...GENERAL, to: "bob" }));
    expect(sent.map(({ messageId }) => messageId)).toEqual([1, 2, 3, 4, 5].map((n) => idOf(ahead + n)));
    const { messages } = await bob.checkMessages({ since: idOf(0) });
    expect(messages.map(({ id }) => id)).toEqual(sent.map(({ messageId }) => messageId));
    for (const { timestamp } of sent) expect(Math.abs(Date.parse(timestamp) - Date.now())).toBeLessThan(600_000);
  });

  test("[G3] an id is the stamp of its message, and the time shown is the clock at that stamp", async () => {
    const [alice] = await bench.clients("alice", "bob");
    for (let n = 0; n < 20; n++) {
      const { messageId, timestamp } = await alice.publishMessage({ ...GENERAL, to: "bob" });
      expect(messageId).toMatch(/^msg-[0-9a-z]{10}$/);
      expect(await bench.raw.zscore(`${PREFIX}:timeline`, messageId)).toBe(String(stampOf(messageId)));
      expect(new Date(Math.floor(stampOf(messageId) / 1000)).toISOString()).toBe(timestamp);
    }
  });

  test.each(["abc", "nan", "inf", "-1", "1e300", String(36 ** 10 - 1), String(4e15)])(
    "[G3] a last stamp of %s, after which no order can be kept, is refused, naming the key, and changes nothing",
    async (stamp) => {
      const [alice] = await bench.clients("alice", "bob");
      await alice.publishMessage({ ...GENERAL, to: "bob" });
      await bench.raw.hset(`${PREFIX}:meta`, "stamp", stamp);
      const before = await bench.state();
      const refusal = await refused(alice.publishMessage({ ...GENERAL, to: "bob" }));
      expect(refusal).toMatchObject({ code: "INTERNAL", message: expect.stringContaining(`${PREFIX}:meta`) });
      expect(await bench.state()).toEqual(before);
    },
  );
});

describe("reading on", () => {
  test.each([
    { what: "own inbox", request: {}, of: (id: string, ids: Set<string>) => ids.has(id) },
    { what: "everything", request: { all: true }, of: () => true },
  ])("[G3] paging through $what with since, while 4 publish, neither skips nor repeats", async ({ request, of }) => {
    const [reader] = await bench.clients("reader", "other");
    const writers = await several(4, "writer");
    const toReader = new Set<string>();
    let writing = true;
    const publishing = Promise.all(
      writers.map(async (writer, i) => {
        for (let n = 0; n < 100; n++) {
          const to = (n + i) % 3 === 0 ? "other" : "reader";
          const { messageId } = await writer.publishMessage({ ...GENERAL, to });
          if (to === "reader") toReader.add(messageId);
        }
      }),
    ).finally(() => (writing = false));
    const found: string[] = [];
    let since = idOf(0);
    for (let finished = false; ; finished = !writing) {
      const page = await reader.checkMessages({ ...request, since, limit: 7 });
      found.push(...page.messages.map(({ id }) => id));
      since = page.nextSince ?? since;
      if (finished && !page.more) break;
    }
    await publishing;
    expect(found).toEqual((await timeline()).filter((id) => of(id, toReader)));
    expect(found.length).toBeGreaterThan(200);
  });

  test("[G3] paging back with before, while 4 publish, gives all that was there at the start, once each", async () => {
    const [reader] = await bench.clients("reader");
    const writers = await several(4, "writer");
    const publish = (count: number): Promise<unknown> =>
      Promise.all(
        writers.map(async (writer) => {
          for (let n = 0; n < count; n++) await writer.publishMessage({ ...GENERAL, to: "reader" });
        }),
      );
    await publish(50);
    const publishing = publish(50);
    const found = (await pages(reader, 9)).flat();
    await publishing;
    const order = await timeline();
    expect(found).toEqual(order.slice(0, order.indexOf(found[0]!) + 1).toReversed());
    expect(found.length).toBeGreaterThanOrEqual(200);
  });
});

describe("balance", () => {
  const operations = fc.array(
    fc.record({
      actor: fc.nat(3),
      what: fc.constantFrom("publish", "publish", "all", "reply", "ack", "ack", "check", "notifications", "forget"),
      other: fc.nat(3),
      pick: fc.nat(),
      asks: fc.boolean(),
    }),
    { minLength: 150, maxLength: 150 },
  );

  test("[G2] after any operations stored = settled + pending, in the figures and in every index", async () => {
    const names = ["orchestrator", "alice", "bob", "carol"];
    for (const sequence of fc.sample(operations, 4)) {
      const clients = await bench.clients(...names);
      const ids: string[] = [];
      for (const { actor, what, other, pick, asks } of sequence) {
        const client = clients[actor]!;
        const known = ids[pick % (ids.length || 1)] ?? "msg-0000000000";
        const request = { ...GENERAL, requiresAck: asks };
        const tolerate = (error: { code: string }): void => expect(error.code).toMatch(/^(INVALID|NOT_)/);
        if (what === "publish" || what === "all" || what === "reply") {
          const to = what === "publish" ? names[other] : what === "all" ? "all" : undefined;
          const replyTo = what === "reply" ? known : undefined;
          await client
            .publishMessage({ ...request, to, replyTo })
            .then(({ messageId }) => ids.push(messageId), tolerate);
        } else if (what === "ack") await client.ackMessage(known).catch(tolerate);
        else if (what === "check") await client.checkMessages({ pendingOnly: asks, limit: 5 });
        else if (what === "notifications") await client.getNotifications({ limit: 3 });
        else await client.forgetInstance(names[other]!).catch(tolerate);
      }
      await verifyIndexes(clients[0]!, ids);
      await bench.clear();
    }
  });

  /** Recomputes every index and figure from the messages and their receipts alone. */
  async function verifyIndexes(client: CoordinationClient, ids: readonly string[]): Promise<void> {
    const expected: Record<string, string[]> = { timeline: [...ids], pending: [] };
    const types = new Map<MessageType, string[]>();
    const add = (name: string, id: string): void => void (expected[name] ??= []).push(id);
    for (const id of ids) {
      const message = await bench.raw.hgetall(`${PREFIX}:msg:${id}`);
      const recipients = message["to"] === "all" ? message["recipients"]!.split(" ").filter(Boolean) : [message["to"]!];
      const open = recipients.filter((name) => !/^\d+ \d+/.test(message[`receipt:${name}`] ?? ""));
      // Who was forgotten since is not waited for.
      const waited = open.filter((name) => message[`history:${name}`] === undefined);
      add(`outbox:${message["from"]}`, id);
      const type = message["type"] as MessageType;
      types.set(type, [...(types.get(type) ?? []), id]);
      for (const name of recipients) {
        add(`inbox:${name}`, id);
        if (message[`receipt:${name}`] === undefined) add(`unread:${name}`, id);
        if (message["requires_ack"] === "1" && waited.includes(name)) add(`pending:${name}`, id);
      }
      if (message["requires_ack"] === "1" && waited.length > 0) add("pending", id);
      if (message["to"] === "all") expect(message["open"] ?? "0").toBe(String(open.length));
    }
    const held: Record<string, string[]> = { pending: [] };
    for (const key of await bench.raw.keys(`${PREFIX}:*`)) {
      const name = key.slice(`${PREFIX}:`.length);
      if (name === "pending") held[name] = (await bench.raw.zrange(key, "0", "-1")).sort();
      else if (/^(timeline|(inbox|outbox|unread|pending):.*)$/.test(name))
        held[name] = await bench.raw.zrange(key, "0", "-1");
    }
    expect(held).toEqual(expected);
    for (const [type, ofType] of types) {
      const { messages } = await client.checkMessages({ all: true, type, limit: 1000 });
      expect(messages.map((message) => message.id)).toEqual(ofType.toReversed());
    }
    const { total, pending, settled, dead, oldestPending } = await client.getStats();
    const open = expected["pending"]!;
    expect({ total, pending, settled, dead }).toEqual({
      total: ids.length,
      pending: open.length,
      settled: ids.length - open.length,
      dead: 0,
    });
    expect(oldestPending?.id).toBe(open[0]);
    expect(ids.length).toBeGreaterThan(20);
  }
});
