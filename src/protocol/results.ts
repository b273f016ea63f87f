/** The shapes that operations take and return. Times are UTC, ISO 8601 with milliseconds, from Redis' clock. */
import type { MessageType, Senders } from "./definition.ts";

/** `active` until the presence timeout after the last heartbeat, `offline` from three times that or once it has left. */
export type PresenceStatus = "active" | "stale" | "offline" | "unknown";

export interface PublishRequest {
  type: MessageType;
  /** 1–200 characters without line breaks. */
  subject: string;
  /** Up to 64 KiB of UTF-8; may be empty. */
  description: string;
  /** An instance, or `all`. Absent: the sender of `replyTo`, else the default of the type. */
  to?: string | undefined;
  /** Whether recipients are asked to acknowledge; true, for `NOTIFICATION` false. */
  requiresAck?: boolean | undefined;
  /** A message id. Joins its thread and, from one of its recipients, acknowledges it in the same step. */
  replyTo?: string | undefined;
  /** Seconds until it is announced again where it is not acknowledged, and later listed as dead; 0 for never. */
  ackWithin?: number | undefined;
  /** Makes a repeat safe for 24 hours: the same key and content returns the first receipt. Default: a new one a call. */
  idempotencyKey?: string | undefined;
}

export interface Recipient {
  instance: string;
  /** `unknown`: nobody by that name has ever been seen. */
  presence: PresenceStatus;
  /** It is idle and nobody wakes it: it sees the message at its next prompt. */
  asleep?: true;
}

export interface PublishResult {
  messageId: string;
  type: string;
  from: string;
  to: string;
  timestamp: string;
  requiresAck: boolean;
  /** Whom it was stored for, by name. */
  recipients: Recipient[];
  warnings: string[];
  /** The message had been stored before, under the same idempotency key. */
  repeated: boolean;
  /** The message this one replies to counts as acknowledged by the sender. */
  acknowledged: boolean;
  /** How many replicas have it; only where `COORD_WAIT_REPLICAS` asks for some. */
  replicas?: number;
}

export interface CheckRequest {
  /** Whose inbox; `all` means the same as `all: true`. Default: one's own. */
  to?: string | undefined;
  from?: string | undefined;
  type?: MessageType | undefined;
  /** Only what still has to be acknowledged, oldest first. */
  pendingOnly?: boolean | undefined;
  /** The whole namespace instead of one inbox. */
  all?: boolean | undefined;
  /** Only messages after this id, oldest first. */
  since?: string | undefined;
  /** Only messages before this id. */
  before?: string | undefined;
  /** Only the conversation this message belongs to. */
  thread?: string | undefined;
  /** Exactly this message, whole, with its receipts; goes with no other filter. */
  messageId?: string | undefined;
  /** 1–1000, default 50. */
  limit?: number | undefined;
  /** Wait until something matches, 0–50 seconds; without `since` and `pendingOnly` what was not yet presented. */
  waitSeconds?: number | undefined;
  /** Ends a wait early, with what has matched until then. */
  signal?: AbortSignal | undefined;
}

/** `dead`: nobody is reminded of it any more; `dropped`: nobody is asked for it any more. */
export type ReceiptState = "dead" | "stored" | "presented" | "dropped" | "acknowledged";

export interface Receipt {
  instance: string;
  state: ReceiptState;
  presentedAt?: string;
  acknowledgedAt?: string;
  comment?: string;
  /** By id, and while the message is only stored for it: it is idle and nobody wakes it, so it sees it at its next prompt. */
  asleep?: true;
  /** Acknowledged from outside of the session that spoke for the instance: its agent is still shown the message once. */
  outside?: true;
  /** By id: whether the acknowledgement was written by the instance's own Redis user; only where the namespace asks for proofs. */
  proven?: boolean;
  /** Why it is dead, one sentence. */
  reason?: string;
  /** What happened since its deadline passed, oldest first. */
  history?: ReceiptStep[];
}

/** Of a broadcast in a list. */
export interface ReceiptTotals {
  recipients: number;
  acknowledged: number;
  dead: number;
  /** Nobody is asked for these any more; those of instances that were forgotten are among them. */
  dropped: number;
}

export interface ReceiptStep {
  /** `announced` again to the recipient; `offline`, `unanswered`: its sender was told so. */
  step: "announced" | "offline" | "unanswered" | "dead" | "retried" | "dropped" | "forgotten";
  timestamp: string;
}

