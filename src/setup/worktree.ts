/** `coord worktree add`: a git worktree, its branch and its instance in one step. */
import { existsSync, rmdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { type CoordinationError } from "../protocol/errors.ts";
import { checkIdentity, invalid, shown } from "../protocol/validation.ts";
import type { Agent } from "./agents.ts";
import { git, worktreesOf } from "./git.ts";
import { type InitResult, setUp } from "./init.ts";
import { findPlace } from "./place.ts";

export interface WorktreeOptions {
  branch?: string | undefined;
  path?: string | undefined;
  /** Where a new branch begins; default what is checked out. */
  from?: string | undefined;
  agents: readonly Agent[];
}

export interface WorktreeResult extends InitResult {
  branch: string;
  branchCreated: boolean;
}

/** @throws CoordinationError INVALID, IDENTITY: nothing was made, or it is gone again */
export async function addWorktree(cwd: string, name: string, options: WorktreeOptions): Promise<WorktreeResult> {
  if (name.includes("/")) {
    const last = name.slice(name.lastIndexOf("/") + 1);
    throw invalid(
      `name is ${shown(name)}: the name of an instance has no slash.`,
      `A branch may: coord worktree add ${last || "<name>"} --branch ${name}`,
    );
  }
  const instance = checkIdentity(name, "name");
  const before = worktreesOf(cwd);
  if (before.length === 0) throw refused(git(cwd, "rev-parse").stderr);
  const path = options.path === undefined ? defaultPath(before[0]!, name) : resolve(cwd, options.path);
  const { branch = name, from } = options;
  const exists = git(cwd, "show-ref", "--verify", "--quiet", `refs/heads/${branch}`).ok;
  if (exists && from !== undefined) {
    throw invalid(
      `The branch ${branch} exists: --from says where a new one begins.`,
      "Leave --from out, or give another --branch.",
    );
  }
  const folders = missingFolders(path);
  try {
    const target = exists ? ["--", path, branch] : ["-b", branch, "--", path, ...(from === undefined ? [] : [from])];
    const added = git(cwd, "worktree", "add", "--quiet", ...target);
    if (!added.ok) throw refused(added.stderr);
    const result = await setUp(findPlace(path), { instance, agents: options.agents, dryRun: false });
    return { ...result, instanceSource: "as given", branch, branchCreated: !exists };
  } catch (error) {
    const made = worktreesOf(cwd).find((worktree) => !before.includes(worktree));
    if (made !== undefined) git(cwd, "worktree", "remove", "--force", made);
    if (!exists) git(cwd, "branch", "--delete", "--force", "--", branch);
    removeEmpty(folders);
    throw error;
  }
}

/** Beside the main worktree, wherever it is asked for; a bare repository counts as one. */
function defaultPath(main: string, name: string): string {
  return join(dirname(main), `${basename(main).replace(/(?<=.)\.git$/, "")}-${name}`);
}

/** What git says, as it says it. */
function refused(sentence: string): CoordinationError {
  return invalid(sentence, "Nothing was made.");
}

/** The folders that git will make for a path, the innermost first. */
function missingFolders(path: string): string[] {
  const folders: string[] = [];
  for (let folder = path; !existsSync(folder); folder = dirname(folder)) folders.push(folder);
  return folders;
}

function removeEmpty(folders: readonly string[]): void {
  try {
    for (const folder of folders) if (existsSync(folder)) rmdirSync(folder);
  } catch {
    // somebody has put something there
  }
}
