/**
 * What another program may have written into the namespace: for every kind of key and every field, values of every kind of
 * wrong. Then every operation of the client, the hooks' texts and the texts of the shell are tried on it: each has to end in
 * a result or in an error of ours, soon; and what is published next has to arrive.
 */
import * as fc from "fast-check";
import { Redis } from "ioredis";

import { CoordinationClient } from "../../src/client/client.ts";
import type { MailMoment } from "../../src/client/replies.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { CoordinationError, ErrorCode } from "../../src/protocol/errors.ts";
import { successToWire, toWire } from "../../src/protocol/wire.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import * as render from "../../src/surfaces/cli/render.ts";
import { renderMail, renderSuperseded } from "../../src/surfaces/hook/text.ts";
import { boundedCheck, boundedPresence, boundedPublish, boundedShow } from "../../src/surfaces/mcp/results.ts";

const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;
const BOUND = { bytes: 7_500, descriptionBytes: 6_000 };
/** What a damaged namespace may be answered with; anything else is a defect. */
const ALLOWED: readonly ErrorCode[] = [
  "INTERNAL",
  "INVALID",
  "NOT_FOUND",
  "NOT_RECIPIENT",
  "PROTOCOL",
  "SUPERSEDED",
  "FULL",
];

const HUGE = "x".repeat(100_000);
const odd: fc.Arbitrary<string | Buffer> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      ...["", " ", "0", "-1", "1", "-0", "1.5", "abc", "nan", "-nan", "inf", "-inf", "1e308", "-1e308", "1e30", "0x10"],
      ...[
        "9".repeat(15),
        "9".repeat(16),
        "9".repeat(19),
        "9".repeat(31),
        "-9223372036854775808",
        "9223372036854775807",
      ],
      ...[
        "null",
        "true",
        "[]",
        "{}",
        "[1,2",
        '{"a":',
        '"',
        "[".repeat(2000),
        '{"a":'.repeat(900),
        "\0",
        "a b",
        "a\nb",
        "a\tb",
      ],
      ...[
        "all",
        "bob",
        "alice",
        "constructor",
        "__proto__",
        "toString",
        "\u202ex",
        "\u001b[31m",
        "<agent-message>",
        "%d%s",
      ],
      ...["msg-zzzzzzzzzz", "msg-0000000000", "msg-", "1700000000000000", "1700000000000000 1700000000000000 x"],
      ...["a1700000000000000", "d1700000000000000", "x1 d2 o3 t4 a5 r6", "dnan", "a".repeat(3000), HUGE],
      ...['{"last_heartbeat":1}', '{"last_heartbeat":"zzzz","left":false,"session":{"number":1}}'],
      ...[
        '{"last_heartbeat":"9999-12-31T23:59:59.999Z","left":false,"session":{"number":1e308,"ids":[1,{}],"agent":[]}}',
      ],
      ...[
        '{"last_heartbeat":"2026-01-01T00:00:00.000Z","left":false,"session":{"number":7,"pid":1e999,"host":null,"x":[[]]}}',
      ],
      ...[
        '{"last_heartbeat":"2026-01-01T00:00:00.000Z","left":true,"session":{"number":-1,"news":{"superseded":5},"joined":{}}}',
      ],
      ...['{"last_heartbeat":"2026-01-01T00:00:00.000Z","left":false,"session":[1,2,{"number":3}]}', '{"session":"x"}'],
      ...['{"event":1}', '{"event":"constructor"}', '{"event":"message_dead","instances":[1],"waiting_seconds":"x"}'],
      ...[
        '{"event":"message_published","message_id":"m"}',
        '{"event":"message_acknowledged"}',
        '{"event":"events_skipped"}',
      ],
      ...['{"event":"message_dead","message_id":7,"from":{},"subject":["x"],"__proto__":{"event":"y"}}'],
      ...['9999999999999999999999 ["x"]', "1 x", '1700000000000000 [1,{"a":2},"{}"]', "1700000000000000 5", "1 [null]"],
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)) },
);
const score = fc.constantFrom(
  "-inf",
  "inf",
  "0",
  "-1",
  "1",
  "1.5",
  "1e300",
  "9007199254740993",
  "1700000000000000",
  "3e15",
);

