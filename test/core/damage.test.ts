import { describe, expect, test } from "vitest";
import * as fc from "fast-check";
import { type CoordinationClient, CoordinationError } from "../../src/index.ts";
import { PREFIX, idOf, refused, type State, useRedis } from "../harness.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;

const TYPES = ["string", "list", "set", "zset", "hash"] as const;
type RedisType = (typeof TYPES)[number];

async function overwrite(key: string, type: RedisType): Promise<void> {
  await bench.raw.del(key);
  if (type === "string") await bench.raw.set(key, "x");
  else if (type === "list") await bench.raw.rpush(key, "x");
  else if (type === "set") await bench.raw.sadd(key, "x");
  else if (type === "zset") await bench.raw.zadd(key, 1, "x");
  else await bench.raw.hset(key, "x", "x");
}

interface Scene {
  alice: CoordinationClient;
  bob: CoordinationClient;
  /** By label: m1 alice → bob, m2 bob → alice (answers m1), m3 alice → all, m4 alice → bob; m5 is the next id. */
  ids: Record<string, string>;
}

/** The same namespace every time; the id of the next message is known, since the last stamp lies in the future. */
async function scene(): Promise<Scene> {
  await bench.clear();
  const [alice, bob] = await bench.clients("alice", "bob", "carol");
  const m1 = await alice.publishMessage({ ...GENERAL, to: "bob", idempotencyKey: "k1" });
  const m2 = await bob.publishMessage({ ...GENERAL, replyTo: m1.messageId, requiresAck: true, idempotencyKey: "k2" });
  const m3 = await alice.publishMessage({ ...GENERAL, to: "all", idempotencyKey: "k3" });
  const m4 = await alice.publishMessage({ ...GENERAL, to: "bob", idempotencyKey: "k4" });
  const stamp = Date.now() * 1000 + 60_000_000;
  await bench.raw.hset(`${PREFIX}:meta`, "stamp", String(stamp));
  const [first, second, third, fourth] = [m1, m2, m3, m4].map(({ messageId }) => messageId);
  return { alice, bob, ids: { m1: first!, m2: second!, m3: third!, m4: fourth!, m5: idOf(stamp + 1) } };
}

const actions: Record<string, (scene: Scene) => Promise<unknown>> = {
  "publish of a reply": ({ bob, ids }) =>
    bob.publishMessage({ ...GENERAL, replyTo: ids["m1"], to: "carol", idempotencyKey: "k" }),
  "publish that answers a broadcast": ({ bob, ids }) =>
    bob.publishMessage({ ...GENERAL, replyTo: ids["m3"], to: "all", idempotencyKey: "k" }),
  ack: ({ bob, ids }) => bob.ackMessage(ids["m4"]!),
  "ack of a broadcast": ({ bob, ids }) => bob.ackMessage(ids["m3"]!),
  check: ({ bob }) => bob.checkMessages(),
  "check of all": ({ bob }) => bob.checkMessages({ all: true }),
  "check of all pending": ({ bob }) => bob.checkMessages({ all: true, pendingOnly: true }),
  "check of a sender, a thread, a type and a range": ({ bob, ids }) =>
    bob.checkMessages({
      all: true,
      from: "alice",
      thread: ids["m2"],
      type: "GENERAL",
      since: idOf(0),
      before: ids["m5"],
    }),
  "check with a wait": ({ bob }) => bob.checkMessages({ waitSeconds: 0.01 }),
  show: ({ bob, ids }) => bob.showMessage(ids["m2"]!, { thread: true }),
  notifications: ({ bob }) => bob.getNotifications(),
  presence: ({ bob }) => bob.getPresence(),
  stats: ({ bob }) => bob.getStats(),
  touch: ({ bob }) => bob.touch(),
  forget: ({ bob }) => bob.forgetInstance("carol"),
};
const writers = ["publish of a reply", "publish that answers a broadcast", "ack", "ack of a broadcast"];

const keyOf = ({ ids }: Scene, name: string): string => `${PREFIX}:${name.replace(/m\d/, (label) => ids[label]!)}`;

