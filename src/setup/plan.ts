/** What a set-up changes, worked out completely before the first file is written. */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { type Agent, type AgentFile, AGENTS, filesOf } from "./agents.ts";
import { addEntries, type Edit, linesIn, removeEntries } from "./entries.ts";
import { type Change, planChange } from "./files.ts";
import { git, worktreesOf } from "./git.ts";
import { LEGACY_FILE } from "./legacy.ts";
import type { Place } from "./place.ts";
import type { Programs } from "./programs.ts";

export interface Plan {
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
}

/** @throws CoordinationError INVALID for a file that cannot be read or is not what it should be */
export function planSetUp(
  place: Place,
  agents: readonly Agent[],
  programs: Programs,
  { local, takeOver, allow }: { local: boolean; takeOver: boolean; allow: boolean },
): Plan {
  const warnings: string[] = [];
  const files = agents.flatMap((agent) => filesOf(agent, place, programs, allow));
  const isLocal = local || files.some((file) => file.isLocal === true && has(file));
  const entries = files.map((file) => {
    // Hooks in both files of Claude Code would run twice.
    const wanted = file.unread !== true && (file.isLocal === undefined || file.isLocal === isLocal);
    return planEdit(file, place, wanted ? addEntries : removeEntries, warnings);
  });
  return { changes: [...(takeOver ? planEndOfLegacy(place) : []), ...entries], warnings };
}

/** Takes out an agent's entries, or those of all; the name goes with the last of them. */
export function planRemoval(place: Place, only: readonly Agent[], programs: Programs): Plan & { isLast: boolean } {
  const warnings: string[] = [];
  const agents = only.length === 0 ? AGENTS : only;
  const others =
    place.tree.gitDirectory === undefined ? [] : worktreesOf(place.root).filter((root) => root !== place.root);
  const files = agents.flatMap((agent) => {
    // Hooks for all worktrees stay for as long as another one has the agent.
    const isUsed = others.some((root) => isSetUp(agent, { root, main: place.main }, programs));
    return filesOf(agent, place, programs).filter((file) => !(file.shared && isUsed));
  });
  const changes = files.map((file) => planEdit(file, place, removeEntries, warnings));
  const rest = AGENTS.filter((agent) => !agents.includes(agent));
  return { changes, warnings, isLast: !rest.some((agent) => isSetUp(agent, place, programs)) };
}

/** Whether an agent's files here start anything of ours; one that cannot be read does not. */
function isSetUp(agent: Agent, place: Pick<Place, "root" | "main">, programs: Programs): boolean {
  return filesOf(agent, place, programs).some((file) => file.shared !== true && has(file));
}

function has(file: AgentFile): boolean {
  try {
    return linesIn(planChange(file.path, (text) => text).before, file).length > 0;
  } catch {
    return false;
  }
}

function planEdit(file: AgentFile, { root, main, tree }: Place, edit: Edit, warnings: string[]): Change {
  const named = { ...file, path: relative(root, file.path) };
  const edited = (text: string | undefined): string | undefined =>
    edit(text, named, (sentence) => warnings.push(sentence));
  return planChange(file.path, edited, [root, main, tree.key]);
}

/** The file goes, unless it is committed, with the line that kept it out of git where no other worktree has one. */
function planEndOfLegacy({ root, tree }: Place): Change[] {
  if (tree.gitDirectory === undefined) return [planChange(join(root, LEGACY_FILE), () => undefined, [root])];
  if (git(root, "ls-files", "--error-unmatch", "--", LEGACY_FILE).ok) return [];
  const own = planChange(join(root, LEGACY_FILE), () => undefined, [root]);
  const others = worktreesOf(root).filter((worktree) => worktree !== root);
  if (others.some((worktree) => existsSync(join(worktree, LEGACY_FILE)))) return [own];
  return [
    own,
    planChange(
      join(tree.key, "info", "exclude"),
      (text) => {
        const rest = text?.replace(/^\.coord\.json\r?(?:\n|$)/m, "");
        return rest === "" ? undefined : rest;
      },
      [tree.key],
    ),
  ];
}
