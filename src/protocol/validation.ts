/** Every rule on input that needs no store. Clients run these before they send, so a refusal has changed nothing. */
import {
  INSTANCE_PATTERN,
  LIMITS,
  MESSAGE_TYPES,
  NAMESPACE_SETTINGS,
  PEOPLE_NAMES,
  KEY_KINDS,
  KEY_PREFIX_PATTERN,
  NAMED_CHANNEL,
  RESERVED_NAMES,
  SENDERS,
  type MessageType,
  type NamespaceSettingName,
} from "./definition.ts";
import { CoordinationError, ErrorCode } from "./errors.ts";

/** LF, CR, VT, FF, NEL, LINE SEPARATOR, PARAGRAPH SEPARATOR: what any reader may take for a new line. */
const LINE_BREAK = /[\n\r\v\f\u0085\u2028\u2029]/;

const IDENTITY_HINT =
  "Run coord init here, set CLAUDE_INSTANCE_ID, give --instance <name>, or name it in code. " +
  "A name has 1-64 letters, digits, dots, underscores or hyphens and starts with a letter or digit.";

export function invalid(message: string, hint: string): CoordinationError {
  return new CoordinationError(ErrorCode.INVALID, message, { hint });
}

/** A value as it appears in a sentence: quoted, short, on one line, without control characters. */
export function shown(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/** @param why none was found, as a sentence without its full stop, and what to do, where that is not to give one */
export function missingIdentity({
  reason = "No instance name is set",
  remedy = IDENTITY_HINT,
}: {
  readonly reason?: string;
  readonly remedy?: string;
}): CoordinationError {
  return new CoordinationError(ErrorCode.IDENTITY, `${reason}.`, { hint: remedy });
}

/** One's own name. Refused as IDENTITY; `source` says where the value came from. */
export function checkIdentity(value: unknown, source: string): string {
  const problem = nameProblem(value);
  if (problem === undefined) return value as string;
  throw new CoordinationError(ErrorCode.IDENTITY, `${source} is ${shown(value)}: ${problem}.`, { hint: IDENTITY_HINT });
}

/** The name of an agent: a person's is not to be had. */
export function checkAgentName(value: unknown, source: string): string {
  const name = checkIdentity(value, source);
  if (!PEOPLE_NAMES.includes(name.toLowerCase())) return name;
  throw new CoordinationError(ErrorCode.IDENTITY, `${source} is ${shown(name)}: this is the name of a person.`, {
    hint: "No agent speaks under it: give it another name.",
  });
}

/** Somebody else's name. */
export function checkInstance(value: unknown, field: string): string {
  const problem = nameProblem(value);
  if (problem === undefined) return value as string;
  throw invalid(
    `${field} is ${shown(value)}: ${problem}.`,
    "A name has 1-64 letters, digits, dots, underscores or hyphens and starts with a letter or digit.",
  );
}

function nameProblem(value: unknown): string | undefined {
  if (typeof value !== "string") return "a name is text";
  if (value === "") return "a name has at least 1 character";
  if (RESERVED_NAMES.includes(value.toLowerCase())) return "this word is reserved and cannot name an instance";
  if (value.length > 64) return `a name has at most 64 characters, this has ${value.length}`;
  if (!INSTANCE_PATTERN.test(value))
    return "a name has only letters, digits, '.', '_' and '-', the first a letter or digit";
  return undefined;
}

export function checkType(value: unknown, field = "type"): MessageType {
  if (MESSAGE_TYPES.includes(value as MessageType)) return value as MessageType;
  throw new CoordinationError(ErrorCode.INVALID, `${field} is ${shown(value)}: no such type.`, {
    hint: `Use one of ${MESSAGE_TYPES.join(", ")}.`,
    validTypes: MESSAGE_TYPES,
  });
}

export function checkSubject(value: unknown): string {
  const subject = checkText(value, "subject");
  // Characters are never more than code units, and where those suffice nobody needs to count.
  const length = subject.length <= LIMITS.subject_characters ? subject.length : [...subject].length;
  const limit = LIMITS.subject_characters;
  if (length === 0)
    throw invalid(`subject is empty: it needs 1-${limit} characters.`, "Say in a few words what it is about.");
  if (length > limit) {
    throw invalid(`subject has ${length} characters: the limit is ${limit}.`, "Put the details into the description.");
  }
  if (LINE_BREAK.test(subject)) {
    throw invalid("subject has a line break: it must be one line.", "Put further lines into the description.");
  }
  return subject;
}

export function checkDescription(value: unknown): string {
  return checkBytes(value, "description", LIMITS.description_bytes, "Put long text into a file and say where it is.");
}

export function checkComment(value: unknown): string {
  return checkBytes(value, "comment", LIMITS.comment_bytes, "Send long answers as a message with reply_to.");
}

function checkBytes(value: unknown, field: string, limit: number, hint: string): string {
  const text = checkText(value, field);
  const bytes = Buffer.byteLength(text);
  if (bytes > limit) throw invalid(`${field} has ${bytes} bytes: the limit is ${limit}.`, hint);
  return text;
}

function checkText(value: unknown, field: string): string {
  if (typeof value !== "string")
    throw invalid(`${field} is ${shown(value)}: it must be text.`, `Give ${field} as a string.`);
  if (!value.isWellFormed()) {
    throw invalid(
      `${field} has an unpaired surrogate: it is not valid Unicode.`,
      "Send text that can be written as UTF-8.",
    );
  }
  return value;
}

export function checkActivity(value: unknown): string {
  const activity = checkText(value, "activity");
  const limit = LIMITS.activity_characters;
  const length = [...activity].length;
  if (length <= limit && !LINE_BREAK.test(activity)) return activity;
  throw invalid(`activity has ${length} characters: it is one line of up to ${limit}.`, "Say it in a few words.");
}

/** Ids are looked up whatever their form; only emptiness and length are refused. */
export function checkMessageId(value: unknown, field: string): string {
  return checkLength(
    value,
    field,
    LIMITS.message_id_characters,
    "Message ids look like msg-0123456789; check lists them.",
  );
}

/** Several ids for one call. */
export function checkMessageIds(messageIds: readonly unknown[]): string[] {
  const maximum = LIMITS.ack_ids_maximum;
  if (messageIds.length >= 1 && messageIds.length <= maximum) {
    return messageIds.map((id) => checkMessageId(id, "message_id"));
  }
  throw invalid(
    `message_id names ${messageIds.length} messages: it takes 1-${maximum} at once.`,
    "Name them in several calls.",
  );
}

export function checkIdempotencyKey(value: unknown): string {
  return checkLength(value, "idempotency_key", LIMITS.idempotency_key_characters, "A UUID is a good key.");
}

export function checkLength(value: unknown, field: string, limit: number, hint: string): string {
  const text = checkText(value, field);
  if (text.length >= 1 && text.length <= limit) return text;
  throw invalid(`${field} has ${text.length} characters: it needs 1-${limit}.`, hint);
}

export function checkFlag(value: unknown, field: string): boolean {
  if (typeof value === "boolean") return value;
  throw invalid(`${field} is ${shown(value)}: it must be true or false.`, `Give ${field} as a boolean.`);
}

export function checkLimit(value: unknown): number {
  const maximum = LIMITS.list_maximum;
  return checkNumber(
    value,
    "limit",
    1,
    maximum,
    true,
    `The default is ${LIMITS.list_default}; read on from the cursor for more.`,
  );
}

export function checkWaitSeconds(value: unknown): number {
  const maximum = LIMITS.wait_seconds_maximum;
  return checkNumber(
    value,
    "wait_seconds",
    0,
    maximum,
    false,
    "Call again to wait longer; nothing is lost in between.",
  );
}

/** Seconds until a message that is not acknowledged is announced again; 0 for never. */
export function checkAckWithin(value: unknown, source = "ack_within"): number {
  const maximum = LIMITS.ack_within_seconds_maximum;
  return checkNumber(value, source, 0, maximum, true, "It is in seconds; 0 sets no deadline.");
}

/** For how long an instance was not seen that is to be forgotten. */
export function checkUnseenSeconds(value: unknown): number {
  return checkNumber(value, "unseen", 1, LIMITS.unseen_seconds_maximum, true, "It is in seconds.");
}

/** @throws CoordinationError INVALID for an unknown name */
export function checkSettingName(value: unknown): NamespaceSettingName | "senders" {
  if (value === "senders") return value;
  if (typeof value === "string" && Object.hasOwn(NAMESPACE_SETTINGS, value)) return value as NamespaceSettingName;
  throw invalid(
    `name is ${shown(value)}: no such setting.`,
    `Use one of ${[...Object.keys(NAMESPACE_SETTINGS), "senders"].join(", ")}.`,
  );
}

export function checkSetting(value: unknown, name: NamespaceSettingName | "senders"): number | string {
  if (name === "senders") {
    if ((SENDERS as readonly unknown[]).includes(value)) return value as string;
    throw invalid(`senders is ${shown(value)}: it must be ${SENDERS.join(", ")}.`, `The default is ${SENDERS[0]}.`);
  }
  const { minimum, maximum, default: usual } = NAMESPACE_SETTINGS[name];
  return checkNumber(value, name, minimum, maximum, true, `The default is ${usual}.`);
}

function checkNumber(value: unknown, field: string, least: number, most: number, whole: boolean, hint: string): number {
  const valid = typeof value === "number" && value >= least && value <= most && (!whole || Number.isInteger(value));
  if (valid) return value;
  throw invalid(
    `${field} is ${shown(value)}: it must be a ${whole ? "whole " : ""}number from ${least} to ${most}.`,
    hint,
  );
}

/** What stands behind the prefix in the names of our keys and channels. */
const KIND_WORDS = new Set([...KEY_KINDS.single, ...KEY_KINDS.named, NAMED_CHANNEL]);

/**
 * The keys of a namespace `coord:msg` would be messages to the user of `coord`, whose rule names the kinds of its keys.
 *
 * @throws CoordinationError INVALID
 */
export function checkKeyPrefix(value: unknown, source: string, hint = "The default is coord."): string {
  if (typeof value !== "string" || !KEY_PREFIX_PATTERN.test(value)) {
    throw invalid(`${source} is ${shown(value)}: a prefix has 1-64 letters, digits and . _ : { } -`, hint);
  }
  const [, ...later] = value.split(":");
  const word = later.find((part) => KIND_WORDS.has(part));
  if (word === undefined) return value;
  throw invalid(`${source} is ${shown(value)}: behind a colon, ${word} is a kind of our keys.`, hint);
}
