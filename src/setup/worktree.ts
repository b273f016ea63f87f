/** `coord worktree add` and `remove`: a git worktree, its branch and its instance in one step. */
import { existsSync, rmdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { surroundingsOf } from "../client/register.ts";
import { findWorkTree, MAIN } from "../client/work-tree.ts";
import { CoordinationError } from "../protocol/errors.ts";
import { nameFrom } from "../protocol/naming.ts";
import { checkAgentName, invalid, shown } from "../protocol/validation.ts";
import type { Agent } from "./agents.ts";
import { clientOf, lookAround, type Target } from "./around.ts";
import { makeChanges } from "./files.ts";
import { git, gitWithoutFilters, worktreesOf } from "./git.ts";
import { type Decision, type InitResult, setUp } from "./init.ts";
import { findPlace } from "./place.ts";
import { planRemoval } from "./plan.ts";
import { findPrograms } from "./programs.ts";
import { changeRegister } from "./register.ts";

export interface WorktreeOptions {
  branch?: string | undefined;
  path?: string | undefined;
  /** Where a new branch begins; default what is checked out. */
  from?: string | undefined;
  agents: readonly Agent[];
}

export type WorktreeResult = InitResult & Decision & { branch: string; branchCreated: boolean };

/** @throws CoordinationError INVALID, IDENTITY: nothing was made, or it is gone again */
export async function addWorktree(cwd: string, name: string, options: WorktreeOptions): Promise<WorktreeResult> {
  if (name.includes("/")) {
    const last = name.slice(name.lastIndexOf("/") + 1);
    throw invalid(
      `name is ${shown(name)}: the name of an instance has no slash.`,
      `A branch may: coord worktree add ${last || "<name>"} --branch ${name}`,
    );
  }
  const instance = checkAgentName(name, "name");
  const before = worktreesOf(cwd);
  if (before.length === 0) throw refused(git(cwd, "rev-parse").stderr);
  const path = options.path === undefined ? defaultPath(before[0]!, name) : resolve(cwd, options.path);
  const { branch = name, from } = options;
  // Behind its options git still takes some of these for options of the branch that it makes.
  for (const [option, value] of [
    ["--branch", branch],
    ["--from", from],
  ] as const) {
    if (value?.startsWith("-"))
      throw invalid(`${option} is ${shown(value)}: it begins with a hyphen.`, "Name a branch or a commit.");
  }
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
    // Filled in a second step: what filters it has is known when it is there, with its branch.
    const added = git(cwd, "worktree", "add", "--quiet", "--no-checkout", ...target);
    if (!added.ok) throw refused(added.stderr);
    const filled = gitWithoutFilters(path, path, "reset", "--hard", "--quiet", "--no-recurse-submodules");
    if (!filled.ok) throw refused(filled.stderr);
    const result = await setUp(findPlace(path), { instance, agents: options.agents, dryRun: false });
    return { ...result, sources: { ...result.sources, instance: "as given" }, branch, branchCreated: !exists };
  } catch (error) {
    const made = worktreesOf(cwd).find((worktree) => !before.includes(worktree));
    if (made !== undefined) git(cwd, "worktree", "remove", "--force", made);
    if (!exists) git(cwd, "branch", "--delete", "--force", "--", branch);
    removeEmpty(folders);
    throw error;
  }
}

export interface RemovedWorktree {
  instance: string;
  root: string;
  branch?: string;
  branchDeleted: boolean;
  /** Whether it is out of presence and broadcasts. */
  forgotten: boolean;
  warnings: string[];
}

/** @throws CoordinationError INVALID, NOT_FOUND: nothing was changed */
export async function removeWorktree(cwd: string, name: string): Promise<RemovedWorktree> {
  const { project, file, tree } = surroundingsOf(cwd, process.env);
  if (project === undefined) throw invalid("This repository is not set up.", "Remove it with git worktree remove.");
  const all = worktreesOf(cwd);
  const root = all.find((path) => {
    const { id } = findWorkTree(path);
    return id !== MAIN && (project.worktrees[id] ?? nameFrom(id)) === name;
  });
  if (root === undefined) {
    throw new CoordinationError("NOT_FOUND", `No linked worktree of this repository has the name ${shown(name)}.`, {
      hint: "git worktree list shows them.",
    });
  }
  if (tree.root === root) throw invalid("This is that worktree.", "Change into another one first.");
  const target = { prefix: project.keyPrefix, server: project.server };
  const { presence } = await lookAround(target);
  const there = presence[name]?.status === "active" ? presence[name].session.cwd : undefined;
  if (there !== undefined && findWorkTree(there).root === root) {
    throw invalid(`${name} is active there.`, "End its agent first.");
  }
  const place = findPlace(root);
  const { changes, warnings } = planRemoval(place, [], findPrograms());
  makeChanges(changes, root);
  const removed = gitWithoutFilters(all[0]!, root, "worktree", "remove", "--", root);
  if (!removed.ok) {
    makeChanges(
      changes.map(({ path, before, after }) => ({ path, before: after, after: before })),
      root,
    );
    throw invalid(removed.stderr, "Nothing was removed.");
  }
  const { branch } = place;
  const deleted = branch === undefined ? undefined : git(all[0]!, "branch", "--delete", "--", branch);
  const said = [...warnings, ...(deleted?.ok === false ? [`The branch ${branch} stays: ${deleted.stderr}`] : [])];
  changeRegister(file, (register) => delete register[tree.key]?.worktrees[place.tree.id]);
  const forgotten = presence[name] !== undefined && (await forget(target, name, said));
  const result = { instance: name, root, branchDeleted: deleted?.ok === true, forgotten, warnings: said };
  return branch === undefined ? result : { ...result, branch };
}

async function forget(target: Target, name: string, warnings: string[]): Promise<boolean> {
  try {
    await using client = clientOf(target);
    await client.forgetInstance(name);
    return true;
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    warnings.push(`${name} still gets broadcasts: coord forget ${name}. ${error.message}`);
    return false;
  }
}

/** Beside the main worktree, wherever it is asked for; a bare repository counts as one. */
function defaultPath(main: string, name: string): string {
  return join(dirname(main), `${basename(main).replace(/(?<=.)\.git$/, "")}-${name}`);
}

/** What git says, as it says it. */
function refused(sentence: string): CoordinationError {
  const partial = /transport '\w+' not allowed|lazy fetching disabled/.test(sentence);
  return invalid(
    sentence,
    partial
      ? "Nothing was made. Files of it are not here yet: make it with git worktree add, then run coord init in it."
      : "Nothing was made.",
  );
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
