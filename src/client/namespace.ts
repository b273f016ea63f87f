/** What concerns the whole namespace, and so works without a name; the half of the client that is not about one instance. */
import { LIMITS } from "../protocol/definition.ts";
import type {
  CheckResult,
  ForgetResult,
  ForgetUnseenResult,
  ImportResult,
  NamespaceSettings,
  PresenceResult,
  StatsResult,
  SweepResult,
} from "../protocol/results.ts";
import {
  checkInstance,
  checkLimit,
  checkMessageId,
  checkMessageIds,
  checkSetting,
  checkSettingName,
  checkUnseenSeconds,
} from "../protocol/validation.ts";
import { accessRule, type AccessRule } from "../store/acl.ts";
import { inspectServer, type ServerFacts } from "../store/inspect.ts";
import { Store } from "../store/store.ts";
import { exportLines, importLines } from "./archive.ts";
import { namespaceArgument } from "./publishing.ts";
import { readNamespaceSettings, readPage, readPages, readStats, readStatsPage, readSweep } from "./replies.ts";
import type { Settings } from "./settings.ts";
import { FIRST, Speaker } from "./speaker.ts";
import { Sweeper } from "./waiting.ts";

/** As forget.lua returns it. */
interface ForgetStep {
  pending: number;
  more: boolean;
  seen: boolean;
}

export class NamespaceClient {
  readonly settings: Settings;
  protected readonly store: Store;
  protected readonly speaker: Speaker;
  protected readonly sweeper: Sweeper;

  /** Connects with the first call. */
  constructor(settings: Settings) {
    this.settings = settings;
    this.store = new Store(settings.connection, settings.keyPrefix);
    this.sweeper = new Sweeper(() => this.#sweep());
    this.speaker = new Speaker(this.store, settings, this.sweeper);
  }

  /** @throws CoordinationError UNAVAILABLE */
  async open(): Promise<void> {
    await this.store.open();
  }

  /**
   * One message whole with everybody's receipts, or its conversation, oldest first, at most 1,000. Without `mark` nothing
   * counts as presented by it.
   *
   * @throws CoordinationError INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT
   */
  async showMessage(
    messageId: string,
    { thread = false, mark = true }: { thread?: boolean; mark?: boolean } = {},
  ): Promise<CheckResult> {
    const id = checkMessageId(messageId, "message_id");
    const pages = [];
    for (let since = "", left: number = LIMITS.list_maximum; ;) {
      const args = { message_id: id, thread: thread ? "1" : "0", since, limit: String(left), mark: mark ? "1" : "0" };
      const page = readPage(await this.speaker.read("show", args));
      pages.push(page);
      since = page.next_since ?? "";
      left -= page.messages.length + page.unreadable.length;
      if (left <= 0) page.step = false;
      if (!page.step) return readPages(pages, true);
    }
  }

  /** Every instance that has been seen, by name. */
  async getPresence(): Promise<PresenceResult> {
    return this.speaker.presences();
  }

  /** What the namespace holds. */
  async getStats(): Promise<StatsResult> {
    const pages = [];
    for (let cursor = FIRST; ; cursor = pages.at(-1)!.cursor) {
      pages.push(readStatsPage(await this.speaker.read("stats", { cursor })));
      if (pages.at(-1)!.cursor === FIRST) return readStats(pages);
    }
  }

  /** Listens for everything that happens in the namespace. */
  async listenToAll(listener: (event: string | undefined) => void): Promise<() => Promise<void>> {
    return this.store.listen(undefined, listener);
  }

  /**
   * Takes an instance out of presence and so out of broadcasts; nobody can send to it until it is seen again. What it has not
   * acknowledged is dead, and holds nothing up; its messages stay. After an interruption, call it again.
   *
   * @throws CoordinationError INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT
   */
  async forgetInstance(instance: string): Promise<ForgetResult> {
    return (await this.#forget(checkInstance(instance, "instance"), ""))!;
  }

  /**
   * Forgets every instance that was not seen for so many seconds.
   *
   * @throws CoordinationError INVALID, UNAVAILABLE, TIMEOUT
   */
  async forgetUnseen(seconds: number): Promise<ForgetUnseenResult> {
    const unseen = checkUnseenSeconds(seconds);
    const { instances } = await this.getPresence();
    const forgotten = [];
    for (const { instanceId, secondsSinceHeartbeat } of Object.values(instances)) {
      if (secondsSinceHeartbeat === null || secondsSinceHeartbeat < unseen) continue;
      const result = await this.#forget(instanceId, String(unseen));
      if (result !== undefined) forgotten.push(result);
    }
    return { forgotten };
  }

  /** Undefined where it was seen in the meantime. */
  async #forget(instance: string, unseenSeconds: string): Promise<ForgetResult | undefined> {
    for (let pending = 0; ;) {
      const args = { instance, unseen_seconds: unseenSeconds };
      const step = JSON.parse((await this.store.run("forget", args)) as string) as ForgetStep;
      if (step.seen) return undefined;
      pending += step.pending;
      if (!step.more) return { instance, pending };
    }
  }

  /**
   * Does what is due for everybody, a bounded part of it: announces what is overdue, tells its sender, lists it as dead, and
   * takes what retention lets go. Clients with a session, and those that wait, do it by themselves.
   */
  async sweep(): Promise<SweepResult> {
    return (await this.#sweep()).result;
  }

  /** The share of the work that a long-lived client does, when it is due. Resolves to the milliseconds until the next. */
  async sweepWhenDue(): Promise<number> {
    return this.sweeper.sweepWhenDue();
  }

  async #sweep(): Promise<ReturnType<typeof readSweep>> {
    return readSweep(await this.speaker.read("sweep", { orchestrator: this.settings.orchestrator }));
  }

  /** Messages that nobody is reminded of any more, those that died first first, with all receipts. */
  async listDead({ limit }: { limit?: number | undefined } = {}): Promise<CheckResult> {
    return this.#dead("list", limit === undefined ? LIMITS.list_default : checkLimit(limit), []);
  }

  /**
   * Announces dead messages anew, with a new deadline. Returns them as they are then.
   *
   * @throws CoordinationError INVALID, NOT_FOUND for one that is not dead; then none is retried
   */
  async retryDead(messageIds: readonly string[]): Promise<CheckResult> {
    return this.#dead("retry", 0, checkMessageIds(messageIds));
  }

  /** Asks nobody for dead messages any more: they are settled, without being acknowledged. As `retryDead`. */
  async dropDead(messageIds: readonly string[]): Promise<CheckResult> {
    return this.#dead("drop", 0, checkMessageIds(messageIds));
  }

  async #dead(action: "list" | "retry" | "drop", limit: number, ids: readonly string[]): Promise<CheckResult> {
    const pages = [];
    for (let cursor = "", left = limit; ;) {
      const page = readPage(await this.speaker.read("dead", { action, limit: String(left), cursor }, ids));
      pages.push(page);
      left -= page.messages.length + page.unreadable.length;
      cursor = page.cursor ?? "";
      if (cursor === "") return readPages(pages, true);
    }
  }

