/** What can be seen of a Redis server from outside, as `coord doctor` judges it against the guarantees. */
import { LIMITS } from "../protocol/definition.ts";
import { within } from "../redis/deadline.ts";
import type { Reply } from "../redis/resp.ts";
import { Connection } from "./connection.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
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
    const link = await connection.open();
    const deadline = performance.now() + LIMITS.operation_milliseconds;
    const asked = Date.now();
    const visible = async (...command: string[]): Promise<Reply | undefined> =>
      within(deadline, link.call(...command)).catch(() => undefined);
    const [clockAhead, info, fsync, protocol] = await Promise.all([
      visible("TIME").then((reply) => Array.isArray(reply) && aheadBy(reply, (asked + Date.now()) / 2)),
      visible("INFO"),
      visible("CONFIG", "GET", "appendfsync"),
      visible("HGET", metaKey(prefix), "protocol"),
    ]);
    const facts = readInfo(String(info ?? ""));
    const { host, port } = link.server;
    const named = settings.discovery !== undefined;
    return {
      address: addressOf(named ? { ...settings, host, port, discovery: undefined } : settings),
      namedBy: named ? addressOf(settings) : undefined,
      ...facts,
      appendFsync: Array.isArray(fsync) && typeof fsync[1] === "string" ? fsync[1] : undefined,
      clockAheadMilliseconds: clockAhead === false ? undefined : clockAhead,
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

function aheadBy([seconds, microseconds]: readonly Reply[], here: number): number {
  return Math.round(Number(seconds) * 1000 + Number(microseconds) / 1000 - here);
}
