/** Where a set-up belongs: the repository or worktree around a folder, and the name its agent gets by default. */
import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { RESERVED_NAMES } from "../protocol/definition.ts";
import { missingIdentity } from "../protocol/validation.ts";
import { git, worktreesOf } from "./git.ts";

export interface Place {
  /** The folder that holds `.git`; outside git the folder asked about. */
  readonly root: string;
  readonly git: Repository | undefined;
  /** Why git could say nothing about it. */
  readonly problem: string | undefined;
}

interface Repository {
  /** Made by `git worktree add`. */
  readonly linked: boolean;
  /** None with a detached head. */
  readonly branch: string | undefined;
  /** The file of ignored paths that is never committed; one for all worktrees of a repository. */
  readonly excludeFile: string;
  /** All worktrees, this one included, the main one first. */
  readonly worktrees: readonly string[];
}

/** Branches of the one who reviews, when they are checked out in the main worktree. */
const TRUNKS = new Set(["main", "master", "trunk"]);
const NAME_CHARACTERS = 64;

export function findPlace(start: string): Place {
  for (let folder = resolve(start); ; folder = dirname(folder)) {
    if (existsSync(join(folder, ".git"))) return inRepository(folder);
    if (folder === dirname(folder)) return { root: resolve(start), git: undefined, problem: undefined };
  }
}

function inRepository(root: string): Place {
  const asked = git(root, "rev-parse", "--git-dir", "--git-common-dir", "--git-path", "info/exclude");
  if (!asked.ok) return { root, git: undefined, problem: asked.stderr };
  const [own, common, excludeFile] = asked.stdout.trimEnd().split("\n") as [string, string, string];
  const branch = git(root, "symbolic-ref", "--quiet", "--short", "HEAD").stdout.trim();
  return {
    root,
    git: {
      linked: resolve(root, own) !== resolve(root, common),
      branch: branch || undefined,
      excludeFile: resolve(root, excludeFile),
      worktrees: worktreesOf(root),
    },
    problem: undefined,
  };
}

export interface Proposal {
  name: string;
  /** Where it comes from, for the person who may want another. */
  source: string;
}

/**
 * A linked worktree is named after its folder, the main one after its branch: each is the one that tells them apart.
 *
 * @throws CoordinationError IDENTITY when neither leaves anything of a name
 */
export function proposeName({ root, git: repository }: Place): Proposal {
  const folder = { name: nameFrom(basename(root)), source: "the name of this folder" };
  const branch = { name: nameFrom(repository?.branch ?? ""), source: `the branch ${repository?.branch}` };
  if (repository?.linked === false && TRUNKS.has(repository.branch ?? "")) branch.name = "orchestrator";
  const candidates = repository?.linked === false ? [branch, folder] : [folder, branch];
  const proposal = candidates.find(({ name }) => name !== "");
  if (proposal === undefined) throw missingIdentity();
  return proposal;
}

/** What is left of a text as the name of an instance: `feat/login#2` gives `feat-login-2`. Empty when nothing is. */
export function nameFrom(text: string): string {
  const plain = text
    .normalize("NFKD")
    .replaceAll(/\p{Mark}/gu, "")
    .replaceAll(/[^A-Za-z0-9._-]+/g, "-")
    .slice(0, NAME_CHARACTERS)
    .replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, "");
  return RESERVED_NAMES.includes(plain.toLowerCase()) ? `${plain}-agent` : plain;
}
