/** A publish as the script takes it, its receipt as the caller gets it, and what is remembered where there was none. */
import { asksForAcknowledgement, defaultRecipient, directionProblem, nearestNames } from "../protocol/addressing.ts";
import { BROADCAST, type MessageType, TYPE_RULES } from "../protocol/definition.ts";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { readPresence } from "../protocol/presence.ts";
import type { NamespaceSettings, PublishRequest, PublishResult, Recipient } from "../protocol/results.ts";
import {
  checkAckWithin,
  checkDescription,
  checkFlag,
  checkIdempotencyKey,
  checkInstance,
  checkMessageId,
  checkSubject,
  checkType,
  invalid,
} from "../protocol/validation.ts";
import type { Replication } from "../store/store.ts";
import type { OwnArguments, Session } from "./session.ts";
import type { Settings } from "./settings.ts";
import { AWAY } from "./waiting.ts";

type PublishArguments = OwnArguments<"publish">;

/** How many publishes with unknown outcome are remembered; more than an agent has in flight. */
const UNCERTAIN_MAXIMUM = 100;
/** How many names a warning lists. */
const LISTED_NAMES = 10;
/** After these a publish is expected again with the same content. */
const UNSETTLED: ReadonlySet<ErrorCode> = new Set([...AWAY, ErrorCode.NOT_REPLICATED]);

