/** The deep module: every operation of the protocol, for one instance, over one connection. */
import { LIMITS } from "../protocol/definition.ts";
import { type AckRefusal, CoordinationError } from "../protocol/errors.ts";
import type {
  AckResult,
  CheckRequest,
  CheckResult,
  CoordinationEvent,
  ForgetResult,
  ForgetUnseenResult,
  ImportResult,
  Joined,
  JoinOptions,
  NamespaceSettings,
  NotificationsResult,
  PresenceResult,
  PublishRequest,
  PublishResult,
  SessionFacts,
  StatsResult,
  SweepResult,
} from "../protocol/results.ts";
import { checkActivity, checkComment, checkMessageIds } from "../protocol/validation.ts";
import { exportLines, importLines } from "./archive.ts";
import { check, showMessage } from "./checking.ts";
import { confirmShown, eachEvent, takeNotifications } from "./loans.ts";
import { Namespace } from "./namespace.ts";
import type { ClientOptions } from "./options.ts";
import { Publisher } from "./publishing.ts";
import { readAcks } from "./replies.ts";
import { search } from "./searching.ts";
import { Session } from "./session.ts";
import { requireIdentity, resolveSettings, type Settings } from "./settings.ts";

/**
 * Connects and returns a client that reconnects by itself; close it, or declare it with `await using`.
 *
 * @throws CoordinationError IDENTITY without an instance name, INVALID for a malformed setting, UNAVAILABLE when Redis
 *   does not answer within 3 seconds, or is silent for half a second in one step of connecting, or a failover is not over
 *   within 5
 */
export async function getCoordinationClient({ session, ...options }: ClientOptions = {}): Promise<CoordinationClient> {
  const settings = resolveSettings(options);
  requireIdentity(settings);
  const client = new CoordinationClient(settings);
  try {
    await client.session.store.open();
    if (session !== undefined) await client.stay(session);
  } catch (error) {
    client.close();
    throw error;
  }
  return client;
}

/** What is marked as internal does not stand in the published types. */
export class CoordinationClient {
  /** @internal */
  readonly session: Session;
  readonly #publisher: Publisher;
  readonly #namespace: Namespace;

  /** Connects with the first call. @internal */
  constructor(settings: Settings) {
    this.session = new Session(settings);
    this.#publisher = new Publisher(this.session);
    this.#namespace = new Namespace(this.session);
  }

  /** Keeps this instance's presence. Every other operation of a named instance does so as well. */
  async touch(): Promise<void> {
    await this.session.run("touch", {});
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
    return this.#publisher.publish(request);
  }

  /**
   * Reads messages; what it returns to one of its recipients counts as presented to it. With `waitSeconds` it returns as
   * soon as something matches.
   *
   * @throws CoordinationError INVALID, NOT_FOUND (`messageId`, `thread`, a cursor), SUPERSEDED, UNAVAILABLE, TIMEOUT
   */
  async checkMessages(request: CheckRequest = {}): Promise<CheckResult> {
    return check(this.session, request, { mark: true });
  }

  /**
   * As `checkMessages`, but nothing counts as presented before `confirm`: for whoever has to show it first. Not confirmed, it
   * comes again.
   */
  async takeMessages(request: CheckRequest = {}): Promise<{ result: CheckResult; confirm: () => Promise<void> }> {
    const result = await check(this.session, request, { mark: false });
    return { result, confirm: () => confirmShown(this.session, result) };
  }

  /** As `checkMessages` with the longest wait, unless `waitSeconds` says otherwise. */
  async waitForMessages(request: CheckRequest = {}): Promise<CheckResult> {
    return this.checkMessages({ waitSeconds: LIMITS.wait_seconds_maximum, ...request });
  }

  /**
   * One message whole with everybody's receipts, or its conversation, oldest first, at most 1,000.
   *
   * @throws CoordinationError INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT
   */
  async showMessage(messageId: string, { thread = false }: { thread?: boolean } = {}): Promise<CheckResult> {
    return showMessage(this.session, messageId, { thread, mark: true });
  }

