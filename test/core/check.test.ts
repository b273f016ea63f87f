import { beforeEach, describe, expect, test } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import type { CheckRequest, CheckResult, CoordinationClient } from "../../src/index.ts";
import { PREFIX, idOf, refused, useRedis } from "../harness.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;
const EMPTY: CheckResult = { count: 0, messages: [], more: false, unreadable: [] };

/** What a check finds, by the numbers of the messages. */
async function found(client: CoordinationClient, request: CheckRequest): Promise<string> {
  const { messages, unreadable } = await bench.plain(await client.checkMessages(request));
  expect(unreadable).toEqual([]);
  return messages.map(({ id }) => id).join(" ");
}

describe("filters", () => {
  let [alice, bob]: CoordinationClient[] = [];
  let ids: string[] = [];

  // m1 alice → bob, m2 bob → alice (answers m1), m3 carol → all (no ack), m4 alice → all, m5 alice → carol,
  // m6 carol → bob (answers m2), m7 dave → bob; bob has acknowledged m4.
  beforeEach(async () => {
    const [a, b, c, d] = await bench.clients("alice", "bob", "carol", "dave");
    [alice, bob, ids] = [a, b, []];
    const publish = async (client: CoordinationClient, request: object): Promise<void> => {
      ids.push((await client.publishMessage({ ...GENERAL, ...request })).messageId);
    };
    await publish(a, { to: "bob" });
    await publish(b, { replyTo: ids[0], requiresAck: true });
    await publish(c, { to: "all", type: "NOTIFICATION" });
    await publish(a, { to: "all" });
    await publish(a, { to: "carol", type: "META_CHANGE_REQUEST" });
    await publish(c, { to: "bob", replyTo: ids[1], type: "META_CHANGE_REQUEST" });
    await publish(d, { to: "bob" });
    await b.ackMessage(ids[3]!);
  });

  const m = (number: number): string => ids[number - 1]!;

  test.each<[request: (() => CheckRequest) | CheckRequest, expected: string]>([
    [{}, "m7 m6 m4 m3 m1"],
    [{ to: "bob" }, "m7 m6 m4 m3 m1"],
    [{ from: "alice" }, "m4 m1"],
    [{ from: "dave" }, "m7"],
    [{ from: "ghost" }, ""],
    [{ type: "META_CHANGE_REQUEST" }, "m6"],
    [{ type: "READY_FOR_REVIEW" }, ""],
    [{ pendingOnly: true }, "m6 m7"],
    [{ pendingOnly: true, from: "dave" }, "m7"],
    [{ pendingOnly: true, type: "META_CHANGE_REQUEST" }, "m6"],
    [{ pendingOnly: true, all: true }, "m2 m4 m5 m6 m7"],
    [{ pendingOnly: true, all: true, from: "alice" }, "m4 m5"],
    [{ pendingOnly: true, to: "carol" }, "m4 m5"],
    [{ pendingOnly: true, to: "carol", from: "alice", type: "META_CHANGE_REQUEST" }, "m5"],
    [() => ({ pendingOnly: true, all: true, since: m(4) }), "m5 m6 m7"],
    [() => ({ pendingOnly: true, all: true, since: m(2), before: m(6) }), "m4 m5"],
    [() => ({ pendingOnly: true, before: m(7) }), "m6"],
    [{ all: true }, "m7 m6 m5 m4 m3 m2 m1"],
    [{ to: "all" }, "m7 m6 m5 m4 m3 m2 m1"],
    [{ all: true, from: "carol" }, "m6 m3"],
    [{ all: true, type: "META_CHANGE_REQUEST" }, "m6 m5"],
    [{ all: true, from: "carol", type: "NOTIFICATION" }, "m3"],
    [{ from: "bob" }, "m2"],
    [{ from: "bob", pendingOnly: true }, "m2"],
    [{ from: "bob", to: "carol" }, ""],
    [{ to: "carol", from: "alice" }, "m5 m4"],
    [{ to: "ghost" }, ""],
    [() => ({ since: m(3) }), "m4 m6 m7"],
    [() => ({ before: m(4) }), "m3 m1"],
    [() => ({ since: m(1), before: m(6) }), "m3 m4"],
    [() => ({ since: m(7) }), ""],
    [() => ({ before: m(1) }), ""],
    [() => ({ since: m(1), from: "alice" }), "m4"],
    [() => ({ thread: m(1) }), "m6 m1"],
    [() => ({ thread: m(6) }), "m6 m1"],
    [() => ({ thread: m(2), all: true }), "m6 m2 m1"],
    [() => ({ thread: m(1), all: true, since: m(1) }), "m2 m6"],
    [() => ({ thread: m(1), all: true, type: "META_CHANGE_REQUEST" }), "m6"],
    [() => ({ thread: m(1), all: true, pendingOnly: true }), "m2 m6"],
    [() => ({ thread: m(1), from: "bob" }), "m2"],
    [() => ({ thread: m(5), all: true }), "m5"],
    [() => ({ thread: m(5) }), ""],
    [() => ({ thread: m(7) }), "m7"],
    [() => ({ thread: m(7), pendingOnly: true, from: "dave", type: "GENERAL", since: m(1) }), "m7"],
    [() => ({ thread: m(7), since: m(7) }), ""],
    [() => ({ messageId: m(5) }), "m5"],
  ])("%j finds %s", async (request, expected) => {
    expect(await found(bob!, typeof request === "function" ? request() : request)).toBe(expected);
  });

  test("every combination of filters finds what each of them finds, oldest first with pending or since", async () => {
    const filters: [keyof CheckRequest, unknown][] = [
      ["from", "alice"],
      ["from", "carol"],
      ["type", "META_CHANGE_REQUEST"],
      ["type", "GENERAL"],
      ["pendingOnly", true],
      ["since", m(2)],
      ["before", m(6)],
      ["thread", m(1)],
      ["to", "carol"],
      ["to", "bob"],
    ];
    const of = new Map<string, Set<string>>();
    const sets = async (request: CheckRequest): Promise<string[]> =>
      (await alice!.checkMessages({ ...request, limit: 1000 })).messages.map(({ id }) => id);
    const scope = { all: true };
    for (const [name, value] of filters)
      of.set(`${name} ${String(value)}`, new Set(await sets({ ...scope, [name]: value })));
    // Pending means for one recipient where one is named, else for anybody.
    for (const name of ["carol", "bob"])
      of.set(`pending of ${name}`, new Set(await sets({ pendingOnly: true, to: name })));
    for (let bits = 0; bits < 2 ** filters.length; bits++) {
      const chosen = filters.filter((_, i) => (bits >> i) & 1);
      if (new Set(chosen.map(([name]) => name)).size < chosen.length) continue;
      const request: CheckRequest = { ...scope, ...Object.fromEntries(chosen) };
      const ascending = request.pendingOnly === true || request.since !== undefined;
      const expected = ids.filter((id) =>
        chosen.every(([name, value]) => {
          const pending = name === "pendingOnly" && request.to !== undefined;
          return of.get(pending ? `pending of ${request.to}` : `${name} ${String(value)}`)!.has(id);
        }),
      );
      expect([request, await sets(request)]).toEqual([request, ascending ? expected : expected.toReversed()]);
    }
  });
});

