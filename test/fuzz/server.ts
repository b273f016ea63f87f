/** `coord mcp` as a process, driven by bytes: what a client of any quality may send it. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { promisify } from "node:util";

export const ROOT: string = process.cwd();
/** Answers are due within this; a server that needs longer hangs. */
const ANSWER_WITHIN_MS = 60_000;

export interface Answer {
  id: string | number;
  result?: Record<string, unknown>;
  error?: { code: number; message: string };
}

export class McpProcess implements AsyncDisposable {
  readonly process: ChildProcess;
  /** How many answers each id has got. */
  readonly answers: Map<string | number, Answer[]> = new Map();
  /** Lines that were no answer: answers without an id, and notifications. */
  others = 0;
  /** What it wrote that is no JSON-RPC; nothing may. */
  readonly noise: string[] = [];
  #rest = "";
  #changed: () => void = () => undefined;
  #drained: () => void = () => undefined;

  constructor(instance: string, redis: string) {
    const env = { PATH: process.env["PATH"], CLAUDE_INSTANCE_ID: instance, REDIS_URL: redis };
    this.process = spawn(process.execPath, [path.join(ROOT, "dist/coord.cjs"), "mcp"], {
      env,
      cwd: "/",
      stdio: "pipe",
    });
    this.process.stdin!.on("error", () => undefined); // its end is seen by whoever waits for an answer
    this.process.stdout!.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    this.process.stderr!.setEncoding("utf8").on("data", (text: string) => this.noise.push(text));
    this.process.stdin!.on("drain", () => this.#drained());
    this.process.once("exit", () => {
      this.#changed();
      this.#drained();
    });
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) {
      let message: Partial<Answer> & { jsonrpc?: string };
      try {
        message = JSON.parse(line) as typeof message;
      } catch {
        this.noise.push(line);
        continue;
      }
      if (message.jsonrpc !== "2.0") this.noise.push(line);
      if (message.id === undefined || message.id === null) this.others++;
      else this.answers.set(message.id, [...(this.answers.get(message.id) ?? []), message as Answer]);
    }
    this.#changed();
  }

  get alive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Resolves when the pipe takes more, or the process has ended. */
  async write(bytes: string | Uint8Array): Promise<void> {
    if (this.process.stdin!.write(bytes) || !this.alive) return;
    await new Promise<void>((resolve) => (this.#drained = resolve));
  }

  async request(id: string | number, method: string, params: object): Promise<Answer> {
    await this.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    return this.answer(id);
  }

  /** The first answer to a request. @throws Error when the process ends or is silent */
  async answer(id: string | number): Promise<Answer> {
    const deadline = performance.now() + ANSWER_WITHIN_MS;
    for (;;) {
      const [answer] = this.answers.get(id) ?? [];
      if (answer !== undefined) return answer;
      const left = deadline - performance.now();
      if (!this.alive || left <= 0) throw new Error(`no answer to ${id}; ${this.alive ? "it hangs" : "it has ended"}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async initialize(id: string | number): Promise<void> {
    const clientInfo = { name: "fuzz", version: "0" };
    await this.request(id, "initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo });
    await this.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
  }

  /** The result of a tool as an agent reads it. */
  async call(id: string | number, tool: string, args: object): Promise<Record<string, unknown>> {
    const { result } = await this.request(id, "tools/call", { name: tool, arguments: args });
    const [content] = (result?.["content"] ?? []) as { text: string }[];
    return JSON.parse(content?.text ?? "{}") as Record<string, unknown>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.alive) return;
    this.process.kill("SIGKILL");
    await once(this.process, "exit");
  }
}

/** Bytes of memory that a process occupies. */
export async function residentBytes(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)("ps", ["-o", "rss=", "-p", String(pid)]);
  return Number(stdout) * 1024;
}
