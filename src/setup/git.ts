/** git, asked about a folder; never about what the environment of a hook or an alias points it to. */
import { spawnSync } from "node:child_process";
import { type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { findWorkTree } from "../client/work-tree.ts";
import { invalid, shown } from "../protocol/validation.ts";

/** A checkout of a very large repository takes minutes. */
const CHECKOUT_WITHIN_MS = 600_000;
/** Everything else is read from a few small files. */
const ANSWER_WITHIN_MS = 10_000;
/** What git reads of a git directory whatever it is asked, to the end: an archive may bring a link to /dev/zero, or a pipe. */
const READ_FIRST = ["HEAD", "commondir", "config", "config.worktree", "index", "packed-refs"];

export interface GitAnswer {
  ok: boolean;
  stdout: string;
  /** What git said about it, as it is. */
  stderr: string;
}

/** What a repository's own configuration would have git run beside what it was asked for. An archive may have brought it. */
const RUNS_NOTHING = options(["core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat"]);

/** Objects that are missing would be fetched by a program that the repository names. */
const FETCHES_NOTHING = { GIT_ALLOW_PROTOCOL: "none", GIT_NO_LAZY_FETCH: "1" };

/** What the configuration of a repository runs is switched off: hooks, the watcher of files, and how objects are fetched. */
export function git(cwd: string, ...args: readonly string[]): GitAnswer {
  return runGit(cwd, [...RUNS_NOTHING, ...args]);
}

/**
 * For what writes a work tree, or compares it: the repository's own filters are switched off as well; those of the user's own
 * configuration, as git-lfs, stay.
 *
 * @param tree in which they are asked for: what is included may depend on its place and its branch
 * @throws CoordinationError INVALID where one of them cannot be
 */
export function gitWithoutFilters(cwd: string, tree: string, ...args: readonly string[]): GitAnswer {
  return runGit(cwd, [...RUNS_NOTHING, ...withoutFilters(tree), ...args]);
}

function withoutFilters(tree: string): string[] {
  const pattern = String.raw`^filter\..*\.(smudge|clean|process)$`;
  const asked = ["config", "--null", "--show-scope", "--includes", "--name-only", "--get-regexp", pattern];
  const { ok, stdout, stderr } = git(tree, ...asked);
  if (!ok && stderr !== "") throw invalid(`The filters of ${tree} cannot be listed: ${stderr}`, "Update git.");
  const words = stdout.split("\0");
  const names = words.filter((_, i) => i % 2 === 1 && ["local", "worktree"].includes(words[i - 1]!));
  const strange = names.find((name) => name.includes("="));
  if (strange !== undefined) {
    throw invalid(
      `The git configuration of this repository has ${shown(strange)}, a program that cannot be switched off.`,
      "Take it out of .git/config, or what that includes.",
    );
  }
  return options(names.flatMap((name) => [`${name}=`, `${name.slice(0, name.lastIndexOf("."))}.required=false`]));
}

function options(values: readonly string[]): string[] {
  return values.flatMap((value) => ["-c", value]);
}

function runGit(cwd: string, args: readonly string[]): GitAnswer {
  // git sets them for its own hooks, where they would answer for another repository than the folder's.
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_")));
  const env = { ...inherited, ...FETCHES_NOTHING };
  refuseEndless(cwd);
  const timeout = args.some((word) => ["reset", "add", "remove"].includes(word))
    ? CHECKOUT_WITHIN_MS
    : ANSWER_WITHIN_MS;
  const { status, stdout, stderr, error } = spawnSync("git", args, {
    cwd,
    env,
    encoding: "utf8",
    timeout,
    killSignal: "SIGKILL",
    input: "",
  });
  if (error === undefined) return { ok: status === 0, stdout, stderr: stderr.trim() };
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ETIMEDOUT") {
    throw invalid(
      `git has not answered in ${cwd} within ${timeout / 1000} seconds.`,
      "Look at what .git/config includes, and at the links in .git.",
    );
  }
  const missing = code === "ENOENT";
  return { ok: false, stdout: "", stderr: missing ? "git is not installed." : error.message };
}

/** @throws CoordinationError INVALID */
function refuseEndless(cwd: string): void {
  const { gitDirectory, key } = findWorkTree(cwd);
  for (const folder of gitDirectory === undefined ? [] : new Set([gitDirectory, key])) {
    for (const name of READ_FIRST) {
      const file = join(folder, name);
      const stat = statOf(file);
      if (stat !== undefined && !stat.isFile() && !stat.isDirectory())
        throw invalid(
          `${file} is no file.`,
          "An archive may have brought it: remove it, or clone the repository anew.",
        );
    }
  }
}

function statOf(file: string): Stats | undefined {
  try {
    return statSync(file);
  } catch {
    return undefined; // absent, or a circle of links, which git refuses
  }
}

/** The worktrees of a repository, the main one first. */
export function worktreesOf(cwd: string): string[] {
  const lines = git(cwd, "worktree", "list", "--porcelain").stdout.split("\n");
  return lines.filter((line) => line.startsWith("worktree ")).map((line) => line.slice("worktree ".length));
}