describe("scopes", () => {
  test("[G2] a check of the own inbox marks what it returns as presented, once, and changes no more", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    const changed = await bench.changes(() => bob.checkMessages({ limit: 1 }));
    expect(changed).toEqual({
      "msg:m2": expect.objectContaining({ "receipt:bob": "<time>" }),
      "unread:bob": ["m1"],
    });
    expect(await bench.changes(() => bob.checkMessages({ limit: 1 }))).toEqual({});
    expect((await bench.state())["notifications:bob"]).toHaveLength(2);
    const { messages } = await alice.checkMessages({ from: "alice" });
    expect(messages.map(({ receipts }) => receipts?.map(({ state }) => state))).toEqual([["presented"], ["stored"]]);
  });

  test("reading somebody else's inbox presents nothing to anybody and shows nobody's receipts", async () => {
    const [alice, , carol] = await bench.clients("alice", "bob", "carol");
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    await alice.publishMessage({ ...GENERAL, to: "all" });
    let read: CheckResult | undefined;
    const changed = await bench.changes(async () => {
      read = await carol.checkMessages({
        to: "bob",
        before: "msg-zzzzzzzzzz",
        type: "GENERAL",
        since: idOf(0),
        limit: 1,
      });
    });
    expect(changed).toEqual({});
    expect(await bench.plain(read)).toEqual({
      count: 1,
      messages: [
        {
          id: "m1",
          type: "GENERAL",
          from: "alice",
          to: "bob",
          timestamp: "<time>",
          requiresAck: true,
          acknowledged: false,
          subject: "s",
          description: "d",
        },
      ],
      more: true,
      nextSince: "m1",
      nextBefore: "m1",
      unreadable: [],
    });
  });

  test("reading all marks as presented what is addressed to the reader, and only to it", async () => {
    const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    await alice.publishMessage({ ...GENERAL, to: "all" });
    await bob.publishMessage({ ...GENERAL, to: "carol" });
    const changed = await bench.changes(() => bob.checkMessages({ all: true }));
    expect(changed).toEqual({
      "msg:m1": expect.objectContaining({ "receipt:bob": "<time>" }),
      "msg:m2": expect.objectContaining({ "receipt:bob": "<time>" }),
      "unread:bob": undefined,
    });
    expect(changed["msg:m2"]).not.toHaveProperty("receipt:carol");
    expect(await carol.checkMessages({ all: true })).toMatchObject({ count: 3 });
  });

  test("acknowledged is the reader's own receipt where it is a recipient, else whether all have", async () => {
    const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
    const { messageId: one } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const { messageId: broadcast } = await alice.publishMessage({ ...GENERAL, to: "all" });
    await clientsSee("", "", "");
    await bob.ackMessage([one, broadcast]);
    await clientsSee("one", "one broadcast", "one");
    await carol.ackMessage(broadcast);
    await clientsSee("one broadcast", "one broadcast", "one broadcast");

    async function clientsSee(...expected: string[]): Promise<void> {
      const seen = [alice, bob, carol].map(async (client) => {
        const { messages } = await client.checkMessages({ all: true, since: idOf(0) });
        return messages.filter(({ acknowledged }) => acknowledged).map(({ id }) => (id === one ? "one" : "broadcast"));
      });
      expect((await Promise.all(seen)).map((names) => names.join(" "))).toEqual(expected);
    }
  });

  test("a reader that is no recipient of a broadcast and was there before is not taken for one", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "all" });
    const [late] = await bench.clients("late");
    expect(await late.checkMessages({ all: true })).toMatchObject({ messages: [{ acknowledged: false }] });
    await bob.ackMessage(messageId);
    expect(await late.checkMessages({ all: true })).toMatchObject({ messages: [{ acknowledged: true }] });
  });
});

