/** Where the microseconds of an operation go: what Redis counts of its commands, and the rest. */
import type { Redis } from "ioredis";
import type { Timing } from "./measure.ts";
import type { Part } from "./report.ts";

const BLOCKS = 20;
const BLOCK_RUNS = 10;

/** What is broken down: a side of a comparison. */
export interface Work {
  prepare?: (runs: number) => Promise<unknown>;
  run: () => Promise<unknown>;
}

/** Runs the operation some more times; only its own commands count, not those of its preparation. */
export async function breakDown(
  redis: Redis,
  { prepare, run }: Work,
  { ours, ping }: Record<"ours" | "ping", Timing>,
): Promise<Part[]> {
  const spent = new Map<string, CommandStatistics>();
  for (let block = 0; block < BLOCKS; block++) {
    await prepare?.(BLOCK_RUNS);
    const before = await commandStatistics(redis);
    for (let i = 0; i < BLOCK_RUNS; i++) await run();
    for (const [name, { calls, microseconds }] of commandsSince(before, await commandStatistics(redis))) {
      const sum = spent.get(name) ?? { calls: 0, microseconds: 0 };
      spent.set(name, { calls: sum.calls + calls, microseconds: sum.microseconds + microseconds });
    }
  }
  const runs = BLOCKS * BLOCK_RUNS;
  const script = (spent.get("evalsha")?.microseconds ?? 0) / runs;
  spent.delete("evalsha");
  const commands = [...spent].sort(([, a], [, b]) => b.microseconds - a.microseconds);
  const inCommands = commands.reduce((sum, [, { microseconds }]) => sum + microseconds, 0) / runs;
  const listed = commands.map(([name, { calls }]) => `${name.toUpperCase()} ${Number((calls / runs).toFixed(1))}×`);
  return [
    { what: "round trip of an empty command (PING, p50)", amount: ping.p50 },
    { what: `Redis: the commands of the script (${listed.join(", ")})`, amount: inCommands },
    { what: "Redis: the script itself", amount: script - inCommands },
    { what: "client: packing the arguments, reading the reply", amount: ours.p50 - ping.p50 - script },
  ];
}

export interface CommandStatistics {
  calls: number;
  microseconds: number;
}

/** Of every command since the server started, those of scripts included, by name. */
export async function commandStatistics(redis: Redis): Promise<Map<string, CommandStatistics>> {
  const info = await redis.info("commandstats");
  const found = info.matchAll(/^cmdstat_(\S+):calls=(\d+),usec=(\d+)/gm);
  return new Map(
    [...found].map(([, name, calls, usec]) => [name!, { calls: Number(calls), microseconds: Number(usec) }]),
  );
}

/** Without the question itself. */
export function commandsSince(
  before: Map<string, CommandStatistics>,
  after: Map<string, CommandStatistics>,
): Map<string, CommandStatistics> {
  const changed = new Map<string, CommandStatistics>();
  for (const [name, { calls, microseconds }] of after) {
    const earlier = before.get(name) ?? { calls: 0, microseconds: 0 };
    if (calls === earlier.calls || name === "info") continue;
    changed.set(name, { calls: calls - earlier.calls, microseconds: microseconds - earlier.microseconds });
  }
  return changed;
}
