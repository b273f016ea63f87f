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

export function git(cwd: string, ...args: readonly string[]): GitAnswer {
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
