/** `coord init`, `coord worktree add` and `coord doctor`: what they print, and the exit code. */
import { relative } from "node:path";
import { successToWire } from "../../protocol/wire.ts";
import { EXIT, print, printJson, printWarnings } from "./outcome.ts";
import { hasInvitation, INVITATION_BYTES, readInvitation } from "../../client/invitation.ts";
import { workingFolder } from "../../client/settings.ts";
import { readUntil } from "./input.ts";
import { colorsFor } from "./terminal.ts";
import { visible } from "../../protocol/text.ts";
import type { Agent } from "../../setup/agents.ts";
import { examine } from "../../setup/doctor.ts";
import type { Level } from "../../setup/finding.ts";
import { type Decision, type InitResult, setUp, tearDown } from "../../setup/init.ts";
import { takeInvitation } from "../../setup/joining.ts";
import { findPlace, type Place } from "../../setup/place.ts";
import { shellLine } from "../../setup/programs.ts";
import { addWorktree, removeWorktree, type WorktreeOptions } from "../../setup/worktree.ts";

interface Reporting {
  json?: true | undefined;
}

/** With `none` only the name is written down: a plugin gives the agent its tools and hooks. */
type AgentChoice = Agent | "none";

export interface InitCommand extends Reporting {
  instance?: string | undefined;
  agent?: AgentChoice[] | undefined;
  dryRun?: boolean | undefined;
  remove?: boolean | undefined;
  prefix?: string | undefined;
  local?: boolean | undefined;
  allow?: boolean | undefined;
  takeOver?: boolean | undefined;
}

export interface JoinCommand extends Reporting {
  agent?: AgentChoice[] | undefined;
}

export interface WorktreeCommand extends Reporting, Omit<WorktreeOptions, "agents"> {
  agent?: AgentChoice[] | undefined;
}

const { green, yellow, red, bold, dim } = colorsFor(process.stdout);
const DEFAULT_AGENTS: readonly Agent[] = ["claude"];
const START: Record<Agent, string> = {
  claude: "claude",
  codex: "codex",
  gemini: "gemini",
  opencode: "opencode",
  cursor: "cursor .",
};

/** What is allowed our tools, and is said so. */
const UNASKED: Partial<Record<Agent, string>> = { claude: "Claude Code", gemini: "Gemini CLI" };

/** @returns the exit code */
export async function init({ agent, dryRun = false, remove, json, ...given }: InitCommand): Promise<number> {
  const place = findPlace(workingFolder());
  const agents = agentsOf(agent ?? (remove ? [] : DEFAULT_AGENTS));
  const announce = (decision: Decision): void => {
    if (json) return;
    if (dryRun) process.stderr.write(`${renderDecision(decision)}\n`);
    else print(renderDecision(decision));
  };
  const report = (result: InitResult, text: () => string): number => {
    if (json) printJson(successToWire(result));
    else print(dryRun ? renderDiffs(result) : text());
    printWarnings(result.warnings);
    return EXIT.done;
  };
  if (remove) {
    const result = tearDown(place, { agents, dryRun });
    return report(result, () => renderRemoval(result));
  }
  const result = await setUp(place, { ...given, agents, dryRun, announce });
  return report(result, () => renderSetUp(result, place, agents, given.allow !== false));
}

/** @returns the exit code */
export async function join({ agent, json }: JoinCommand): Promise<number> {
  if (process.stdin.isTTY) process.stderr.write("Paste what coord invite has printed on the other machine:\n");
  const invitation = readInvitation(await readUntil(process.stdin, hasInvitation, INVITATION_BYTES));
  await takeInvitation(invitation);
  const { prefix, instance } = invitation;
  return init({ prefix, instance, agent, json });
}

function agentsOf(choices: readonly AgentChoice[]): Agent[] {
  return choices.filter((choice) => choice !== "none");
}

/** @returns the exit code */
export async function worktreeAdd(name: string, { agent, json, ...options }: WorktreeCommand): Promise<number> {
  const agents = agentsOf(agent ?? DEFAULT_AGENTS);
  const result = await addWorktree(workingFolder(), name, { ...options, agents });
  if (json) printJson(successToWire(result));
  else {
    const { root, branch, branchCreated } = result;
    print(`Worktree ${bold(visible(root))} on ${branchCreated ? "the new branch" : "the branch"} ${visible(branch)}`);
    print(renderSetUp(result, findPlace(root), agents));
  }
  printWarnings(result.warnings);
  return EXIT.done;
}

