/** `coord init`: a project, a name, the tools and the hooks for the agent that works in a folder. */
import { hostname } from "node:os";
import { join, relative } from "node:path";
import { serverAddress } from "../client/inspection.ts";
import { type Project, registerFile, type Surroundings, surroundingsOf } from "../client/register.ts";
import { listRunRecords, removeRunRecord } from "../client/run-record.ts";
import { findWorkTree } from "../client/work-tree.ts";
import { CoordinationError } from "../protocol/errors.ts";
import { invalid } from "../protocol/validation.ts";
import type { Agent } from "./agents.ts";
import { type Choice, chooseName, choosePrefix, chooseServer, othersOf } from "./choose.ts";
import { clientOf, settingsOf, isElsewhere, lookAround, type Target, type There } from "./around.ts";
import { unifiedDiff } from "./diff.ts";
import { type ChangeState, makeChanges, stateOf } from "./files.ts";
import { worktreesOf } from "./git.ts";
import { describeLegacy, type Legacy, LEGACY_FILE, readLegacy } from "./legacy.ts";
import type { Place } from "./place.ts";
import { type Plan, planRemoval, planSetUp } from "./plan.ts";
import { findPrograms } from "./programs.ts";
import { changeRegister } from "./register.ts";

export interface InitOptions {
  instance?: string | undefined;
  prefix?: string | undefined;
  agents: readonly Agent[];
  /** Claude's hooks into the file of the one user. */
  local?: boolean | undefined;
  /** Whether agents may call our tools without asking; true where absent. */
  allow?: boolean | undefined;
  /** What `.coord.json` holds. */
  takeOver?: boolean | undefined;
  dryRun: boolean;
  /** Is told what will be written where, before it is. */
  announce?: (decision: Decision) => void;
}

export interface FileReport {
  path: string;
  state: ChangeState;
  /** With `--dry-run`, where something would change. */
  diff?: string;
}

/** What a set-up is about, and why. */
export interface Decision {
  /** By what the register knows it: the real path of the common git directory, or of the folder. */
  project: string;
  prefix: string;
  server: string;
  instance: string;
  sources: { prefix: string; server: string; instance: string };
}

export interface InitResult extends Partial<Decision> {
  root: string;
  /** The file that holds the project's settings. */
  register: string;
  /** Whether broadcasts reach it from now on. */
  registered: boolean;
  dryRun: boolean;
  files: FileReport[];
  warnings: string[];
}

