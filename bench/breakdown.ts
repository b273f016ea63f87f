/** Where the microseconds of an operation go: what Redis counts of its commands, and the rest. */
import { distribution, type Timing } from "./measure.ts";
import type { Part } from "./report.ts";
import type { Caller } from "./world.ts";

/** The medians of blocks, since one that was disturbed would spoil a mean. */
const BLOCKS = 30;
const BLOCK_RUNS = 10;

/** What is broken down: a side of a comparison. */
export interface Work {
  prepare?: (runs: number) => Promise<unknown>;
  run: () => Promise<unknown>;
}

/** Runs the operation some more times; only its own commands count, not those of its preparation. */
export async function breakDown(
  redis: Caller,
  { prepare, run }: Work,
  { ours, ping }: Record<"ours" | "ping", Timing>,
): Promise<Part[]> {
  const calls = new Map<string, number>();
  const blocks: Record<"script" | "commands", number>[] = [];
  for (let i = 0; i < BLOCKS; i++) {
    await prepare?.(BLOCK_RUNS);
    const before = await commandStatistics(redis);
    for (let j = 0; j < BLOCK_RUNS; j++) await run();
    const spent = { script: 0, commands: 0 };
    for (const [name, more] of commandsSince(before, await commandStatistics(redis))) {
      spent[name === "evalsha" ? "script" : "commands"] += more.microseconds / BLOCK_RUNS;
      if (name !== "evalsha") calls.set(name, (calls.get(name) ?? 0) + more.calls / BLOCK_RUNS / BLOCKS);
    }
    blocks.push(spent);
  }
  const script = distribution(blocks.map((block) => block.script)).p50;
  const inCommands = distribution(blocks.map((block) => block.commands)).p50;
  const listed = [...calls]
    .sort(([, x], [, y]) => y - x)
    .map(([name, count]) => `${name.toUpperCase()} ${Number(count.toFixed(1)) || "<0.1"}×`);
  return [
    { what: "round trip of an empty command (PING, p50)", amount: ping.p50 },
    { what: `Redis: the commands of the script (${listed.join(", ")})`, amount: inCommands },
    { what: "Redis: the script itself", amount: script - inCommands },
    { what: "client: packing the arguments, reading the reply", amount: ours.p50 - ping.p50 - script },
  ];
}

interface CommandStatistics {
  calls: number;
  microseconds: number;
}

/** Of every command since the server started, those of scripts included, by name. */
async function commandStatistics(redis: Caller): Promise<Map<string, CommandStatistics>> {
  const info = String(await redis.call("INFO", "commandstats"));
  const found = info.matchAll(/^cmdstat_(\S+):calls=(\d+),usec=(\d+)/gm);
  return new Map(
    [...found].map(([, name, calls, usec]) => [name!, { calls: Number(calls), microseconds: Number(usec) }]),
  );
}

/** Without the question itself. */
function commandsSince(
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
