/**
 * A clone or an archive with links, in the place of every file and folder that `coord init`, its removal, `coord worktree` and
 * `coord doctor` look at: out of it and within, dangling, in circles, to devices. Nothing outside of it is written or made, and
 * each ends in a result or a sentence of ours.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import * as fc from "fast-check";
import { findWorkTree } from "../../src/client/work-tree.ts";
import { CoordinationError } from "../../src/protocol/errors.ts";
import { AGENTS } from "../../src/setup/agents.ts";
import { makeChanges } from "../../src/setup/files.ts";
import { readLegacy } from "../../src/setup/legacy.ts";
import type { Place } from "../../src/setup/place.ts";
import { planRemoval, planSetUp } from "../../src/setup/plan.ts";

export interface LinkFigures {
  cases: number;
  links: number;
  /** Whole commands, as processes. */
  commands: number;
  taken: number;
  refused: number;
  problems: string[];
}

const PROGRAMS = {
  coord: ["coord"],
  hook: ["coord-hook"],
  portable: true,
  fleeting: false,
  dist: path.resolve("dist"),
};
const COORD = path.resolve("dist/coord.cjs");
/** A command takes a tenth of a second: so many layouts are tried without for one with. */
const LAYOUTS_PER_COMMAND = 100;
const WITHIN_MS = 20_000;
const PROBLEMS_MAXIMUM = 20;
/** What a program that reads something without end, or waits, does not survive. */
const EXIT_CODES = [0, 1, 69];

const PLACES = [
  ".mcp.json",
  ".claude",
  ".claude/settings.json",
  ".claude/settings.local.json",
  ".codex",
  ".codex/config.toml",
  ".codex/hooks.json",
  ".gemini",
  ".gemini/settings.json",
  "opencode.json",
  "opencode.jsonc",
  ".cursor",
  ".cursor/mcp.json",
  ".cursor/hooks.json",
  ".coord.json",
  ".git/info",
  ".git/info/exclude",
  ".git/worktrees",
  ".git/commondir",
  ".git/HEAD",
  "../shop-login",
];

/** From the top of the repository; `<base>` is the folder around it. */
const TARGETS = [
  "<base>/outside/settings.json",
  "<base>/outside/folder",
  "<base>/outside/nothing",
  "<base>/outside/nothing/deeper.json",
  "<base>/shop/../outside/settings.json",
  "<base>/home",
  "<base>",
  "/",
  "/dev/zero",
  "/dev/null",
  "/dev/tty",
  "/proc/self/environ",
  "/proc/self/fd/0",
  "<base>/shop",
  "<base>/shop/inside.json",
  "<base>/shop/inside",
  "<base>/shop/.git/config",
  "<base>/shop/.git/hooks/post-checkout",
  "<base>/shop/link",
  "<self>",
];

