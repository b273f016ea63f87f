/** Other programs run to their end, in bounded time, with their last words in the error. */
import { execFile } from "node:child_process";

/** Enough of standard error to hold the reason; package managers talk a lot before it. */
const TAIL_CHARACTERS = 600;

export interface RunOptions {
  env: NodeJS.ProcessEnv;
  /** Milliseconds after which the program is killed and counts as failed. */
  withinMs: number;
  cwd?: string;
}

/** The program's standard output. Rejects with one sentence when it cannot start, fails, or takes too long. */
export function run(program: string, args: readonly string[], options: RunOptions): Promise<string> {
  const { env, withinMs, cwd } = options;
  return new Promise((resolve, reject) => {
    execFile(
      program,
      args,
      { env, cwd, timeout: withinMs, killSignal: "SIGKILL", maxBuffer: 16 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const how = error.killed === true ? `gave no result within ${withinMs / 1000} s` : `failed (${error.code})`;
        reject(new Error(`${[program, ...args].join(" ")} ${how}: ${tail(stderr) || "it said nothing"}`));
      },
    );
  });
}

export function tail(text: string): string {
  return text.trim().slice(-TAIL_CHARACTERS);
}