describe("pages", () => {
  test("limit, more and the cursors lead through everything once, in both directions", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const ids: string[] = [];
    for (let n = 0; n < 7; n++) ids.push((await alice.publishMessage({ ...GENERAL, to: "bob" })).messageId);
    const page = async (request: CheckRequest): Promise<unknown> => {
      const { messages, ...rest } = await bench.plain(await bob.checkMessages({ limit: 3, ...request }));
      return [messages.map(({ id }) => id).join(" "), rest.more, rest.nextSince, rest.nextBefore];
    };
    expect(await page({})).toEqual(["m7 m6 m5", true, "m7", "m5"]);
    expect(await page({ before: ids[4] })).toEqual(["m4 m3 m2", true, "m4", "m2"]);
    expect(await page({ before: ids[1] })).toEqual(["m1", false, "m1", "m1"]);
    expect(await page({ before: ids[3] })).toEqual(["m3 m2 m1", false, "m3", "m1"]);
    expect(await page({ since: idOf(0) })).toEqual(["m1 m2 m3", true, "m3", "m1"]);
    expect(await page({ since: ids[2] })).toEqual(["m4 m5 m6", true, "m6", "m4"]);
    expect(await page({ since: ids[5] })).toEqual(["m7", false, "m7", "m7"]);
    expect(await page({ since: ids[3] })).toEqual(["m5 m6 m7", false, "m7", "m5"]);
    expect(await page({ since: ids[6] })).toEqual(["", false, "m7", undefined]);
    expect(await page({ before: ids[0] })).toEqual(["", false, undefined, "m1"]);
    expect(await page({ pendingOnly: true, since: ids[2], before: ids[6] })).toEqual(["m4 m5 m6", false, "m6", "m4"]);
  });

  test("50 messages come without a limit, and up to 1,000 with one", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    await Promise.all(Array.from({ length: 1001 }, () => alice.publishMessage({ ...GENERAL, to: "bob" })));
    const sizes = async (request: CheckRequest): Promise<unknown> => {
      const { count, messages, more } = await bob.checkMessages(request);
      return [count, messages.length, more];
    };
    expect(await sizes({})).toEqual([50, 50, true]);
    expect(await sizes({ limit: 1000 })).toEqual([1000, 1000, true]);
    expect(await sizes({ limit: 1 })).toEqual([1, 1, true]);
  });

  test.each([0, -1, 1001, 1.5, Number.NaN, Infinity, "10", "abc", null])("limit %j is INVALID", async (limit) => {
    const bob = await bench.client("bob");
    const request = { limit: limit as number };
    for (const call of [bob.checkMessages(request), bob.getNotifications(request)]) {
      expect(await refused(call)).toMatchObject({
        code: "INVALID",
        message: expect.stringMatching(/^limit is .*1 to 1000/),
      });
    }
    expect(await bench.state()).toEqual({});
  });

  test.each<[CheckRequest, RegExp]>([
    [{ to: "" }, /^to is ""/],
    [{ to: "a b" }, /^to is "a b"/],
    [{ from: "all" }, /^from is "all"/],
    [{ from: "x".repeat(65) }, /^from is .*64/],
    [{ type: "SHOUT" as "GENERAL" }, /^type is "SHOUT"/],
    [{ pendingOnly: "yes" as unknown as boolean }, /^pending_only is "yes"/],
    [{ all: 1 as unknown as boolean }, /^all is "1"/],
    [{ since: "" }, /^since has 0 characters/],
    [{ before: "x".repeat(129) }, /^before has 129 characters/],
    [{ thread: "" }, /^thread has 0 characters/],
    [{ messageId: "" }, /^message_id has 0 characters/],
    [{ waitSeconds: -1 }, /^wait_seconds is "-1".*0 to 50/],
    [{ waitSeconds: 51 }, /^wait_seconds is "51".*0 to 50/],
    [{ waitSeconds: "1" as unknown as number }, /^wait_seconds is "1"/],
  ])("%j is INVALID, naming field and limit", async (request, sentence) => {
    const bob = await bench.client("bob");
    expect(await refused(bob.checkMessages(request))).toMatchObject({
      code: "INVALID",
      message: expect.stringMatching(sentence),
    });
    expect(await bench.state()).toEqual({});
  });

  test("a cursor works after its message is gone; what never was an id is NOT_FOUND", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.push((await alice.publishMessage({ ...GENERAL, to: "bob" })).messageId);
    for (const key of ["timeline", "inbox:bob", "unread:bob", "pending:bob"])
      await bench.raw.zrem(`${PREFIX}:${key}`, ids[1]!);
    await bench.raw.del(`${PREFIX}:msg:${ids[1]}`);
    const read = async (request: CheckRequest): Promise<string[]> =>
      (await bob.checkMessages(request)).messages.map(({ id }) => id);
    expect(await read({ since: ids[1] })).toEqual([ids[2]]);
    expect(await read({ before: ids[1] })).toEqual([ids[0]]);
    for (const cursor of ["nonsense", "msg-", "msg-000000000", "msg-00000000000", "msg-000000000A", "\u0000"]) {
      for (const field of ["since", "before"] as const) {
        const refusal = await refused(bob.checkMessages({ [field]: cursor }));
        expect(refusal).toMatchObject({ code: "NOT_FOUND", message: expect.stringContaining(field) });
      }
    }
    for (const thread of [ids[1]!, "nonsense"]) {
      const refusal = await refused(bob.checkMessages({ thread }));
      expect(refusal).toMatchObject({ code: "NOT_FOUND", message: expect.stringContaining("thread") });
    }
    expect(await refused(bob.checkMessages({ messageId: ids[1] }))).toMatchObject({ code: "NOT_FOUND" });
  });

  test("an empty namespace is read without an error", async () => {
    const bob = await bench.client("bob");
    for (const request of [
      {},
      { all: true },
      { pendingOnly: true },
      { pendingOnly: true, all: true },
      { from: "bob" },
    ]) {
      expect(await bob.checkMessages(request)).toEqual(EMPTY);
    }
  });
});

