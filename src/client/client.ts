/** The deep module: every operation of the protocol, for one instance, over one connection. */
import { LIMITS } from "../protocol/definition.ts";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import type {
  AckRefusal,
  AckResult,
  CheckRequest,
  CheckResult,
  CoordinationEvent,
  NotificationsResult,
  PublishRequest,
  PublishResult,
} from "../protocol/results.ts";
import { checkActivity, checkComment, checkLimit, checkMessageIds, checkWaitSeconds } from "../protocol/validation.ts";
import type { AgentRun } from "./agent-run.ts";
import { checkArguments, checkInSteps, newestArguments, type ResultBound } from "./checking.ts";
import { NamespaceClient } from "./namespace.ts";
import { newKey, publishArguments, readPublish, requireReplicas } from "./publishing.ts";
import { type Mail, type MailMoment, readAcks, readMail, readNotifications, readPage } from "./replies.ts";
import { requireIdentity, resolveSettings, type SettingsOptions } from "./settings.ts";
import type { Joined, JoinOptions } from "./speaker.ts";
import { AWAY, lookUntil, takeForever } from "./waiting.ts";

/** How many events the iterator takes at a time. They are confirmed together, so more would come twice after a crash. */
const EVENTS_AT_ONCE = 1;
/** How many publishes with unknown outcome are remembered; more than an agent has in flight. */
const UNCERTAIN_MAXIMUM = 100;
/** An id before all others. */
const BEGINNING = "msg-0000000000";
/** How long the place of a background waker is held; as long as it may run at all. */
const WAKER_SECONDS = 86_400;

/** After these a publish is expected again with the same content. */
const UNSETTLED: ReadonlySet<ErrorCode> = new Set([...AWAY, ErrorCode.NOT_REPLICATED]);

export interface ClientOptions extends SettingsOptions {
  /** Joins as this run of an agent, and beats and leaves by itself. Default: no session, each operation is a sign of life. */
  session?: AgentRun | undefined;
}