/** One write into one key: a member, a field or the whole, or another type. */
interface Change {
  key: number;
  field: number;
  value: string | Buffer;
  score: string;
  how: "value" | "add" | "remove" | "type" | "truncate";
  type: "string" | "list" | "set" | "zset" | "hash";
}
const change: fc.Arbitrary<Change> = fc.record({
  key: fc.nat(),
  field: fc.nat(),
  value: odd,
  score,
  how: fc.constantFrom("value", "value", "value", "add", "remove", "type", "truncate"),
  type: fc.constantFrom("string", "list", "set", "zset", "hash"),
});

interface Scene {
  alice: CoordinationClient;
  bob: CoordinationClient;
  ids: string[];
  raw: Redis;
}

/** Every kind of key of lua/README.md is there: messages of every state, leases, deadlines, dead, sessions, settings. */
async function stage(raw: Redis, open: (name: string) => CoordinationClient): Promise<Scene> {
  await raw.flushall();
  const [alice, bob] = [open("alice"), open("bob")];
  for (const name of ["carol", "orchestrator"]) await open(name).touch();
  await alice.join({ id: "a", agent: "test", host: "h", agentPid: 1, cwd: "/" });
  await bob.join({ id: "b", agent: "test", host: "h", agentPid: 2, cwd: "/" });
  const publish = async (client: CoordinationClient, more: object): Promise<string> =>
    (await client.publishMessage({ ...GENERAL, ...more })).messageId;
  const first = await publish(alice, { to: "bob", idempotencyKey: "k", ackWithin: 60 });
  const ids = [first, await publish(bob, { replyTo: first }), await publish(alice, { to: "all", ackWithin: 60 })];
  ids.push(await publish(alice, { to: "carol", ackWithin: 60 }), await publish(alice, { to: "bob", ackWithin: 60 }));
  await due(raw);
  await alice.sweep();
  await bob.collectMail("tool", 1, BOUND);
  await bob.takeNotifications({ limit: 1 });
  for (let i = 0; i < 4; i++) {
    await due(raw);
    await alice.sweep();
  }
  ids.push(await publish(alice, { to: "bob", ackWithin: 60 }), await publish(bob, { to: "alice", ackWithin: 60 }));
  await publish(alice, { to: "offline", ackWithin: 60 });
  await raw.hset("coord:presence", "offline", '{"last_heartbeat":"2020-01-01T00:00:00.000Z","left":true,"session":{}}');
  await due(raw);
  await alice.sweep();
  await bob.confirmMail(await bob.collectMail("stop", 10, BOUND));
  await bob.takeWaiterPlace("token");
  await raw.zadd("coord:expired", 1, "msg-0000000001");
  return { alice, bob, ids, raw };
}

/** Every deadline passes. */
async function due(raw: Redis): Promise<void> {
  for (const member of await raw.zrange("coord:deadlines", "0", "-1"))
    await raw.zadd("coord:deadlines", "XX", "1", member);
}

async function apply({ raw }: Scene, { key: n, field, value, score: at, how, type }: Change): Promise<string> {
  const keys = (await raw.keys("coord:*")).sort();
  const key = keys[n % keys.length]!;
  const present = await raw.type(key);
  if (how === "type") {
    await raw.del(key);
    if (type === "string") await raw.set(key, value);
    else if (type === "list") await raw.rpush(key, value);
    else if (type === "set") await raw.sadd(key, value);
    else if (type === "zset") await raw.zadd(key, at, value);
    else await raw.hset(key, "field", value);
  } else if (present === "hash") {
    const names = await raw.hkeys(key);
    const name = names[field % names.length]!;
    if (how === "remove") await raw.hdel(key, name);
    else if (how === "add") await raw.hset(key, value, value);
    else if (how === "truncate") await raw.hset(key, name, (await raw.hgetBuffer(key, name))!.subarray(0, -3));
    else await raw.hset(key, name, value);
    return `${how} ${key} ${name}`;
  } else if (present === "zset") {
    const members = await raw.zrange(key, "0", "-1");
    const member = members[field % members.length]!;
    if (how === "remove") await raw.zrem(key, member);
    else if (how === "add") await raw.zadd(key, at, value);
    else await raw.zadd(key, at, member);
  } else if (present === "set") {
    if (how === "remove") await raw.spop(key);
    else await raw.sadd(key, value);
  } else if (present === "list") {
    if (how === "remove") await raw.lpop(key);
    else if (how === "value") await raw.lset(key, 0, value);
    else await raw.rpush(key, value);
  } else await raw.set(key, value);
  return `${how} ${key}`;
}

const MOMENTS: readonly MailMoment[] = ["start", "turn", "tool", "stop", "wake"];