/** Runs in Redis, since a hundred thousand commands take a client seconds. */
const SEED = `
  for i = 1, #ARGV, 5 do
    local id, score, from, to, type = unpack(ARGV, i, i + 4)
    redis.call('HSET', '${PREFIX}:msg:' .. id, 'id', id, 'type', type, 'from', from, 'to', to, 'subject', 's',
      'description', '', 'timestamp', 't', 'requires_ack', '1')
    for _, key in ipairs({ 'timeline', 'outbox:' .. from, 'inbox:' .. to, 'unread:' .. to, 'pending:' .. to, 'pending',
      'type:' .. type }) do
      redis.call('ZADD', '${PREFIX}:' .. key, score, id)
    end
  end`;

describe("large namespaces", () => {
  /** Puts messages into the namespace as publish would, without going through it. */
  async function seed(
    count: number,
    to: (n: number) => string,
    type: (n: number) => string,
    from: (n: number) => string = () => "alice",
  ): Promise<string[]> {
    const start = Date.now() * 1000 - count * 10;
    const ids = Array.from({ length: count }, (_, n) => idOf(start + n));
    for (let at = 0; at < count; at += 2000) {
      const chunk = ids
        .slice(at, at + 2000)
        .flatMap((id, i) => [id, String(start + at + i), from(at + i), to(at + i), type(at + i)]);
      await bench.raw.eval(SEED, 0, ...chunk);
    }
    return ids;
  }

  test("a rare type is found behind 10,000 others, forwards, backwards and among the pending ones", async () => {
    const rare = (n: number): boolean => n === 0 || n === 10_001;
    const ids = await seed(
      10_002,
      () => "bob",
      (n) => (rare(n) ? "META_CHANGE_REQUEST" : "GENERAL"),
    );
    const bob = await bench.client("bob");
    const type = "META_CHANGE_REQUEST";
    for (const request of [
      {},
      { pendingOnly: true },
      { since: idOf(0) },
      { all: true },
      { all: true, pendingOnly: true },
    ]) {
      const { messages, more } = await bob.checkMessages({ ...request, type, limit: 2 });
      const expected = [ids[0], ids[10_001]];
      const ascending = "pendingOnly" in request || "since" in request;
      expect([request, messages.map(({ id }) => id), more]).toEqual([
        request,
        ascending ? expected : expected.toReversed(),
        false,
      ]);
    }
  });

  test("a rare sender, thread or recipient is found behind 30,000 others in one call", async () => {
    const [dave] = await bench.clients("dave", "bob");
    const first = await dave.publishMessage({ ...GENERAL, to: "bob" });
    await bench.raw.zadd(`${PREFIX}:timeline`, 1, first.messageId);
    for (const key of ["inbox:bob", "unread:bob", "pending:bob", "outbox:dave"]) {
      await bench.raw.zadd(`${PREFIX}:${key}`, 1, first.messageId);
    }
    await seed(
      30_000,
      () => "bob",
      () => "GENERAL",
    );
    const bob = await bench.client("bob");
    for (const request of [{ from: "dave" }, { thread: first.messageId }, { from: "dave", all: true }]) {
      const { messages, more } = await bob.checkMessages(request);
      expect([request, messages.map(({ id }) => id), more]).toEqual([request, [first.messageId], false]);
    }
  });

  test("a search ends after 20,000 examined entries, says so, and goes on from its cursor", async () => {
    // Two filters that each hold many and hardly one in common: alice writes to carol, dave to bob.
    const both = (n: number): boolean => n === 0 || n === 40_009;
    const ids = await seed(
      40_010,
      (n) => (both(n) || n % 2 === 1 ? "bob" : "carol"),
      () => "GENERAL",
      (n) => (both(n) || n % 2 === 0 ? "alice" : "dave"),
    );
    const bob = await bench.client("bob");
    const back = await bob.checkMessages({ from: "alice" });
    expect(back).toMatchObject({
      count: 1,
      more: true,
      stoppedEarly: true,
      nextBefore: ids[11],
      nextSince: ids[40_009],
    });
    const rest = await bob.checkMessages({ from: "alice", before: back.nextBefore });
    expect(rest).toMatchObject({ count: 1, more: false, messages: [{ id: ids[0] }] });
    expect(rest).not.toHaveProperty("stoppedEarly");
    const pending = await bob.checkMessages({ from: "alice", pendingOnly: true });
    expect(pending).toMatchObject({ count: 1, more: true, stoppedEarly: true, nextSince: ids[39_997] });
    const [last] = (await bob.checkMessages({ from: "alice", pendingOnly: true, since: pending.nextSince })).messages;
    expect(last?.id).toBe(ids[40_009]);
  });

  test("more than 20,000 pending ones of everybody are read in order", async () => {
    const ids = await seed(
      20_005,
      (n) => (n % 2 === 0 ? "bob" : "carol"),
      () => "GENERAL",
    );
    const bob = await bench.client("bob");
    const { messages } = await bob.checkMessages({ all: true, pendingOnly: true, limit: 1000 });
    expect(messages.map(({ id }) => id)).toEqual(ids.slice(0, 1000));
    expect(await bob.getStats()).toMatchObject({ total: 20_005, pending: 20_005, oldestPending: { id: ids[0] } });
  });
});

