/** The least a Redis user needs to be a client of one namespace, and no more. */
import { eventsChannel, keyPatterns, namedPattern, notifyChannel } from "./keys.ts";

/** What the scripts call; each call is checked against the user who runs the script. A test compares them with lua/. */
export const SCRIPT_COMMANDS: readonly string[] = (
  "del exists get hdel hexists hget hgetall hincrby hlen hmget hrandfield hscan hset hsetnx llen lpop lpos lpush lrange lrem ltrim " +
  "publish rpush sadd scard set sismember strlen time ttl type unlink zadd zcard zintercard " +
  "zmscore zrange zrem zremrangebyrank zremrangebyscore zscore"
).split(" ");

/** What only an export calls: it lists the names of all keys of the database, of every namespace. */
export const EXPORT_COMMANDS: readonly string[] = ["scan"];

/** What the client sends itself: `role` to a primary that Sentinel named, `wait` for replicas, `select` for REDIS_DB. */
const CLIENT_COMMANDS = "eval evalsha exists hget ping role select subscribe time unsubscribe wait".split(" ");

/**
 * Whose keys the user of one instance writes for its own name only: nothing but that instance's own operations writes them, retention
 * apart. What others have to write, to send to it or to remind it, cannot be kept from them.
 */
const OWN_KINDS: readonly string[] = "braked loaned loans once outbox reminded seal waker".split(" ");
/** Of these a name and more stands behind the kind. */
const TWO_PARTS: readonly string[] = ["braked", "once"];
/** Retention, which everybody does for everybody, takes messages out of these. */
const CLEARED_KINDS: readonly string[] = ["loaned", "outbox"];

export interface AccessRule {
  user: string;
  /** What it reads and writes, as patterns. */
  keys: string[];
  /** What it reads besides. */
  reads: string[];
  channels: string[];
  commands: string[];
  /** One command for redis-cli; PASSWORD stands for a password of your own. */
  rule: string;
}

/** Databases are no boundary: Redis has no rule for them, so a user reaches its keys in each.
 *
 * @param prefix of the namespace, as it stands in Redis
 * @param exports whether it is to export, and so sees which other namespaces there are
 */
export function accessRule(prefix: string, user: string, exports = false): AccessRule {
  // Seals prove something only where nobody can write a foreign one.
  const seals = namedPattern(prefix, "seal");
  return ruleOf(
    prefix,
    user,
    { keys: keyPatterns(prefix).filter((pattern) => pattern !== seals), reads: [seals] },
    exports,
  );
}

/** As `accessRule`, and it alone may speak as this instance where senders are proven. */
export function instanceRule(prefix: string, user: string, instance: string): AccessRule {
  const own = OWN_KINDS.map((kind) => namedPattern(prefix, kind, instance, ...(TWO_PARTS.includes(kind) ? ["*"] : [])));
  const reads = OWN_KINDS.map((kind) => namedPattern(prefix, kind));
  const common = keyPatterns(prefix).filter((pattern) => !reads.includes(pattern));
  const rule = ruleOf(prefix, user, { keys: [...common, ...own], reads }, false);
  const cleared = CLEARED_KINDS.map((kind) => `~${namedPattern(prefix, kind)}`);
  return { ...rule, rule: `${rule.rule} (+zrem ${cleared.join(" ")})` };
}

function ruleOf(
  prefix: string,
  user: string,
  { keys, reads }: Pick<AccessRule, "keys" | "reads">,
  exports: boolean,
): AccessRule {
  const channels = [notifyChannel(prefix, "*"), eventsChannel(prefix)];
  const commands = [...new Set([...SCRIPT_COMMANDS, ...CLIENT_COMMANDS, ...(exports ? EXPORT_COMMANDS : [])])].sort();
  const rights = [...keyRights({ keys, reads, channels }), ...commands.map((command) => `+${command}`)];
  // What the user was allowed before goes: a rule that only added would keep rights that nobody sees here.
  return { user, keys, reads, channels, commands, rule: `ACL SETUSER ${user} reset on >PASSWORD ${rights.join(" ")}` };
}

/** As Redis writes them. */
export function keyRights({ keys, reads, channels }: Pick<AccessRule, "keys" | "reads" | "channels">): string[] {
  return [
    ...keys.map((pattern) => `~${pattern}`),
    ...reads.map((pattern) => `%R~${pattern}`),
    ...channels.map((pattern) => `&${pattern}`),
  ];
}
