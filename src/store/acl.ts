/** The least a Redis user needs to be a client of one namespace, and no more. */
import { eventsChannel, keyPatterns, notifyChannel } from "./keys.ts";

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

export interface AccessRule {
  user: string;
  keys: string[];
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
  const keys = keyPatterns(prefix);
  const channels = [notifyChannel(prefix, "*"), eventsChannel(prefix)];
  const commands = [...new Set([...SCRIPT_COMMANDS, ...CLIENT_COMMANDS, ...(exports ? EXPORT_COMMANDS : [])])].sort();
  const rights = [
    ...keys.map((pattern) => `~${pattern}`),
    ...channels.map((pattern) => `&${pattern}`),
    ...commands.map((command) => `+${command}`),
  ];
  // What the user was allowed before goes: a rule that only added would keep rights that nobody sees here.
  return { user, keys, channels, commands, rule: `ACL SETUSER ${user} reset on >PASSWORD ${rights.join(" ")}` };
}