describe("a bounded result", () => {
  test("[G2] it stops early with more, and what it did not return is not marked as presented", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      const request = { ...GENERAL, to: "bob", description: "x".repeat(1000) };
      ids.push((await alice.publishMessage(request)).messageId);
    }
    const bound = { bytes: 3000, descriptionBytes: 10_000 };
    const first = await new Mailbox(bob).checkMessages({ pendingOnly: true }, bound);
    expect(await bench.plain(first)).toMatchObject({ count: 2, more: true, nextSince: "m2", nextBefore: "m1" });
    expect((await bench.state())["unread:bob"]).toEqual(["m3", "m4", "m5"]);
    const second = await new Mailbox(bob).checkMessages({ pendingOnly: true, since: first.nextSince }, bound);
    const third = await new Mailbox(bob).checkMessages({ pendingOnly: true, since: second.nextSince }, bound);
    expect([second, third].map(({ count, more }) => [count, more])).toEqual([
      [2, true],
      [1, false],
    ]);
    expect([first, second, third].flatMap(({ messages }) => messages.map(({ id }) => id))).toEqual(ids);
  });

  test("at least one message is returned, however large", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const description = "\u0001".repeat(60_000);
    for (let n = 0; n < 2; n++) await alice.publishMessage({ ...GENERAL, to: "bob", description });
    const result = await new Mailbox(bob).checkMessages({}, { bytes: 1, descriptionBytes: 100_000 });
    expect(result).toMatchObject({ count: 1, more: true, messages: [{ description }] });
    expect((await bench.state())["unread:bob"]).toEqual(["m1"]);
  });

  test("a description counts as far as it is shown, and comes whole", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const description = "x".repeat(50_000);
    for (let n = 0; n < 5; n++) await alice.publishMessage({ ...GENERAL, to: "bob", description });
    const { messages, more } = await new Mailbox(bob).checkMessages({}, { bytes: 5000, descriptionBytes: 100 });
    expect([messages.map((message) => message.description.length), more]).toEqual([Array(5).fill(50_000), false]);
  });
});

