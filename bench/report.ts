/** One row for each measurement, as a table for eyes or as JSON. */
import type { Timing } from "./measure.ts";

/** What a row is compared with: a PING, a bare script of the same writes, the operation at its smallest size, `node -e 0`. */
export type Floor = "ping" | "bare" | "base" | "node";

export interface Aim {
  of: Floor;
  atMost: number;
}

export interface Row {
  operation: string;
  /** Microseconds and operations a second, of each side. */
  timings: { ours: Timing } & Partial<Record<Floor, Timing>>;
  /** Our p50 in multiples of that of the floor. */
  ratios: Partial<Record<Floor, number>>;
  aim?: Aim;
  met?: boolean;
}

export function row(operation: string, timings: Row["timings"], aim?: Aim): Row {
  const ratios: Row["ratios"] = {};
  for (const floor of ["ping", "bare", "base", "node"] as const) {
    const timing = timings[floor];
    if (timing !== undefined) ratios[floor] = timings.ours.p50 / timing.p50;
  }
  if (aim === undefined) return { operation, timings, ratios };
  return { operation, timings, ratios, aim, met: ratios[aim.of]! <= aim.atMost };
}

const HEAD = [
  "operation",
  "p50",
  "p95",
  "p99",
  "per second",
  "PING",
  "× PING",
  "bare",
  "× bare",
  "× small",
  "× node",
  "aim",
];
const FLOOR_NAMES = { ping: "× PING", bare: "× bare", base: "× small", node: "× node" };

/** Times in microseconds, rates and ratios without unit. */
export function table(rows: readonly Row[]): string {
  const lines = [HEAD, ...rows.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const padded = (line: string[]): string =>
    line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ");
  const rule = "─".repeat(widths.reduce((sum, width) => sum + width + 2, -2));
  return [padded(lines[0]!), rule, ...lines.slice(1).map(padded)].join("\n");
}

function cells({ operation, timings: { ours, ping, bare }, ratios, aim, met }: Row): string[] {
  const time = (value: number | undefined): string => (value === undefined ? "" : value.toFixed(value < 100 ? 1 : 0));
  const ratio = (value: number | undefined): string => value?.toFixed(2) ?? "";
  return [
    operation,
    time(ours.p50),
    time(ours.p95),
    time(ours.p99),
    Number.isNaN(ours.rate) ? "" : ours.rate.toFixed(0),
    time(ping?.p50),
    ratio(ratios.ping),
    time(bare?.p50),
    ratio(ratios.bare),
    ratio(ratios.base),
    ratio(ratios.node),
    aim === undefined ? "" : `≤ ${aim.atMost} ${FLOOR_NAMES[aim.of]} ${met ? "✓" : "✗"}`,
  ];
}