export class Publisher {
  readonly #session: Session;
  /** Keys of publishes that may or may not have been stored, or are on too few servers, by content: a repeat takes the same. */
  readonly #uncertain = new Map<string, string>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** @throws CoordinationError */
  async publish(request: PublishRequest): Promise<PublishResult> {
    const { instance: me, settings } = this.#session;
    const args = publishArguments(request, this.#session);
    const content = (): string => JSON.stringify({ ...args, idempotency_key: "" });
    // Only after an unknown outcome is there anything to compare with.
    const repeated = this.#uncertain.size === 0 ? undefined : this.#uncertain.get(content());
    args.idempotency_key ||= repeated ?? newKey();
    try {
      const stored = await this.#session.runReplicated("publish", args);
      if (args.ack_within !== "") this.#session.sweeper.dueIn(Number(args.ack_within) * 1000);
      const receipt = readPublish(stored.reply, args, me, settings);
      if (!receipt.repeated) this.#session.known.published(receipt.messageId); // a repeat says what stands there
      const result = requireReplicas(receipt, stored.replicas, settings.replication);
      if (repeated !== undefined) this.#uncertain.delete(content());
      return result;
    } catch (error) {
      if (CoordinationError.is(error) && UNSETTLED.has(error.code)) {
        if (this.#uncertain.size === UNCERTAIN_MAXIMUM) this.#uncertain.delete(this.#uncertain.keys().next().value!);
        this.#uncertain.set(content(), args.idempotency_key);
      }
      throw error;
    }
  }
}

/** Every rule that needs no store, with the defaults filled in. @throws CoordinationError INVALID */
function publishArguments(
  request: PublishRequest,
  { instance: me, settings, governed, via }: Session,
): PublishArguments {
  const { orchestrator, direction, unknownRecipient, ackTimeoutSeconds } = settings;
  const type = checkType(request.type);
  const rule = TYPE_RULES[type];
  const subject = checkSubject(request.subject);
  const description = checkDescription(request.description);
  const replyTo = request.replyTo === undefined ? "" : checkMessageId(request.replyTo, "reply_to");
  const ackWithin = request.ackWithin === undefined ? ackTimeoutSeconds : checkAckWithin(request.ackWithin);
  // A reply goes to whom it answers, which the store knows; only what is for everybody stays for everybody.
  const byDefault = replyTo === "" || rule.to === "all" ? defaultRecipient(type, me, orchestrator) : "";
  const to =
    request.to === undefined ? byDefault : request.to === BROADCAST ? BROADCAST : checkInstance(request.to, "to");
  if (to === undefined) {
    throw invalid(
      `to is missing: ${type} has no default recipient.`,
      "Give the instance, or reply_to with the message it answers.",
    );
  }
  if (to === me) throw invalid(`to is "${me}": that is yourself.`, 'Give another instance, or "all".');
  const requiresAck =
    request.requiresAck === undefined
      ? asksForAcknowledgement(type, { replies: replyTo !== "", to })
      : checkFlag(request.requiresAck, "requires_ack");
  if (direction === "strict") {
    const problem = directionProblem(type, me, to || undefined, orchestrator);
    if (problem !== undefined) throw invalid(`${problem}.`, "Use GENERAL, or unset COORD_DIRECTION=strict.");
  }
  return {
    type,
    to,
    subject,
    description,
    requires_ack: requiresAck ? "1" : "0",
    ack_within: requiresAck && ackWithin > 0 ? String(ackWithin) : "",
    reply_to: replyTo,
    idempotency_key: request.idempotencyKey === undefined ? "" : checkIdempotencyKey(request.idempotencyKey),
    direction: direction === "strict" && rule.to !== "any" ? rule.to : "",
    orchestrator,
    unknown: unknownRecipient,
    settings: namespaceArgument(settings.namespace),
    governed: governed ? "1" : "",
    via,
  };
}

/** The settings that this client would give a new namespace, as the scripts take them. */
export function namespaceArgument(settings: NamespaceSettings): string {
  const { retentionDays, maxMessages, ackAttempts, ackIntervalSeconds, presenceTimeoutSeconds } = settings;
  const { loopMessages, loopSeconds, loopReplies, senders } = settings;
  const general = `${retentionDays} ${maxMessages} ${ackAttempts} ${ackIntervalSeconds} ${presenceTimeoutSeconds}`;
  return `${general} ${loopMessages} ${loopSeconds} ${loopReplies}${senders === "off" ? "" : ` ${senders}`}`;
}

/**
 * Names one publish among those of its sender, or one export: 80 random bits for this process, then a number. Not a secret:
 * node:crypto would cost a command a twentieth of its start, and random bits for each a thirtieth of its time.
 */
export function newKey(): string {
  processKey ??= [8, 4, 4, 4].map(randomDigits).join("-");
  return `${processKey}-${(++keys).toString(16).padStart(12, "0")}`;
}
let processKey: string | undefined;
let keys = 0;

/** Hexadecimal. */
function randomDigits(count: number): string {
  return Math.floor(Math.random() * 16 ** count)
    .toString(16)
    .padStart(count, "0");
}

/** As publish.lua returns it. */
interface PublishReply {
  message_id: string;
  timestamp: string;
  to: string;
  repeated: string;
  acknowledged: string;
  /** Only where the one recipient is unknown; separated by spaces. */
  known?: string;
  /** Who is idle and has nobody who wakes it; separated by spaces. */
  asleep?: string;
  /** The presence entry of each recipient. */
  [presence: `presence:${string}`]: string;
}

function readPublish(
  reply: unknown,
  { type, requires_ack: requiresAck }: PublishArguments,
  me: string,
  { orchestrator, presenceTimeoutSeconds }: Settings,
): PublishResult {
  const fields = reply as PublishReply;
  const { message_id: messageId, timestamp, to, known } = fields;
  const now = Date.parse(timestamp);
  const recipients: Recipient[] = [];
  const unwoken = new Set(fields.asleep?.split(" "));
  for (const [name, entry] of Object.entries(fields)) {
    if (!name.startsWith("presence:")) continue;
    const instance = name.slice("presence:".length);
    const { status, doing } = readPresence(instance, entry || "{}", 0, now, presenceTimeoutSeconds);
    const asleep = doing === "idle" && unwoken.has(instance); // not where it has gone without a word
    recipients.push({ instance, presence: status, ...(asleep ? { asleep } : {}) });
  }
  recipients.sort((a, b) => (a.instance < b.instance ? -1 : 1));
  const warnings = [];
  if (known !== undefined) warnings.push(unknownWarning(to, known.split(" ")));
  const asleep = recipients.flatMap(({ instance, asleep: it }) => (it ? [instance] : []));
  if (asleep.length > 0) warnings.push(asleepWarning(asleep));
  if (to === BROADCAST && recipients.length === 0)
    warnings.push("Nobody else has been seen here: no instance gets this message.");
  const direction = directionProblem(type as MessageType, me, to, orchestrator);
  if (direction !== undefined) warnings.push(`Unusual direction: ${direction}.`);
  return {
    messageId,
    type,
    from: me,
    to,
    timestamp,
    requiresAck: requiresAck === "1",
    recipients,
    warnings,
    repeated: fields.repeated === "1",
    acknowledged: fields.acknowledged === "1",
  };
}

function asleepWarning(names: readonly string[]): string {
  const who = names.length > LISTED_NAMES ? `${names.length} recipients` : names.join(", ");
  const [are, each] = names.length === 1 ? ["is", "it sees"] : ["are", "each sees"];
  return `${who} ${are} idle, and nobody wakes ${names.length === 1 ? "it" : "them"}: ${each} this at its next prompt.`;
}

function unknownWarning(to: string, known: readonly string[]): string {
  const nearest = nearestNames(to, known);
  const hint = nearest.length === 0 ? "" : ` Known names like it: ${nearest.join(", ")}.`;
  return `No instance "${to}" has ever been seen: it gets the message when it starts.${hint}`;
}

/** @throws CoordinationError NOT_REPLICATED, with the receipt, when fewer have it than was asked for */
function requireReplicas(
  receipt: PublishResult,
  replicas: number | undefined,
  { replicas: asked, milliseconds }: Replication,
): PublishResult {
  if (replicas === undefined) return receipt;
  const result = { ...receipt, replicas };
  if (replicas >= asked) return result;
  const sentence = `${receipt.messageId} is stored, but after ${milliseconds} ms ${replicas} of ${asked} replicas have it.`;
  throw new CoordinationError(ErrorCode.NOT_REPLICATED, sentence, {
    hint:
      "Publish the same content again, in a shell with the same --idempotency-key: it is stored once, and waits again. " +
      "Or lower COORD_WAIT_REPLICAS.",
    receipt: result,
  });
}
