/**
 * The floor under each operation: one script that makes the same writes, or to check the same reads, on the same keys with
 * values of the same size, and nothing else. No rule is checked, no wrong type refused, no repeat recognised, no presence kept, and
 * what a client could prepare comes as an argument.
 */
import { type Caller, DESCRIPTION, RECIPIENT, SENDER, SUBJECT } from "./world.ts";

const TIMESTAMP = "2026-01-01T00:00:00.000Z";
const RECEIPT = "1767225600000000 1767225600000000";
const DEADLINE = "1767226500000000";
const IDEMPOTENCY_KEY_LENGTH = 36;

const SCRIPTS = {
  // ARGV: id stamp idempotency_key event timestamp from to subject description deadline
  publish: `
    local id, stamp, once, event, timestamp, from, to, subject, description, deadline = unpack(ARGV)
    local P = KEYS[1]:sub(1, -5)
    redis.call('HINCRBY', KEYS[1], 'published:READY_FOR_REVIEW', 1)
    redis.call('HSET', KEYS[1], 'stamp', stamp)
    redis.call('HSET', P .. 'msg:' .. id, 'id', id, 'type', 'READY_FOR_REVIEW', 'from', from, 'to', to,
      'subject', subject, 'description', description, 'timestamp', timestamp, 'requires_ack', '1', 'ack_within', '900')
    redis.call('ZADD', P .. 'timeline', stamp, id)
    redis.call('ZADD', P .. 'type:READY_FOR_REVIEW', stamp, id)
    redis.call('ZADD', P .. 'outbox:' .. from, stamp, id)
    redis.call('SET', P .. 'once:' .. from .. ':' .. once, id, 'EX', 86400)
    redis.call('ZADD', P .. 'pending', stamp, id)
    redis.call('ZADD', P .. 'deadlines', deadline, id)
    redis.call('ZADD', P .. 'inbox:' .. to, stamp, id)
    redis.call('ZADD', P .. 'unread:' .. to, stamp, id)
    redis.call('ZADD', P .. 'pending:' .. to, stamp, id)
    redis.call('RPUSH', P .. 'notifications:' .. to, event)
    redis.call('PUBLISH', P .. 'notify:' .. to, event)
    redis.call('PUBLISH', P .. 'events', event)
    return { id, timestamp, to }`,
  // ARGV: id instance receipt event
  ack: `
    local id, instance, receipt, event = unpack(ARGV)
    local P = KEYS[1]:sub(1, -5)
    local message = redis.call('HMGET', P .. 'msg:' .. id, 'from', 'to', 'type', 'subject')
    redis.call('HSET', P .. 'msg:' .. id, 'receipt:' .. instance, receipt)
    redis.call('ZREM', P .. 'unread:' .. instance, id)
    redis.call('ZREM', P .. 'pending:' .. instance, id)
    redis.call('ZREM', P .. 'pending', id)
    redis.call('ZREM', P .. 'deadlines', id .. ' ' .. instance, id)
    redis.call('RPUSH', P .. 'notifications:' .. message[1], event)
    redis.call('PUBLISH', P .. 'notify:' .. message[1], event)
    redis.call('PUBLISH', P .. 'events', event)
    return 'OK'`,
  // ARGV: instance limit
  notifications: `
    local queue = KEYS[1]:sub(1, -5) .. 'notifications:' .. ARGV[1]
    local events = redis.call('LPOP', queue, ARGV[2])
    redis.call('LLEN', queue)
    return events`,
  // ARGV: instance limit seen ("0": mark what is read as presented). The receipt of each is read with its fields.
  check: `
    local me, limit, seen = unpack(ARGV)
    local P = KEYS[1]:sub(1, -5)
    local ids = redis.call('ZRANGE', P .. 'pending:' .. me, 0, limit - 1)
    local messages = {}
    for i, id in ipairs(ids) do
      messages[i] = redis.call('HMGET', P .. 'msg:' .. id, 'id', 'type', 'from', 'to', 'timestamp', 'requires_ack',
        'subject', 'description', 'reply_to', 'thread', 'receipt:' .. me)
      if seen == '0' then redis.call('HSET', P .. 'msg:' .. id, 'receipt:' .. me, '1767225600000000') end
    end
    if seen == '0' then redis.call('ZREM', P .. 'unread:' .. me, unpack(ids)) end
    return cjson.encode(messages)`,
  presence: `
    local P = KEYS[1]:sub(1, -5)
    local seen, reply = redis.call('HGETALL', P .. 'presence'), {}
    for i = 1, #seen, 2 do
      reply[#reply + 1] = seen[i]
      reply[#reply + 1] = seen[i + 1]
      reply[#reply + 1] = redis.call('ZCARD', P .. 'pending:' .. seen[i])
    end
    return reply`,
  // ARGV: id instance
  show: `
    return redis.call('HMGET', KEYS[1]:sub(1, -5) .. 'msg:' .. ARGV[1], 'id', 'type', 'from', 'to', 'timestamp',
      'requires_ack', 'subject', 'description', 'reply_to', 'thread', 'receipt:' .. ARGV[2])`,
  stats: `
    local P = KEYS[1]:sub(1, -5)
    local reply = { redis.call('ZCARD', P .. 'timeline'), redis.call('SCARD', P .. 'pending'),
      redis.call('HGETALL', KEYS[1]) }
    for _, id in ipairs(redis.call('SMEMBERS', P .. 'pending')) do reply[4] = id end
    for _, name in ipairs(redis.call('HKEYS', P .. 'presence')) do
      for _, kind in ipairs({ 'inbox', 'outbox', 'pending', 'unread' }) do
        reply[#reply + 1] = redis.call('ZCARD', P .. kind .. ':' .. name)
      end
      reply[#reply + 1] = redis.call('LLEN', P .. 'notifications:' .. name)
    end
    return reply`,
  // ARGV: count id stamp
  zadds: `
    for i = 0, ARGV[1] - 1 do redis.call('ZADD', KEYS[1] .. ':instance-' .. i, ARGV[3], ARGV[2]) end
    return 'OK'`,
} as const;

