/** What the scripts return, as the results of the operations. The store has compared it with lua/replies.json: what is said here of a reply is so. */
import { NAMESPACE_SETTINGS } from "../protocol/definition.ts";
import type { AckRefusal } from "../protocol/errors.ts";
import { readGuestsIn, readPresence } from "../protocol/presence.ts";
import type {
  AckResult,
  CheckResult,
  CoordinationEvent,
  Guest,
  InstancePresence,
  InstanceStats,
  Message,
  NamespaceSettings,
  NotificationsResult,
  PresenceResult,
  Receipt,
  ReceiptTotals,
  StatsResult,
  SweepResult,
  Unreadable,
} from "../protocol/results.ts";

/** A message as scripts give it, by the names that MCP and Python show; see lua/parts/messages.lua. */
type StoredMessage = [
  id: string,
  type: string,
  from: string,
  to: string,
  timestamp: string,
  requires_ack: boolean,
  subject: string,
  description: string,
  acknowledged: boolean,
  more:
    | false
    | {
        reply_to?: string;
        thread?: string;
        outside?: true;
        via?: string;
        proven?: boolean;
        acknowledged_outside?: true;
        waiting_seconds?: number;
        receipts?: StoredReceipt[];
        receipt_totals?: ReceiptTotals;
      },
];

type StoredReceipt = Omit<Receipt, "presentedAt" | "acknowledgedAt"> & {
  presented_at?: string;
  acknowledged_at?: string;
};

/** What one call of a script has read of a list. */
interface Page {
  more: boolean;
  /** One call may read no more: go on from the cursor. */
  step: boolean;
  examined: number;
  bytes: number;
  next_since?: string;
  next_before?: string;
  /** Of `dead`. */
  cursor?: string;
  messages: StoredMessage[];
  /** The reader stands outside of the session, and nothing was marked. */
  looking?: true;
  unreadable: Unreadable[];
}

export function readPage(reply: unknown): Page {
  return reply as Page;
}

/** Pages that were read one after the other, as one result. */
export function readPages(pages: readonly Page[], ascending: boolean): CheckResult {
  const [first, last] = [pages[0]!, pages.at(-1)!];
  const nextSince = (ascending ? last : first).next_since;
  const nextBefore = (ascending ? first : last).next_before;
  const messages = pages.flatMap((page) => page.messages.map(readMessage));
  return {
    count: messages.length,
    messages,
    more: last.more,
    ...(nextSince ? { nextSince } : {}),
    ...(nextBefore ? { nextBefore } : {}),
    ...(last.step ? { stoppedEarly: true } : {}),
    ...(last.looking ? { looking: true } : {}),
    unreadable: pages.flatMap(({ unreadable }) => unreadable),
  };
}

function readMessage(stored: StoredMessage): Message {
  const [id, type, from, to, timestamp, requiresAck, subject, description, acknowledged, more] = stored;
  const message: Message = { id, type, from, to, timestamp, requiresAck, acknowledged, subject, description };
  // Assigned one by one: a check of many messages would otherwise make five objects for each.
  if (more === false) return message;
  if (more.reply_to !== undefined) message.replyTo = more.reply_to;
  if (more.thread !== undefined) message.thread = more.thread;
  if (more.outside !== undefined) message.outside = true;
  if (more.via !== undefined) message.via = more.via;
  if (more.proven !== undefined) message.proven = more.proven;
  if (more.acknowledged_outside !== undefined) message.acknowledgedOutside = true;
  if (more.waiting_seconds !== undefined) message.waitingSeconds = more.waiting_seconds;
  if (more.receipts !== undefined) message.receipts = more.receipts.map(readReceipt);
  if (more.receipt_totals !== undefined) message.receiptTotals = more.receipt_totals;
  return message;
}

