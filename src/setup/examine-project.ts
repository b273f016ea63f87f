/** The files of a project: which agents are set up in it, and whether what they start is there. */
import { relative } from "node:path";
import { type Agent, type AgentFile, AGENTS, filesOf } from "./agents.ts";
import { examineClaude } from "./examine-claude.ts";
import { examineCodex } from "./examine-codex.ts";
import { examineGemini } from "./examine-gemini.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { linesIn } from "./entries.ts";
import { stateOf, planChange } from "./files.ts";
import { describeLegacy, LEGACY_FILE, readLegacy } from "./legacy.ts";
import { findPlace, type Place } from "./place.ts";
import { planSetUp } from "./plan.ts";
import { findPrograms, isRunnable, type Programs } from "./programs.ts";

export async function examineProject(cwd: string): Promise<Finding[]> {
  const place = findPlace(cwd);
  const programs = findPrograms();
  const findings = AGENTS.flatMap((agent) => examineAgent(agent, place, programs));
  const known = findings.find(({ about }) => about === "claude");
  // What cannot be started anyway is said once.
  const claude = known?.level === "problem" ? [] : examineClaude(place, known !== undefined);
  if (findings.length === 0)
    findings.push(
      warning(
        "agents",
        "none is set up here, which is right only where a plugin does it",
        "Run coord init, for another agent than Claude Code with --agent.",
      ),
    );
  const works = (agent: Agent): boolean => findings.some(({ about, level }) => about === agent && level === "ok");
  const codex = works("codex") ? await examineCodex(place) : [];
  const gemini = works("gemini") ? examineGemini(place) : [];
  return [...examineLegacy(place), ...findings, ...claude, ...codex, ...gemini];
}

/** Nothing about an agent that nobody has set up here. */
function examineAgent(agent: Agent, place: Place, programs: Programs): Finding[] {
  const again = `coord init --agent ${agent}`;
  const { root } = place;
  try {
    const files = filesOf(agent, place, programs).filter(({ unread }) => unread !== true);
    const used = files.filter((file) => linesIn(textOf(file), file).length > 0);
    const lines = used.flatMap((file) => linesIn(textOf(file), file));
    // Hooks in the main worktree alone are there for that one.
    if (used.every(({ shared }) => shared)) return [];
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
    const { changes, warnings } = planSetUp(place, [agent], programs, { local: false, takeOver: false, allow: false });
    const open = changes.filter((change) => stateOf(change) !== "unchanged");
    if (open.length > 0)
      return [warning(agent, `${names(open, root)} lacks entries or has older ones`, `Run ${again}.`)];
    if (warnings.length > 0) return [warning(agent, warnings.join(" "), `Run ${again} after that.`)];
    return [ok(agent, `set up in ${names(used, root)}`)];
  } catch (error) {
    return [problem(agent, (error as Error).message, `Correct the file, then run ${again}.`)];
  }
}

function textOf({ path }: AgentFile): string | undefined {
  return planChange(path, (text) => text).before;
}

function names(files: readonly { path: string }[], root: string): string {
  return files.map(({ path }) => relative(root, path)).join(" and ");
}

/** What earlier versions read. */
function examineLegacy({ root }: Place): Finding[] {
  const legacy = readLegacy(root);
  if (legacy === undefined) return [];
  const holds = describeLegacy(legacy);
  return [
    warning(LEGACY_FILE, `it is not read any more; it holds ${holds}`, "Run coord init --take-over, or remove it."),
  ];
}
