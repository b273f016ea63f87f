/** git, asked about a folder; never about what the environment of a hook or an alias points it to. */
import { spawnSync } from "node:child_process";

/** A checkout of a very large repository takes minutes. */
const GIT_WITHIN_MS = 600_000;

export interface GitAnswer {
  ok: boolean;
  stdout: string;
  /** What git said about it, as it is. */
  stderr: string;
}

/** What a repository's own configuration would have git run beside what it was asked for. An archive may have brought it. */
const RUNS_NOTHING = ["core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat"].flatMap((value) => [
  "-c",
  value,
]);

/**
 * What the configuration of a repository runs is switched off: hooks, the watcher of files, and its own filters, which `checkout`
 * starts. Those of the user's own configuration, as git-lfs, stay.
 */
export function git(cwd: string, ...args: readonly string[]): GitAnswer {
  const filters = args[0] === "worktree" && args[1] === "add" ? localFilters(cwd) : [];
  return runGit(cwd, [...RUNS_NOTHING, ...filters, ...args]);
}

function localFilters(cwd: string): string[] {
  const asked = [
    "config",
    "--local",
    "--includes",
    "--name-only",
    "--get-regexp",
    String.raw`^filter\..*\.(smudge|clean|process)$`,
  ];
  const names = runGit(cwd, [...RUNS_NOTHING, ...asked])
    .stdout.split("\n")
    .filter((name) => name !== "");
  const required = names.map((name) => `${name.slice(0, name.lastIndexOf("."))}.required=false`);
  return [...names.map((name) => `${name}=`), ...required].flatMap((value) => ["-c", value]);
}

function runGit(cwd: string, args: readonly string[]): GitAnswer {
  // git sets them for its own hooks, where they would answer for another repository than the folder's.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_")));
  const options = { cwd, env, encoding: "utf8", timeout: GIT_WITHIN_MS, input: "" } as const;
  const { status, stdout, stderr, error } = spawnSync("git", args, options);
  if (error === undefined) return { ok: status === 0, stdout, stderr: stderr.trim() };
  const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
  return { ok: false, stdout: "", stderr: missing ? "git is not installed." : error.message };
}

/** The worktrees of a repository, the main one first. */
export function worktreesOf(cwd: string): string[] {
  const lines = git(cwd, "worktree", "list", "--porcelain").stdout.split("\n");
  return lines.filter((line) => line.startsWith("worktree ")).map((line) => line.slice("worktree ".length));
}
