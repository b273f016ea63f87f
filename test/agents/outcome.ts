/** Runs a host to its end. */
import { spawn } from "node:child_process";
import { once } from "node:events";

const RUN_MILLISECONDS = 60_000;

export interface Outcome {
  readonly code: number | null;
  /** Of both streams, without colours. */
  readonly output: string;
}

export async function outcomeOf(
  program: string,
  args: readonly string[],
  options: { cwd: string; env: Record<string, string> },
): Promise<Outcome> {
  const limits = { timeout: RUN_MILLISECONDS, killSignal: "SIGKILL" } as const;
  const child = spawn(program, args, { ...options, ...limits, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  // oxlint-disable-next-line no-control-regex
  return { code, output: output.replaceAll(/\u001b\[[0-9;]*m/g, "") };
}