/** @returns the exit code */
export async function worktreeRemove(name: string, { json }: Reporting): Promise<number> {
  const result = await removeWorktree(workingFolder(), name);
  if (json) printJson(successToWire(result));
  else {
    const { root, branch, branchDeleted, forgotten } = result;
    const parts = [
      `the worktree ${visible(root)}`,
      ...(branchDeleted ? [`its branch ${visible(branch!)}`] : []),
      forgotten ? `the instance ${bold(name)}, which gets no broadcasts any more` : `the name ${bold(name)}`,
    ];
    print(`Removed: ${parts.join(", ")}`);
  }
  printWarnings(result.warnings);
  return EXIT.done;
}

/** @returns the exit code */
export async function doctor({ instance, json }: Reporting & { instance?: string | undefined }): Promise<number> {
  const findings = await examine(workingFolder(), instance);
  const healthy = findings.every(({ level }) => level !== "problem");
  if (json) printJson({ success: healthy, findings });
  else {
    const marks: Record<Level, string> = { ok: green("✓"), warning: yellow("!"), problem: red("✗") };
    for (const { level, about, message, remedy } of findings) {
      print(`${marks[level]} ${bold(about)}: ${visible(message)}`);
      if (remedy !== null) print(`  ${dim("→")} ${visible(remedy)}`);
    }
  }
  return healthy ? EXIT.done : EXIT.refused;
}

/** Said before anything is written: the person may still stop it. */
function renderDecision({ project, prefix, server, instance, sources }: Decision): string {
  const line = (about: string, value: string, source: string): string =>
    `${about.padEnd(9)} ${bold(visible(value))}${source === "" ? "" : ` (${visible(source)})`}`;
  return [
    line("project", project, ""),
    line("namespace", prefix, sources.prefix),
    line("server", server, sources.server),
    line("name", instance, sources.instance),
  ].join("\n");
}

function renderSetUp(
  { instance, registered, files, root, register }: InitResult & Decision,
  place: Place,
  agents: readonly Agent[],
  allow = true,
): string {
  const outside = place.tree.gitDirectory === undefined && place.tree.problem === undefined;
  const where = outside ? ` in ${visible(root)}, which is outside of git` : "";
  const nothing = files.length > 0 && files.every(({ state }) => state === "unchanged");
  const folder = relative(workingFolder(), root);
  const start = agents.map((agent) => START[agent]).join(" or ");
  const next = folder === "" ? start : `cd ${shellLine([folder])} && ${start}`;
  return [
    `${nothing ? "Already set up" : "Set up"}: instance ${bold(instance)}${where}, written down in ${visible(register)}`,
    ...renderFiles(files),
    ...agents
      .flatMap((agent) => (allow ? (UNASKED[agent] ?? []) : []))
      .map((name) => `${name} calls the tools of coord without asking; coord init --no-allow leaves that out.`),
    ...(registered ? ["Broadcasts reach it from now on."] : []),
    ...(agents.length === 0 ? [] : [`Next: ${bold(next)}`]),
  ].join("\n");
}

function renderRemoval({ instance, files }: InitResult): string {
  const gone = files.filter(({ state }) => state !== "unchanged");
  if (gone.length === 0) return "Nothing of coord init is here.";
  const forget =
    instance === undefined
      ? []
      : [`Its messages stay. To take it out of broadcasts: ${bold(`coord forget ${instance}`)}`];
  return ["Taken out:", ...renderFiles(gone), ...forget].join("\n");
}

function renderFiles(files: InitResult["files"]): string[] {
  return files.map(({ path, state }) => `  ${(state === "unchanged" ? dim : green)(state.padEnd(9))} ${visible(path)}`);
}

function renderDiffs({ files }: InitResult): string {
  const diffs = files.flatMap(({ diff }) => diff ?? []);
  return diffs.length === 0 ? "Nothing would change." : visible(diffs.join("")).trimEnd();
}
