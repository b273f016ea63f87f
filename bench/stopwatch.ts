/** Times whole processes, from a small process that starts them: see stopwatch.bash. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

export type Line = readonly [program: string, ...args: string[]];

export interface Lap {
  microseconds: number;
  /** Of the process and those it waited for; 0 where it was not waited for. */
  processor: number;
}

export class Stopwatch implements Disposable {
  readonly #bash: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  private constructor(bash: ChildProcessWithoutNullStreams) {
    this.#bash = bash;
    this.#answers = createInterface({ input: bash.stdout })[Symbol.asyncIterator]();
  }

  /** @param env of the processes, whole; each gets the name of its instance besides */
  static async start(
    folder: string,
    env: NodeJS.ProcessEnv,
    { input, requests }: Record<"input" | "requests", string>,
  ): Promise<Stopwatch> {
    await writeFile(join(folder, "input"), input);
    await writeFile(join(folder, "requests"), requests);
    const bash = spawn("bash", ["--norc", resolve("bench/stopwatch.bash"), folder], { env });
    bash.stderr.pipe(process.stderr);
    return new Stopwatch(bash);
  }

  /** From its start to its end. */
  async whole(instance: string, line: Line): Promise<Lap> {
    return this.#time(instance, "whole", line);
  }

  /** Of a server, from its start to its first result. */
  async answer(instance: string, line: Line): Promise<Lap> {
    return this.#time(instance, "answer", line);
  }

  async #time(instance: string, kind: "whole" | "answer", line: Line): Promise<Lap> {
    this.#bash.stdin.write(`${instance} ${kind}\n${line.map(quoted).join(" ")}\n`);
    const { value } = (await this.#answers.next()) as { value?: string };
    const [microseconds, processor, status] = (value ?? "").split(" ").map(Number);
    if (status !== 0) throw new Error(`${line.join(" ")}: ended with ${status ?? "the stopwatch"}.`);
    return { microseconds: microseconds!, processor: processor! };
  }

  [Symbol.dispose](): void {
    this.#bash.stdin.end();
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
