/** The deep module: every operation of the protocol, for one instance, over one connection. */
import { randomUUID } from "node:crypto";
import { asksForAcknowledgement, defaultRecipient, directionProblem, nearestNames } from "../protocol/addressing.ts";
import { BROADCAST, LIMITS, TYPE_RULES, type MessageType } from "../protocol/definition.ts";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { readPresence } from "../protocol/presence.ts";
import type {
  AckRefusal,
  AckResult,
  CheckRequest,
  CheckResult,
  CoordinationEvent,
  ForgetResult,
  NotificationsResult,
  PresenceResult,
  PublishRequest,
  PublishResult,
  StatsResult,
} from "../protocol/results.ts";
import {
  checkComment,
  checkDescription,
  checkFlag,
  checkIdempotencyKey,
  checkInstance,
  checkLimit,
  checkMessageId,
  checkSubject,
  checkType,
  checkWaitSeconds,
  invalid,
} from "../protocol/validation.ts";
import type { ScriptArguments } from "../store/scripts.ts";
import { Store } from "../store/store.ts";
import { readAcks, readCheck, readNotifications, readPresences, readStats } from "./replies.ts";
import { requireIdentity, resolveSettings, type Settings, type SettingsOptions } from "./settings.ts";
import { lookUntil, takeForever } from "./waiting.ts";

/** How many events the iterator takes at a time. */
const EVENTS_AT_ONCE = 100;
/** How many publishes with unknown outcome are remembered; more than an agent has in flight. */
const UNCERTAIN_MAXIMUM = 100;
/** An id before all others. */
const BEGINNING = "msg-0000000000";

/** What bounds a result that an agent is shown; `undefined` is no bound. See ARGV of lua/check.lua. */
export interface ResultBound {
  /** Of the whole list, in bytes. At least one message is always returned. */
  bytes: number;
  /** Up to here a description counts, since the surface cuts it there. */
  descriptionBytes: number;
}

export type ClientOptions = SettingsOptions;

/**
 * Connects and returns a client that reconnects by itself; close it, or declare it with `await using`.
 *
 * @throws CoordinationError IDENTITY without an instance name, INVALID for a malformed setting, UNAVAILABLE when Redis
 *   does not answer within 0.7 seconds
 */
export async function getCoordinationClient(options: ClientOptions = {}): Promise<CoordinationClient> {
  const settings = resolveSettings(options);
  requireIdentity(settings);
  const client = new CoordinationClient(settings, { persistent: true });
  try {
    await client.open();
  } catch (error) {
    client.close();
    throw error;
  }
  return client;
}

export class CoordinationClient {
  readonly settings: Settings;
  readonly #store: Store;
  /** Keys of publishes that may or may not have been stored, by content: the same content is sent under the same key. */
  readonly #uncertain = new Map<string, string>();

  /** @param persistent reconnects by itself; else it serves one command and fails at the first refused connection */
  constructor(settings: Settings, { persistent }: { persistent: boolean }) {
    this.settings = settings;
    this.#store = new Store(settings.connection, settings.keyPrefix, persistent);
  }

  /** @throws CoordinationError UNAVAILABLE */
  async open(): Promise<void> {
    await this.#store.open();
  }

  /** Keeps this instance's presence. Every other operation of a named instance does so as well. */
  async touch(): Promise<void> {
    await this.#store.run("touch", { instance: this.#me });
  }

  /**
   * Stores a message for its recipients, atomically.
   *
   * @throws CoordinationError INVALID, NOT_FOUND (`replyTo`, or a recipient never seen where that is refused),
   *   UNAVAILABLE, TIMEOUT. Where the sentence says that the message may be stored, publish the same content again: the
   *   client then reuses the key, and nothing is stored twice.
   */
  async publishMessage(request: PublishRequest): Promise<PublishResult> {
    const args = this.#publishArguments(request);
    const { idempotency_key: given, ...content } = args;
    const fingerprint = JSON.stringify(content);
    const key = given || this.#uncertain.get(fingerprint) || randomUUID();
    try {
      const reply = await this.#store.run("publish", { ...content, idempotency_key: key });
      this.#uncertain.delete(fingerprint);
      return this.#readPublish(args, reply as string[]);
    } catch (error) {
      if (
        CoordinationError.is(error) &&
        (error.code === ErrorCode.TIMEOUT || error.code === ErrorCode.UNAVAILABLE)
      ) {
        if (this.#uncertain.size === UNCERTAIN_MAXIMUM) this.#uncertain.delete(this.#uncertain.keys().next().value!);
        this.#uncertain.set(fingerprint, key);
      }
      throw error;
    }
  }

  #publishArguments(request: PublishRequest): ScriptArguments<"publish"> {
    const me = this.#me;
    const { orchestrator, direction, unknownRecipient, retentionDays, maxMessages } = this.settings;
    const type = checkType(request.type);
    const rule = TYPE_RULES[type];
    const subject = checkSubject(request.subject);
    const description = checkDescription(request.description);
    const replyTo = request.replyTo === undefined ? "" : checkMessageId(request.replyTo, "reply_to");
    const requiresAck =
      request.requiresAck === undefined ? asksForAcknowledgement(type) : checkFlag(request.requiresAck, "requires_ack");
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
    if (direction === "strict") {
      const problem = directionProblem(type, me, to || undefined, orchestrator);
      if (problem !== undefined) throw invalid(`${problem}.`, "Use GENERAL, or unset COORD_DIRECTION=strict.");
    }
    return {
      instance: me,
      type,
      to,
      subject,
      description,
      requires_ack: requiresAck ? "1" : "0",
      reply_to: replyTo,
      idempotency_key: request.idempotencyKey === undefined ? "" : checkIdempotencyKey(request.idempotencyKey),
      direction: direction === "strict" && rule.to !== "any" ? rule.to : "",
      orchestrator,
      unknown: unknownRecipient,
      retention_days: String(retentionDays),
      max_messages: String(maxMessages),
    };
  }