describe("a key of a wrong type", () => {
  test.each(writers)(
    "[G1] in any key that a %s writes: refused as INTERNAL naming the key, and nothing changes",
    async (name) => {
      const action = actions[name]!;
      const first = await scene();
      // The names of keys with the labels of ids: which message is the next one is known before it exists.
      const changed = Object.keys(await bench.changes(() => action(first)));
      expect(changed.length).toBeGreaterThanOrEqual(4);
      const types = Object.fromEntries(
        await Promise.all(changed.map(async (key) => [key, await typeOf(keyOf(first, key))])),
      );
      const wrong: string[] = [];
      for (const key of changed) {
        for (const type of TYPES) {
          // A string under an idempotency key is a key that was used.
          if (type === types[key] || key.startsWith("once:")) continue;
          const present = await scene();
          await overwrite(keyOf(present, key), type);
          const before = await bench.state();
          const outcome = await action(present).catch((error: unknown) => error);
          const problem = await verdict(outcome, keyOf(present, key), before);
          if (problem !== "") wrong.push(`${key} as ${type}: ${problem}`);
        }
      }
      expect(wrong).toEqual([]);
    },
  );

  /** What is wrong with how an operation took a damaged key; nothing when it was refused as it should. */
  async function verdict(outcome: unknown, key: string, before: State): Promise<string> {
    if (!(outcome instanceof CoordinationError)) return `not refused: ${String(outcome)}`;
    const problems = [
      outcome.code === "INTERNAL" ? "" : outcome.code,
      outcome.message.includes(key) ? "" : `the key is not named: ${outcome.message}`,
      JSON.stringify(await bench.state()) === JSON.stringify(before) ? "" : "the state was changed",
    ];
    return problems.filter((problem) => problem !== "").join(", ");
  }

  /** The type that a key has, or had before it became empty. */
  async function typeOf(key: string): Promise<string> {
    const type = await bench.raw.type(key);
    if (type !== "none") return type;
    return key === `${PREFIX}:pending` ? "set" : "zset";
  }

  test("[G1] in the key of an idempotency key: refused as INTERNAL naming the key, and nothing changes", async () => {
    for (const type of TYPES.slice(1)) {
      const present = await scene();
      await overwrite(`${PREFIX}:once:bob:k`, type);
      const before = await bench.state();
      const refusal = await refused(actions["publish of a reply"]!(present));
      expect(refusal).toMatchObject({ code: "INTERNAL", message: expect.stringContaining(`${PREFIX}:once:bob:k`) });
      expect(await bench.state()).toEqual(before);
    }
  });

  test.each(Object.keys(actions))(
    "in any key of the namespace: %s works, or is refused naming the key with nothing changed",
    async (name) => {
      await scene();
      const keys = Object.keys(await bench.state());
      const wrong: string[] = [];
      for (const key of keys) {
        for (const type of ["string", "zset", "hash"] as const) {
          const present = await scene();
          const whole = keyOf(present, key);
          if ((await bench.raw.type(whole)) === type) continue;
          await overwrite(whole, type);
          const before = await bench.state();
          const outcome = await actions[name]!(present).catch((error: unknown) => error);
          if (!(outcome instanceof Error)) continue;
          const problem = await verdict(outcome, whole, before);
          if (problem !== "") wrong.push(`${key} as ${type}: ${problem}`);
        }
      }
      expect(wrong).toEqual([]);
    },
  );

  test("[G1] a counter that is no number: refused as INTERNAL naming the key, and nothing changes", async () => {
    const { alice } = await scene();
    for (const value of ["abc", "1.5", "9223372036854775807"]) {
      await bench.raw.hset(`${PREFIX}:meta`, "published:GENERAL", value);
      const before = await bench.state();
      const refusal = await refused(alice.publishMessage({ ...GENERAL, to: "bob" }));
      expect(refusal).toMatchObject({ code: "INTERNAL", message: expect.stringContaining(`${PREFIX}:meta`) });
      expect(await bench.state()).toEqual(before);
    }
  });
});

describe.each([
  ["newer", "3", /Update .*restart the agent/],
  ["older", "1", /`coord export` with the version .* that wrote it, then `coord import` with this one/],
])("a namespace of %s version", (_version, protocol, advice) => {
  test.each(Object.keys(actions))("%s is refused as PROTOCOL in one sentence, and nothing changes", async (name) => {
    const present = await scene();
    await bench.raw.hset(`${PREFIX}:meta`, "protocol", protocol);
    const before = await bench.state();
    const refusal = await refused(actions[name]!(present));
    expect(refusal).toMatchObject({
      code: "PROTOCOL",
      message: expect.stringMatching(new RegExp(`coord\\}? .*version ${protocol}.*version 2`)),
    });
    expect(refusal.hint).toMatch(advice);
    expect(await bench.state()).toEqual(before);
  });

  test("a new namespace says its version, and one of ours is read", async () => {
    const { alice } = await scene();
    expect(await bench.raw.hget(`${PREFIX}:meta`, "protocol")).toBe("2");
    expect(await alice.checkMessages({ all: true })).toMatchObject({ count: 4 });
  });
});

