/** What the scripts return, as the results of the operations. */
import type { ErrorCode } from "../protocol/errors.ts";
import { readPresence } from "../protocol/presence.ts";
import type {
  AckRefusal,
  AckResult,
  CheckResult,
  CoordinationEvent,
  InstancePresence,
  Message,
  NamespaceSettings,
  NotificationsResult,
  PresenceResult,
  Receipt,
  ReceiptState,
  ReceiptStep,
  StatsResult,
  SweepResult,
} from "../protocol/results.ts";

type Absent = false;
type StoredMessage = [
  id: string,
  type: string,
  from: string,
  to: string,
  timestamp: string,
  requiresAck: string,
  subject: string,
  description: string,
  replyTo: string | Absent,
  thread: string | Absent,
  acknowledged: string,
  receipts: string[] | Absent,
  waitingSeconds: string | Absent,
];
type CheckReply = [
  head: [more: string, stoppedEarly: string, nextSince: string, nextBefore: string],
  messages: StoredMessage[],
  unreadable: [id: string, reason: string][],
];

export function readCheck(reply: unknown): CheckResult {
  const [[more, stoppedEarly, nextSince, nextBefore], messages, unreadable] = JSON.parse(reply as string) as CheckReply;
  return {
    count: messages.length,
    messages: messages.map(readMessage),
    more: more === "1",
    ...(nextSince === "" ? {} : { nextSince }),
    ...(nextBefore === "" ? {} : { nextBefore }),
    ...(stoppedEarly === "1" ? { stoppedEarly: true } : {}),
    unreadable: unreadable.map(([id, reason]) => ({ id, reason })),
  };
}

function readMessage(stored: StoredMessage): Message {
  const [id, type, from, to, timestamp, requiresAck, subject, description, replyTo, thread, acknowledged] = stored;
  const [receipts, waitingSeconds] = [stored[11], stored[12]];
  const message: Message = {
    id,
    type,
    from,
    to,
    timestamp,
    requiresAck: requiresAck === "1",
    acknowledged: acknowledged === "1",
    subject,
    description,
  };
  // Assigned one by one: a check of many messages would otherwise make five objects for each.
  if (replyTo !== false) message.replyTo = replyTo;
  if (thread !== false) message.thread = thread;
  if (waitingSeconds !== false) message.waitingSeconds = Number(waitingSeconds);
  if (receipts !== false) message.receipts = readReceipts(receipts, timestamp);
  return message;
}

/** Who is missing comes first: that is what the sender looks for. */
function readReceipts(flat: readonly string[], sent: string): Receipt[] {
  const receipts: Receipt[] = [];
  for (let i = 0; i < flat.length; i += 3) receipts.push(readReceipt(flat[i]!, flat[i + 1]!, flat[i + 2]!, sent));
  const order: ReceiptState[] = ["dead", "stored", "presented", "dropped", "acknowledged"];
  const rank = ({ state }: Receipt): number => order.indexOf(state);
  return receipts.sort((a, b) => rank(a) - rank(b) || (a.instance < b.instance ? -1 : 1));
}

/** `<presented at> <acknowledged at> <comment>`, see lua/parts/messages.lua. */
function readReceipt(instance: string, stored: string, steps: string, sent: string): Receipt {
  const [, presented, acknowledged, comment] = /^(\d+)(?: (\d+)(?: (.*))?)?$/s.exec(stored) ?? [];
  const history = readHistory(steps);
  const last = history.at(-1)?.step;
  const ended = last === "dead" || last === "dropped" ? last : undefined;
  const state =
    acknowledged === undefined ? (ended ?? (presented === undefined ? "stored" : "presented")) : "acknowledged";
  return {
    instance,
    state,
    ...(presented === undefined ? {} : { presentedAt: isoOf(presented) }),
    ...(acknowledged === undefined ? {} : { acknowledgedAt: isoOf(acknowledged) }),
    ...(comment ? { comment } : {}),
    ...(state === "dead" ? { reason: reasonOf(history, sent) } : {}),
    ...(history.length === 0 ? {} : { history }),
  };
}

const STEPS: Readonly<Record<string, ReceiptStep["step"]>> = {
  a: "announced",
  o: "offline",
  t: "unanswered",
  d: "dead",
  r: "retried",
  x: "dropped",
};

/** `a1795000000000000 t…`, see lua/sweep.lua. */
function readHistory(steps: string): ReceiptStep[] {
  if (steps === "") return [];
  return steps.split(" ").flatMap((step) => {
    const name = STEPS[step.slice(0, 1)];
    return name === undefined ? [] : [{ step: name, timestamp: isoOf(step.slice(1)) }];
  });
}

function reasonOf(history: readonly ReceiptStep[], sent: string): string {
  const since = history.map(({ step }) => step).lastIndexOf("retried") + 1;
  const reminders = history.slice(since).filter(({ step }) => step === "announced").length;
  const begun = since === 0 ? sent : history[since - 1]!.timestamp;
  const seconds = Math.round((Date.parse(history.at(-1)!.timestamp) - Date.parse(begun)) / 1000);
  if (Number.isNaN(seconds)) return "Not acknowledged in time.";
  const after = since === 0 ? "it was sent" : "it was retried";
  return `Not acknowledged in the ${seconds} seconds after ${after}, with ${reminders} ${reminders === 1 ? "reminder" : "reminders"}.`;
}