  #readPublish(args: ScriptArguments<"publish">, reply: readonly string[]): PublishResult {
    const [messageId, timestamp, to, requiresAck, repeated, acknowledged, count, ...rest] = reply as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
      ...string[],
    ];
    const names = 2 * Number(count);
    const now = Date.parse(timestamp);
    const recipients = [];
    for (let i = 0; i < names; i += 2) {
      const [instance, entry] = [rest[i]!, rest[i + 1]!];
      const { status } = readPresence(instance, entry || "{}", 0, now, this.settings.presenceTimeoutSeconds);
      recipients.push({ instance, presence: status });
    }
    recipients.sort((a, b) => (a.instance < b.instance ? -1 : 1));
    const warnings = [];
    if (to !== BROADCAST && count === "1" && rest[1] === "") warnings.push(unknownWarning(to, rest.slice(names)));
    if (to === BROADCAST && count === "0")
      warnings.push("Nobody else has been seen here: no instance gets this message.");
    const direction = directionProblem(args.type as MessageType, args.instance, to, this.settings.orchestrator);
    if (direction !== undefined) warnings.push(`Unusual direction: ${direction}.`);
    return {
      messageId,
      type: args.type,
      from: args.instance,
      to,
      timestamp,
      requiresAck: requiresAck === "1",
      recipients,
      warnings,
      repeated: repeated === "1",
      acknowledged: acknowledged === "1",
    };
  }

  /**
   * Reads messages; what it returns to one of its recipients counts as presented to it. With `waitSeconds` it returns as
   * soon as something matches.
   *
   * @throws CoordinationError INVALID, NOT_FOUND (`messageId`, `thread`, a cursor), UNAVAILABLE, TIMEOUT
   */
  async checkMessages(request: CheckRequest = {}, bound?: ResultBound): Promise<CheckResult> {
    if (request.messageId !== undefined) return this.showMessage(request.messageId);
    const me = this.#me;
    const args = this.#checkArguments(request, bound);
    const look = async (): Promise<CheckResult> => readCheck(await this.#store.run("check", args));
    const seconds = request.waitSeconds === undefined ? 0 : checkWaitSeconds(request.waitSeconds);
    if (seconds === 0) return look();
    const own = args.inbox === me;
    if (args.since === "" && args.pending === "0") {
      if (own) args.unread = "1";
      // Nothing is new to a reader of other people's messages: it waits for what comes from now on.
      else args.since = await this.#newest(args);
    }
    const instance = args.inbox === "" ? undefined : args.inbox;
    return lookUntil(this.#store, instance, seconds, request.signal, look, (result) => result.count > 0);
  }

  #checkArguments(request: CheckRequest, bound: ResultBound | undefined): ScriptArguments<"check"> {
    const me = this.#me;
    const text = <T>(value: T | undefined, check: (value: T) => string): string =>
      value === undefined ? "" : check(value);
    const flag = (value: boolean | undefined, field: string): boolean => value !== undefined && checkFlag(value, field);
    const everything = flag(request.all, "all") || request.to === BROADCAST;
    const from = text(request.from, (value) => checkInstance(value, "from"));
    const to = request.to === BROADCAST ? "" : text(request.to, (value) => checkInstance(value, "to"));
    return {
      instance: me,
      inbox: to || (everything || from === me ? "" : me),
      from,
      type: text(request.type, checkType),
      thread: text(request.thread, (value) => checkMessageId(value, "thread")),
      since: text(request.since, (value) => checkMessageId(value, "since")),
      before: text(request.before, (value) => checkMessageId(value, "before")),
      pending: flag(request.pendingOnly, "pending_only") ? "1" : "0",
      unread: "0",
      limit: String(request.limit === undefined ? LIMITS.list_default : checkLimit(request.limit)),
      budget: String(bound?.bytes ?? 0),
      cut: String(bound?.descriptionBytes ?? 0),
    };
  }

  /** The id of the newest message in the same inbox, read for nobody: a look that must not count as presented. */
  async #newest({ inbox }: ScriptArguments<"check">): Promise<string> {
    const args = { instance: "", inbox, from: "", type: "", thread: "", since: "", before: "" };
    const more = { pending: "0", unread: "0", limit: "1", budget: "0", cut: "0" };
    return readCheck(await this.#store.run("check", { ...args, ...more })).nextSince ?? BEGINNING;
  }

  /** As `checkMessages` with the longest wait, unless `waitSeconds` says otherwise. */
  async waitForMessages(request: CheckRequest = {}): Promise<CheckResult> {
    return this.checkMessages({ waitSeconds: LIMITS.wait_seconds_maximum, ...request });
  }

  /**
   * One message whole with everybody's receipts, or its conversation, oldest first, at most 1,000. Works without a name.
   *
   * @throws CoordinationError INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT
   */
  async showMessage(messageId: string, { thread = false }: { thread?: boolean } = {}): Promise<CheckResult> {
    const id = checkMessageId(messageId, "message_id");
    const args = { instance: this.settings.instanceId ?? "", message_id: id, thread: thread ? "1" : "0" };
    return readCheck(await this.#store.run("show", { ...args, limit: String(LIMITS.list_maximum) }));
  }

  /**
   * Acknowledges one message, or several, each on its own.
   *
   * @throws CoordinationError INVALID, UNAVAILABLE, TIMEOUT; for one id also NOT_FOUND and NOT_RECIPIENT. For several a
   *   refusal stands in the place of its result.
   */
  async ackMessage(messageId: string, options?: { comment?: string | undefined }): Promise<AckResult>;
  async ackMessage(
    messageIds: readonly string[],
    options?: { comment?: string | undefined },
  ): Promise<(AckResult | AckRefusal)[]>;
  async ackMessage(
    messageId: string | readonly string[],
    { comment }: { comment?: string | undefined } = {},
  ): Promise<AckResult | (AckResult | AckRefusal)[]> {
    const me = this.#me;
    const several = Array.isArray(messageId);
    const ids = (several ? messageId : [messageId]).map((id: unknown) => checkMessageId(id, "message_id"));
    const maximum = LIMITS.ack_ids_maximum;
    if (ids.length === 0 || ids.length > maximum) {
      throw invalid(
        `message_id names ${ids.length} messages: it takes 1-${maximum} at once.`,
        "Acknowledge them in several calls.",
      );
    }
    const args = { instance: me, comment: comment === undefined ? "" : checkComment(comment) };
    const results = readAcks(await this.#store.run("ack", args, ids), ids, me);
    if (several) return results;
    const [result] = results as [AckResult | AckRefusal];
    if ("code" in result) throw new CoordinationError(result.code, result.error, { hint: result.hint });
    return result;
  }

  /** Every instance that has been seen, by name. Works without a name. */
  async getPresence(): Promise<PresenceResult> {
    const reply = await this.#store.run("presence", { instance: this.settings.instanceId ?? "" });
    return readPresences(reply, this.settings.presenceTimeoutSeconds);
  }

  /**
   * Takes the oldest events from this instance's queue; what is not returned stays.
   *
   * @throws CoordinationError INVALID, UNAVAILABLE, TIMEOUT
   */
  async getNotifications(
    { limit }: { limit?: number | undefined } = {},
    bound?: Pick<ResultBound, "bytes">,
  ): Promise<NotificationsResult> {
    const bounded = limit === undefined ? LIMITS.list_default : checkLimit(limit);
    const args = { instance: this.#me, limit: String(bounded), budget: String(bound?.bytes ?? 0) };
    return readNotifications(await this.#store.run("notifications", args));
  }

  /** This instance's events, those that wait and those to come, in order and each once. Ends with the signal. */
  async *events({ signal }: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<
    CoordinationEvent,
    void,
    undefined
  > {
    const take = async (): Promise<CoordinationEvent[]> =>
      (await this.getNotifications({ limit: EVENTS_AT_ONCE })).notifications;
    yield* takeForever(this.#store, this.#me, signal, take);
  }

  /** What the namespace holds. Works without a name. */
  async getStats(): Promise<StatsResult> {
    return readStats(await this.#store.run("stats", { instance: this.settings.instanceId ?? "" }));
  }

  /**
   * Takes an instance out of presence and so out of broadcasts, until it is seen again. Its messages stay.
   *
   * @throws CoordinationError INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT
   */
  async forgetInstance(instance: string): Promise<ForgetResult> {
    const name = checkInstance(instance, "instance");
    return { instance: name, pending: Number(await this.#store.run("forget", { instance: name })) };
  }

  close(): void {
    this.#store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  get #me(): string {
    return requireIdentity(this.settings);
  }
}

function unknownWarning(to: string, known: readonly string[]): string {
  const nearest = nearestNames(to, known);
  const hint = nearest.length === 0 ? "" : ` Known names like it: ${nearest.join(", ")}.`;
  return `No instance "${to}" has ever been seen: it gets the message when it starts.${hint}`;
}
