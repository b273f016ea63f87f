/** Our entries in one file of an agent: found by the command they run, added beside what is there, taken out again. */
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { AgentFile, Entry } from "./agents.ts";
import { JsonText, type Path } from "./json.ts";
import { type CommandLine, isGuarded, isHook, isServer, wordsOf } from "./programs.ts";
import { hasBlock, parseToml, withBlock, withoutBlock } from "./toml.ts";

/** Gets the text of a file, undefined where there is none, and returns what it is to be. */
export type Edit = (text: string | undefined, file: AgentFile, warn: (sentence: string) => void) => string | undefined;

export const addEntries: Edit = (text, file, warn) => {
  const { server, hooks, allow } = file;
  if (file.format === "toml") return addTable(text ?? "", file, warn);
  if (file.program !== undefined) return addProgram(text, file, file.program, warn);
  const json = openJson(file, text?.trim() ? text : "{\n}\n");
  if (!text?.trim()) for (const [key, value] of Object.entries(file.skeleton)) json.set([key], value);
  if (server !== undefined) addServer(json, file, server, warn);
  if (allow !== undefined && !json.list(allow.at).includes(allow.tool)) json.append(allow.at, allow.tool);
  for (const [event, wanted] of Object.entries(hooks?.events ?? {})) {
    const found = handlersIn(json, event, hooks!.grouped).filter(({ line }) => isHook(line));
    const same = isDeepStrictEqual(
      found.map(({ line, guarded }) => [guarded, ...line]),
      wanted.handlers.map((handler) => [hasGuard(handler), ...lineOf(handler)]),
    );
    // Ours with other values in their fields are as their owner wants them.
    if (same) continue;
    removeHandlers(json, event, hooks!.grouped);
    const { handlers, ...group } = wanted;
    if (hooks!.grouped) json.append(["hooks", event], { ...group, hooks: handlers });
    else for (const handler of handlers) json.append(["hooks", event], handler);
  }
  return json.text;
};

/** An installation lies anywhere: a hook of ours may be named by nothing but its file. */
const MAY_HAVE_OURS = /coord|hook\.cjs/;

export const removeEntries: Edit = (text, file, warn) => {
  // Whether a file without anything of ours can be read is nobody's business here.
  if (text === undefined || !MAY_HAVE_OURS.test(text)) return text;
  if (file.format === "program") return isOurProgram(text) ? undefined : text;
  if (file.format === "toml") {
    parseToml(file.path, text);
    const rest = withoutBlock(text);
    return rest.trim() === "" ? undefined : rest;
  }
  const json = openJson(file, text);
  const { server, hooks, allow } = file;
  const allowed = allow === undefined ? -1 : json.list(allow.at).indexOf(allow.tool);
  if (allowed !== -1) json.remove([...allow!.at, allowed]);
  const entry = server === undefined ? undefined : json.get(server.at);
  if (server !== undefined && isOurs(entry)) {
    // Of an earlier version, where a field is missing.
    const ours = withoutOurVariables(server.entry);
    const { command, args } = ours;
    const plain = (given: Entry): Entry => ({ ...given, command, args });
    if (isDeepStrictEqual(plain({ ...ours, ...withoutOurVariables(entry) }), plain(ours))) json.remove(server.at);
    else warn(`${file.path}: the server ${server.at.join(".")} was changed by hand and stays.`);
  }
  if (hooks !== undefined)
    for (const event of Object.keys(json.record(["hooks"]))) removeHandlers(json, event, hooks.grouped);
  return json.text !== text && json.isBare(file.skeleton) ? undefined : json.text;
};

/** The command lines of ours that a file has the agent start. */
export function linesIn(text: string | undefined, file: AgentFile): CommandLine[] {
  if (text === undefined || !MAY_HAVE_OURS.test(text)) return [];
  if (file.format === "program") return isOurProgram(text) ? [[...hookOf(text), "opencode"]] : [];
  const json = file.format === "json" ? openJson(file, text) : undefined;
  const table = json?.record([]) ?? parseToml(file.path, text);
  const server = file.server?.at.reduce<unknown>((value, key) => (value as Entry | undefined)?.[key], table);
  const events = json === undefined || file.hooks === undefined ? [] : Object.keys(json.record(["hooks"]));
  const handlers = events.flatMap((event) => handlersIn(json!, event, file.hooks!.grouped));
  return [...(isOurs(server) ? [lineOf(server)] : []), ...handlers.map(({ line }) => line).filter(isHook)];
}

const PROGRAM_MARK = "// Of cli-coordination:";
const PROGRAM_HOOK = /^const HOOK = (\[.*\]);$/m;

/** Only its hook differs from what the package has. */
function addProgram(
  text: string | undefined,
  { path }: AgentFile,
  { source, hook }: Program,
  warn: (sentence: string) => void,
): string | undefined {
  if (text !== undefined && !isOurProgram(text)) {
    warn(`${path} is not of coord init, and stays: rename it to get mail by itself.`);
    return text;
  }
  return readFileSync(source, "utf8").replace(PROGRAM_HOOK, () => `const HOOK = ${JSON.stringify(hook)};`);
}

function isOurProgram(text: string): boolean {
  return text.startsWith(PROGRAM_MARK);
}

function hookOf(text: string): CommandLine {
  const words: unknown = JSON.parse(PROGRAM_HOOK.exec(text)?.[1] ?? "[]");
  return Array.isArray(words) ? words.map(String) : [];
}

function openJson(file: AgentFile, text: string): JsonText {
  return new JsonText(file.path, text);
}