  /** What acts on everyone in this namespace. */
  async getNamespaceSettings(): Promise<NamespaceSettings> {
    return this.#settings("", "");
  }

  /**
   * Changes one of them, by its name in `P:meta`, for everyone from now on.
   *
   * @throws CoordinationError INVALID, UNAVAILABLE, TIMEOUT
   */
  async changeNamespaceSetting(name: string, value: number): Promise<NamespaceSettings> {
    const known = checkSettingName(name);
    return this.#settings(known, String(checkSetting(value, known)));
  }

  /** The whole namespace as lines of JSON, without line ends; what belongs to running sessions is left out. */
  exportLines(): AsyncGenerator<string, void, undefined> {
    return exportLines(this.speaker, this.settings.keyPrefix);
  }

  /**
   * Puts back what was exported, here or elsewhere; what is here already stays as it is, so that it may be run again.
   *
   * @throws CoordinationError INVALID for what is no export, or ends too early; UNAVAILABLE, TIMEOUT
   */
  async importLines(
    lines: AsyncIterable<string>,
    onProgress: (result: ImportResult) => void = () => undefined,
  ): Promise<ImportResult> {
    return importLines(this.speaker, lines, onProgress);
  }

  async #settings(name: string, value: string): Promise<NamespaceSettings> {
    const args = { name, value, settings: namespaceArgument(this.settings.namespace) };
    return readNamespaceSettings(await this.speaker.read("settings", args));
  }

  /** What can be seen of the server itself; nothing is changed. @throws CoordinationError UNAVAILABLE */
  async inspectServer(): Promise<ServerFacts> {
    return inspectServer(this.settings.connection, this.settings.keyPrefix);
  }

  /** The Redis user that this namespace needs, and no more. Needs no Redis. @throws CoordinationError INVALID */
  accessRule(user: string): AccessRule {
    return accessRule(this.settings.keyPrefix, checkInstance(user, "user"));
  }

  close(): void {
    this.speaker.stop();
    this.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