/**
 * Connects and returns a client that reconnects by itself; close it, or declare it with `await using`.
 *
 * @throws CoordinationError IDENTITY without an instance name, INVALID for a malformed setting, UNAVAILABLE when Redis
 *   does not answer within 0.7 seconds, or a failover is not over within 5
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

export class CoordinationClient extends NamespaceClient {
  /** Keys of publishes that may or may not have been stored, or are on too few servers, by content: a repeat takes the same. */
  readonly #uncertain = new Map<string, string>();

  /** Keeps this instance's presence. Every other operation of a named instance does so as well. */
  async touch(): Promise<void> {
    await this.speaker.run("touch", {});
  }

  /**
   * Stores a message for its recipients, atomically.
   *
   * @throws CoordinationError INVALID, NOT_FOUND (`replyTo`, or a recipient never seen where that is refused), FULL,
   *   SUPERSEDED, UNAVAILABLE, TIMEOUT; NOT_REPLICATED when it is stored and fewer replicas have it than
   *   `COORD_WAIT_REPLICAS` asks for. Where the sentence says that the message is or may be stored, publish the same content
   *   again: the client then reuses the key, and nothing is stored twice.
   */
  async publishMessage(request: PublishRequest): Promise<PublishResult> {
    const me = this.speaker.instance;
    const args = publishArguments(request, me, this.settings);
    const content = (): string => JSON.stringify({ ...args, idempotency_key: "" });
    // Only after an unknown outcome is there anything to compare with.
    const repeated = this.#uncertain.size === 0 ? undefined : this.#uncertain.get(content());
    args.idempotency_key ||= repeated ?? newKey();
    try {
      const { replication } = this.settings;
      const stored = await this.speaker.runReplicated("publish", args, replication);
      if (args.ack_within !== "") this.sweeper.dueIn(Number(args.ack_within) * 1000);
      const receipt = readPublish(stored.reply, args, me, this.settings);
      const result = requireReplicas(receipt, stored.replicas, replication);
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

  /**
   * Reads messages; what it returns to one of its recipients counts as presented to it. With `waitSeconds` it returns as
   * soon as something matches.
   *
   * @throws CoordinationError INVALID, NOT_FOUND (`messageId`, `thread`, a cursor), SUPERSEDED, UNAVAILABLE, TIMEOUT
   */
  async checkMessages(request: CheckRequest = {}, bound?: ResultBound): Promise<CheckResult> {
    if (request.messageId !== undefined) return this.showMessage(request.messageId);
    return this.#check(request, "1", bound);
  }

  /**
   * As `checkMessages`, but nothing counts as presented before `confirm`: for whoever has to show it first. Not confirmed, it
   * comes again.
   */
  async takeMessages(request: CheckRequest = {}): Promise<{ result: CheckResult; confirm: () => Promise<void> }> {
    const result = await this.#check(request, "0");
    return { result, confirm: () => this.confirmShown(result) };
  }

  /** What was read without marking has reached whoever asked. */
  async confirmShown({ messages, unreadable }: CheckResult): Promise<void> {
    const ids = [...messages, ...unreadable].map(({ id }) => id);
    for (let at = 0; at < ids.length; at += LIMITS.write_maximum) {
      const step = ids.slice(at, at + LIMITS.write_maximum);
      await this.#confirm("", step, 0, step.length);
    }
  }

  async #check(request: CheckRequest, mark: "0" | "1", bound?: ResultBound): Promise<CheckResult> {
    const me = this.speaker.instance;
    const args = { ...checkArguments(request, me, bound), mark };
    const look = (): Promise<CheckResult> => checkInSteps((step) => this.speaker.run("check", step), args);
    const seconds = request.waitSeconds === undefined ? 0 : checkWaitSeconds(request.waitSeconds);
    if (seconds === 0) return look();
    if (args.since === "" && args.pending === "0") {
      if (args.inbox === me) args.unread = "1";
      // Nothing is new to a reader of other people's messages: it waits for what comes from now on. Read for nobody, since
      // this look must not count as presented.
      else {
        const newest = { instance: "", session: "", ...newestArguments(args) };
        args.since = readPage(await this.store.run("check", newest)).next_since || BEGINNING;
      }
    }
    // What cannot be read is told as well; but where it stays pending, only when it fills the result: else nobody could wait.
    const found = ({ count, unreadable, more }: CheckResult): boolean =>
      count > 0 || (unreadable.length > 0 && (args.pending === "0" || more));
    const instance = args.inbox === "" ? undefined : args.inbox;
    return lookUntil(this.store, this.sweeper, instance, seconds, request.signal, look, found);
  }

  /** As `checkMessages` with the longest wait, unless `waitSeconds` says otherwise. */
  async waitForMessages(request: CheckRequest = {}): Promise<CheckResult> {
    return this.checkMessages({ waitSeconds: LIMITS.wait_seconds_maximum, ...request });
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
    const me = this.speaker.instance;
    const several = Array.isArray(messageId);
    const ids = checkMessageIds(several ? messageId : [messageId]);
    const args = { comment: comment === undefined ? "" : checkComment(comment) };
    const results = readAcks(await this.speaker.run("ack", args, ids), ids, me);
    if (several) return results;
    const [result] = results as [AckResult | AckRefusal];
    if ("code" in result) throw new CoordinationError(result.code, result.error, { hint: result.hint });
    return result;
  }

  /**
   * Takes the oldest events from this instance's queue; what is not returned stays.
   *
   * @throws CoordinationError INVALID, SUPERSEDED, UNAVAILABLE, TIMEOUT
   */
  async getNotifications({ limit }: { limit?: number | undefined } = {}): Promise<NotificationsResult> {
    const { result, confirm } = await this.takeNotifications({ limit });
    // Not waited for: the caller has the events, and sent on this connection it comes before whatever is asked next. Where it
    // fails, they come again.
    confirm().catch(() => undefined);
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
    const { result, loan } = await this.#takeEvents(limit, "", bound);
    return { result, confirm: () => this.#confirm(loan, [], 0, 0) };
  }

  /** Confirms the events of one loan, and takes the next ones. */
  async #takeEvents(
    limit: number = LIMITS.list_default,
    confirmed: string,
    bound?: Pick<ResultBound, "bytes">,
  ): Promise<{ result: NotificationsResult; loan: string }> {
    const args = { limit: String(checkLimit(limit)), bytes: String(bound?.bytes ?? 0), confirmed };
    return readNotifications(await this.speaker.run("notifications", { ...args, loan_seconds: this.#loanSeconds }));
  }

  /** This instance's events, those that wait and those to come, in order. One is confirmed when the next is asked for. */
  async *events({ signal }: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<
    CoordinationEvent,
    void,
    undefined
  > {
    let loan = "";
    const take = async (): Promise<NotificationsResult> => {
      const taken = await this.#takeEvents(EVENTS_AT_ONCE, loan);
      loan = taken.loan;
      return taken.result;
    };
    const milliseconds = this.settings.loanSeconds * 1000;
    const hasSome = ({ count }: NotificationsResult): boolean => count > 0;
    const taken = takeForever(this.store, this.sweeper, this.speaker.instance, milliseconds, signal, take, hasSome);
    try {
      for await (const { notifications } of taken) yield* notifications;
    } finally {
      // Also when the loop is left: this event has been handed over. With Redis away it comes again after its loan.
      await this.#confirm(loan, [], 0, 0).catch((error: unknown) => {
        if (!CoordinationError.is(error) || !AWAY.has(error.code)) throw error;
      });
    }
  }

  /** What this agent, which did not ask, should be shown now; lent until `confirmMail`. See lua/collect.lua. */
  async collectMail(moment: MailMoment, limit: number, bound: ResultBound, waker = ""): Promise<Mail> {
    const bounds = {
      limit: String(limit),
      bytes: String(bound.bytes),
      description_bytes: String(bound.descriptionBytes),
    };
    const reply = await this.speaker.run("collect", { moment, waker, ...bounds, loan_seconds: this.#loanSeconds });
    return readMail(reply, moment);
  }

  /** Whether `collectMail("tool")` may find anything: false is certain. Keeps this instance's presence as well. */
  async hasMail(): Promise<boolean> {
    return (await this.speaker.run("glance", {})) !== "NOTHING";
  }

  /**
   * What was shown of the mail has reached the agent: its messages count as presented, its events never come again. The rest
   * is given back, for the next one who asks.
   */
  async confirmMail({ moment, loan, messages, reminders }: Mail, shown: number = messages.length): Promise<void> {
    // Held back once for each message, and counted when it has learnt why: the next stop makes up for a hook that died.
    const reminded = moment === "stop" ? reminders : [];
    const ids = [...reminded, ...messages].map(({ id }) => id);
    await this.#confirm(loan, ids, reminded.length, shown);
  }

  async #confirm(loan: string, ids: readonly string[], reminded: number, shown: number): Promise<void> {
    if (loan === "" && ids.length === 0) return;
    await this.speaker.run("confirm", { loan, reminded: String(reminded), shown: String(shown) }, ids);
  }

  /**
   * Begins or renews the session of this run of an agent; a session of somebody else is superseded, or with `unlessTaken`
   * this one is refused while the other is there.
   *
   * @throws CoordinationError SUPERSEDED
   */
  async join(run: AgentRun, options: JoinOptions = {}): Promise<Joined> {
    return this.speaker.join(run, options);
  }

  /** Joins and beats by itself until `leave` or `close`. Never fails: while Redis is away, each beat tries again. */
  async stay(run: AgentRun, options: JoinOptions = {}): Promise<void> {
    await this.speaker.stay(run, options);
  }

  /** Ends the session: offline at once. */
  async leave(): Promise<void> {
    await this.speaker.leave();
  }

  /** Whether this client still speaks for its instance, or a newer session does. */
  async speaks(): Promise<boolean> {
    return this.speaker.speaks();
  }

  /** One line for presence about what the agent does; empty removes it. */
  async setActivity(activity: string): Promise<void> {
    await this.speaker.setActivity(checkActivity(activity));
  }

  /** Makes this client's waker the only one of the session, or with `""` sends the present one away. */
  async takeWakerPlace(waker: string): Promise<void> {
    await this.speaker.run("waker", { waker, seconds: String(WAKER_SECONDS) });
  }

  /** Listens for what is published to this instance; resolves, once it listens, to what ends it. */
  async listen(listener: (event: string | undefined) => void): Promise<() => Promise<void>> {
    return this.store.listen(this.speaker.instance, listener);
  }

  /** Makes this instance known before it starts, so that broadcasts reach it. */
  async registerInstance(): Promise<void> {
    await this.store.run("register", { instance: this.speaker.instance });
  }

  get #loanSeconds(): string {
    return String(this.settings.loanSeconds);
  }
}