describe("one message, whole", () => {
  test("show gives everybody's receipts to anybody, and the conversation on request, oldest first", async () => {
    const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
    const first = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const second = await bob.publishMessage({ ...GENERAL, replyTo: first.messageId, requiresAck: true });
    const nobody = bench.command(undefined);
    let shown: CheckResult | undefined;
    const changed = await bench.changes(async () => {
      shown = await nobody.showMessage(second.messageId, { thread: true });
    });
    expect(changed).toEqual({});
    const common = { type: "GENERAL", timestamp: "<time>", requiresAck: true, subject: "s", description: "d" };
    const times = { presentedAt: "<time>", acknowledgedAt: "<time>" };
    expect(await bench.plain(shown)).toEqual({
      count: 2,
      messages: [
        {
          ...common,
          id: "m1",
          from: "alice",
          to: "bob",
          acknowledged: true,
          receipts: [{ instance: "bob", state: "acknowledged", ...times }],
        },
        {
          ...common,
          id: "m2",
          from: "bob",
          to: "alice",
          acknowledged: false,
          replyTo: "m1",
          thread: "m1",
          receipts: [{ instance: "alice", state: "stored" }],
        },
      ],
      more: false,
      nextSince: "m2",
      nextBefore: "m1",
      unreadable: [],
      owed: [{ instance: "alice", messageId: "m2", type: "GENERAL", from: "bob", since: "<time>", state: "stored" }],
    });
    expect(await carol.showMessage(first.messageId)).toMatchObject({ count: 1, messages: [{ id: first.messageId }] });
    const seen = await bench.changes(() => alice.showMessage(second.messageId));
    expect(seen).toEqual({
      "msg:m2": expect.objectContaining({ "receipt:alice": "<time>" }),
      "unread:alice": undefined,
    });
    expect(await alice.checkMessages({ messageId: second.messageId })).toMatchObject({
      messages: [{ receipts: [{ instance: "alice", state: "presented" }] }],
    });
    const alone = await carol.publishMessage({ ...GENERAL, to: "bob" });
    expect(await carol.showMessage(alone.messageId, { thread: true })).toMatchObject({ count: 1, more: false });
    expect(await refused(carol.showMessage("nonsense"))).toMatchObject({ code: "NOT_FOUND" });
  });

  test("[G2] what is taken to be shown, a list or one message, counts as presented once that is confirmed", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    const take = async (request: CheckRequest): Promise<unknown[]> => {
      let confirm = async (): Promise<void> => undefined;
      const taken = await bench.changes(async () => ({ confirm } = await bob.takeMessages(request)));
      await confirm();
      return [taken, (await bench.state())["unread:bob"]];
    };
    expect(await take({ messageId })).toEqual([{}, ["m2"]]);
    expect(await take({})).toEqual([{}, undefined]);
  });
});
