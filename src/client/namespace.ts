/** What concerns the whole namespace and no instance, and so works without a name. */
import { steps } from "./steps.ts";
import { FIRST, type Session } from "./session.ts";
import { LIMITS } from "../protocol/definition.ts";
import type {
  CheckResult,
  ForgetResult,
  ForgetUnseenResult,
  NamespaceSettings,
  StatsResult,
} from "../protocol/results.ts";
import {
  checkInstance,
  checkLimit,
  checkMessageIds,
  checkSetting,
  checkSettingName,
  checkUnseenSeconds,
} from "../protocol/validation.ts";
import { namespaceArgument } from "./publishing.ts";
import { readNamespaceSettings, readPage, readPages, readStats, readStatsPage } from "./replies.ts";

/** As forget.lua returns it. */
interface ForgetStep {
  pending: number;
  more: boolean;
  seen: boolean;
}

/** What each does for its caller is said at the method of the client that has its name. */
export class Namespace {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async getStats(): Promise<StatsResult> {
    const pages = [];
    let cursor = FIRST;
    for (const _ of steps()) {
      const page = readStatsPage(await this.#session.read("stats", { cursor }));
      pages.push(page);
      cursor = page.cursor;
      if (cursor === FIRST) break;
    }
    return readStats(pages);
  }

  async forgetInstance(instance: string): Promise<ForgetResult> {
    return (await this.#forget(checkInstance(instance, "instance"), ""))!;
  }

  async forgetUnseen(seconds: number): Promise<ForgetUnseenResult> {
    const unseen = checkUnseenSeconds(seconds);
    const { instances } = await this.#session.presences();
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
    let pending = 0;
    for (const _ of steps()) {
      const args = { instance, unseen_seconds: unseenSeconds };
      const step = (await this.#session.store.run("forget", args)) as ForgetStep;
      if (step.seen && unseenSeconds !== "") return undefined;
      pending += step.pending;
      if (!step.more) break;
    }
    return { instance, pending };
  }

  async listDead(limit: number | undefined): Promise<CheckResult> {
    return this.#dead("list", limit === undefined ? LIMITS.list_default : checkLimit(limit), []);
  }

  async retryDead(messageIds: readonly string[]): Promise<CheckResult> {
    return this.#dead("retry", 0, checkMessageIds(messageIds));
  }

  async dropDead(messageIds: readonly string[]): Promise<CheckResult> {
    return this.#dead("drop", 0, checkMessageIds(messageIds));
  }

  async drop(messageIds: readonly string[]): Promise<CheckResult> {
    return this.#dead("settle", 0, checkMessageIds(messageIds));
  }

  async #dead(
    action: "list" | "retry" | "drop" | "settle",
    limit: number,
    ids: readonly string[],
  ): Promise<CheckResult> {
    const pages = [];
    let [cursor, left] = ["", limit];
    for (const _ of steps()) {
      const { orchestrator } = this.#session.settings;
      const args = { action, limit: String(left), cursor, orchestrator };
      const page = readPage(await this.#session.read("dead", args, ids));
      pages.push(page);
      left -= page.messages.length + page.unreadable.length;
      cursor = page.cursor ?? "";
      if (cursor === "") break;
    }
    return readPages(pages, true);
  }

  async getSettings(): Promise<NamespaceSettings> {
    return this.#settings("", "");
  }

  async changeSetting(name: string, value: number | string): Promise<NamespaceSettings> {
    const known = checkSettingName(name);
    return this.#settings(known, String(checkSetting(value, known)));
  }

  async #settings(name: string, value: string): Promise<NamespaceSettings> {
    const args = { name, value, settings: namespaceArgument(this.#session.settings.namespace) };
    return readNamespaceSettings(await this.#session.read("settings", args));
  }
}
