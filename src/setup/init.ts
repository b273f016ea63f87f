/** `coord init`: a name, the tools and the hooks for the agent that works in a folder. */
import { existsSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { CoordinationClient } from "../client/client.ts";
import { PROJECT_FILE, resolveSettings } from "../client/settings.ts";
import { CoordinationError } from "../protocol/errors.ts";
import { checkIdentity } from "../protocol/validation.ts";
import type { Agent } from "./agents.ts";
import { unifiedDiff } from "./diff.ts";
import { type ChangeState, makeChanges, stateOf } from "./files.ts";
import { JsonText } from "./json.ts";
import { type Place, type Proposal, proposeName } from "./place.ts";
import { type Plan, planRemoval, planSetUp } from "./plan.ts";
import { findPrograms } from "./programs.ts";

export interface InitOptions {
  instance?: string | undefined;
  agents: readonly Agent[];
  dryRun: boolean;
}

export interface FileReport {
  path: string;
  state: ChangeState;
  /** With `--dry-run`, where something would change. */
  diff?: string;
}

export interface InitResult {
  /** Undefined after `--remove` where there was none. */
  instance?: string;
  /** Where the name comes from. */
  instanceSource?: string;
  root: string;
  /** Whether broadcasts reach it from now on. */
  registered: boolean;
  dryRun: boolean;
  files: FileReport[];
  warnings: string[];
}

/** @throws CoordinationError INVALID, IDENTITY: nothing was changed */
export async function setUp(place: Place, { instance, agents, dryRun }: InitOptions): Promise<InitResult> {
  const present = nameIn(place.root);
  const { name, source } = chooseName(place, instance, present);
  const programs = findPrograms();
  const plan = planSetUp(place, name, agents, programs);
  const warnings = [...placeWarnings(place, name), ...plan.warnings];
  if (!programs.portable) {
    warnings.push(
      "coord, coord-hook or bash is not on PATH: the files name this installation, and work on this machine only. " +
        "After npm install --global, run coord init again.",
    );
  }
  if (!dryRun) makeChanges(plan.changes, place.root);
  const registered = !dryRun && (await register(name, place.root, warnings));
  if (present !== undefined && present !== name) {
    warnings.push(`The name here was ${present}: coord forget ${present} takes it out of broadcasts.`);
  }
  return { instance: name, instanceSource: source, registered, ...report(place, plan, dryRun), warnings };
}

/** Redis is left alone: what the instance was sent stays for it. */
export function tearDown(place: Place, { agents, dryRun }: Omit<InitOptions, "instance">): InitResult {
  const present = nameIn(place.root);
  const plan = planRemoval(place, agents, findPrograms());
  if (!dryRun) makeChanges(plan.changes, place.root);
  const result = { registered: false, ...report(place, plan, dryRun), warnings: [...plan.warnings] };
  return present === undefined ? result : { instance: present, instanceSource: PROJECT_FILE, ...result };
}

function report({ root }: Place, { changes }: Plan, dryRun: boolean): Pick<InitResult, "root" | "dryRun" | "files"> {
  const there = changes.filter(({ before, after }) => before !== undefined || after !== undefined);
  const files = there.map((change): FileReport => {
    const state = stateOf(change);
    const path = relative(root, change.path);
    return dryRun && state !== "unchanged" ? { path, state, diff: unifiedDiff(change, root) } : { path, state };
  });
  return { root, dryRun, files };
}

function chooseName(place: Place, option: string | undefined, present: string | undefined): Proposal {
  if (option !== undefined) return { name: checkIdentity(option, "--instance"), source: "--instance" };
  if (present !== undefined) {
    return { name: checkIdentity(present, `instanceId in ${PROJECT_FILE}`), source: PROJECT_FILE };
  }
  return proposeName(place);
}

function nameIn(root: string): string | undefined {
  const path = join(root, PROJECT_FILE);
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, "utf8");
  return text.trim() === "" ? undefined : (new JsonText(PROJECT_FILE, text, true).get(["instanceId"]) as string);
}

function placeWarnings({ root, git, problem }: Place, name: string): string[] {
  const warnings: string[] = [];
  if (problem !== undefined) {
    warnings.push(`git could not be asked about ${root} (${problem}): keep ${PROJECT_FILE} out of it yourself.`);
  }
  const twin = git?.worktrees.find((worktree) => resolve(worktree) !== root && namedLike(worktree, name));
  if (twin !== undefined) {
    warnings.push(
      `${twin} has the name ${name} as well, and only one agent at a time speaks under a name: give --instance.`,
    );
  }
  const variable = process.env["CLAUDE_INSTANCE_ID"];
  if (variable && variable !== name) {
    warnings.push(
      `CLAUDE_INSTANCE_ID is ${JSON.stringify(variable)} in this shell and wins over ${PROJECT_FILE}: unset it.`,
    );
  }
  return warnings;
}

function namedLike(worktree: string, name: string): boolean {
  try {
    return nameIn(worktree) === name;
  } catch {
    return false;
  }
}

/** Redis may be down: the files are good without it, and the first start registers as well. */
async function register(instanceId: string, cwd: string, warnings: string[]): Promise<boolean> {
  try {
    await using client = new CoordinationClient(resolveSettings({ instanceId, cwd }));
    await client.registerInstance();
    return true;
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    warnings.push(
      `${instanceId} is not registered yet, its first start will do that: until then broadcasts do not reach it. ` +
        `${error.message} ${error.hint}`,
    );
    return false;
  }
}