  /**
   * Finds messages of the whole namespace, newest first; nothing counts as presented. All words of the query are required, as
   * parts of the subject, the description or a comment; docs/protocol.md has the rest of the language. After two seconds it
   * ends with `stoppedEarly`: go on from `nextBefore`.
   *
   * @throws CoordinationError INVALID, NOT_FOUND (a cursor), SUPERSEDED, UNAVAILABLE, TIMEOUT
   */
  async searchMessages(
    query: string,
    { limit, before }: { limit?: number | undefined; before?: string | undefined } = {},
  ): Promise<CheckResult> {
    return search(this.session, query, { limit, before });
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
    const me = this.session.instance;
    const several = Array.isArray(messageId);
    const ids = checkMessageIds(several ? messageId : [messageId]);
    const args = { comment: comment === undefined ? "" : checkComment(comment) };
    const results = readAcks(await this.session.run("ack", args, ids), ids, me);
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
   * As `getNotifications`, but on loan: events that are not confirmed within 10 seconds come again. For whoever
   * has to show them first.
   */
  async takeNotifications({ limit }: { limit?: number | undefined } = {}): Promise<{
    result: NotificationsResult;
    confirm: () => Promise<void>;
  }> {
    return takeNotifications(this.session, limit);
  }

  /** This instance's events, those that wait and those to come, in order. One is confirmed when the next is asked for. */
  events({ signal }: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<CoordinationEvent, void, undefined> {
    return eachEvent(this.session, signal);
  }

  /** Every instance that has been seen, by name. */
  async getPresence(): Promise<PresenceResult> {
    return this.session.presences();
  }

  /**
   * Begins or renews the session of this run of an agent; a session of somebody else is superseded, or with `unlessTaken`
   * this one is refused while the other is there.
   *
   * @throws CoordinationError SUPERSEDED
   */
  async join(run: SessionFacts, options: JoinOptions = {}): Promise<Joined> {
    return this.session.join(run, options);
  }

  /** Joins and beats by itself until `leave` or `close`. Never fails: while Redis is away, each beat tries again. */
  async stay(run: SessionFacts, options: JoinOptions = {}): Promise<void> {
    await this.session.stay(run, options);
  }

  /** Ends the session: offline at once. */
  async leave(): Promise<void> {
    await this.session.leave();
  }

  /** Whether this client still speaks for its instance, or a newer session does. */
  async speaks(): Promise<boolean> {
    return this.session.speaks();
  }

  /** One line for presence about what the agent does; empty removes it. */
  async setActivity(activity: string): Promise<void> {
    await this.session.setActivity(checkActivity(activity));
  }

  /** Makes this instance known before it starts, so that broadcasts reach it. */
  async registerInstance(): Promise<void> {
    await this.session.store.run("register", { instance: this.session.instance });
  }

  /** What the namespace holds. */
  async getStats(): Promise<StatsResult> {
    return this.#namespace.getStats();
  }

  /**
   * Takes an instance out of presence and so out of broadcasts; nobody can send to it until it is seen again. What it has not
   * acknowledged is dead, and holds nothing up; its messages stay. After an interruption, call it again.
   *
   * @throws CoordinationError INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT
   */
  async forgetInstance(instance: string): Promise<ForgetResult> {
    return this.#namespace.forgetInstance(instance);
  }

  /**
   * Forgets every instance that was not seen for so many seconds.
   *
   * @throws CoordinationError INVALID, UNAVAILABLE, TIMEOUT
   */
  async forgetUnseen(seconds: number): Promise<ForgetUnseenResult> {
    return this.#namespace.forgetUnseen(seconds);
  }

  /**
   * Does what is due for everybody, a bounded part of it: announces what is overdue, tells its sender, lists it as dead, and
   * takes what retention lets go. Clients with a session, and those that wait, do it by themselves.
   */
  async sweep(): Promise<SweepResult> {
    return (await this.session.sweep()).result;
  }

  /** Messages that nobody is reminded of any more, those that died first first, with all receipts. */
  async listDead({ limit }: { limit?: number | undefined } = {}): Promise<CheckResult> {
    return this.#namespace.listDead(limit);
  }

  /**
   * Announces dead messages anew, with a new deadline. Returns them as they are then.
   *
   * @throws CoordinationError INVALID, NOT_FOUND for one that is not dead; then none is retried
   */
  async retryDead(messageIds: readonly string[]): Promise<CheckResult> {
    return this.#namespace.retryDead(messageIds);
  }

  /** Asks nobody for dead messages any more: they are settled, without being acknowledged. As `retryDead`. */
  async dropDead(messageIds: readonly string[]): Promise<CheckResult> {
    return this.#namespace.dropDead(messageIds);
  }

  /**
   * Settles messages that nobody will answer, without being acknowledged: as their sender, the orchestrator or the operator for
   * all who have not, as a recipient for oneself. Returns them as they are then.
   *
   * @throws CoordinationError INVALID, NOT_FOUND for one that nobody is asked for, NOT_RECIPIENT; then none is dropped
   */
  async dropMessages(messageIds: readonly string[]): Promise<CheckResult> {
    return this.#namespace.drop(messageIds);
  }

  /** What acts on everyone in this namespace. */
  async getNamespaceSettings(): Promise<NamespaceSettings> {
    return this.#namespace.getSettings();
  }

  /**
   * Changes one of them, by its name in `P:meta`, for everyone from now on.
   *
   * @throws CoordinationError INVALID, UNAVAILABLE, TIMEOUT
   */
  async changeNamespaceSetting(name: string, value: number | string): Promise<NamespaceSettings> {
    return this.#namespace.changeSetting(name, value);
  }

  /** The whole namespace as lines of JSON, without line ends; what belongs to running sessions is left out. */
  exportLines(): AsyncGenerator<string, void, undefined> {
    return exportLines(this.session);
  }

  /**
   * Puts back what was exported, here or elsewhere; what is here already stays as it is, so that it may be run again.
   *
   * @param onProgress told after each line
   * @throws CoordinationError INVALID for what is no export, or ends too early; UNAVAILABLE, TIMEOUT
   */
  async importLines(
    lines: AsyncIterable<string>,
    onProgress: (result: ImportResult) => void = () => undefined,
  ): Promise<ImportResult> {
    return importLines(this.session, lines, onProgress);
  }

  /** Ends the heartbeats and the connections. A session is left with `leave`; without, it turns stale by itself. */
  close(): void {
    this.session.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
