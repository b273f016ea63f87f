/** What was measured: a row for each measurement, curves for what grows; as a table for a terminal. */
import type { Timing } from "./measure.ts";
import { aimText, type Floor, FLOORS, judge, type TargetName, TARGETS, type Verdict } from "./targets.ts";

export interface Row {
  operation: string;
  /** Of the figures. */
  unit: Unit;
  timings: { ours: Timing } & Partial<Record<Floor, Timing>>;
  /** Our p50 in multiples of that of the floor. */
  ratios: Partial<Record<Floor, number>>;
  target?: TargetName;
  verdicts: Verdict[];
  /** Where the time goes. */
  breakdown?: Part[];
}

export type Unit = "µs" | "KB" | "bytes" | "events" | "messages";

export interface Part {
  what: string;
  /** In the unit of the row. */
  amount: number;
}

/** How a figure grows with something, as a chart. */
export interface Curve {
  /** Of the file. */
  name: string;
  title: string;
  x: string;
  y: string;
  lines: { name: string; points: [x: number, y: number][] }[];
  /** A bound to draw. */
  bound?: number;
}

export interface Measured {
  rows: Row[];
  curves?: Curve[];
}

interface Extras {
  target?: TargetName;
  unit?: Unit;
  breakdown?: Part[];
}

export function row(operation: string, timings: Row["timings"], { target, unit = "µs", breakdown }: Extras = {}): Row {
  const ratios: Row["ratios"] = {};
  for (const floor of FLOORS) {
    const of = timings[floor];
    if (of !== undefined) ratios[floor] = timings.ours.p50 / of.p50;
  }
  const verdicts = target === undefined ? [] : judge(TARGETS[target], timings);
  return {
    operation,
    unit,
    timings,
    ratios,
    ...(target === undefined ? {} : { target }),
    verdicts,
    ...(breakdown === undefined ? {} : { breakdown }),
  };
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
  "× empty",
  "× node",
  "target",
];

/** Times in microseconds where nothing else is said, rates and ratios without unit. */
export function table(rows: readonly Row[]): string {
  const lines = [HEAD, ...rows.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const padded = (line: string[]): string =>
    line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ");
  const rule = "─".repeat(widths.reduce((sum, width) => sum + width + 2, -2));
  return [padded(lines[0]!), rule, ...lines.slice(1).map(padded)].join("\n");
}

function cells({ operation, unit, timings: { ours, ping, bare }, ratios, verdicts }: Row): string[] {
  const text = (value: number | undefined): string => (value === undefined ? "" : figure(value));
  return [
    unit === "µs" ? operation : `${operation} (${unit})`,
    text(ours.p50),
    ...(ours.samples === 1 ? ["", "", ""] : [ours.p95, ours.p99, ours.rate].map(text)),
    text(ping?.p50),
    multiple(ratios.ping),
    text(bare?.p50),
    ...[ratios.bare, ratios.base, ratios.node].map(multiple),
    verdicts.map(({ aim, met }) => `${aimText(aim, unit)} ${met ? "✓" : "✗"}`).join(", "),
  ];
}

/** Three digits, or all before the point. */
export function figure(value: number): string {
  return value !== 0 && Math.abs(value) < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

export function multiple(ratio: number | undefined): string {
  return ratio === undefined || Number.isNaN(ratio) ? "" : ratio.toFixed(ratio < 0.2 ? 3 : 2);
}
