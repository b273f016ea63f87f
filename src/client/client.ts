/** The deep module: every operation of the protocol, for one instance, over one connection. */
import { LIMITS } from "../protocol/definition.ts";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
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
  checkActivity,
  checkComment,
  checkInstance,
  checkLimit,
  checkMessageId,
  checkWaitSeconds,
  invalid,
} from "../protocol/validation.ts";
import { inspectServer, type ServerFacts } from "../store/inspect.ts";
import { Store } from "../store/store.ts";
import type { AgentRun } from "./agent-run.ts";
import { checkArguments, newestArguments, type ResultBound } from "./checking.ts";
import { publishArguments, readPublish } from "./publishing.ts";
import { type Mail, readAcks, readCheck, readMail, readNotifications, readPresences, readStats } from "./replies.ts";
import { requireIdentity, resolveSettings, type Settings, type SettingsOptions } from "./settings.ts";
import { type Joined, Speaker } from "./speaker.ts";
import { lookUntil, takeForever } from "./waiting.ts";

/** How many events the iterator takes at a time. They are confirmed together, so more would come twice after a crash. */
const EVENTS_AT_ONCE = 1;
/** How many publishes with unknown outcome are remembered; more than an agent has in flight. */
const UNCERTAIN_MAXIMUM = 100;
/** An id before all others. */
const BEGINNING = "msg-0000000000";
/** How long the place of a background waiter is held; as long as it may run at all. */
const WAITER_SECONDS = 86_400;

const AWAY: ReadonlySet<ErrorCode> = new Set([ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT]);

export type MailMoment = "start" | "turn" | "tool" | "stop" | "wake";

export interface ClientOptions extends SettingsOptions {
  /** Joins as this run of an agent, and beats and leaves by itself. Default: no session, each operation is a sign of life. */
  session?: AgentRun | undefined;
}

/**
 * Connects and returns a client that reconnects by itself; close it, or declare it with `await using`.
 *
 * @throws CoordinationError IDENTITY without an instance name, INVALID for a malformed setting, UNAVAILABLE when Redis
 *   does not answer within 0.7 seconds
 */
export async function getCoordinationClient({ session, ...options }: ClientOptions = {}): Promise<CoordinationClient> {
  const settings = resolveSettings(options);
  requireIdentity(settings);
  const client = new CoordinationClient(settings);
  try {
    await client.open();
    if (session !== undefined) await client.stay(session);
  } catch (error) {
    client.close();
    throw error;
  }
  return client;
}

export class CoordinationClient {
  readonly settings: Settings;
  readonly #store: Store;
  readonly #speaker: Speaker;
  /** Keys of publishes that may or may not have been stored, by content: the same content is sent under the same key. */
  readonly #uncertain = new Map<string, string>();

  /** Connects with the first call. */
  constructor(settings: Settings) {
    this.settings = settings;
    this.#store = new Store(settings.connection, settings.keyPrefix);
    this.#speaker = new Speaker(this.#store, settings);
  }

  /** @throws CoordinationError UNAVAILABLE */
  async open(): Promise<void> {
    await this.#store.open();
  }

  /** Keeps this instance's presence. Every other operation of a named instance does so as well. */
  async touch(): Promise<void> {
    await this.#speaker.run("touch", {});
  }

