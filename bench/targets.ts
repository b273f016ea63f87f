/**
 * What is aimed at, all of it in this file; the reports say of each line whether it was met. What has no aim is watched by
 * the counts of `test/bench.test.ts`: an aim for microseconds that no user feels bends the code.
 */
import type { Timing } from "./measure.ts";

/**
 * What a row is compared with: a PING through the same client, the bare work (a script of the same writes, the command
 * that a target names), the same operation in an empty or small namespace, `node -e 0`.
 */
export const FLOORS = ["ping", "bare", "base", "node"] as const;
export type Floor = (typeof FLOORS)[number];
export const FLOOR_NAMES: Readonly<Record<Floor, string>> = {
  ping: "PING",
  bare: "bare",
  base: "empty",
  node: "node -e 0",
};

export interface Aim {
  measure: "p50" | "p99" | "max" | "rate";
  /** In multiples of what; absent: in the unit of the row. */
  of?: Floor;
  atMost?: number;
  atLeast?: number;
}

export interface Target {
  what: string;
  aims: readonly Aim[];
}

const ratio = (of: Floor, atMost: number): Aim => ({ measure: "p50", of, atMost });

export type TargetName =
  | "scale"
  | "growth"
  | "broadcast"
  | "loadDelivery"
  | "loadQueues"
  | "loadBuffers"
  | "loadLost"
  | "command"
  | "hookQuiet"
  | "hookMail"
  | "server"
  | "serverMemory"
  | "messageMemory"
  | "python"
  | "waits"
  | "waitsBroadcast";

export const TARGETS: Readonly<Record<TargetName, Target>> = {
  scale: {
    what: "the same with 1,000,000 messages, 100,000 in the inbox, 10,000 pending, 1,000 instances",
    aims: [ratio("base", 1.15)],
  },
  growth: {
    what: "publish with many known instances, check in a large inbox, against few",
    aims: [ratio("base", 1.15)],
  },
  broadcast: {
    what: "broadcast to 1,000 instances, against 1,000 bare ZADDs in one script",
    aims: [ratio("bare", 5)],
  },
  loadDelivery: {
    what: "200 connected instances, 2,000 publishes a second for 60 s: delivery",
    aims: [{ measure: "p99", atMost: 10_000 }],
  },
  // A tenth of a second of the traffic, all instances together: a queue that grows passes that within a second.
  loadQueues: { what: "… no queue grows: events", aims: [{ measure: "max", atMost: 200 }] },
  loadBuffers: { what: "… no queue grows: output buffers", aims: [{ measure: "max", atMost: 65_536 }] },
  loadLost: { what: "… what was not delivered in the end", aims: [{ measure: "max", atMost: 0 }] },
  command: { what: "coord publish, check, ack and the three scripts, processor time", aims: [ratio("node", 1.5)] },
  hookQuiet: { what: "hook with nothing waiting, processor time", aims: [ratio("node", 0.12)] },
  hookMail: { what: "hook with mail, or where it has to be Node, processor time", aims: [ratio("node", 1.55)] },
  server: { what: "coord mcp, spawn to first tool result, processor time", aims: [ratio("node", 3)] },
  serverMemory: { what: "resident memory of coord mcp, idle", aims: [ratio("node", 1.5)] },
  messageMemory: {
    what: "Redis memory per settled message beyond its text, one recipient",
    aims: [{ measure: "p50", atMost: 1500 }],
  },
  waits: {
    what: "what another client's PING waits at most while a verb runs, with 1,000 instances and 100,000 messages",
    aims: [{ measure: "max", atMost: 10_000 }],
  },
  waitsBroadcast: { what: "… while a broadcast to 1,000 runs", aims: [{ measure: "max", atMost: 50_000 }] },
  python: {
    what: "publish and check through the Python module, against the same EVALSHA through redis-py",
    aims: [ratio("bare", 1.5)],
  },
};

export interface Verdict {
  aim: Aim;
  value: number;
  met: boolean;
}

export function judge(target: Target, timings: { ours: Timing } & Partial<Record<Floor, Timing>>): Verdict[] {
  return target.aims.map((aim) => {
    const floor = aim.of === undefined ? 1 : timings[aim.of]![aim.measure]!;
    const value = timings.ours[aim.measure]! / floor;
    const met = value <= (aim.atMost ?? Infinity) && value >= (aim.atLeast ?? -Infinity);
    return { aim, value, met };
  });
}

/** For example `≤ 2 × PING`, or `p99 ≤ 10,000 µs`. */
export function aimText({ measure, of, atMost, atLeast }: Aim, unit: string): string {
  const bound = atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost.toLocaleString("en")}`;
  const what = of === undefined ? ` ${unit}` : ` × ${FLOOR_NAMES[of]}`;
  return `${measure === "p50" ? "" : `${measure} `}${bound}${what}`;
}