describe("a broken message", () => {
  const damages: [name: string, reason: RegExp, damage: (key: string) => Promise<unknown>][] = [
    ["gone", /gone/, (key) => bench.raw.del(key)],
    ["of another type", /another type/, (key) => overwrite(key, "list")],
    ["a string", /another type/, (key) => overwrite(key, "string")],
    ...["id", "type", "from", "to", "subject", "description", "timestamp", "requires_ack"].map(
      (field): [string, RegExp, (key: string) => Promise<unknown>] => [
        `without its ${field}`,
        new RegExp(`\\b${field}\\b`),
        (key) => bench.raw.hdel(key, field),
      ],
    ),
  ];

  test.each(damages)("that is %s is reported with its id while the rest is listed", async (_name, reason, damage) => {
    const { bob, ids } = await scene();
    await damage(`${PREFIX}:msg:${ids["m3"]}`);
    const unreadable = [{ id: "m3", reason: expect.stringMatching(reason) }];
    for (const [request, others] of [
      [{}, "m4 m1"],
      [{ all: true }, "m4 m2 m1"],
      [{ pendingOnly: true }, "m4"],
      [{ pendingOnly: true, all: true }, "m2 m4"],
      [{ from: "alice" }, "m4 m1"],
      [{ type: "GENERAL" }, "m4 m1"],
      [{ since: ids["m1"] }, "m4"],
    ] as const) {
      const result = await bench.plain(await bob.checkMessages(request));
      const listed = result.messages.map(({ id }) => id).join(" ");
      expect([request, listed, result.unreadable]).toEqual([request, others, unreadable]);
    }
    // It does not stand in the way of paging, acknowledging or publishing.
    const first = await bob.checkMessages({ limit: 2 });
    const rest = await bob.checkMessages({ limit: 2, before: first.nextBefore });
    expect([first.count + first.unreadable.length, rest.count]).toEqual([2, 1]);
    const results = await bob.ackMessage([ids["m3"]!, ids["m4"]!]);
    expect(results[1]).toMatchObject({ already: false });
    await bob.getNotifications();
    expect(await bob.publishMessage({ ...GENERAL, to: "carol" })).toMatchObject({ repeated: false });
    expect(await bob.getStats()).toMatchObject({ total: 5 });
  });

  test("a type of a newer version is listed like any other, with fields that are not known here left out", async () => {
    const { bob, ids } = await scene();
    await bench.raw.hset(`${PREFIX}:msg:${ids["m4"]}`, "type", "POLL", "deadline", "1");
    const { messages, unreadable } = await bench.plain(await bob.checkMessages({ pendingOnly: true }));
    expect([messages.map(({ id, type }) => [id, type]), unreadable]).toEqual([
      [
        ["m3", "GENERAL"],
        ["m4", "POLL"],
      ],
      [],
    ]);
    expect(messages[1]).not.toHaveProperty("deadline");
    expect(await bob.ackMessage(ids["m4"]!)).toMatchObject({ already: false });
  });

  test("what an index lists without there being a message is reported", async () => {
    const { bob } = await scene();
    await bench.raw.zadd(`${PREFIX}:inbox:bob`, 5, "what\u0000is this");
    const { messages, unreadable } = await bob.checkMessages();
    expect([messages.length, unreadable]).toEqual([3, [{ id: "what\u0000is this", reason: "the message is gone" }]]);
  });

  test("what the index of pending ids lists without there being a message is reported", async () => {
    const { bob } = await scene();
    await bench.raw.zadd(`${PREFIX}:pending`, 1, "msg-0000000001", 2, "what is this");
    const { messages, unreadable } = await bob.checkMessages({ all: true, pendingOnly: true });
    expect(messages).toHaveLength(3);
    expect(unreadable.map(({ id }) => id).sort()).toEqual(["msg-0000000001", "what is this"]);
  });
});

