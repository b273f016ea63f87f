/** Runs one command line: parses, reports, and ends with the exit code that says what happened. */
import { type Command, CommanderError } from "commander";
import { CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { separateTexts } from "./input.ts";
import {
  EXIT,
  exitCodeOf,
  flushed,
  OutputError,
  printOutputError,
  printRefusal,
  watchOutput,
  writeError,
  writeOut,
} from "./outcome.ts";
import type { LazySurfaces } from "./grammar.ts";
import { buildProgram } from "./program.ts";

/** @returns the exit code */
export async function runCommandLine(argv: readonly string[], surfaces: LazySurfaces): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = buildProgram(argv[0], surfaces, (code) => (exitCode = code));
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .configureOutput({ writeOut, writeErr: writeError })
      .showHelpAfterError(`See coord ${command === program ? "" : `${command.name()} `}--help`);
  }
  watchOutput();
  try {
    if (argv.length === 0) exitCode = await surfaces.showOverview();
    else await parse(program, argv);
    await flushed();
    return exitCode;
  } catch (error) {
    if (error instanceof OutputError) {
      printOutputError(error);
      return error.exitCode;
    }
    if (error instanceof CommanderError) return EXIT.usage;
    const refusal = CoordinationError.is(error) ? error : (systemRefusal(error) ?? defect(error));
    printRefusal(refusal, asksForJson(argv));
    await flushed().catch(() => undefined); // the refusal says more
    return exitCodeOf(refusal);
  }
}

async function parse(program: Command, argv: readonly string[]): Promise<void> {
  try {
    await program.parseAsync(separateTexts(program, argv), { from: "user" });
  } catch (error) {
    // Help and version end like this as well.
    if (!(error instanceof CommanderError) || error.exitCode !== 0) throw error;
  }
}

/** What the system refuses is no defect of ours: a folder that may not be written, a full disk, a program that is missing. */
function systemRefusal(error: unknown): CoordinationError | undefined {
  if (!(error instanceof Error) || !("syscall" in error)) return undefined;
  const { message } = error;
  return new CoordinationError(ErrorCode.INTERNAL, `The system refuses: ${message}.`, {
    hint: "Check that what it names exists, that you may use it, and that there is room; then try again.",
    cause: error,
  });
}

/** What stands behind `--` is text. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return (end === -1 ? argv : argv.slice(0, end)).includes("--json");
}

function defect(error: unknown): CoordinationError {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new CoordinationError(ErrorCode.INTERNAL, text, {
    hint: "This is a defect of cli-coordination: please report it with the lines above.",
    cause: error,
  });
}
