/** Where agents live in a random scene: one name by the environment, or two work trees and a second project by the register. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { writeProjects } from "../register.ts";
import type { Bench, Stage } from "./agent.ts";

/** One name in one namespace, and the work tree that it belongs to. */
export interface Room {
  /** As the steps of a scene call it. */
  readonly label: string;
  readonly stage: Stage;
  readonly name: string;
  readonly cwd: string;
}

/** The name comes down to whatever is started there. */
export function namedByEnvironment(bench: Bench): Room[] {
  const stage = bench.stage();
  stage.variables = { CLAUDE_INSTANCE_ID: "backend" };
  return [{ label: "", stage, name: "backend", cwd: stage.cwd }];
}

/** Nothing but the folder says who an agent is. */
export function namedByRegister(bench: Bench): Room[] {
  const [shop, docs] = [bench.stage(), bench.stage()];
  const folder = (name: string): string => path.join(shop.cwd, name);
  for (const repository of ["shop", "docs"]) mkdirSync(folder(`${repository}/.git`), { recursive: true });
  linkWorkTree(folder("shop"), folder("search"));
  const server = { COORD_REDIS_URL: bench.url };
  const XDG_CONFIG_HOME = folder("config");
  writeProjects(XDG_CONFIG_HOME, {
    [folder("shop")]: { keyPrefix: shop.prefix, server, worktrees: { ".": "backend", search: "search" } },
    [folder("docs")]: { keyPrefix: docs.prefix, server, worktrees: { ".": "backend" } },
  });
  for (const stage of [shop, docs]) {
    stage.variables = { XDG_CONFIG_HOME, REDIS_URL: undefined, COORD_KEY_PREFIX: undefined };
  }
  return [
    { label: " in shop", stage: shop, name: "backend", cwd: folder("shop") },
    { label: " in search", stage: shop, name: "search", cwd: folder("search") },
    { label: " in docs", stage: docs, name: "backend", cwd: folder("docs") },
  ];
}

/** As `git worktree add` leaves it. */
function linkWorkTree(repository: string, tree: string): void {
  const git = path.join(repository, ".git/worktrees", path.basename(tree));
  for (const folder of [git, tree]) mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(git, "HEAD"), "ref: refs/heads/search\n");
  writeFileSync(path.join(git, "commondir"), "../..\n");
  writeFileSync(path.join(git, "gitdir"), `${path.join(tree, ".git")}\n`);
  writeFileSync(path.join(tree, ".git"), `gitdir: ${git}\n`);
}
