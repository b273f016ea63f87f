/** `coord stats --hours` and `--prometheus`: how long messages take, and what a monitoring system reads. */
import { CoordinationClient } from "../../client/client.ts";
import { prometheusText } from "../../client/metrics.ts";
import { resolveSettings } from "../../client/settings.ts";
import { measureTimes, type Spread, type Times } from "../../client/times.ts";
import { visibleLine } from "../../protocol/text.ts";
import type { Shared } from "./grammar.ts";
import { writeOut } from "./outcome.ts";
import { columns, renderStats } from "./render.ts";
import { show } from "./running.ts";
import { colorsFor } from "./terminal.ts";

const { dim, bold } = colorsFor(process.stdout);
/** An eighth of the width of a bar. */
const BLOCKS = " ▏▎▍▌▋▊▉█";
const BAR_WIDTH = 40;

export async function showPrometheus(options: Shared): Promise<void> {
  writeOut(await prometheusText(resolveSettings({ instanceId: options.instance })));
}

export async function showTimes(options: Shared, hours: number): Promise<void> {
  await using client = new CoordinationClient(resolveSettings({ instanceId: options.instance }));
  const [stats, times] = await Promise.all([client.getStats(), measureTimes(client, hours)]);
  show(options, { ...stats, times }, `${renderStats(stats)}\n\n${renderTimes(times, hours)}`);
}

function renderTimes(
  { since, messages, more, hours, presented, acknowledged, instances }: Times,
  asked: number,
): string {
  if (since === null) return `No message in the last ${asked} ${asked === 1 ? "hour" : "hours"}.`;
  const title = (...words: string[]): string[] => words.map((word) => dim(word));
  const rows = Object.entries(instances).map(([name, waits]) => [
    visibleLine(name),
    ...cells(waits.presented),
    ...cells(waits.acknowledged),
  ]);
  const most = Math.max(...hours.map(({ byType }) => sum(byType)));
  return [
    `${bold(String(messages))} messages since ${since}${more ? ", the newest that are looked at" : ""}`,
    "",
    columns([
      title("time from stored", "to presented", "p50", "p95", "to acknowledged", "p50", "p95"),
      ["all", ...cells(presented), ...cells(acknowledged)],
      ...rows,
    ]),
    "",
    columns([
      title("hour", "messages", ""),
      ...hours.map(({ hour, byType }) => [localHour(hour), String(sum(byType)), bar(sum(byType) / most)]),
    ]),
  ].join("\n");
}

function cells({ count, p50, p95 }: Spread): string[] {
  return [String(count), shown(p50), shown(p95)];
}

function shown(seconds: number | null): string {
  if (seconds === null) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function sum(byType: Readonly<Record<string, number>>): number {
  return Object.values(byType).reduce((total, count) => total + count, 0);
}

function bar(share: number): string {
  const eighths = Math.round(share * BAR_WIDTH * 8);
  return "█".repeat(Math.floor(eighths / 8)) + BLOCKS[eighths % 8]!.trim();
}

function localHour(iso: string): string {
  const time = new Date(iso);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:00`;
}
