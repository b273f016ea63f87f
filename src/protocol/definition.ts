/** The protocol's one data file, typed. Python reads the same file; a test compares the constants of the Lua scripts. */
import definition from "../../protocol.json" with { type: "json" };

/** The breaking version of the keyspace this program reads and writes. */
export const PROTOCOL_VERSION: number = definition.version;

/** What a message is about; the orchestrator and the features each have their own. */
export const MessageType = {
  READY_FOR_REVIEW: "READY_FOR_REVIEW",
  REVIEW_COMPLETE: "REVIEW_COMPLETE",
  REVIEW_FAILED: "REVIEW_FAILED",
  CONTRACT_CHANGE_PROPOSED: "CONTRACT_CHANGE_PROPOSED",
  CONTRACT_APPROVED: "CONTRACT_APPROVED",
  META_CHANGE_REQUEST: "META_CHANGE_REQUEST",
  GENERAL: "GENERAL",
  NOTIFICATION: "NOTIFICATION",
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** Everybody who has been seen; a recipient, never a name. */
export const BROADCAST = "all";

export type Role = "orchestrator" | "feature" | "any" | "all";

export interface TypeRule {
  /** Who is expected to send it. */
  from: Role;
  /** Who is expected to receive it. */
  to: Role;
  /** Where it goes when `to` is absent; `counterpart` is the orchestrator, and from the orchestrator everybody. */
  default_to: "orchestrator" | "all" | "counterpart" | null;
  /** Whether it asks for an acknowledgement when the sender does not say, a reply apart; true where absent. */
  requires_ack?: boolean;
  /** Also a reply of this type asks for one; false where absent. */
  asks_for_work?: boolean;
}

export const TYPE_RULES: Readonly<Record<MessageType, TypeRule>> = definition.types as Record<MessageType, TypeRule>;
export const MESSAGE_TYPES: readonly MessageType[] = Object.keys(definition.types) as MessageType[];

export interface Limits {
  readonly subject_characters: number;
  readonly description_bytes: number;
  readonly comment_bytes: number;
  readonly activity_characters: number;
  readonly message_id_characters: number;
  readonly idempotency_key_characters: number;
  readonly idempotency_seconds: number;
  readonly list_maximum: number;
  readonly list_default: number;
  /** So many entries one check looks at, in as many steps as it takes. */
  readonly examined_maximum: number;
  readonly query_characters: number;
  /** Words, phrases and filters: each word is looked for in every text. */
  readonly query_terms_maximum: number;
  /** So long one search goes on, in as many steps as that takes. */
  readonly search_milliseconds: number;
  readonly recipients_maximum: number;
  /** What one call of a script reads and writes, in messages × recipients; a step. */
  readonly read_maximum: number;
  readonly write_maximum: number;
  readonly wait_seconds_maximum: number;
  readonly ack_ids_maximum: number;
  readonly unseen_seconds_maximum: number;
  readonly ack_within_seconds_default: number;
  readonly ack_within_seconds_maximum: number;
  readonly queue_events_maximum: number;
  readonly loan_seconds: number;
  readonly loan_seconds_maximum: number;
  readonly beat_seconds_maximum: number;
  /** An agent that waits for a person counts as idle after so long: that the person has said no is told by no host. */
  readonly waiting_seconds_maximum: number;
  readonly sweep_seconds_maximum: number;
  /** How long each step of connecting may be silent: a server that is far away takes long, one that is gone says nothing. */
  readonly silent_milliseconds: number;
  readonly connect_milliseconds: number;
  readonly operation_milliseconds: number;
  /** Clocks differ, and may be stepped back, by less than this: what is later than that is no time of ours. */
  readonly ahead_seconds: number;
  /** From so many times the presence timeout on, an instance counts as offline. */
  readonly offline_factor: number;
  /** More than anybody runs; likewise of addresses. */
  readonly replicas_maximum: number;
  readonly replicas_milliseconds_default: number;
  /** Waiting is part of the operation: time is left to store, and to answer. */
  readonly replicas_milliseconds_maximum: number;
  readonly addresses_maximum: number;
  readonly register_bytes: number;
}

/** Every bound of the protocol. */
export const LIMITS: Limits = definition.limits;

/** A whole number that acts on everyone: the environment gives a new namespace its first value. */
export interface NamespaceSetting {
  readonly variable: string;
  readonly default: number;
  readonly minimum: number;
  readonly maximum: number;
}

export type NamespaceSettingName =
  | "retention_days"
  | "max_messages"
  | "ack_attempts"
  | "ack_interval_seconds"
  | "presence_timeout_seconds"
  | "loop_messages"
  | "loop_seconds"
  | "loop_replies";

/** In the order in which the scripts take them. */
export const NAMESPACE_SETTINGS: Readonly<Record<NamespaceSettingName, NamespaceSetting>> = definition.settings;

/** Whether senders are proven: a setting of the namespace as well, from `COORD_SENDERS`; the first is the default. */
export const SENDERS = ["off", "mark", "proven"] as const;
export type Senders = (typeof SENDERS)[number];

export const INSTANCE_PATTERN: RegExp = new RegExp(definition.instance.pattern);
export const RESERVED_NAMES: readonly string[] = definition.instance.reserved;
/** Names of people: no agent speaks under one. */
export const PEOPLE_NAMES: readonly string[] = definition.instance.people;
export const KEY_PREFIX_PATTERN: RegExp = new RegExp(definition.key_prefix_pattern);
/** Second words of keys: those that a namespace has once, and those with a name behind them. */
export const KEY_KINDS: Readonly<Record<"single" | "named", readonly string[]>> = definition.key_kinds;
/** Channels likewise; the other one, `events`, stands alone. */
export const NAMED_CHANNEL = "notify";
/**
 * Characters that a person cannot see: controls but tab and newline, formats, separators of lines and paragraphs, and what
 * is ignorable by default but the variation selector of emoji (Unicode 15). Ranges in hexadecimal.
 */
export const INVISIBLE: readonly string[] = definition.invisible.split(" ");
