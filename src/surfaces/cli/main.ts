/** Runs one command line: parses, reports, and ends with the exit code that says what happened. */
import { CommanderError } from "commander";
import { CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { separateTexts } from "./input.ts";
import { EXIT, exitCodeOf, printRefusal } from "./outcome.ts";
import { buildProgram, type LazySurfaces } from "./program.ts";

/** @returns the exit code */
export async function runCommandLine(argv: readonly string[], surfaces: LazySurfaces): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = buildProgram(argv[0], surfaces, (code) => (exitCode = code));
  for (const command of [program, ...program.commands]) {
    command.exitOverride().showHelpAfterError(`See coord ${command === program ? "" : `${command.name()} `}--help`);
  }
  // A reader that has seen enough, as in `coord check | head -1`, is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exitCode);
    throw error;
  });
  try {
    await program.parseAsync(argv.length === 0 ? ["--help"] : separateTexts(program, argv), { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const refusal = CoordinationError.is(error) ? error : defect(error);
    printRefusal(refusal, asksForJson(argv));
    return exitCodeOf(refusal);
  }
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
