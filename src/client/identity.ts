/** Who speaks: the first place that has a name for it, and where there is none the reason. */
import { nameFrom } from "../protocol/naming.ts";
import { checkIdentity, shown } from "../protocol/validation.ts";
import type { Surroundings } from "./register.ts";
import { outerRunRecords, type RunRecord } from "./run-record.ts";
import type { Variables } from "./variables.ts";
import { MAIN } from "./work-tree.ts";

export interface FoundName {
  readonly instance?: string;
  readonly source?: string;
  /** Why there is none, as a sentence without its full stop. */
  readonly reason?: string;
  /** What to do, where that is not to give one. */
  readonly remedy?: string;
}

export interface NameHints {
  option: string | undefined;
  env: Variables;
  /** The record of the own run. */
  run: RunRecord | undefined;
  /** Whether that comes before the environment: in hooks and servers. */
  bound: boolean;
  surroundings: Surroundings;
}

const KEPT_OUT: FoundName = {
  reason: "COORD_OFF=1 keeps this run out",
  remedy: "Unset COORD_OFF, or give --instance <name> to a command.",
};

/** @throws CoordinationError IDENTITY for a malformed name */
export function findName({ option, env, run, bound, surroundings }: NameHints): FoundName {
  const named = (value: unknown, source: string): FoundName => ({ instance: checkIdentity(value, source), source });
  if (option !== undefined) return named(option, "instanceId");
  if (env["COORD_OFF"] === "1") return KEPT_OUT;
  const ofRun = run?.instance === undefined ? undefined : named(run.instance, "this run");
  if (bound && ofRun !== undefined) return ofRun;
  const variable = env["CLAUDE_INSTANCE_ID"];
  const inherited = variable !== undefined && variable !== run?.instance && isHeldAbove(variable, run?.process?.pid);
  if (variable && !inherited) return named(variable, "CLAUDE_INSTANCE_ID");
  if (ofRun !== undefined) return ofRun;
  const { name, file } = surroundings;
  if (name !== undefined) return named(name, `worktrees in ${file}`);
  const proposed = nameOfWorktree(surroundings);
  if (proposed.instance !== undefined) return proposed;
  return inherited
    ? { reason: `CLAUDE_INSTANCE_ID is ${shown(variable)}, the name of the agent that started this one` }
    : proposed;
}

/** The variable comes down to whatever an agent starts: another agent is not thereby the same instance. */
function isHeldAbove(name: string, own: number | undefined): boolean {
  return outerRunRecords(own).some(({ instance, standing }) => instance === name && standing === "speaker");
}

/** In a repository that was set up, a worktree that was made by whatever tool is called as git calls it. */
function nameOfWorktree({ tree, project }: Surroundings): FoundName {
  if (tree.problem !== undefined) {
    return { reason: `No instance name is set, and ${tree.problem}, so that only the environment can name this one` };
  }
  if (project === undefined || tree.id === MAIN) return {};
  const name = nameFrom(tree.id);
  const orchestrator = project.orchestrator ?? "orchestrator";
  const others = Object.entries(project.worktrees).filter(([id]) => id !== tree.id);
  const taken = [orchestrator, ...others.map(([, other]) => other)].some(
    (other) => other.toLowerCase() === name.toLowerCase(),
  );
  if (name !== "" && !taken) return { instance: name, source: "the name that git has for this worktree" };
  return {
    reason: `No instance name is set, and git's name for this worktree, ${shown(tree.id)}, ${
      taken ? "is another's" : "leaves none"
    }`,
  };
}
