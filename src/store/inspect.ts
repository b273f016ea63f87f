/** What can be seen of a Redis server from outside, as `coord doctor` judges it against the guarantees. */
import { LIMITS } from "../protocol/definition.ts";
import { within } from "../redis/deadline.ts";
import type { Link } from "../redis/link.ts";
import { BadReply, ErrorReply } from "../redis/errors.ts";
import type { Reply } from "../redis/resp.ts";
import { Connection } from "./connection.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { addressOf, unavailable } from "./failures.ts";
import { metaKey, sealKey } from "./keys.ts";

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
  /** How long an answer takes at least. */
  roundTripMilliseconds: number;
  /** By how much its clock is ahead of this machine's; negative when behind. */
  clockAheadMilliseconds: number | undefined;
  /** The protocol version of the namespace; null before its first message. */
  protocolVersion: number | null | undefined;
  /** What the namespace asks for; undefined also where it asks for nothing. */
  senders: string | undefined;
  /** Whether this user may write the seal of anybody, and that of the instance. */
  forges: boolean | undefined;
  seals: boolean | undefined;
  /** Whether what anybody's script leaves in the server runs in everybody's (CVE-2025-46818). */
  scriptsMix: boolean | undefined;
}

/** What a string does is one table for all scripts; a server that keeps users apart lets none write it. */
const MIXING =
  "local strings = getmetatable('') " +
  "return (type(strings) ~= 'table' or rawget(strings, '__index') ~= string or pcall(rawset, strings, '__index', string)) and 1 or 0";

/** @throws CoordinationError UNAVAILABLE when it cannot be reached */
export async function inspectServer(
  settings: ConnectionSettings,
  prefix: string,
  instance: string | undefined,
): Promise<ServerFacts> {
  const connection = new Connection(settings, prefix);
  try {
    const link = await connection.open();
    const deadline = performance.now() + LIMITS.operation_milliseconds;
    const roundTripMilliseconds = await shortestRoundTrip(link, deadline);
    const asked = Date.now();
    const visible = async (...command: string[]): Promise<Reply | undefined> =>
      within(deadline, link.call(...command)).catch(() => undefined);
    const isSo = async (script: string, ...values: string[]): Promise<boolean | undefined> => {
      const answer = await visible("EVAL", script, "0", ...values);
      return answer === undefined ? undefined : answer === 1;
    };
    const maySeal = (name: string): Promise<boolean | undefined> =>
      isSo("return redis.acl_check_cmd('HSET', ARGV[1], '', '') and 1 or 0", sealKey(prefix, name));
    const [clockAhead, info, fsync, protocol, senders, forges, seals, scriptsMix] = await Promise.all([
      visible("TIME").then((reply) => Array.isArray(reply) && aheadBy(reply, (asked + Date.now()) / 2)),
      visible("INFO"),
      visible("CONFIG", "GET", "appendfsync"),
      visible("HGET", metaKey(prefix), "protocol"),
      visible("HGET", metaKey(prefix), "senders"),
      maySeal(""), // no instance has that key
      instance === undefined ? undefined : maySeal(instance),
      isSo(MIXING),
    ]);
    const facts = readInfo(String(info ?? ""));
    const { host, port } = link.server;
    const named = settings.discovery !== undefined;
    return {
      address: addressOf(named ? { ...settings, host, port, discovery: undefined } : settings),
      namedBy: named ? addressOf(settings) : undefined,
      ...facts,
      roundTripMilliseconds,
      appendFsync: Array.isArray(fsync) && typeof fsync[1] === "string" ? fsync[1] : undefined,
      clockAheadMilliseconds: Number.isFinite(clockAhead) ? (clockAhead as number) : undefined,
      protocolVersion: protocol === undefined || protocol === null ? protocol : numberIn(String(protocol)),
      senders: senders === "mark" || senders === "proven" ? senders : undefined,
      forges,
      seals,
      scriptsMix,
    };
  } finally {
    connection.close();
  }
}

/** The shortest of a few: a busy machine is slow once, a distance each time. */
async function shortestRoundTrip(link: Link, deadline: number): Promise<number> {
  const trips: number[] = [];
  while (trips.length < ROUND_TRIPS) {
    const asked = performance.now();
    await within(deadline, link.call("PING"));
    trips.push(performance.now() - asked);
  }
  return Math.min(...trips);
}
const ROUND_TRIPS = 3;

/** How much of a server's keys is looked through for namespaces; a larger one holds more than ours. */
const SCAN_COUNT = 1_000;
const SCANS_MAXIMUM = 50;
const NAMESPACES_MAXIMUM = 10;

/** Of `coord-acme-shop` those whose last word is `shop` as well, and not itself. @throws CoordinationError UNAVAILABLE */
export async function similarNamespaces(settings: ConnectionSettings, prefix: string): Promise<string[]> {
  const word = /[^-:]+$/.exec(prefix)?.[0] ?? "";
  if (!/^[A-Za-z0-9._]+$/.test(word)) return [];
  const connection = new Connection(settings, prefix);
  const found = new Set<string>();
  try {
    const redis = await connection.open();
    let cursor = "0";
    for (let i = 0; i < SCANS_MAXIMUM && found.size < NAMESPACES_MAXIMUM; i++) {
      const page = redis.call("SCAN", cursor, "MATCH", metaKey(`*${word}`), "COUNT", String(SCAN_COUNT));
      const answer = await within(performance.now() + LIMITS.operation_milliseconds, page);
      const [next, keys] = Array.isArray(answer) ? answer : [];
      if (typeof next !== "string" || !Array.isArray(keys)) throw unavailable(settings, new BadReply());
      for (const key of keys) found.add(String(key).slice(0, -metaKey("").length));
      cursor = next;
      if (cursor === "0") break;
    }
  } catch (error) {
    if (!(error instanceof ErrorReply)) throw error; // a user who may not look
  } finally {
    connection.close();
  }
  found.delete(prefix);
  return [...found].sort();
}

type InfoFacts = Omit<
  ServerFacts,
  | "address"
  | "namedBy"
  | "roundTripMilliseconds"
  | "appendFsync"
  | "clockAheadMilliseconds"
  | "protocolVersion"
  | "senders"
  | "forges"
  | "seals"
  | "scriptsMix"
>;

function readInfo(info: string): InfoFacts {
  const field = (name: string): string | undefined => new RegExp(`^${name}:([^\r\n]*)`, "m").exec(info)?.[1];
  const is = (name: string, value: string): boolean | undefined => {
    const found = field(name);
    return found === undefined ? undefined : found === value;
  };
  const number = (name: string): number | undefined => {
    const found = field(name);
    return found === undefined ? undefined : numberIn(found);
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

/** Undefined for what is none. */
function numberIn(text: string): number | undefined {
  const number = Number(text);
  return Number.isFinite(number) ? number : undefined;
}

function aheadBy([seconds, microseconds]: readonly Reply[], here: number): number {
  return Math.round(Number(seconds) * 1000 + Number(microseconds) / 1000 - here);
}
