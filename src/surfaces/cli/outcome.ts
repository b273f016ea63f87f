/** How a command ends: what it prints where, and the exit code a script can rely on. */
import { type CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { refusalToWire } from "../../protocol/wire.ts";
import { colorsFor, printableJson } from "./terminal.ts";
import { visible } from "../../protocol/text.ts";

/** Exit codes, documented in docs/cli.md. Never 2: Claude Code takes that from a hook as a wake signal. */
export const EXIT = { done: 0, refused: 1, usage: 64, unreachable: 69, unwritten: 74, timedOut: 75 } as const;

export function exitCodeOf({ code }: CoordinationError): number {
  if (code === ErrorCode.UNAVAILABLE) return EXIT.unreachable;
  return code === ErrorCode.TIMEOUT ? EXIT.timedOut : EXIT.refused;
}

/** What was printed did not reach its reader. */
export class OutputError extends Error {
  readonly exitCode: number;
  readonly sentence: string;

  constructor({ code, message }: NodeJS.ErrnoException) {
    super(message);
    // A reader that has seen enough, as in `coord check | head -1`, is no failure.
    const unread = code === "EPIPE";
    this.exitCode = unread ? EXIT.done : EXIT.unwritten;
    this.sentence = unread
      ? ""
      : `The output could not be written: ${message}.\nWhat the command changes is done; what was not shown counts as unread. Run it again where there is room.`;
  }
}

/** The first failure of standard output. A file fails where it is written, a pipe later. */
let failure: OutputError | undefined;

function fail(error: Error): void {
  failure ??= new OutputError(error);
}

/** Has failures of both streams kept instead of thrown. @param failed is told the first one of standard output */
export function watchOutput(failed: () => void = () => undefined): void {
  process.stdout.on("error", (error) => {
    fail(error);
    failed();
  });
  process.stderr.on("error", () => undefined); // there is nowhere left to say it
}

function write(stream: NodeJS.WriteStream, text: string, failed: (error: Error) => void): void {
  try {
    stream.write(text);
  } catch (error) {
    failed(error as Error);
  }
}

/** To standard output, as it is. */
export function writeOut(text: string): void {
  write(process.stdout, text, fail);
}

/** To standard error, as it is. */
export function writeError(text: string): void {
  write(process.stderr, text, () => undefined);
}

export function print(text: string): void {
  writeOut(`${text}\n`);
}

/** Whether `flushed` has something to wait for, or to throw. */
export function outputWaits(): boolean {
  return failure !== undefined || process.stdout.writableNeedDrain;
}

/** Resolves when all that was printed has been handed to the reader. @throws OutputError */
export async function flushed(): Promise<void> {
  if (failure === undefined) {
    await new Promise<void>((resolve) => {
      process.stdout.write("", (error) => {
        if (error) fail(error);
        resolve();
      });
    });
  }
  if (failure !== undefined) throw failure;
}

export function printJson(value: unknown): void {
  print(printableJson(value));
}

/** The sentence on stderr, with `json` also the object on stdout. */
export function printRefusal(error: CoordinationError, json: boolean): void {
  if (json) printJson(refusalToWire(error));
  const { red } = colorsFor(process.stderr);
  writeError(`${red("error:")} ${visible(error.message)}\n${visible(error.hint)}\n`);
}

export function printOutputError({ sentence }: OutputError): void {
  if (sentence !== "") writeError(`${colorsFor(process.stderr).red("error:")} ${visible(sentence)}\n`);
}

export function printWarnings(warnings: readonly string[]): void {
  const { yellow } = colorsFor(process.stderr);
  for (const warning of warnings) writeError(`${yellow("warning:")} ${visible(warning)}\n`);
}

/** Progress of long work. */
export function printProgress(line: string): void {
  writeError(`${colorsFor(process.stderr).dim(visible(line))}\n`);
}
