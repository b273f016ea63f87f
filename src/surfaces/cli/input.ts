/** What comes in from outside: the command line and standard input. */
import type { Command, Option } from "commander";
import { LIMITS } from "../../protocol/definition.ts";
import { invalid } from "../../protocol/validation.ts";

/** Anything that looks like an option: dashes, a letter, no white space before a value. */
const OPTION = /^--?[A-Za-z][A-Za-z-]*(=.*)?$/s;

/**
 * Puts the texts behind `--`, so that a description such as "- first item" or "-1" is text and not an unknown option.
 * What stands behind a `--` of the caller's own is left alone.
 */
export function separateTexts(program: Command, argv: readonly string[]): string[] {
  const command = program.commands.find((candidate) => candidate.name() === argv[0]);
  if (command === undefined) return [...argv];
  const options: string[] = [];
  const texts: string[] = [];
  for (let i = 1; i < argv.length; i++) {
    const argument = argv[i]!;
    if (argument === "--") {
      texts.push(...argv.slice(i + 1));
      break;
    }
    if (!OPTION.test(argument) || (command.name() === "search" && isExcluded(command, argument))) {
      texts.push(argument);
      continue;
    }
    options.push(argument);
    const option = optionOf(command, argument);
    if (!option?.required) continue;
    const value = argv[i + 1];
    if (value === undefined) return [...argv]; // its missing value must not become the "--"
    // A forgotten value: `--to --json` would go to nobody, and print no JSON. What is meant so is `--to=--json`.
    if (optionOf(command, value.replace(/=.*/s, "")) !== undefined) {
      command.error(`error: option '${option.flags}' argument missing`);
    }
    options.push(value);
    i++;
  }
  return [argv[0]!, ...options, ...(texts.length === 0 ? [] : ["--", ...texts])];
}

/** In a query `-word` is what must not be there; options of ours have two dashes. */
function isExcluded(command: Command, argument: string): boolean {
  return /^-[^-]/.test(argument) && argument !== "-h" && optionOf(command, argument) === undefined;
}

function optionOf(command: Command, word: string): Option | undefined {
  return command.options.find(({ long, short }) => long === word || short === word);
}

/** A span of time as people write it, `30m`, `12h` or `7d`; undefined for anything else. */
export function spanSeconds(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  return count === undefined ? undefined : Number(count) * SECONDS[unit!]!;
}
const SECONDS: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400 };

/** What a stream brings until that is enough, it ends, or it has so many bytes: a person who pastes does not end it. */
export async function readUntil(
  stream: AsyncIterable<Buffer>,
  isEnough: (text: string) => boolean,
  bytes: number,
): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += chunk.toString("latin1");
    if (isEnough(text) || text.length > bytes) break;
  }
  return text;
}

/** All of a stream as text. Stops reading where the description's limit is passed, however much more comes. */
export async function readText(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > LIMITS.description_bytes) {
      throw invalid(
        `description has more than ${LIMITS.description_bytes} bytes on standard input: that is the limit.`,
        "Put long text into a file and say where it is.",
      );
    }
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch {
    throw invalid("description on standard input is not UTF-8.", "Convert it first, for example with iconv -t UTF-8.");
  }
}