/** @throws CoordinationError INVALID, IDENTITY: nothing was changed */
export async function setUp(place: Place, options: InitOptions): Promise<InitResult & Decision> {
  const { agents, dryRun } = options;
  const { env } = process;
  const programs = findPrograms();
  if (programs.fleeting && agents.length > 0) {
    throw invalid(
      "npx has unpacked coord for this run only, and the agents' files would name that place.",
      "npm install --global cli-coordination, then coord init.",
    );
  }
  const surroundings = ofPlace(place);
  const warnings: string[] = [];
  const legacy = legacyOf(place, surroundings, options, warnings);
  const prefix = choosePrefix(surroundings, options.prefix, legacy, env);
  const server = chooseServer(surroundings, legacy, env, ({ variables }) =>
    serverAddress(settingsOf({ prefix: prefix.value, server: variables })),
  );
  const orchestrator = surroundings.project?.orchestrator ?? legacy?.orchestrator;
  const there = await lookAround({ prefix: prefix.value, server: server.variables });
  const name = chooseName({
    place,
    surroundings,
    option: options.instance,
    legacy,
    orchestrator: orchestrator ?? "orchestrator",
    isElsewhere: (candidate) => isElsewhere(there.presence, candidate, place),
  });
  refuseOtherCase(name, there.presence, surroundings);
  const decision: Decision = {
    project: surroundings.tree.key,
    prefix: prefix.value,
    server: server.value,
    instance: name.value,
    sources: { prefix: prefix.source, server: server.source, instance: name.source },
  };
  options.announce?.(decision);
  warnings.push(...nameWarnings(place, surroundings, name, there.presence));
  if (server.other !== undefined) {
    warnings.push(`REDIS_* name ${server.other}: they come behind the project's server, ${server.value}.`);
  }
  if (surroundings.project === undefined && there.similar.length > 0) {
    const names = there.similar.join(", ");
    warnings.push(`The server has ${names} for a repository of this name as well: --prefix chooses one of them.`);
  }
  const { local = false, allow = true } = options;
  const plan = planSetUp(place, agents, programs, { local, allow, takeOver: legacy !== undefined });
  warnings.push(...plan.warnings);
  if (!programs.portable) {
    warnings.push(
      "coord, coord-hook or bash is not on PATH: the files name this installation, and work on this machine only. " +
        "After npm install --global, run coord init again.",
    );
  }
  const result = { ...decision, ...report(place, plan, dryRun), register: surroundings.file, warnings };
  if (dryRun) return { ...result, registered: false };
  const names = { ...(legacy === undefined ? {} : namesOfWorktrees(place)), [surroundings.tree.id]: name.value };
  changeRegister(
    surroundings.file,
    (register) => {
      const present = register[surroundings.tree.key];
      register[surroundings.tree.key] = {
        keyPrefix: prefix.value,
        server: server.variables as Project["server"],
        ...(orchestrator === undefined ? {} : { orchestrator }),
        worktrees: { ...names, ...present?.worktrees, [surroundings.tree.id]: name.value },
      };
    },
    () => makeChanges(plan.changes, place.root),
  );
  renewRecords(place.root);
  const registered = await makeKnown(decision, server.variables, warnings);
  const { name: before } = surroundings;
  if (before !== undefined && before !== name.value) {
    warnings.push(`The name here was ${before}: coord forget ${before} takes it out of broadcasts.`);
  }
  return { ...result, registered };
}

/** Redis is left alone: what the instance was sent stays for it. */
export function tearDown(place: Place, { agents, dryRun }: Pick<InitOptions, "agents" | "dryRun">): InitResult {
  const surroundings = ofPlace(place);
  const { tree, file, project, name } = surroundings;
  const { isLast, ...plan } = planRemoval(place, agents, findPrograms());
  const gone = isLast && project !== undefined;
  if (!dryRun && gone) {
    changeRegister(
      file,
      (register) => {
        const { [tree.id]: _, ...worktrees } = register[tree.key]?.worktrees ?? {};
        if (Object.keys(worktrees).length > 0) register[tree.key] = { ...project, worktrees };
        else delete register[tree.key];
      },
      () => makeChanges(plan.changes, place.root),
    );
    renewRecords(place.root);
  } else if (!dryRun) makeChanges(plan.changes, place.root);
  const result: InitResult = {
    registered: false,
    register: file,
    ...report(place, plan, dryRun),
    warnings: [...plan.warnings],
  };
  if (project === undefined || !isLast) return result;
  return { project: tree.key, prefix: project.keyPrefix, ...(name === undefined ? {} : { instance: name }), ...result };
}

/** A submodule that is set up itself is a project of its own. */
function ofPlace({ tree }: Place): Surroundings {
  const file = registerFile(process.env);
  const { project, name, ...found } = surroundingsOf(tree.root, process.env);
  return found.tree.key === tree.key
    ? { ...found, project, name }
    : { tree, file, project: undefined, name: undefined };
}

