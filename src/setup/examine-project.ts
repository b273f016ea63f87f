/** The files of a project: which agents are set up in it, and whether what they start is there. */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { PROJECT_FILE } from "../client/settings.ts";
import { type Agent, type AgentFile, AGENTS, filesOf } from "./agents.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { addEntries, linesIn } from "./entries.ts";
import { stateOf, planChange } from "./files.ts";
import { git } from "./git.ts";
import { findPlace, type Place } from "./place.ts";
import { findPrograms, isRunnable, type Programs } from "./programs.ts";

export function examineProject(cwd: string): Finding[] {
  const place = findPlace(cwd);
  const programs = findPrograms();
  const findings = AGENTS.flatMap((agent) => examineAgent(agent, place, programs));
  if (findings.length === 0)
    findings.push(
      warning("agents", "none is set up here", "Run coord init, for another agent than Claude Code with --agent."),
    );
  return [...examineExclude(place), ...findings];
}

/** Nothing about an agent that nobody has set up here. */
function examineAgent(agent: Agent, { root }: Place, programs: Programs): Finding[] {
  const again = `coord init --agent ${agent}`;
  try {
    const files = filesOf(agent, root, programs);
    const lines = files.flatMap((file) => linesIn(textOf(file), file));
    if (lines.length === 0) return [];
    const missing = lines.find((line) => !isRunnable(line));
    if (missing !== undefined) {
      return [
        problem(
          agent,
          `it starts ${missing.join(" ")}, which is not there`,
          `Run npm install --global for the package, or ${again}.`,
        ),
      ];
    }
    const warnings: string[] = [];
    const open = files.filter(
      (file) =>
        stateOf(planChange(file.path, (text) => addEntries(text, file, (sentence) => warnings.push(sentence)))) !==
        "unchanged",
    );
    if (open.length > 0)
      return [warning(agent, `${names(open, root)} lacks entries or has older ones`, `Run ${again}.`)];
    if (warnings.length > 0) return [warning(agent, warnings.join(" "), `Run ${again} after that.`)];
    return [ok(agent, `set up in ${names(files, root)}`)];
  } catch (error) {
    return [problem(agent, (error as Error).message, `Correct the file, then run ${again}.`)];
  }
}

function textOf({ path }: AgentFile): string | undefined {
  return planChange(path, (text) => text).before;
}

function names(files: readonly AgentFile[], root: string): string {
  return files.map(({ path }) => relative(root, path)).join(" and ");
}

function examineExclude({ root, git: repository }: Place): Finding[] {
  if (repository === undefined || !existsSync(join(root, PROJECT_FILE))) return [];
  if (git(root, "check-ignore", "--quiet", PROJECT_FILE).ok) return [];
  return [
    warning(
      "git",
      `${PROJECT_FILE} is not kept out of git, and other worktrees would get this name`,
      "Run coord init.",
    ),
  ];
}