function addServer(json: JsonText, file: AgentFile, { at, entry }: Server, warn: (sentence: string) => void): void {
  const present = json.get(at);
  if (present === undefined) return json.set(at, entry);
  if (!isOurs(present)) return warn(foreign(file, at));
  if (!isDeepStrictEqual(lineOf(present), lineOf(entry))) {
    for (const field of ["command", "args"]) if (entry[field] !== undefined) json.set([...at, field], entry[field]);
  }
  // As an earlier version wrote it, without.
  for (const field of ["alwaysLoad", "trust"]) {
    if (entry[field] !== undefined && present[field] === undefined) json.set([...at, field], entry[field]);
  }
  const env = entry["env"] as Entry | undefined;
  if (env === undefined) return;
  if (present["env"] === undefined) json.set([...at, "env"], env);
  else if (passesOn(present["env"])) {
    // As an earlier version wrote it, for fewer variables.
    for (const [name, value] of Object.entries(env)) {
      if (!Object.hasOwn(present["env"], name)) json.set([...at, "env", name], value);
    }
  }
}

function addTable(text: string, file: AgentFile, warn: (sentence: string) => void): string {
  const { at, entry } = file.server!;
  const [group, name] = at as [string, string];
  const present = (parseToml(file.path, text)[group] as Entry | undefined)?.[name];
  if (isOurs(present) && isDeepStrictEqual(lineOf(present), lineOf(entry)) && !isOfEarlier(present, entry)) return text;
  if (present !== undefined && !hasBlock(text)) {
    if (!isOurs(present)) warn(foreign(file, at));
    return text;
  }
  const lines = Object.entries(entry).map(([key, value]) => `${key} = ${tomlValue(value)}`);
  const result = withBlock(text, [`[${at.join(".")}]`, ...lines]);
  parseToml(file.path, result); // what stands in the file may forbid the table
  return result;
}

/** Written by an earlier version, which passed on fewer variables, and by nobody else since. */
function isOfEarlier(present: Entry, entry: Entry): boolean {
  const [passed, wanted] = [present["env_vars"], entry["env_vars"] as readonly string[]];
  if (!Array.isArray(passed) || !isDeepStrictEqual(Object.keys(present).sort(), Object.keys(entry).sort()))
    return false;
  return passed.every((name) => wanted.includes(asWord(name))) && wanted.some((name) => !passed.includes(name));
}

type Server = NonNullable<AgentFile["server"]>;
type Program = NonNullable<AgentFile["program"]>;

function foreign({ path }: AgentFile, at: readonly string[]): string {
  return `${path} has a server ${at.join(".")} of its own, which stays: rename it to get the tools of coord.`;
}

function isOurs(entry: unknown): entry is Entry {
  return typeof entry === "object" && entry !== null && isServer(lineOf(entry as Entry));
}

/** Strings as JSON are strings in TOML; lists print alike. */
function tomlValue(value: unknown): string {
  return Array.isArray(value) ? `[${value.map(tomlValue).join(", ")}]` : JSON.stringify(value);
}

/** An environment that only passes on what is there, as init writes it. */
function withoutOurVariables({ env, ...entry }: Entry): Entry {
  return env === undefined || passesOn(env) ? entry : { ...entry, env };
}

function passesOn(env: unknown): env is Entry {
  if (typeof env !== "object" || env === null) return false;
  return Object.entries(env).every(([name, value]) => value === `\${${name}:-}`);
}

function lineOf({ command, args }: Entry): CommandLine {
  if (command === "sh" && Array.isArray(args) && args[0] === "-c") return wordsOf(asWord(args[1]));
  if (Array.isArray(command)) return command.map(asWord);
  if (Array.isArray(args)) return [asWord(command), ...args.map(asWord)];
  return typeof command === "string" ? wordsOf(command) : [];
}

function hasGuard({ command, args }: Entry): boolean {
  return [command, ...(Array.isArray(args) ? (args as unknown[]) : [])].some((word) => isGuarded(asWord(word)));
}

/** Nothing else is a word of a command line; an object may not even be written as one. */
function asWord(value: unknown): string {
  return typeof value === "string" ? value : "";
}

interface Handler {
  readonly line: CommandLine;
  readonly guarded: boolean;
  /** What has to go for it to be gone: the handler, or its group where that has nothing else. */
  readonly at: Path;
}

function handlersIn(json: JsonText, event: string, grouped: boolean): Handler[] {
  const list = json.list(["hooks", event]) as (Entry | null)[];
  const read = (handler: Entry | null): Omit<Handler, "at"> => ({
    line: lineOf(handler ?? {}),
    guarded: hasGuard(handler ?? {}),
  });
  if (!grouped) return list.map((handler, i) => ({ ...read(handler), at: ["hooks", event, i] }));
  return list.flatMap((group, i) => {
    const handlers = Array.isArray(group?.["hooks"]) ? (group["hooks"] as (Entry | null)[]) : [];
    const whole = handlers.every((handler) => isHook(lineOf(handler ?? {})));
    return handlers.map((handler, j) => ({
      ...read(handler),
      at: whole ? ["hooks", event, i] : ["hooks", event, i, "hooks", j],
    }));
  });
}

function removeHandlers(json: JsonText, event: string, grouped: boolean): void {
  const ours = handlersIn(json, event, grouped).filter(({ line }) => isHook(line));
  const places = new Map(ours.map(({ at }) => [JSON.stringify(at), at]));
  // From the end, so that the earlier places stay where they are.
  for (const at of [...places.values()].toReversed()) json.remove(at);
}
