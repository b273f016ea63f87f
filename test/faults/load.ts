/** The load: real processes that publish and read with the built library, and what they have written down. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const ACTOR = path.resolve("test/faults/actor.mjs");
const POLL_MILLISECONDS = 5;
const LOG_CHUNK_BYTES = 1 << 20;
/** Longer than an actor insists. */
const END_WITHIN_MILLISECONDS = 60_000;

/** `inbox` reads on from a cursor, `events` takes events, `mail` does as a hook, `watch` as `coord watch`. */
export const READER_ROLES = ["inbox", "events", "mail", "watch"] as const;
export type Role = "publisher" | (typeof READER_ROLES)[number];

export interface Task {
  instance: string;
  role: Role;
  prefix: string;
  log: string;
  /** Where Redis is, and how the client is to be; by the names of its variables. */
  env: Record<string, string>;
  recipients: readonly string[];
  /** Whether a publisher gives keys of its own; else it leaves them to the client. */
  keyed: boolean;
  /** Whether a publisher sends the same message until it has a receipt. */
  insists: boolean;
  descriptionBytes: number;
  /** Every n-th message is for all. */
  broadcastEvery: number;
  /** Whether readers do. Unlike publishes, acknowledgements do not wait for replicas. */
  acknowledges: boolean;
  /** At most so long between two messages. */
  pauseMilliseconds: number;
  /** At most so long between taking and showing. */
  dawdleMilliseconds: number;
}

/** A line of a log, see actor.mjs. */
export interface Entry {
  at: number;
  step: "try" | "stored" | "failed" | "taken" | "shown" | "acked" | "skipped";
  n?: number;
  id?: string;
  ids?: string[];
  request?: { subject: string; to: string; idempotencyKey?: string };
  what?: string;
  code?: string;
  message?: string;
  repeated?: boolean;
}

export class Actor {
  readonly task: Task;
  readonly entries: Entry[] = [];
  #process!: ChildProcess;
  #stderr = "";
  #offset = 0;
  #rest = "";

  constructor(task: Task) {
    this.task = task;
    this.start();
  }

  get isReader(): boolean {
    return this.task.role !== "publisher";
  }

  start(): void {
    this.#process = spawn(process.execPath, [ACTOR, JSON.stringify(this.task)], { stdio: ["pipe", "ignore", "pipe"] });
    this.#process.stdin?.on("error", () => undefined); // it was killed
    this.#process.stderr?.on("data", (text: Buffer) => (this.#stderr += text.toString()));
  }

  async kill(): Promise<void> {
    const ended = once(this.#process, "exit");
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGKILL");
    await ended;
  }

  /** Held, it does nothing, and its connections stay open. */
  hold(): void {
    this.#process.kill("SIGSTOP");
  }

  resume(): void {
    this.#process.kill("SIGCONT");
  }

  /** Lets it finish what it has begun. Resolves to what went wrong with it. */
  async finish(): Promise<string | undefined> {
    const process = this.#process;
    const running = process.exitCode === null && process.signalCode === null;
    const timer = setTimeout(() => process.kill("SIGKILL"), END_WITHIN_MILLISECONDS);
    if (running) {
      process.stdin?.write("stop\n");
      await once(process, "exit");
    }
    clearTimeout(timer);
    this.read();
    if (process.exitCode === 0) return undefined;
    return `${this.task.instance} ended with ${process.exitCode ?? process.signalCode}: ${this.#stderr.slice(0, 2000)}`;
  }

  /** What it has written since the last call goes to `entries`. */
  read(): readonly Entry[] {
    if (!existsSync(this.task.log)) return this.entries;
    const file = openSync(this.task.log, "r");
    try {
      const chunk = Buffer.alloc(LOG_CHUNK_BYTES);
      for (;;) {
        const length = readSync(file, chunk, 0, chunk.length, this.#offset);
        if (length === 0) return this.entries;
        this.#offset += length;
        const lines = (this.#rest + chunk.toString("latin1", 0, length)).split("\n");
        this.#rest = lines.pop()!;
        for (const line of lines) this.entries.push(JSON.parse(line) as Entry);
      }
    } finally {
      closeSync(file);
    }
  }

  /** Entries of these steps written after those that were there when `mark` was taken. */
  since(mark: number, ...steps: Entry["step"][]): Entry[] {
    return this.read()
      .slice(mark)
      .filter(({ step }) => steps.includes(step));
  }
}

/** Resolves once `probe` holds. */
export async function eventually(what: string, milliseconds: number, probe: () => unknown): Promise<void> {
  const deadline = performance.now() + milliseconds;
  while (!(await probe())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${milliseconds} ms`);
    await sleep(POLL_MILLISECONDS);
  }
}
