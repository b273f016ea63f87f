/** How a command ends: what it prints where, and the exit code a script can rely on. */
import { type CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { refusalToWire } from "../../protocol/wire.ts";
import { colorsFor, printable, printableJson } from "./terminal.ts";

/** Exit codes, documented in docs/cli.md. Never 2: Claude Code takes that from a hook as a wake signal. */
export const EXIT = { done: 0, refused: 1, usage: 64, unreachable: 69, timedOut: 75 } as const;

export function exitCodeOf({ code }: CoordinationError): number {
  if (code === ErrorCode.UNAVAILABLE) return EXIT.unreachable;
  return code === ErrorCode.TIMEOUT ? EXIT.timedOut : EXIT.refused;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Resolves when all that was printed has been handed to the reader. */
export async function flushed(): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write("", (error) => (error ? reject(error) : resolve()));
  });
}

export function printJson(value: unknown): void {
  print(printableJson(value));
}

/** The sentence on stderr, with `json` also the object on stdout. */
export function printRefusal(error: CoordinationError, json: boolean): void {
  if (json) printJson(refusalToWire(error));
  const { red } = colorsFor(process.stderr);
  process.stderr.write(`${red("error:")} ${printable(error.message)}\n${printable(error.hint)}\n`);
}

export function printWarnings(warnings: readonly string[]): void {
  const { yellow } = colorsFor(process.stderr);
  for (const warning of warnings) process.stderr.write(`${yellow("warning:")} ${printable(warning)}\n`);
}

/** Progress of long work. */
export function printProgress(line: string): void {
  process.stderr.write(`${colorsFor(process.stderr).dim(printable(line))}\n`);
}