/** @throws CoordinationError INVALID where a project that is new here has settings of its own, and nobody has said what to do */
function legacyOf(
  { root, main }: Place,
  { project, name }: Surroundings,
  { takeOver, prefix, instance }: InitOptions,
  warnings: string[],
): Legacy | undefined {
  const [own, ofMain] = [readLegacy(root), main === root ? undefined : readLegacy(main)];
  const found = own ?? ofMain;
  if (found === undefined) return undefined;
  const { instanceId: _, ...settings } = ofMain ?? {};
  if (takeOver) return { ...settings, ...own };
  const holds = `${join(own === undefined ? main : root, LEGACY_FILE)}, which is not read any more, holds ${describeLegacy(found)}`;
  const decided = project === undefined ? prefix !== undefined : name !== undefined || instance !== undefined;
  if (decided || project !== undefined) {
    warnings.push(`${holds}: coord init --take-over uses it, else remove it.`);
    return undefined;
  }
  throw invalid(
    `${holds}.`,
    "coord init --take-over keeps all that; coord init --prefix <prefix> begins anew; or remove the file. Nothing was changed.",
  );
}

/** Every worktree of the repository is taken over at once: the next one would be asked about a project that is known. */
function namesOfWorktrees({ root, tree }: Place): Record<string, string> {
  const names = Object.create(null) as Record<string, string>;
  for (const worktree of tree.gitDirectory === undefined ? [] : worktreesOf(root)) {
    try {
      const name = readLegacy(worktree)?.instanceId;
      if (name !== undefined) names[findWorkTree(worktree).id] = name;
    } catch {
      // its own coord init says what is wrong with it
    }
  }
  return names;
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

/** @throws CoordinationError IDENTITY */
function refuseOtherCase(
  { value, source }: Choice,
  presence: There["presence"],
  { project, tree }: Surroundings,
): void {
  const known = [...Object.keys(presence), ...Object.values(project?.worktrees ?? {})];
  const twin = known.find((other) => other !== value && other.toLowerCase() === value.toLowerCase());
  if (twin === undefined || project?.worktrees[tree.id] === twin) return;
  throw new CoordinationError("IDENTITY", `${value} (${source}) differs from the name ${twin} only in case.`, {
    hint: `Take ${twin}, or another: --instance <name>. If ${twin} is not needed any more: coord forget ${twin}`,
  });
}

function nameWarnings(
  place: Place,
  { tree, project }: Surroundings,
  { value: name }: Choice,
  presence: There["presence"],
): string[] {
  const warnings: string[] = [];
  if (tree.problem !== undefined) {
    warnings.push(`${tree.problem}: this folder is set up for itself, as if it were outside of git.`);
  }
  if (othersOf(project, tree.id).has(name.toLowerCase())) {
    warnings.push(
      `Another worktree of this repository has the name ${name} as well, and only one agent at a time speaks under it: give --instance.`,
    );
  }
  const other = presence[name];
  if (other?.status === "active" && isElsewhere(presence, name, place)) {
    const { host, cwd } = other.session;
    const where = [cwd, host === hostname() ? undefined : host].filter((part) => part !== undefined).join(" on ");
    warnings.push(`${name} is active elsewhere, ${where}: only one agent at a time speaks under it; give --instance.`);
  }
  const variable = process.env["CLAUDE_INSTANCE_ID"];
  if (variable && variable !== name) {
    warnings.push(`CLAUDE_INSTANCE_ID is ${JSON.stringify(variable)} in this shell and wins over ${name}: unset it.`);
  }
  return warnings;
}

/** The next hook of a run that lives here writes anew what it is. */
function renewRecords(root: string): void {
  for (const record of listRunRecords()) if (record.tree === root) removeRunRecord(record);
}

/** Redis may be down: the files are good without it, and the first start registers as well. */
async function makeKnown(
  { instance, prefix }: Decision,
  server: Target["server"],
  warnings: string[],
): Promise<boolean> {
  try {
    await using client = clientOf({ prefix, server }, instance);
    await client.registerInstance();
    return true;
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    warnings.push(
      `${instance} is not registered yet, its first start will do that: until then broadcasts do not reach it. ` +
        `${error.message} ${error.hint}`,
    );
    return false;
  }
}