export async function fuzzLinks(url: string, { seed, cases }: { seed: number; cases: number }): Promise<LinkFigures> {
  const base = realpathSync(mkdtempSync(path.join(tmpdir(), "coord links-")));
  const figures: LinkFigures = { cases: 0, links: 0, commands: 0, taken: 0, refused: 0, problems: [] };
  const template = makeTemplate(base);
  try {
    for (const [number, random] of fc.sample(fc.infiniteStream(fc.nat(2 ** 30)), { seed, numRuns: cases }).entries()) {
      const roll = (limit: number): number => (random.next().value as number) % limit;
      const root = lay(base, template);
      const links = Array.from({ length: 1 + roll(3) }, () => link(base, root, roll)).flat();
      figures.links += links.length;
      const before = outside(base);
      try {
        if (number % LAYOUTS_PER_COMMAND === 0) figures.commands += runCommands(base, root, url, roll);
        else setUpAndRemove(root, roll);
        figures.taken++;
      } catch (error) {
        if (CoordinationError.is(error)) figures.refused++;
        else figures.problems.push(`${String(error)} with ${links.join(", ")}, seed ${seed}, case ${number}`);
      }
      const after = outside(base);
      if (after !== before)
        figures.problems.push(`${before} became ${after} with ${links.join(", ")}, seed ${seed}, case ${number}`);
      figures.cases++;
      if (figures.problems.length >= PROBLEMS_MAXIMUM) break;
    }
    return figures;
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

function makeTemplate(base: string): string {
  const folder = path.join(base, "template");
  mkdirSync(folder);
  const git = (...args: string[]): unknown =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b.c", ...args], { cwd: folder, stdio: "pipe" });
  git("init", "--quiet", "--template=", "--initial-branch=main");
  writeFileSync(path.join(folder, "inside.json"), "{}\n");
  git("add", ".");
  git("commit", "--quiet", "--message", "first");
  return folder;
}

function lay(base: string, template: string): string {
  for (const name of readdirSync(base))
    if (name !== "template") rmSync(path.join(base, name), { recursive: true, force: true });
  const root = path.join(base, "shop");
  cpSync(template, root, { recursive: true });
  mkdirSync(path.join(root, "inside"));
  mkdirSync(path.join(base, "outside/folder"), { recursive: true });
  mkdirSync(path.join(base, "home"));
  for (const name of ["settings.json", "folder/settings.json", "folder/exclude"])
    writeFileSync(path.join(base, "outside", name), name.endsWith("exclude") ? ".coord.json\n" : '{"mine":true}\n');
  return root;
}

/** Where the place is below a file or a link already, there is none. */
function link(base: string, root: string, roll: (limit: number) => number): string[] {
  const name = PLACES[roll(PLACES.length)]!;
  const file = path.resolve(root, name);
  let target = TARGETS[roll(TARGETS.length)]!.replace("<base>", base).replace("<self>", path.basename(file));
  if (path.isAbsolute(target) && roll(2) === 0) target = path.relative(path.dirname(file), target) || ".";
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    rmSync(file, { recursive: true, force: true });
    symlinkSync(target, file);
    if (roll(4) === 0) symlinkSync(path.join(base, "outside/folder"), path.join(root, "link"));
  } catch {
    return [];
  }
  return [`${name} -> ${target}`];
}

/** As `coord init` and `coord init --remove` do it, without asking git and Redis first. */
function setUpAndRemove(root: string, roll: (limit: number) => number): void {
  const tree = findWorkTree(root);
  const place: Place = { tree, root, main: root, branch: "main", isFirst: true };
  const agents = AGENTS.filter(() => roll(2) === 0);
  readLegacy(root);
  const options = { local: roll(2) === 0, takeOver: roll(20) === 0, allow: true };
  makeChanges(planSetUp(place, agents, PROGRAMS, options).changes, root);
  makeChanges(planRemoval({ ...place, tree: { ...tree, gitDirectory: undefined } }, agents, PROGRAMS).changes, root);
}

function runCommands(base: string, root: string, url: string, roll: (limit: number) => number): number {
  const commands = [
    ["init", "--instance", "alice", "--prefix", "coord", "--agent", AGENTS[roll(AGENTS.length)]!],
    ["init", "--take-over"],
    ["doctor"],
    ["worktree", "add", "login"],
    ["worktree", "remove", "login"],
    ["init", "--remove"],
  ];
  const env = { PATH: process.env["PATH"]!, HOME: path.join(base, "home"), REDIS_URL: url };
  for (const args of commands) {
    const options = { cwd: root, env, input: "", encoding: "utf8", timeout: WITHIN_MS, killSignal: "SIGKILL" } as const;
    const { status, stderr } = spawnSync(process.execPath, [COORD, ...args], options);
    if (!EXIT_CODES.includes(status ?? -1) || /^ {4}at |node:internal/m.test(stderr))
      throw new Error(`${args.join(" ")} ended with ${status}: ${stderr.slice(0, 1000)}`);
  }
  return commands.length;
}

/** All but what is to be written: the clone, the user's own register, and the worktree beside it. */
function outside(base: string): string {
  const found: string[] = [];
  const walk = (folder: string): void => {
    for (const name of readdirSync(folder).toSorted()) {
      const file = path.join(folder, name);
      const stat = lstatSync(file);
      found.push(`${path.relative(base, file)}${stat.isFile() ? `=${readFileSync(file, "utf8")}` : ""}`);
      if (stat.isDirectory()) walk(file);
    }
  };
  walk(path.join(base, "outside"));
  const known = ["template", "shop", "home", "shop-login", "outside"];
  return [...found, ...readdirSync(base).filter((name) => !known.includes(name))].join(" ");
}