/** In the order in which a person reads it; Lua's tables have none. */
function readReceipt(stored: StoredReceipt): Receipt {
  const {
    instance,
    state,
    presented_at: presentedAt,
    acknowledged_at: acknowledgedAt,
    comment,
    asleep,
    outside,
    proven,
    reason,
    history,
  } = stored;
  return {
    instance,
    state,
    ...(presentedAt === undefined ? {} : { presentedAt }),
    ...(acknowledgedAt === undefined ? {} : { acknowledgedAt }),
    ...(comment === undefined ? {} : { comment }),
    ...(asleep === undefined ? {} : { asleep }),
    ...(outside === undefined ? {} : { outside }),
    ...(proven === undefined ? {} : { proven }),
    ...(reason === undefined ? {} : { reason }),
    ...(history === undefined ? {} : { history }),
  };
}

export function readAcks(reply: unknown, ids: readonly string[], acknowledgedBy: string): (AckResult | AckRefusal)[] {
  const outcomes = reply as (Omit<AckResult, "messageId" | "acknowledgedBy"> | AckRefusal)[];
  return ids.map((messageId, i) => {
    const outcome = outcomes[i]!;
    if ("code" in outcome) return { messageId, code: outcome.code, error: outcome.error, hint: outcome.hint };
    return { messageId, acknowledgedBy, ...outcome };
  });
}

/** The pages of all instances; one that was seen on two of them stands once. */
export function readPresences(pages: readonly unknown[], timeoutSeconds: number): PresenceResult {
  const listed = new Map<string, InstancePresence>();
  eachInstance(pages, (name, entry, pending, now, unwoken) => {
    const presence = readPresence(name, entry, pending, now, timeoutSeconds);
    // Not where it has gone without a word.
    listed.set(name, presence.doing === "idle" && unwoken.has(name) ? { ...presence, asleep: true } : presence);
  });
  // Without a prototype V8 begins it as a table: 1,000 names take .35 ms; Object.fromEntries took .75.
  const instances = Object.create(null) as PresenceResult["instances"];
  for (const name of [...listed.keys()].sort()) instances[name] = listed.get(name)!;
  Object.setPrototypeOf(instances, Object.prototype);
  return { instances };
}

export function readGuestsOf(pages: readonly unknown[], instance: string, timeoutSeconds: number): Guest[] {
  let guests: Guest[] = [];
  eachInstance(pages, (name, entry, _pending, now) => {
    if (name === instance) guests = readGuestsIn(entry, now, timeoutSeconds);
  });
  return guests;
}

function eachInstance(
  pages: readonly unknown[],
  read: (name: string, entry: string, pending: number, nowMilliseconds: number, unwoken: Set<string>) => void,
): void {
  for (const page of pages) {
    const { now, asleep, names = [], pending = [], entries } = page as PresencePage;
    const unwoken = new Set(asleep.split(" "));
    for (const [i, name] of names.entries()) read(name, entries[i]!, pending[i]!, Number(now), unwoken);
  }
}

interface PresencePage {
  cursor: string;
  now: string;
  /** Separated by spaces. */
  asleep: string;
  /** In the order of the entries; absent where there are none. */
  names?: string[];
  pending?: number[];
  entries: string[];
}

export function presencesCursor(page: unknown): string {
  return (page as PresencePage).cursor;
}

export function readNotifications(reply: unknown): { result: NotificationsResult; loan: string } {
  const { remaining, loan, looking, events } = reply as {
    remaining: number;
    loan: string;
    looking?: true;
    events: string[];
  };
  const result = { count: events.length, notifications: events.map(readEvent), remaining };
  return { result: looking ? { ...result, looking } : result, loan };
}

export type MailMoment = "start" | "resume" | "turn" | "tool" | "stop" | "wake";

/** What an agent that did not ask should be shown. */
export interface Mail {
  moment: MailMoment;
  messages: Message[];
  events: CoordinationEvent[];
  /** Presented and unanswered, to be reminded of, oldest first; without their descriptions. */
  reminders: Message[];
  /** How many more new messages wait. */
  waiting: number;
  /** ISO 8601, by Redis' clock. */
  now: string;
  /** Holds the events until they are confirmed. */
  loan: string;
}

interface MailReply {
  loan: string;
  waiting: number;
  now: string;
  messages: StoredMessage[];
  events: string[];
  reminders: StoredMessage[];
}

export function readMail(reply: unknown, moment: MailMoment): Mail {
  const { messages, events, reminders, ...mail } = reply as MailReply;
  return {
    moment,
    ...mail,
    messages: messages.map(readMessage),
    events: events.map(readEvent),
    reminders: reminders.map(readMessage),
  };
}