  /**
   * Stores a message for its recipients, atomically.
   *
   * @throws CoordinationError INVALID, NOT_FOUND (`replyTo`, or a recipient never seen where that is refused), SUPERSEDED,
   *   UNAVAILABLE, TIMEOUT. Where the sentence says that the message may be stored, publish the same content again: the
   *   client then reuses the key, and nothing is stored twice.
   */
  async publishMessage(request: PublishRequest): Promise<PublishResult> {
    const me = this.#speaker.instance;
    const args = publishArguments(request, me, this.settings);
    const { idempotency_key: given, ...content } = args;
    // Only after an unknown outcome is there anything to compare with.
    const repeated = this.#uncertain.size === 0 ? undefined : this.#uncertain.get(JSON.stringify(content));
    const key = given || repeated || newKey();
    try {
      const reply = await this.#speaker.run("publish", { ...content, idempotency_key: key });
      if (repeated !== undefined) this.#uncertain.delete(JSON.stringify(content));
      return readPublish(reply as string[], args.type, me, this.settings);
    } catch (error) {
      if (CoordinationError.is(error) && (error.code === ErrorCode.TIMEOUT || error.code === ErrorCode.UNAVAILABLE)) {
        if (this.#uncertain.size === UNCERTAIN_MAXIMUM) this.#uncertain.delete(this.#uncertain.keys().next().value!);
        this.#uncertain.set(JSON.stringify(content), key);
      }
      throw error;
    }
  }

  /**
   * Reads messages; what it returns to one of its recipients counts as presented to it. With `waitSeconds` it returns as
   * soon as something matches.
   *
   * @throws CoordinationError INVALID, NOT_FOUND (`messageId`, `thread`, a cursor), SUPERSEDED, UNAVAILABLE, TIMEOUT
   */
  async checkMessages(request: CheckRequest = {}, bound?: ResultBound): Promise<CheckResult> {
    if (request.messageId !== undefined) return this.showMessage(request.messageId);
    const me = this.#speaker.instance;
    const args = checkArguments(request, me, bound);
    const look = async (): Promise<CheckResult> => readCheck(await this.#speaker.run("check", args));
    const seconds = request.waitSeconds === undefined ? 0 : checkWaitSeconds(request.waitSeconds);
    if (seconds === 0) return look();
    if (args.since === "" && args.pending === "0") {
      if (args.inbox === me) args.unread = "1";
      // Nothing is new to a reader of other people's messages: it waits for what comes from now on. Read for nobody, since
      // this look must not count as presented.
      else {
        const newest = { instance: "", session: "", ...newestArguments(args) };
        args.since = readCheck(await this.#store.run("check", newest)).nextSince ?? BEGINNING;
      }
    }
    const instance = args.inbox === "" ? undefined : args.inbox;
    return lookUntil(this.#store, instance, seconds, request.signal, look, (result) => result.count > 0);
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
    const args = { message_id: id, thread: thread ? "1" : "0", limit: String(LIMITS.list_maximum) };
    return readCheck(await this.#speaker.read("show", args));
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
    const me = this.#speaker.instance;
    const several = Array.isArray(messageId);
    const ids = (several ? messageId : [messageId]).map((id: unknown) => checkMessageId(id, "message_id"));
    const maximum = LIMITS.ack_ids_maximum;
    if (ids.length === 0 || ids.length > maximum) {
      throw invalid(
        `message_id names ${ids.length} messages: it takes 1-${maximum} at once.`,
        "Acknowledge them in several calls.",
      );
    }
    const args = { comment: comment === undefined ? "" : checkComment(comment) };
    const results = readAcks(await this.#speaker.run("ack", args, ids), ids, me);
    if (several) return results;
    const [result] = results as [AckResult | AckRefusal];
    if ("code" in result) throw new CoordinationError(result.code, result.error, { hint: result.hint });
    return result;
  }

  /** Every instance that has been seen, by name. Works without a name. */
  async getPresence(): Promise<PresenceResult> {
    const reply = await this.#speaker.read("presence", {});
    return readPresences(reply, this.settings.presenceTimeoutSeconds);
  }

  /**
   * Takes the oldest events from this instance's queue; what is not returned stays.
   *
   * @throws CoordinationError INVALID, SUPERSEDED, UNAVAILABLE, TIMEOUT
   */
  async getNotifications({ limit }: { limit?: number | undefined } = {}): Promise<NotificationsResult> {
    const { result, confirm } = await this.takeNotifications({ limit });
    await confirm();
    return result;
  }

  /**
   * As `getNotifications`, but the events are only lent: not confirmed within 10 seconds, they come again. For whoever
   * has to show them first.
   */
  async takeNotifications(
    { limit }: { limit?: number | undefined } = {},
    bound?: Pick<ResultBound, "bytes">,
  ): Promise<{ result: NotificationsResult; confirm: () => Promise<void> }> {
    const bounded = String(limit === undefined ? LIMITS.list_default : checkLimit(limit));
    const args = { limit: bounded, budget: String(bound?.bytes ?? 0), lease_seconds: this.#leaseSeconds };
    const { result, lease } = readNotifications(await this.#speaker.run("notifications", args));
    return { result, confirm: () => this.#confirm(lease, [], 0) };
  }

  /** This instance's events, those that wait and those to come, in order. One is confirmed when the next is asked for. */
  async *events({ signal }: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<
    CoordinationEvent,
    void,
    undefined
  > {
    const take = (): ReturnType<typeof this.takeNotifications> => this.takeNotifications({ limit: EVENTS_AT_ONCE });
    for await (const { result, confirm } of takeForever(this.#store, this.#speaker.instance, signal, take, hasEvents)) {
      try {
        yield* result.notifications;
      } finally {
        // Also when the loop is left: this event has been handed over. With Redis away it comes again after its lease.
        await confirm().catch((error: unknown) => {
          if (!CoordinationError.is(error) || !AWAY.has(error.code)) throw error;
        });
      }
    }
  }

  /** What this agent, which did not ask, should be shown now; lent until `confirmMail`. See lua/collect.lua. */
  async collectMail(moment: MailMoment, limit: number, bound: ResultBound, waiter = ""): Promise<Mail> {
    const bounds = { limit: String(limit), budget: String(bound.bytes), cut: String(bound.descriptionBytes) };
    return readMail(
      await this.#speaker.run("collect", { moment, waiter, ...bounds, lease_seconds: this.#leaseSeconds }),
    );
  }

  /** Whether `collectMail("tool")` may find anything: false is certain. Keeps this instance's presence as well. */
  async hasMail(): Promise<boolean> {
    return (await this.#speaker.run("glance", {})) !== "NOTHING";
  }

  /**
   * What was shown of the mail has reached the agent: its messages count as presented, its events never come again. The rest
   * is given back, for the next one who asks.
   */
  async confirmMail({ lease, messages }: Mail, shown: number = messages.length): Promise<void> {
    await this.#confirm(
      lease,
      messages.map(({ id }) => id),
      shown,
    );
  }

  async #confirm(lease: string, ids: readonly string[], shown: number): Promise<void> {
    if (lease !== "" || ids.length > 0) await this.#speaker.run("confirm", { lease, shown: String(shown) }, ids);
  }

  /** Begins or renews the session of this run of an agent; a session of somebody else is superseded. */
  async join(run: AgentRun): Promise<Joined> {
    return this.#speaker.join(run);
  }

  /** As `join`, but refuses while another session is there. @throws CoordinationError SUPERSEDED */
  async joinUnlessTaken(run: AgentRun): Promise<Joined> {
    return this.#speaker.joinUnlessTaken(run);
  }

  /** Joins and beats by itself until `leave` or `close`. Never fails: while Redis is away, each beat tries again. */
  async stay(run: AgentRun): Promise<void> {
    await this.#speaker.stay(run);
  }

  /** As `stay`, but only while nobody else speaks for the name: it never supersedes. */
  async stayUnlessTaken(run: AgentRun): Promise<void> {
    await this.#speaker.stay(run, true);
  }

  /** Ends the session: offline at once. */
  async leave(): Promise<void> {
    await this.#speaker.leave();
  }

  /** Whether this client still speaks for its instance, or a newer session does. */
  async speaks(): Promise<boolean> {
    return this.#speaker.speaks();
  }

  /** One line for presence about what the agent does; empty removes it. */
  async setActivity(activity: string): Promise<void> {
    await this.#speaker.setActivity(checkActivity(activity));
  }

  /** Makes this client's waiter the only one of the session, or with `""` sends the present one away. */
  async takeWaiterPlace(waiter: string): Promise<void> {
    await this.#speaker.run("waiter", { waiter, seconds: String(WAITER_SECONDS) });
  }

  /** Listens for what is published to this instance; resolves, once it listens, to what ends it. */
  async listen(listener: (event: string | undefined) => void): Promise<() => Promise<void>> {
    return this.#store.listen(this.#speaker.instance, listener);
  }

  /** Listens for everything that happens in the namespace. */
  async listenToAll(listener: (event: string | undefined) => void): Promise<() => Promise<void>> {
    return this.#store.listen(undefined, listener);
  }

  /** What the namespace holds. Works without a name. */
  async getStats(): Promise<StatsResult> {
    return readStats(await this.#speaker.read("stats", {}));
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

  /** Makes this instance known before it starts, so that broadcasts reach it. */
  async registerInstance(): Promise<void> {
    await this.#store.run("register", { instance: this.#speaker.instance });
  }

  /** What can be seen of the server itself; nothing is changed. Works without a name. @throws CoordinationError UNAVAILABLE */
  async inspectServer(): Promise<ServerFacts> {
    return inspectServer(this.settings.connection, this.settings.keyPrefix);
  }

  close(): void {
    this.#speaker.stop();
    this.#store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  get #leaseSeconds(): string {
    return String(this.settings.leaseSeconds);
  }
}

/** Names one publish among those of its sender. Not a secret: node:crypto would cost a command a twentieth of its start. */
function newKey(): string {
  const digits = Array.from({ length: 4 }, () =>
    Math.floor(Math.random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0"),
  );
  return digits.join("").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function hasEvents({ result }: { result: NotificationsResult }): boolean {
  return result.count > 0;
}
