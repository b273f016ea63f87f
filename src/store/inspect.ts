/** What can be seen of a Redis server from outside, as `coord doctor` judges it against the guarantees. */
import { LIMITS } from "../protocol/definition.ts";
import { Connection } from "./connection.ts";
import { type ConnectionSettings, within } from "./dial.ts";
import { addressOf } from "./failures.ts";
import { metaKey } from "./keys.ts";

/** Undefined is what this user may not see, or this server does not tell. */
export interface ServerFacts {
  address: string;
  /** `Redis` or `Valkey`. */
  name: string;
  version: string | undefined;
  /** The version of Redis that it is compatible with. */
  redisVersion: string | undefined;
  /** Who named the server at `address`; undefined where the configuration does. */
  namedBy: string | undefined;
  isReplica: boolean | undefined;
  /** How many replicas are connected to it. */
  replicas: number | undefined;
  isCluster: boolean | undefined;
  appendOnly: boolean | undefined;
  appendFsync: string | undefined;
  lastAppendFailed: boolean | undefined;
  evictionPolicy: string | undefined;
  /** Bytes; 0 is no limit. */
  memoryLimit: number | undefined;
  memoryUsed: number | undefined;
  /** By how much its clock is ahead of this machine's; negative when behind. */
  clockAheadMilliseconds: number | undefined;
  /** The protocol version of the namespace; null before its first message. */
  protocolVersion: number | null | undefined;
}

/** @throws CoordinationError UNAVAILABLE when it cannot be reached */
export async function inspectServer(settings: ConnectionSettings, prefix: string): Promise<ServerFacts> {
  const connection = new Connection(settings, prefix);
  try {
    const redis = await connection.open();
    const deadline = performance.now() + LIMITS.operation_milliseconds;
    const asked = Date.now();
    const visible = async <T>(answer: Promise<T>): Promise<T | undefined> =>
      within(deadline, answer).catch(() => undefined);
    const [time, info, fsync, protocol] = await Promise.all([
      visible(redis.time()).then((reply) => reply && { reply, answered: Date.now() }),
      visible(redis.info()),
      visible(redis.call("CONFIG", "GET", "appendfsync")),
      visible(redis.hget(metaKey(prefix), "protocol")),
    ]);
    const facts = readInfo(info ?? "");
    const { host = "", port = 0 } = redis.options;
    const named = settings.discovery !== undefined;
    return {
      address: addressOf(named ? { ...settings, host, port, discovery: undefined } : settings),
      namedBy: named ? addressOf(settings) : undefined,
      ...facts,
      appendFsync: Array.isArray(fsync) ? (fsync[1] as string | undefined) : undefined,
      clockAheadMilliseconds: time && aheadBy(time.reply, (asked + time.answered) / 2),
      protocolVersion: protocol === undefined || protocol === null ? protocol : Number(protocol),
    };
  } finally {
    connection.close();
  }
}

type InfoFacts = Omit<
  ServerFacts,
  "address" | "namedBy" | "appendFsync" | "clockAheadMilliseconds" | "protocolVersion"
>;

function readInfo(info: string): InfoFacts {
  const field = (name: string): string | undefined => new RegExp(`^${name}:([^\r\n]*)`, "m").exec(info)?.[1];
  const is = (name: string, value: string): boolean | undefined => {
    const found = field(name);
    return found === undefined ? undefined : found === value;
  };
  const number = (name: string): number | undefined => {
    const found = field(name);
    return found === undefined ? undefined : Number(found);
  };
  return {
    name: field("valkey_version") === undefined ? "Redis" : "Valkey",
    version: field("valkey_version") ?? field("redis_version"),
    redisVersion: field("redis_version"),
    isReplica: is("role", "slave"),
    replicas: number("connected_slaves"),
    isCluster: is("redis_mode", "cluster"),
    appendOnly: is("aof_enabled", "1"),
    lastAppendFailed: is("aof_last_write_status", "err"),
    evictionPolicy: field("maxmemory_policy"),
    memoryLimit: number("maxmemory"),
    memoryUsed: number("used_memory"),
  };
}

function aheadBy([seconds, microseconds]: readonly (number | string)[], here: number): number {
  return Math.round(Number(seconds) * 1000 + Number(microseconds) / 1000 - here);
}
