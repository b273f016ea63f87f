/**
 * How long messages take: from stored to presented, and to acknowledged; and how many of each type there were in each hour.
 * Computed from what the namespace holds, so retention may have taken the older ones. For people: `coord stats --hours`, the
 * page, and what Prometheus reads.
 */
import { LIMITS } from "../protocol/definition.ts";
import { invalid } from "../protocol/validation.ts";
import type { CoordinationClient } from "./client.ts";
import { steps } from "./steps.ts";

/** Seconds; null where nothing was counted. */
export interface Spread {
  count: number;
  p50: number | null;
  p95: number | null;
}

export interface Waits {
  /** From stored to shown to a recipient. */
  presented: Spread;
  /** From stored to acknowledged, of what asks for it. */
  acknowledged: Spread;
}

export interface Times extends Waits {
  /** Of the oldest message that was counted, ISO 8601; null where there is none. */
  since: string | null;
  messages: number;
  /** The bound of what is read was reached: there were more in these hours. */
  more: boolean;
  /** Each hour that had any, the oldest first: its beginning, and how many of each type. */
  hours: { hour: string; byType: Record<string, number> }[];
  /** Of each recipient, by name. */
  instances: Record<string, Waits>;
}

/** As times.lua returns it. */
interface TimesPage {
  cursor: string;
  examined: number;
  messages?: [type: string, sent: number, requiresAck: boolean, recipients: [string, number, number][]][];
}

export const HOURS_DEFAULT = 24;
const HOURS_MAXIMUM = 168;
const HOUR_MS = 3_600_000;

/**
 * Marks nothing, and reads no more than 20,000 messages and recipients, the newest first.
 *
 * @param hours 1 to 168
 * @throws CoordinationError INVALID, UNAVAILABLE, TIMEOUT
 */
export async function measureTimes({ session }: CoordinationClient, hours: number = HOURS_DEFAULT): Promise<Times> {
  if (!Number.isInteger(hours) || hours < 1 || hours > HOURS_MAXIMUM)
    throw invalid(`hours is ${hours}.`, `Give a whole number from 1 to ${HOURS_MAXIMUM}.`);
  const all = new Samples();
  const instances = new Map<string, Samples>();
  const byHour = new Map<number, Record<string, number>>();
  let [cursor, examined, messages, oldest] = ["", 0, 0, Number.POSITIVE_INFINITY];
  for (const _ of steps()) {
    const args = { instance: "", session: "", seconds: String(hours * 3600), cursor };
    const page = (await session.store.run("times", args)) as TimesPage;
    for (const [type, sent, requiresAck, recipients] of page.messages ?? []) {
      messages++;
      oldest = Math.min(oldest, sent);
      const hour = Math.floor(sent / HOUR_MS) * HOUR_MS;
      const types = byHour.get(hour) ?? {};
      byHour.set(hour, { ...types, [type]: (types[type] ?? 0) + 1 });
      for (const [name, presented, acknowledged] of recipients) {
        const own = instances.get(name) ?? new Samples();
        instances.set(name, own);
        for (const samples of [all, own]) samples.add(presented, requiresAck ? acknowledged : NEVER);
      }
    }
    [cursor, examined] = [page.cursor, examined + page.examined];
    if (cursor === "" || examined >= LIMITS.examined_maximum) break;
  }
  return {
    since: messages === 0 ? null : new Date(oldest).toISOString(),
    messages,
    more: cursor !== "",
    hours: [...byHour]
      .sort(([a], [b]) => a - b)
      .map(([hour, byType]) => ({ hour: new Date(hour).toISOString(), byType: sorted(byType) })),
    ...all.waits(),
    instances: sorted(Object.fromEntries([...instances].map(([name, samples]) => [name, samples.waits()]))),
  };
}

/** What has not happened yet. */
const NEVER = -1;

/** Milliseconds, as they come. */
class Samples {
  readonly #presented: number[] = [];
  readonly #acknowledged: number[] = [];

  add(presented: number, acknowledged: number): void {
    if (presented !== NEVER) this.#presented.push(presented);
    if (acknowledged !== NEVER) this.#acknowledged.push(acknowledged);
  }

  waits(): Waits {
    return { presented: spreadOf(this.#presented), acknowledged: spreadOf(this.#acknowledged) };
  }
}

/** By nearest rank: a time that somebody has really waited. */
function spreadOf(milliseconds: number[]): Spread {
  const ordered = milliseconds.toSorted((a, b) => a - b);
  const at = (share: number): number | null =>
    ordered.length === 0 ? null : ordered[Math.ceil(share * ordered.length) - 1]! / 1000;
  return { count: ordered.length, p50: at(0.5), p95: at(0.95) };
}

function sorted<T>(values: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));
}
