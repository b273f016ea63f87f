/** What a set-up changes, worked out completely before the first file is written. */
import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { PROJECT_FILE } from "../client/settings.ts";
import { type Agent, type AgentFile, AGENTS, filesOf } from "./agents.ts";
import { addEntries, type Edit, linesIn, removeEntries } from "./entries.ts";
import { type Change, planChange } from "./files.ts";
import { git } from "./git.ts";
import { JsonText } from "./json.ts";
import type { Place } from "./place.ts";
import type { Programs } from "./programs.ts";
import { eolOf } from "./text.ts";

export interface Plan {
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
}

/** @throws CoordinationError INVALID for a file that cannot be read or is not what it should be */
export function planSetUp(place: Place, instance: string, agents: readonly Agent[], programs: Programs): Plan {
  const warnings: string[] = [];
  const identity = planChange(join(place.root, PROJECT_FILE), (text) => {
    const json = new JsonText(PROJECT_FILE, text?.trim() ? text : "{\n}\n", true);
    json.set(["instanceId"], instance);
    return json.text;
  });
  const files = agents.flatMap((agent) => filesOf(agent, place.root, programs));
  const entries = files.map((file) => planEdit(file, place, addEntries, warnings));
  return { changes: [identity, ...planExclude(place, addExclude), ...entries], warnings };
}

/** Takes out an agent's entries, or those of all; the name goes with the last of them. */
export function planRemoval(place: Place, only: readonly Agent[], programs: Programs): Plan {
  const warnings: string[] = [];
  const agents = only.length === 0 ? AGENTS : only;
  const files = agents.flatMap((agent) => filesOf(agent, place.root, programs));
  const entries = files.map((file) => planEdit(file, place, removeEntries, warnings));
  const others = AGENTS.filter((agent) => !agents.includes(agent));
  if (others.some((agent) => isSetUp(agent, place.root, programs))) return { changes: entries, warnings };
  const identity = planChange(join(place.root, PROJECT_FILE), (text) => {
    if (text === undefined) return undefined;
    const json = new JsonText(PROJECT_FILE, text, true);
    if (json.get(["instanceId"]) !== undefined) json.remove(["instanceId"]);
    return json.isBare({}) ? undefined : json.text;
  });
  const exclude = identity.after === undefined ? planExclude(place, removeExclude) : [];
  return { changes: [...entries, identity, ...exclude], warnings };
}

/** Whether an agent's files here start anything of ours; one that cannot be read does not. */
export function isSetUp(agent: Agent, root: string, programs: Programs): boolean {
  return filesOf(agent, root, programs).some((file) => {
    try {
      return linesIn(planChange(file.path, (text) => text).before, file).length > 0;
    } catch {
      return false;
    }
  });
}

function planEdit(file: AgentFile, { root }: Place, edit: Edit, warnings: string[]): Change {
  const named = { ...file, path: relative(root, file.path) };
  return planChange(file.path, (text) => edit(text, named, (sentence) => warnings.push(sentence)));
}

type ExcludeEdit = (text: string | undefined, place: Place) => string | undefined;

function planExclude(place: Place, edit: ExcludeEdit): Change[] {
  return place.git === undefined ? [] : [planChange(place.git.excludeFile, (text) => edit(text, place))];
}

const addExclude: ExcludeEdit = (text, { root }) => {
  if (hasLine(text) || git(root, "check-ignore", "--quiet", PROJECT_FILE).ok) return text;
  const before = text === undefined || text === "" || text.endsWith("\n") ? (text ?? "") : text + eolOf(text);
  return `${before}${PROJECT_FILE}${eolOf(before)}`;
};

/** The file serves all worktrees of the repository: the line stays for as long as another one has a name. */
const removeExclude: ExcludeEdit = (text, place) => {
  const others = place.git!.worktrees.filter((worktree) => resolve(worktree) !== place.root);
  if (!hasLine(text) || others.some((worktree) => existsSync(join(worktree, PROJECT_FILE)))) return text;
  const rest = text!.replace(/^\.coord\.json\r?(?:\n|$)/m, "");
  return rest === "" ? undefined : rest;
};

function hasLine(text: string | undefined): boolean {
  return /^\.coord\.json\r?$/m.test(text ?? "");
}
