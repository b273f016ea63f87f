/** Where a fault happens: one Redis and the load on it, from the first message to the balance. */
import path from "node:path";
import type { Redis } from "../raw-redis.ts";
import { type Balance, takeBalance } from "./balance.ts";
import { Actor, eventually, READER_ROLES, type Role, type Task } from "./load.ts";

/** Longer than anything takes to come back, a connection that stalls for good (5 s) and the wait for it included. */
const FLOW_WITHIN_MILLISECONDS = 30_000;

export interface LoadShape extends Partial<Omit<Task, "instance" | "role" | "env" | "prefix" | "log" | "recipients">> {
  publishers?: number;
  readers?: readonly Role[];
  /** So many further instances are known, and get what is for all. */
  crowd?: number;
}

export interface Ground {
  /** For logs. */
  folder: string;
  /** As the actors reach Redis, by the variables of the client. */
  env: Record<string, string>;
  prefix: string;
  /** As the balance reaches it, behind our programs. */
  raw: () => Promise<Redis>;
}

export class Scene {
  readonly publishers: readonly Actor[];
  readonly readers: readonly Actor[];
  readonly #ground: Ground;

  private constructor(ground: Ground, publishers: readonly Actor[], readers: readonly Actor[]) {
    this.#ground = ground;
    this.publishers = publishers;
    this.readers = readers;
  }

  /** Resolves when messages flow. */
  static async begin(ground: Ground, load: LoadShape): Promise<Scene> {
    const { publishers = 3, readers = READER_ROLES, crowd = 0, ...shape } = load;
    const raw = await ground.raw();
    for (let i = 0; i < crowd; i++) {
      const entry = { last_heartbeat: new Date().toISOString(), left: false, session: {} };
      await raw.hset(`${ground.prefix}:presence`, `crowd-${i}`, JSON.stringify(entry));
    }
    const recipients = readers.map((role, i) => `${role}-${i}`);
    const actor = (instance: string, role: Role, i: number): Actor =>
      new Actor({
        acknowledges: true,
        keyed: i % 2 === 0,
        insists: true,
        descriptionBytes: 400,
        broadcastEvery: 4,
        pauseMilliseconds: 5,
        dawdleMilliseconds: 0,
        ...shape,
        instance,
        role,
        recipients,
        env: ground.env,
        prefix: ground.prefix,
        log: path.join(ground.folder, `${instance}.log`),
      });
    const reading = readers.map((role, i) => actor(recipients[i]!, role, i));
    const writing = Array.from({ length: publishers }, (_, i) => actor(`publisher-${i}`, "publisher", i));
    const scene = new Scene(ground, writing, reading);
    await scene.flows();
    return scene;
  }

  get actors(): readonly Actor[] {
    return [...this.publishers, ...this.readers];
  }

  /** Resolves when every publisher has a receipt that is younger than this call, to the milliseconds until then. */
  async flows(): Promise<number> {
    const began = performance.now();
    const marks = this.publishers.map((publisher) => publisher.read().length);
    await eventually("every publisher gets a receipt", FLOW_WITHIN_MILLISECONDS, () =>
      this.publishers.every((publisher, i) => publisher.since(marks[i]!, "stored").length > 0),
    );
    return performance.now() - began;
  }

  /** Lets everybody finish, and compares what they wrote down with what is stored. */
  async end(): Promise<Balance> {
    const problems = await Promise.all(this.publishers.map((publisher) => publisher.finish()));
    const { prefix, env } = this.#ground;
    const raw = await this.#ground.raw();
    // What is still missing after that stays missing, and the balance says so.
    await eventually("every reader has shown its inbox", FLOW_WITHIN_MILLISECONDS, async () => {
      for (const reader of this.readers) {
        const shown = new Set(reader.since(0, "shown").flatMap(({ ids }) => ids!));
        const inbox = await raw.zrange(`${prefix}:inbox:${reader.task.instance}`, "0", "-1");
        if (inbox.some((id) => !shown.has(id))) return false;
      }
      return true;
    }).catch(() => undefined);
    problems.push(...(await Promise.all(this.readers.map((reader) => reader.finish()))));
    const found = problems.filter((problem) => problem !== undefined);
    return takeBalance(raw, prefix, env, this.publishers, this.readers, found);
  }

  /** Nobody is left running, whatever happened. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.actors.map((actor) => actor.kill()));
  }
}