/** A step in the life of a message for one recipient. */
export interface LifeStep {
  step: "stored" | "presented" | "acknowledged" | ReceiptStep["step"];
  timestamp: string;
}

/** What one recipient has still to acknowledge. */
export interface Debt {
  instance: string;
  messageId: string;
  type: string;
  from: string;
  /** `dead`: nobody reminds it any more. */
  state: "dead" | "stored" | "presented";
  /** When the message was sent. */
  since: string;
}

export interface Message {
  id: string;
  type: string;
  from: string;
  to: string;
  timestamp: string;
  requiresAck: boolean;
  /** The caller's own receipt where it is a recipient, else whether all recipients have. */
  acknowledged: boolean;
  subject: string;
  description: string;
  replyTo?: string;
  /** The first message of the conversation, where this is a reply. */
  thread?: string;
  /** Sent from outside of the session that spoke for its sender, for example by a person in a terminal. */
  outside?: true;
  /** Where a person has written it: `ui`, the page. What programs and agents send has none. */
  via?: string;
  /** Whether its sender's own Redis user has written it; only where the namespace asks for proofs. */
  proven?: boolean;
  /** The caller's own receipt is one that came from outside of the session that spoke for it. */
  acknowledgedOutside?: true;
  /** Where it was announced again to the caller: for how long it has been waiting. */
  waitingSeconds?: number;
  /**
   * Only on messages the caller sent, or asked for by id: who has seen and acknowledged it, those who are missing first. Of a
   * broadcast to more than 50 a list has the first 50 that are missing; by id it has all.
   */
  receipts?: Receipt[];
  /** Only in lists, of broadcasts. */
  receiptTotals?: ReceiptTotals;
}

/** Something stored that cannot be read; everything else still is. */
export interface Unreadable {
  id: string;
  reason: string;
}

export interface CheckResult {
  count: number;
  messages: Message[];
  /** There may be more in the direction of reading. */
  more: boolean;
  /** Read on towards newer ones with `since`. */
  nextSince?: string;
  /** Read on towards older ones with `before`. */
  nextBefore?: string;
  /** It ended at the bound of 20,000 examined entries, a search after two seconds; go on from the cursor. */
  stoppedEarly?: boolean;
  /** A command outside of the agent's session has read this: nothing was marked or taken. */
  looking?: true;
  /** Only of a conversation: who has still to acknowledge which of these messages, the oldest first. */
  owed?: Debt[];
  unreadable: Unreadable[];
}

export interface AckResult {
  messageId: string;
  acknowledgedBy: string;
  /** When it was first acknowledged. */
  timestamp: string;
  /** It had been acknowledged before; `timestamp`, `comment` and `outside` are those of the first time. */
  already: boolean;
  comment?: string;
  /** From outside of the session that speaks for the instance: its agent is still shown the message once. */
  outside?: true;
}

/** Facts of the session that speaks for an instance; absent where nobody told them. */
export interface SessionFacts {
  /** The agent's own id of the session. */
  id?: string;
  /** `claude-code`, `codex`, `gemini-cli`, … */
  agent?: string;
  host?: string;
  /** The process that joined, for example the MCP server. */
  pid?: number;
  /** The process of the agent itself. */
  agentPid?: number;
  cwd?: string;
  branch?: string;
  /** What the agent says it does, one line. */
  activity?: string;
  /** Since when this session speaks for the instance. */
  joined?: string;
}

export interface JoinOptions {
  /** Only while nobody else speaks for the name: it never supersedes. */
  unlessTaken?: boolean;
}

/** What the agent should learn; each session is told once, whichever of its surfaces joined first. */
export interface Joined {
  /** No session has spoken for the name before. */
  first: boolean;
  /** The session that spoke for the name until now. */
  superseded?: SessionFacts;
}

/**
 * What an agent does, as the events of its host tell: it works, has ended its turn, or waits for a person (until its next
 * event, ten minutes at most). `away` where its status is not `active`, or no host has told anything.
 */
export type Doing = "working" | "idle" | "waiting" | "away";

/** A run of an agent that may not speak for the name, since another one does. */
export interface Guest {
  /** As scripts name it: `pid HOST MACHINE PID STARTED`, or `id:` and the host's session id. */
  run: string;
  /** It spoke before. */
  superseded: boolean;
}