/** Everything that reads or writes, with what its surfaces make of the result. */
const OPERATIONS: Record<string, (scene: Scene) => Promise<unknown>> = {
  publish: async ({ alice }) => {
    const result = await alice.publishMessage({ ...GENERAL, to: "bob", ackWithin: 60 });
    return [render.renderPublish(result), wire(boundedPublish(result))];
  },
  "publish to all": async ({ alice }) => render.renderPublish(await alice.publishMessage({ ...GENERAL, to: "all" })),
  "publish a reply": async ({ bob, ids }) => bob.publishMessage({ ...GENERAL, replyTo: ids[0] }),
  "publish again": async ({ alice }) =>
    alice.publishMessage({ ...GENERAL, to: "bob", idempotencyKey: "k", ackWithin: 60 }),
  check: async ({ bob }) => shown(await bob.checkMessages({}, BOUND)),
  "check pending": async ({ bob }) => shown(await bob.checkMessages({ pendingOnly: true })),
  "check all": async ({ alice }) => shown(await alice.checkMessages({ all: true, type: "GENERAL" })),
  "check own": async ({ alice }) => shown(await alice.checkMessages({ from: "alice" }, BOUND)),
  "check a range": async ({ bob, ids }) =>
    shown(await bob.checkMessages({ since: ids[0], before: ids[4], thread: ids[0] })),
  "check with a wait": async ({ bob }) => shown(await bob.checkMessages({ waitSeconds: 0.001 })),
  show: async ({ alice, ids }) =>
    Promise.all(ids.map(async (id) => shown(await alice.showMessage(id, { thread: true })).then(wire))),
  ack: async ({ bob, ids }) => {
    const results = await bob.ackMessage(ids, { comment: "done" });
    return results.map((result) => [render.renderAck(result), wire(result)]);
  },
  notifications: async ({ bob }) => {
    const { result, confirm } = await bob.takeNotifications({});
    await confirm();
    return [render.renderNotifications(result), wire(result)];
  },
  ...Object.fromEntries(
    MOMENTS.map((moment) => [
      `hook at ${moment}`,
      async ({ bob }: Scene) => {
        const mail = await bob.collectMail(moment, 10, BOUND, "token");
        const text = renderMail(mail);
        await bob.confirmMail(mail, text?.shown ?? 0);
        return text;
      },
    ]),
  ),
  join: async ({ bob }) => {
    const { superseded } = await bob.join({ id: "b2", host: "h", agentPid: 3, cwd: "/" });
    return superseded && renderSuperseded("bob", superseded);
  },
  beat: async ({ bob }) => bob.setActivity("at work"),
  speaks: async ({ bob }) => bob.speaks(),
  waiter: async ({ bob }) => bob.takeWaiterPlace("token"),
  sweep: async ({ alice }) => {
    const next = await alice.sweepWhenDue();
    if (!(next >= 0)) throw new Error(`the next sweep is in ${next} ms`);
    return render.renderSweep(await alice.sweep());
  },
  dead: async ({ alice }) => {
    const { messages } = await alice.listDead();
    const ids = messages.map(({ id }) => id);
    if (ids.length > 1) shown(await alice.retryDead(ids.slice(1)));
    if (ids.length > 0) shown(await alice.dropDead(ids.slice(0, 1)));
  },
  settings: async ({ alice }) => {
    const settings = await alice.getNamespaceSettings();
    if (!Object.values(settings).every((value) => Number.isSafeInteger(value)))
      throw new Error(JSON.stringify(settings));
    return render.renderSettings(toWire(settings) as Record<string, unknown>);
  },
  presence: async ({ alice }) => {
    const result = await alice.getPresence();
    return [render.renderPresence(result), wire(boundedPresence(result))];
  },
  stats: async ({ alice }) => {
    const result = await alice.getStats();
    return [render.renderStats(result), wire(result)];
  },
  export: async ({ alice }) => {
    for await (const line of alice.exportLines()) JSON.parse(line);
  },
  forget: async ({ alice }) => render.renderForget(await alice.forgetInstance("carol")),
  leave: async ({ bob }) => bob.leave(),
};

async function shown(result: Parameters<typeof render.renderCheck>[0]): Promise<object> {
  return [render.renderCheck(result, ""), wire(boundedCheck(result)), wire(boundedShow(result))];
}