/** Redis' microseconds as the time shown to people and agents; what is no time is shown as it is stored. */
function isoOf(microseconds: string): string {
  const date = new Date(Math.floor(Number(microseconds) / 1000));
  return Number.isNaN(date.getTime()) ? microseconds : date.toISOString();
}

export function readAcks(reply: unknown, ids: readonly string[], acknowledgedBy: string): (AckResult | AckRefusal)[] {
  const values = reply as string[];
  return ids.map((messageId, i) => {
    const [code = "", first = "", second = "", comment = ""] = values.slice(i * 5, i * 5 + 4);
    if (code !== "OK") return { messageId, code: code as ErrorCode, error: first, hint: second };
    const timestamp = isoOf(first);
    return { messageId, acknowledgedBy, timestamp, already: second === "1", ...(comment ? { comment } : {}) };
  });
}

export function readPresences(reply: unknown, timeoutSeconds: number): PresenceResult {
  const entries = reply as string[];
  const [now, ...seen] = JSON.parse(entries.at(-1)!) as [now: string, ...namesAndPending: (string | number)[]];
  const listed: InstancePresence[] = [];
  for (let i = 0; i < entries.length - 1; i++) {
    const [name, pending] = [seen[2 * i] as string, seen[2 * i + 1] as number];
    listed.push(readPresence(name, entries[i]!, pending, Number(now), timeoutSeconds));
  }
  listed.sort((a, b) => (a.instanceId < b.instanceId ? -1 : 1));
  // Without a prototype V8 begins it as a table: 1,000 names take .35 ms; Object.fromEntries took .75.
  const instances = Object.create(null) as PresenceResult["instances"];
  for (const presence of listed) instances[presence.instanceId] = presence;
  Object.setPrototypeOf(instances, Object.prototype);
  return { instances };
}

export function readNotifications(reply: unknown): { result: NotificationsResult; lease: string } {
  const [remaining, lease = "", ...events] = reply as string[];
  return {
    result: { count: events.length, notifications: events.map(readEvent), remaining: Number(remaining) },
    lease,
  };
}

export type MailMoment = "start" | "turn" | "tool" | "stop" | "wake";

/** What an agent that did not ask should be shown. */
export interface Mail {
  moment: MailMoment;
  messages: Message[];
  events: CoordinationEvent[];
  /** The oldest that are pending, to be reminded of; without their descriptions. */
  reminders: Message[];
  /** How many more new messages wait. */
  waiting: number;
  /** How many messages the instance still has to acknowledge, these included. */
  pending: number;
  /** Holds the events until they are confirmed. */
  lease: string;
}

type MailReply = [
  head: [lease: string, waiting: string, pending: string],
  messages: StoredMessage[],
  events: string[],
  reminders: StoredMessage[],
];

export function readMail(reply: unknown, moment: MailMoment): Mail {
  const [[lease, waiting, pending], messages, events, reminders] = JSON.parse(reply as string) as MailReply;
  return {
    moment,
    messages: messages.map(readMessage),
    events: events.map(readEvent),
    reminders: reminders.map(readMessage),
    waiting: Number(waiting),
    pending: Number(pending),
    lease,
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
    if (type === undefined || typeof value === type || (type === "names" && areNames(value))) read.push([field, value]);
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
      waiting_seconds: "number",
      instances: "names",
      instances_total: "number",
      count: "number",
    }).map(([name, type]) => [name, [camelCase(name), type]]),
  ));
}
let knownFields: ReadonlyMap<string, [field: string, type: string]> | undefined;

function areNames(value: unknown): boolean {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

export function readNamespaceSettings(reply: unknown): NamespaceSettings {
  const values = reply as string[];
  const settings: Record<string, number> = {};
  for (let i = 0; i < values.length; i += 2) settings[camelCase(values[i]!)] = Number(values[i + 1]);
  return settings as unknown as NamespaceSettings;
}

/** With the milliseconds until the next deadline. */
export function readSweep(reply: unknown): { result: SweepResult; next: number } {
  const [announced, told, dead, removed, more, next] = reply as [string, string, string, string, string, string];
  const counts = { announced: Number(announced), told: Number(told), dead: Number(dead), removed: Number(removed) };
  return { result: { ...counts, more: more === "1" }, next: next === "" ? Number.POSITIVE_INFINITY : Number(next) };
}

export function readStats(reply: unknown): StatsResult {
  const [total, pending, dead, oldest, oldestTime, types, ...rest] = reply as [
    string,
    string,
    string,
    string,
    string,
    string,
    ...string[],
  ];
  const byType: [string, number][] = [];
  for (let i = 0; i < 2 * Number(types); i += 2) byType.push([rest[i]!, Number(rest[i + 1])]);
  const instances = [];
  for (let i = 2 * Number(types); i < rest.length; i += 6) {
    const [inbox, outbox, open, unread, notifications] = rest.slice(i + 1, i + 6).map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    instances.push([rest[i]!, { inbox, outbox, pending: open, unread, notifications }] as const);
  }
  return {
    total: Number(total),
    pending: Number(pending),
    dead: Number(dead),
    settled: Number(total) - Number(pending) - Number(dead),
    byType: Object.fromEntries(byType.sort(([a], [b]) => (a < b ? -1 : 1))),
    oldestPending: oldest === "" ? null : { id: oldest, timestamp: oldestTime },
    instances: Object.fromEntries(instances.sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}