describe("hostile values", () => {
  const odd = fc.oneof(
    fc.constantFrom(
      "",
      "0",
      "-1",
      "1",
      "abc",
      "nan",
      "inf",
      "-inf",
      "1e308",
      "9".repeat(40),
      "0x10",
      "1.5",
      "\u0000",
      "null",
      "all",
      "bob",
      "{",
      "[",
      "{}",
      "[]",
      "[[[[",
      "[".repeat(5000),
      '{"event":',
      '{"event":"x","count":1e999}',
      '{"last_heartbeat":1}',
      '{"last_heartbeat":"+275760-09-13T00:00:00.000Z"}',
      '{"last_heartbeat":"0000"',
      '"left":true',
      '{"event":"message_published","message_id":"',
      "1000000000000000 ",
      "99999999999999999999 1 x",
      "1 2 3",
      " ",
      "a b",
      "a b c d e f",
      "msg-zzzzzzzzzz",
      "x".repeat(2000),
      "<time>",
      "%d%s",
      "\ufffd",
    ),
    fc.string({ unit: "binary", maxLength: 20 }),
  );
  const bytes = fc.uint8Array({ maxLength: 30 }).map((array) => Buffer.from(array));
  const score = fc.constantFrom("-inf", "inf", "0", "-1", "1", "1.5", "1e300", "9007199254740993", "1700000000000000");
  const names = ["meta", "msg:m1", "msg:m2", "msg:m3", "msg:m4", "timeline", "inbox:bob", "unread:bob", "pending:bob"];
  const others = [
    "pending",
    "presence",
    "notifications:bob",
    "outbox:alice",
    "thread:m1",
    "inbox:carol",
    "once:bob:k",
    "type:GENERAL",
  ];
  const fields = [
    "id",
    "type",
    "from",
    "to",
    "subject",
    "description",
    "timestamp",
    "requires_ack",
    "reply_to",
    "thread",
  ];
  const more = [
    "receipt:bob",
    "receipt:alice",
    "receipt:carol",
    "recipients",
    "open",
    "stamp",
    "total",
    "looked",
    "restored",
    "retention_days",
  ];
  const last = ["max_messages", "published:GENERAL", "published:", "bob", "alice", "carol", "", "__proto__", "a b"];
  const write = fc.record({
    name: fc.constantFrom(...names, ...others),
    field: fc.oneof(fc.constantFrom(...fields, ...more, ...last), odd),
    value: fc.oneof({ weight: 3, arbitrary: odd }, { weight: 1, arbitrary: bytes }),
    score,
    remove: fc.boolean(),
  });

  test("whatever is written into the namespace, a client throws nothing but its own error", async () => {
    const fewMayBeHeld = async (): Promise<boolean> =>
      /^\d{1,2}$/.test((await bench.raw.hget(`${PREFIX}:meta`, "max_messages")) ?? "");
    type Write = typeof write extends fc.Arbitrary<infer T> ? T : never;
    const attempt = async (writes: readonly Write[]): Promise<void> => {
      const present = await scene();
      for (const { name, field, value: written, score: at, remove } of writes) {
        const key = keyOf(present, name);
        const type = await bench.raw.type(key);
        if (type === "hash" && remove) await bench.raw.hdel(key, field);
        else if (type === "hash") await bench.raw.hset(key, field, written);
        else if (type === "zset") await bench.raw.zadd(key, at, written);
        else if (type === "set") await bench.raw.sadd(key, written);
        else if (type === "list") await bench.raw.rpush(key, written);
        else await bench.raw.set(key, written);
      }
      for (const [name, action] of Object.entries(actions)) {
        if (name === "check with a wait") continue;
        const outcome = await action(present).catch((error: unknown) => error);
        if (outcome instanceof Error && !(outcome instanceof CoordinationError)) {
          throw new Error(`${name}: ${String(outcome)}`, { cause: outcome });
        }
        if (
          outcome instanceof CoordinationError &&
          !/^(INTERNAL|INVALID|LOST|NOT_FOUND|NOT_RECIPIENT|PROTOCOL)$/.test(outcome.code) &&
          !(outcome.code === "FULL" && (await fewMayBeHeld())) // what was written is a setting, if a strange one
        ) {
          throw new Error(`${name}: ${outcome.code} ${outcome.message}`, { cause: outcome });
        }
      }
    };
    // What is under way when the time is over is waited for: the next test has the same Redis.
    let latest: Promise<void> = Promise.resolve();
    await fc.assert(
      fc.asyncProperty(fc.array(write, { minLength: 1, maxLength: 6 }), (writes) => (latest = attempt(writes))),
      { numRuns: 400, interruptAfterTimeLimit: 8000, endOnFailure: false },
    );
    await latest.catch(() => undefined);
  });

  test("settings of the namespace that are no numbers give way to the sender's", async () => {
    for (const [field, value] of [
      ["protocol", "one"],
      ["retention_days", "1e300"],
      ["retention_days", "abc"],
    ] as const) {
      const { alice } = await scene();
      await bench.raw.hset(`${PREFIX}:meta`, field, value);
      await alice.checkMessages();
      expect((await alice.publishMessage({ ...GENERAL, to: "all" })).recipients).toHaveLength(2);
    }
  });
});
