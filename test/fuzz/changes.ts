/** Writes that no client of ours would make: of every kind of wrong, into every kind of key. */
import * as fc from "fast-check";
import type { Redis } from "../raw-redis.ts";

const HUGE = "x".repeat(100_000);
const odd: fc.Arbitrary<string | Buffer> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      "",
      " ",
      "0",
      "-1",
      "1",
      "-0",
      "1.5",
      "abc",
      "nan",
      "-nan",
      "inf",
      "-inf",
      "1e308",
      "-1e308",
      "1e30",
      "0x10",
      "9".repeat(15),
      "9".repeat(16),
      "9".repeat(19),
      "9".repeat(31),
      "-9223372036854775808",
      "9223372036854775807",
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
      "msg-zzzzzzzzzz",
      "msg-0000000000",
      "msg-",
      "1700000000000000",
      "1700000000000000 1700000000000000 x",
      "a1700000000000000",
      "d1700000000000000",
      "x1 d2 o3 t4 a5 r6",
      "dnan",
      "a".repeat(3000),
      HUGE,
      '{"last_heartbeat":1}',
      '{"last_heartbeat":"zzzz","left":false,"session":{"number":1}}',
      '{"last_heartbeat":"9999-12-31T23:59:59.999Z","left":false,"session":{"number":1e308,"ids":[1,{}],"agent":[]}}',
      '{"last_heartbeat":"2026-01-01T00:00:00.000Z","left":false,"session":{"number":7,"pid":1e999,"host":null,"x":[[]]}}',
      '{"last_heartbeat":"2026-01-01T00:00:00.000Z","left":true,"session":{"number":-1,"news":{"superseded":5},"joined":{}}}',
      '{"last_heartbeat":"2026-01-01T00:00:00.000Z","left":false,"session":[1,2,{"number":3}]}',
      '{"session":"x"}',
      '{"event":1}',
      '{"event":"constructor"}',
      '{"event":"message_dead","instances":[1],"waiting_seconds":"x"}',
      '{"event":"message_published","message_id":"m"}',
      '{"event":"message_acknowledged"}',
      '{"event":"events_skipped"}',
      '{"event":"message_dead","message_id":7,"from":{},"subject":["x"],"__proto__":{"event":"y"}}',
      '9999999999999999999999 ["x"]',
      "1 x",
      '1700000000000000 [1,{"a":2},"{}"]',
      "1700000000000000 5",
      "1 [null]",
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
export interface Change {
  key: number;
  field: number;
  value: string | Buffer;
  score: string;
  how: "value" | "add" | "remove" | "type" | "truncate";
  type: "string" | "list" | "set" | "zset" | "hash";
}
export const change: fc.Arbitrary<Change> = fc.record({
  key: fc.nat(),
  field: fc.nat(),
  value: odd,
  score,
  how: fc.constantFrom("value", "value", "value", "add", "remove", "type", "truncate"),
  type: fc.constantFrom("string", "list", "set", "zset", "hash"),
});

/** Returns what was written where. */
export async function applyChange(raw: Redis, { key: n, field, value, score: at, how, type }: Change): Promise<string> {
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
    else if (how === "truncate")
      await raw.hset(key, name, ((await raw.bytes("HGET", key, name)) as Buffer).subarray(0, -3));
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