/** What surfaces print has to be JSON without holes: a NaN would come out as null. */
function wire(result: object): object {
  const value = successToWire(result);
  JSON.stringify(value, (name, part: unknown) => {
    if (typeof part === "number" && !Number.isFinite(part)) throw new Error(`${name} is ${part}`);
    return part;
  });
  return value;
}

export interface ValueFigures {
  cases: number;
  /** Operations on damaged namespaces, by how they ended. */
  results: number;
  refused: number;
  /** What was not as it should be, with the writes before it; at most twenty. */
  problems: string[];
}

/** An operation that takes longer hangs. */
const OPERATION_WITHIN_MS = 10_000;
/** Calls of a hook until it has shown what is new: each takes at most ten messages. */
const HOOK_CALLS = 10;

const PROBLEMS_MAXIMUM = 20;

export async function fuzzValues({ seed, cases }: { seed: number; cases: number }): Promise<ValueFigures> {
  await using redis = await startThrowawayRedis();
  const raw = new Redis({ path: redis.socketPath });
  const clients: CoordinationClient[] = [];
  const figures: ValueFigures = { cases: 0, results: 0, refused: 0, problems: [] };
  try {
    const scene = await stage(raw, (instanceId) => {
      const env = { REDIS_URL: redis.url, COORD_ACK_TIMEOUT_SECONDS: "0" };
      clients.push(new CoordinationClient(resolveSettings({ instanceId, env, cwd: "/" })));
      return clients.at(-1)!;
    });
    const dump = await dumped(raw);
    const damage = fc.array(change, { minLength: 1, maxLength: 4 });
    for (const changes of fc.sample(damage, { seed, numRuns: cases })) {
      const pipeline = raw.pipeline().flushall();
      for (const [key, value] of dump) pipeline.restore(key, 0, value);
      await pipeline.exec();
      const writes = [];
      for (const one of changes) writes.push(await apply(scene, one));
      const where = `${writes.join(", ")} (values ${changes.map(({ value }) => JSON.stringify(value.toString().slice(0, 80))).join(", ")})`;
      try {
        for (const [name, operation] of Object.entries(OPERATIONS)) {
          const refusal = await ended(operation(scene), `${name} after ${where}`);
          figures[refusal === undefined ? "results" : "refused"]++;
        }
        await hears(scene, where);
      } catch (error) {
        figures.problems.push(String(error));
        if (figures.problems.length === PROBLEMS_MAXIMUM) break;
      }
      figures.cases++;
    }
  } finally {
    for (const client of clients) client.close();
    raw.disconnect();
  }
  return figures;
}

async function dumped(raw: Redis): Promise<[string, Buffer][]> {
  const keys = await raw.keys("coord:*");
  return Promise.all(keys.map(async (key): Promise<[string, Buffer]> => [key, await raw.dumpBuffer(key)]));
}

/** Resolves to the refusal, if it was one that a damaged namespace may be answered with. */
async function ended(operation: Promise<unknown>, what: string): Promise<CoordinationError | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it hangs")), OPERATION_WITHIN_MS);
  });
  try {
    await Promise.race([operation, late]);
  } catch (error) {
    if (CoordinationError.is(error) && ALLOWED.includes(error.code)) {
      // A refusal of ours says which key; the words of Lua say that a script was surprised.
      if (
        error.code !== ErrorCode.INTERNAL ||
        (/coord:/.test(error.message) && !/user_script|script:/.test(error.message))
      )
        return error;
    }
    throw new Error(`${what}: ${String(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** What is published now is shown by a hook soon, unless either is refused with the key that stands in the way. */
async function hears({ alice, bob }: Scene, where: string): Promise<void> {
  let sent = "";
  const publish = async (): Promise<void> => {
    sent = (await alice.publishMessage({ ...GENERAL, to: "bob" })).messageId;
  };
  if ((await ended(publish(), `publish after ${where}`)) !== undefined) return;
  for (let calls = 0; calls < HOOK_CALLS; calls++) {
    let found = false;
    const collect = async (): Promise<void> => {
      const mail = await bob.collectMail("tool", 10, BOUND);
      const text = renderMail(mail);
      await bob.confirmMail(mail, text?.shown ?? 0);
      found = text?.text.includes(sent) === true;
    };
    const refusal = await ended(collect(), `hook after ${where}`);
    if (refusal?.code === ErrorCode.SUPERSEDED)
      await ended(bob.join({ id: "b3", host: "h", agentPid: 4 }), `join after ${where}`);
    else if (refusal !== undefined || found) return;
  }
  throw new Error(`the hook stays deaf after ${where}`);
}
