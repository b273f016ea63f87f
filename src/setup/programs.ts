/** Which commands go into an agent's configuration, and by which an entry is known to be ours. */
import { accessSync, constants, existsSync, realpathSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

/** A program with the arguments that make it run. */
export type CommandLine = readonly string[];

export interface Programs {
  readonly coord: CommandLine;
  readonly hook: CommandLine;
  /** By name only, so that the files may be shared: no path of this machine is in them. */
  readonly portable: boolean;
  /** What npx has unpacked for this run: an update, or npm at any time, takes it away. */
  readonly fleeting: boolean;
  /** Where the files of this installation lie. */
  readonly dist: string;
}

/** npm and npx put these into PATH for the time of one run; an agent started later does not find what is in them. */
const TEMPORARY = /[\\/]node_modules[\\/]\.bin[\\/]?$/;

/** Where npx keeps what it was told to run. */
const OF_NPX = /[\\/]_npx[\\/]/;

export function findPrograms(): Programs {
  // Where there is no bash, as on Windows, that name starts nothing.
  const [coord, hook] = [isOnPath("coord"), isOnPath("coord-hook") && isOnPath("bash")];
  /** Where the program that runs now lies; its name in PATH is a link. */
  const dist = dirname(realpathSync(process.argv[1]!));
  return {
    coord: coord ? ["coord"] : ["node", join(dist, "coord.cjs")],
    hook: hook ? ["coord-hook"] : ["node", join(dist, "hook.cjs")],
    portable: coord && hook,
    fleeting: !(coord && hook) && OF_NPX.test(dist),
    dist,
  };
}

/** Whether the program of a command line of ours is there to be started. */
export function isRunnable([program, file]: CommandLine): boolean {
  return program === "node" ? existsSync(file ?? "") : isOnPath(program ?? "");
}

/** Whether an agent that is started later finds it there. */
export function isOnPath(program: string): boolean {
  const folders = (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "" && !TEMPORARY.test(folder));
  return folders.some((folder) => isProgram(join(folder, program)));
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** `coord mcp`, by name or as a file of an installation. */
export function isServer(line: CommandLine): boolean {
  return runs(line, "coord", "coord.cjs", "mcp");
}

/** `coord-hook <role>`, and perhaps `tool`, by name or as a file of an installation. */
export function isHook(words: CommandLine): boolean {
  const line = words.at(-1) === "tool" ? words.slice(0, -1) : words;
  return ["claude", "codex", "gemini", "opencode", "cursor", "wait"].some((role) =>
    runs(line, "coord-hook", "hook.cjs", role),
  );
}

function runs(line: CommandLine, name: string, file: string, argument: string): boolean {
  if (line.at(-1) !== argument) return false;
  if (line.length === 2) return line[0] === name;
  return line.length === 3 && line[0] === "node" && line[1]!.replaceAll("\\", "/").endsWith(`/dist/${file}`);
}

/** As a shell reads it; a path may have spaces. */
export function shellLine(line: CommandLine): string {
  return line
    .map((word) => (/^[\w./:@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`))
    .join(" ");
}

/** The files may be shared with people who do not have the program: there it does nothing, and is no error four times a turn. */
export function guardedLine(line: CommandLine): string {
  const text = shellLine(line);
  return line[0] === "node" ? text : `command -v ${line[0]} >/dev/null 2>&1 || exit 0; exec ${text}`;
}

const GUARD = /^command -v \S+ >\/dev\/null 2>&1 \|\| exit 0; exec /;

export function isGuarded(text: string): boolean {
  return GUARD.test(text);
}

/** The words of a line that `shellLine` or `guardedLine` wrote; of any other at least not by mistake one of ours. */
export function wordsOf(text: string): CommandLine {
  const words = text.replace(GUARD, "").match(/(?:'[^']*'|\\'|[^\s'])+/g) ?? [];
  return words.map((word) => word.replaceAll(/'([^']*)'|\\(')/g, "$1$2"));
}
