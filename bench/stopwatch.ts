/** Times whole processes, from a small process that starts them: see stopwatch.py. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

export type Line = readonly [program: string, ...args: string[]];

export interface Lap {
  microseconds: number;
  /** User and system, of the process and those it waited for. */
  processor: number;
}

export class Stopwatch implements Disposable {
  readonly #python: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  private constructor(python: ChildProcessWithoutNullStreams) {
    this.#python = python;
    this.#answers = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
  }

  /** What it times runs in that folder. */
  static async start(folder: string): Promise<Stopwatch> {
    const python = spawn("python3", ["-I", resolve("bench/stopwatch.py")], { cwd: folder });
    try {
      await once(python, "spawn");
    } catch (error) {
      throw new Error("Whole processes are timed by bench/stopwatch.py, which needs python3.", { cause: error });
    }
    python.stderr.pipe(process.stderr);
    return new Stopwatch(python);
  }

  /** From its start to its end. */
  async whole(argv: Line, env: Record<string, string>, input: string): Promise<Lap> {
    return this.#time({ argv, env, input });
  }

  /** Of a server that reads `input`, from its start until it has written `until`. */
  async answer(argv: Line, env: Record<string, string>, input: string, until: string): Promise<Lap> {
    return this.#time({ argv, env, input, until });
  }

  async #time(task: { argv: Line; env: Record<string, string>; input: string; until?: string }): Promise<Lap> {
    this.#python.stdin.write(`${JSON.stringify(task)}\n`);
    const { value } = (await this.#answers.next()) as { value?: string };
    if (value === undefined) throw new Error("bench/stopwatch.py has ended.");
    const { status, ...lap } = JSON.parse(value) as Lap & { status: number };
    if (status !== 0) throw new Error(`${task.argv.join(" ")}: ended with ${status}.`);
    return lap;
  }

  [Symbol.dispose](): void {
    this.#python.stdin.end();
  }
}
