/**
 * The register: one file of the user that says of each project where its namespace is and who its work trees are. Nothing
 * that a clone, a pull or an archive brings is asked [G13]. It is written by src/setup.
 */
import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { LIMITS } from "../protocol/definition.ts";
import { invalid, shown } from "../protocol/validation.ts";
import type { Variables } from "./variables.ts";
import { findWorkTree, type WorkTree } from "./work-tree.ts";

export interface Project {
  keyPrefix: string;
  /** The variables that name the server, as COORD_REDIS_URL. */
  server: Record<string, string>;
  orchestrator?: string;
  /** Names by git's own id of the worktree, that of the main one is `.`. */
  worktrees: Record<string, string>;
}

/** Projects by the real path of their common git directory, outside of git of their folder. */
export type Register = Record<string, Project>;

/** Where somebody works, and what the register says about it. */
export interface Surroundings {
  readonly tree: WorkTree;
  /** The register's file, which need not be there. */
  readonly file: string;
  /** Undefined in a project that is not in the register. */
  readonly project: Project | undefined;
  /** The register's name for this work tree. */
  readonly name: string | undefined;
}

export function registerFile(env: Variables): string {
  const configured = env["XDG_CONFIG_HOME"];
  const folder = configured && isAbsolute(configured) ? configured : join(homeOf(env), ".config");
  return join(folder, "cli-coordination", "projects.json");
}

/** A relative one would be looked for in whatever folder somebody works in, which may be a clone. */
function homeOf(env: Variables): string {
  try {
    const home = env["HOME"] || homedir();
    return isAbsolute(home) ? home : "/";
  } catch {
    return "/"; // a user without an entry in passwd, as containers have
  }
}

/** @throws CoordinationError INVALID for a register that cannot be read */
export function surroundingsOf(folder: string, env: Variables): Surroundings {
  const file = registerFile(env);
  const register = readRegister(file);
  const own = findWorkTree(folder);
  for (let tree: WorkTree | undefined = own; tree !== undefined; tree = outside(tree)) {
    const project = Object.hasOwn(register, tree.key) ? register[tree.key] : undefined;
    if (project !== undefined) return { tree, file, project, name: project.worktrees[tree.id] };
  }
  return { tree: own, file, project: undefined, name: undefined };
}

/** Where else a project may be that this folder is in: around a submodule, and around a folder outside of git. */
function outside(tree: WorkTree): WorkTree | undefined {
  if (tree.outer !== undefined) return tree.outer;
  const parent = dirname(tree.root);
  if (tree.gitDirectory !== undefined || tree.problem !== undefined || parent === tree.root) return undefined;
  return { root: parent, key: parent, id: tree.id, gitDirectory: undefined };
}

/** @throws CoordinationError INVALID; no register is an empty one */
export function readRegister(file: string): Register {
  let text: string;
  try {
    const stat = statSync(file);
    const { size } = stat;
    if (!stat.isFile()) throw new Error("it is no file"); // a link to /dev/zero has no end
    if (size > LIMITS.register_bytes)
      throw new Error(`it has ${size} bytes, at most ${LIMITS.register_bytes} are read`);
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return {};
    throw unreadable(file, (error as Error).message);
  }
  let whole: unknown;
  try {
    whole = JSON.parse(text);
  } catch {
    throw unreadable(file, "it is not JSON"); // without the piece that V8 quotes: it may be that of a password
  }
  const projects = isRecord(whole) ? whole["projects"] : undefined;
  if (!isRecord(projects)) throw unreadable(file, "it has no projects");
  return Object.fromEntries(Object.entries(projects).map(([key, value]) => [key, projectFrom(value, key, file)]));
}

function projectFrom(value: unknown, key: string, file: string): Project {
  const refuse = (field: string): never => {
    throw unreadable(file, `${field} of ${shown(key)} is not what it should be`);
  };
  if (!isRecord(value)) return refuse("the entry");
  const { keyPrefix, server = {}, orchestrator, worktrees = {} } = value;
  if (typeof keyPrefix !== "string") return refuse("keyPrefix");
  if (!isTexts(server)) return refuse("server");
  if (!isTexts(worktrees)) return refuse("worktrees");
  if (orchestrator !== undefined && typeof orchestrator !== "string") return refuse("orchestrator");
  // Without the names that every object has: git's id of a worktree may be one, as `constructor`.
  const names = Object.assign(Object.create(null) as object, worktrees);
  return { keyPrefix, server, worktrees: names, ...(orchestrator === undefined ? {} : { orchestrator }) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((text) => typeof text === "string");
}

function unreadable(file: string, problem: string): Error {
  return invalid(`The register ${file} cannot be read: ${problem}.`, "Correct it, or remove it and run coord init.");
}
