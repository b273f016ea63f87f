/** Where a set-up belongs: the work tree around a folder, and what git says about it. */
import { basename, dirname } from "node:path";
import { findWorkTree, MAIN, type WorkTree } from "../client/work-tree.ts";
import { invalid } from "../protocol/validation.ts";
import { git, worktreesOf } from "./git.ts";

export interface Place {
  readonly tree: WorkTree;
  readonly root: string;
  /** The folder that holds the common `.git`, which may serve all worktrees; the root itself where there is none. */
  readonly main: string;
  /** None with a detached head, and outside of git. */
  readonly branch: string | undefined;
  /** Whether it is the main worktree; of a bare repository, which has none, any may be the one of the reviewer. */
  readonly isFirst: boolean;
}

/** @throws CoordinationError INVALID for a bare repository, in which nobody works */
export function findPlace(start: string): Place {
  const tree = findWorkTree(start);
  const { root, gitDirectory } = tree;
  const asked = gitDirectory === undefined ? git(root, "rev-parse", "--is-bare-repository").stdout.trim() : "";
  const layout = gitDirectory !== undefined && tree.id === MAIN && isBare(root);
  // By its shape it is only said what it is: a folder of this shape that a clone brings is set up as nothing.
  if (asked === "true" || layout) {
    throw invalid(
      `${root} is a bare repository: nobody works in it.`,
      "Make a worktree with a name: coord worktree add <name>, or run coord init in one.",
    );
  }
  const branch =
    gitDirectory === undefined ? "" : git(root, "symbolic-ref", "--quiet", "--short", "HEAD").stdout.trim();
  const [main] = gitDirectory === undefined ? [] : worktreesOf(root);
  const isFirst = tree.id === MAIN || (main !== undefined && isBare(main));
  return { tree, root, main: mainOf(tree), branch: branch || undefined, isFirst };
}

function mainOf({ root, key, id }: WorkTree): string {
  return id !== MAIN && basename(key) === ".git" ? dirname(key) : root;
}

function isBare(folder: string): boolean {
  return git(folder, "config", "--bool", "core.bare").stdout.trim() === "true" && !isWorkTree(folder);
}

function isWorkTree(folder: string): boolean {
  return git(folder, "rev-parse", "--is-inside-work-tree").stdout.trim() === "true";
}