export interface InstancePresence {
  instanceId: string;
  status: PresenceStatus;
  doing: Doing;
  /** Since when; absent where it is `away`. */
  doingSince?: string;
  lastHeartbeat: string | null;
  secondsSinceHeartbeat: number | null;
  session: SessionFacts;
  /** How many messages it still has to acknowledge. */
  pending: number;
  /** How many other runs would like to speak for it, and get no messages. */
  guests: number;
  /** It is idle and nobody wakes it: it sees a message at its next prompt. */
  asleep?: true;
  /** Why the entry could not be read in full. */
  unreadable?: string;
}

export interface PresenceResult {
  instances: Record<string, InstancePresence>;
}

export interface CoordinationEvent {
  /**
   * `message_published`, `message_acknowledged`; past a deadline `message_overdue` to the recipient, `message_undelivered`
   * (it is offline), `message_unanswered` and `message_dead` to the sender; `events_skipped`, `unreadable`, or one of a
   * newer version.
   */
  event: string;
  messageId?: string;
  type?: string;
  from?: string;
  to?: string;
  subject?: string;
  requiresAck?: boolean;
  timestamp?: string;
  replyTo?: string;
  /** The message this reply answers counts as acknowledged. */
  acknowledged?: boolean;
  comment?: string;
  /** Acknowledged from outside of the session that speaks for `from`. */
  outside?: boolean;
  /** For how long the message has been waiting. */
  waitingSeconds?: number;
  /** Who has not acknowledged, at most 50 of them. */
  instances?: string[];
  instancesTotal?: number;
  /** How many events were dropped at the bound of the queue; the inbox still has the messages. */
  count?: number;
  reason?: string;
}

export interface NotificationsResult {
  count: number;
  notifications: CoordinationEvent[];
  /** How many wait in the queue behind these. */
  remaining: number;
  /** A command outside of the agent's session has read this: nothing was marked or taken. */
  looking?: true;
}

export interface SweepResult {
  /** Messages announced again to their recipients. */
  announced: number;
  /** Messages whose senders were told that nobody answers. */
  told: number;
  /** Messages listed as dead. */
  dead: number;
  /** Settled messages that retention has taken. */
  removed: number;
  /** There is more to do: sweep again. */
  more: boolean;
}

export interface ImportResult {
  /** Read from the file. */
  messages: number;
  /** Put back. */
  restored: number;
  /** Left as they are here. */
  present: number;
  /** What acts on everyone, taken from the file into a namespace that was new, by its name; absent where all are the usual ones. */
  settings?: Record<string, number | string>;
}

/** What acts on everyone. */
export interface NamespaceSettings {
  /** Settled messages older than this go. */
  retentionDays: number;
  /** Beyond so many messages the oldest settled ones go; where none is settled, publish refuses with `FULL`. */
  maxMessages: number;
  /** How often an unanswered message is announced again. */
  ackAttempts: number;
  /** Between two announcements, and before the sender is told and the message is listed as dead. */
  ackIntervalSeconds: number;
  /** By which deadlines judge whether a recipient is active. */
  presenceTimeoutSeconds: number;
  /** So many messages of one agent to one recipient within `loopSeconds`, unasked and not acknowledged, are enough; 0 for no limit. */
  loopMessages: number;
  /** The time in which loops are looked for, and for which one is braked. */
  loopSeconds: number;
  /** After so many short messages in turn of the same two agents the next is refused; 0 for no limit. */
  loopReplies: number;
  /** Whether messages say if their sender is proven (`mark`), and unproven ones are not shown (`proven`). */
  senders: Senders;
}

export interface StatsResult {
  total: number;
  pending: number;
  dead: number;
  settled: number;
  /** Messages ever published, by type. */
  byType: Record<string, number>;
  oldestPending: { id: string; timestamp: string } | null;
  instances: Record<string, InstanceStats>;
}

export interface InstanceStats {
  inbox: number;
  outbox: number;
  pending: number;
  unread: number;
  notifications: number;
  /** When the oldest message was sent that it has still to acknowledge; absent where there is none. */
  oldestPending?: string;
}

export interface ForgetResult {
  instance: string;
  /** Messages it never acknowledged; its receipts of them are dead, and hold nothing up. */
  pending: number;
}

export interface ForgetUnseenResult {
  forgotten: ForgetResult[];
}