export type BareName = keyof typeof SCRIPTS;

export class Bare {
  readonly #redis: Caller;
  readonly #shas: Record<BareName, string>;
  /** Ten base 36 characters as the ids of the product, from a stamp of sixteen digits. */
  #stamp = 1_767_225_600_000_000;

  private constructor(redis: Caller, shas: Record<BareName, string>) {
    this.#redis = redis;
    this.#shas = shas;
  }

  static async load(redis: Caller): Promise<Bare> {
    const names = Object.keys(SCRIPTS) as BareName[];
    const shas = await Promise.all(names.map((name) => redis.call("SCRIPT", "LOAD", `#!lua\n${SCRIPTS[name]}`)));
    return new Bare(redis, Object.fromEntries(names.map((name, i) => [name, shas[i]])) as Record<BareName, string>);
  }

  ping = (): Promise<unknown> => this.#redis.call("PING");

  run(name: BareName, key: string, ...args: (string | number)[]): Promise<unknown> {
    return this.#redis.call("EVALSHA", this.#shas[name], "1", key, ...args.map(String));
  }

  /** Publishes in the namespace of `key` and returns the id. */
  async publish(key: string): Promise<string> {
    const stamp = String(++this.#stamp);
    const id = `msg-${this.#stamp.toString(36)}`;
    const once = id.padEnd(IDEMPOTENCY_KEY_LENGTH, "0");
    await this.run(
      "publish",
      key,
      id,
      stamp,
      once,
      EVENT,
      TIMESTAMP,
      SENDER,
      RECIPIENT,
      SUBJECT,
      DESCRIPTION,
      DEADLINE,
    );
    return id;
  }

  ack(key: string, id: string): Promise<unknown> {
    return this.run("ack", key, id, RECIPIENT, RECEIPT, EVENT);
  }

  zadds(key: string, count: number): Promise<unknown> {
    return this.run("zadds", key, count, `msg-${(++this.#stamp).toString(36)}`, this.#stamp);
  }

  /** Empties the queue of one instance, as `drain` does for the product. */
  async drain(prefix: string, instance: string): Promise<void> {
    await this.#redis.call("DEL", `${prefix}:notifications:${instance}`);
  }
}

const EVENT = JSON.stringify({
  event: "message_published",
  message_id: "msg-0000000000",
  type: "READY_FOR_REVIEW",
  from: SENDER,
  to: RECIPIENT,
  subject: SUBJECT,
  requires_ack: true,
  timestamp: TIMESTAMP,
});