/** Stored events are snake case; unknown fields of a newer version come along. */
export function readEvent(text: string): CoordinationEvent {
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch {
    return { event: "unreadable", reason: "the queue holds something that is not JSON" };
  }
  if (typeof event !== "object" || event === null || !("event" in event) || typeof event.event !== "string") {
    return { event: "unreadable", reason: "the queue holds something that is not an event" };
  }
  const read: [string, unknown][] = [];
  for (const [name, value] of Object.entries(event)) {
    const [field = camelCase(name), type] = eventFields().get(name) ?? [];
    // What is not of the type that everybody relies on is as good as absent.
    const right = type === undefined ? isFlat(value) : typeof value === type || (type === "names" && areNames(value));
    if (right) read.push([field, value]);
  }
  return Object.fromEntries(read) as unknown as CoordinationEvent; // also a field called "__proto__"
}

/** Looked up, since a pattern over each name was a third of reading ten events; made when the first is read. */
function eventFields(): ReadonlyMap<string, [field: string, type: string]> {
  return (knownFields ??= new Map(
    Object.entries({
      event: "string",
      message_id: "string",
      type: "string",
      from: "string",
      to: "string",
      subject: "string",
      requires_ack: "boolean",
      timestamp: "string",
      reply_to: "string",
      acknowledged: "boolean",
      comment: "string",
      outside: "boolean",
      waiting_seconds: "number",
      instances: "names",
      instances_total: "number",
      count: "number",
    }).map(([name, type]) => [name, [camelCase(name), type]]),
  ));
}
let knownFields: ReadonlyMap<string, [field: string, type: string]> | undefined;

/** How deep a field of a newer version may be nested: what has no bound cannot be written as JSON again. */
const DEPTH_MAXIMUM = 32;

function isFlat(value: unknown, depth = 0): boolean {
  if (typeof value !== "object" || value === null) return true;
  return depth < DEPTH_MAXIMUM && Object.values(value).every((part) => isFlat(part, depth + 1));
}

function areNames(value: unknown): boolean {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

export function readNamespaceSettings(reply: unknown): NamespaceSettings {
  const settings = Object.entries(reply as Record<string, string>);
  return Object.fromEntries(
    // One of a newer version may be anything.
    settings.map(([name, value]) => [camelCase(name), Object.hasOwn(NAMESPACE_SETTINGS, name) ? Number(value) : value]),
  ) as unknown as NamespaceSettings;
}

/** With the milliseconds until the next deadline. */
export function readSweep(reply: unknown): { result: SweepResult; next: number } {
  const step = reply as SweepResult & { next_milliseconds?: number };
  const { announced, told, dead, removed, more, next_milliseconds: next = Number.POSITIVE_INFINITY } = step;
  return { result: { announced, told, dead, removed, more }, next };
}

interface StatsPage {
  cursor: string;
  total: number;
  pending: number;
  dead: number;
  oldest_pending?: { id: string; timestamp: string };
  by_type?: Record<string, number>;
  instances?: Record<string, Omit<InstanceStats, "oldestPending"> & { oldest_pending?: string }>;
}

export function readStatsPage(reply: unknown): StatsPage {
  return reply as StatsPage;
}

/** The numbers of the last page, and the instances of all. */
export function readStats(pages: readonly StatsPage[]): StatsResult {
  const { total, pending, dead, oldest_pending: oldestPending = null, by_type: byType = {} } = pages.at(-1)!;
  const sorted = <T>(values: Record<string, T>): Record<string, T> =>
    Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));
  const instances = sorted(
    Object.fromEntries(
      pages.flatMap((page) =>
        Object.entries(page.instances ?? {}).map(
          ([name, { inbox, outbox, pending: open, unread, notifications, oldest_pending: oldest }]) => [
            name,
            {
              inbox,
              outbox,
              pending: open,
              unread,
              notifications,
              ...(oldest === undefined ? {} : { oldestPending: oldest }),
            },
          ],
        ),
      ),
    ),
  );
  return { total, pending, dead, settled: total - pending - dead, byType: sorted(byType), oldestPending, instances };
}
