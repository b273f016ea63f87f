/**
 * Which run of which agent this process belongs to. The MCP server, the hooks and the shell commands of one run are started
 * by the same agent process, but are told different things: a session id that changes with /clear, or none at all. The
 * process of the agent is what they all have in common.
 */
import { hostname } from "node:os";
import type { SessionFacts } from "../protocol/results.ts";
import { ancestors, knowProcess, lives, machine, readArguments, readProcess } from "./process.ts";
import { currentBranch, findWorkTree } from "./work-tree.ts";

/** How far up the agent is looked for: npx, a shell or two, a version switcher. And again as far for one that started it. */
const STEPS_MAXIMUM = 8;
/** Names of agent programs, and of their scripts where the program is an interpreter. */
const AGENT = /(?:^|[/\s])(claude|codex|gemini|opencode|cursor-agent)(?:[\s.]|$)/;
const AGENT_NAMES: Record<string, string> = {
  claude: "claude-code",
  gemini: "gemini-cli",
  "cursor-agent": "cursor",
};
/** Codex starts one from its first terminal, in a group of its own; it holds the sessions of all. */
const DAEMON = /codex app-server$/;
/** One process of these holds several sessions, which only the host's id tells apart. */
const SEVERAL_SESSIONS: ReadonlySet<string> = new Set(["codex", "opencode"]);
/** What on its command line says that nobody attends the agent. */
const UNATTENDED: Readonly<Record<string, RegExp>> = {
  "claude-code": /^(-p|--print)$/,
  codex: /^(exec|e)$/,
  "gemini-cli": /^(-p|--prompt)(=.*)?$/,
  opencode: /^run$/,
};

export interface AgentHints {
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** As a hook or an MCP client calls it. */
  agent?: string | undefined;
  /** As the input of a hook names it. */
  sessionId?: string | undefined;
}

/** What presence shows of a run, and what tells it from others; only `facts` and `runName` look at the rest. */
export interface AgentRun extends SessionFacts {
  /** A channel rings in its session. */
  channel?: true;
  /** When the process of the agent began; with its number, host and machine it means one process. */
  started?: string | undefined;
  machine?: string | undefined;
  workTree?: string | undefined;
  /** Nobody attends it, or another agent has started it: it never supersedes. */
  yields?: boolean | undefined;
}

/** Looks at the environment, at the processes above, and at the repository. Never fails: what is not known is absent. */
export function identifyRun({ env, cwd, agent, sessionId }: AgentHints): AgentRun {
  const found = findAgent(env, sessionId);
  const id = sessionId ?? (found.inherited ? undefined : env["CLAUDE_CODE_SESSION_ID"]);
  const tree = findWorkTree(cwd);
  const branch = currentBranch(tree);
  const name = agent ?? found.name ?? (env["CLAUDECODE"] && !found.inherited ? "claude-code" : undefined);
  // Without an agent among the ancestors only the host's id, or else whoever has started us, names the run.
  const pid = found.pid ?? (id ? undefined : process.ppid);
  const started = pid === undefined ? undefined : knowProcess(pid).started;
  const unattended = isUnattended(env, found.pid, name, found.inherited);
  return {
    ...(id ? { id } : {}),
    ...(name === undefined ? {} : { agent: name }),
    host: hostname(),
    machine: machine(),
    ...(pid === undefined ? {} : { agentPid: pid }),
    ...(started === undefined ? {} : { started }),
    cwd,
    workTree: tree.root,
    ...(branch === undefined ? {} : { branch }),
    ...((found.nested || unattended) && env["COORD_TAKE_OVER"] !== "1" ? { yields: true } : {}),
  };
}

interface FoundAgent {
  pid?: number;
  name?: string;
  /** The variables of Claude Code come from an agent further up: they say nothing of this one. */
  inherited: boolean;
  /** Another agent has started it. */
  nested: boolean;
}

/**
 * The process of the agent: the nearest ancestor that Claude Code's variable names or that is a known program. The variable
 * counts as well where its process is not to be seen among the ancestors, but the hook is told the session that it belongs to.
 */
function findAgent(env: AgentHints["env"], sessionId: string | undefined): FoundAgent {
  const told = Number(env["CLAUDE_PID"]);
  const isTold = (pid: number): boolean => Number.isInteger(told) && told > 0 && pid === told;
  const nameOf = (pid: number, command: string): string | undefined => {
    const name = isTold(pid) ? "claude" : AGENT.exec(command)?.[1];
    return name === undefined ? undefined : (AGENT_NAMES[name] ?? name);
  };
  let nearest: { pid: number; name: string; group: number; serves: boolean } | undefined;
  let steps = 0;
  for (const { pid, command, group } of ancestors()) {
    if (steps++ === STEPS_MAXIMUM) break;
    const name = nameOf(pid, command);
    if (name === undefined) continue;
    if (nearest === undefined) {
      nearest = { pid, name, group, serves: DAEMON.test(command) };
      steps = 0;
    } else if (name !== nearest.name || (group !== nearest.group && !nearest.serves)) {
      // Another program, or what a shell of the agent started. What only wraps the agent, as its launcher does, shares its group.
      return { pid: nearest.pid, name: nearest.name, nested: true, inherited: foreign(nearest, env, isTold) };
    }
  }
  if (nearest !== undefined) {
    return { pid: nearest.pid, name: nearest.name, nested: false, inherited: foreign(nearest, env, isTold) };
  }
  const belongs = sessionId !== undefined && sessionId === env["CLAUDE_CODE_SESSION_ID"];
  if (told > 0 && belongs && lives(knowProcess(told))) {
    return { pid: told, name: "claude-code", nested: false, inherited: false };
  }
  return { nested: false, inherited: false };
}

export function isAgent(pid: number): boolean {
  const found = readProcess(pid);
  return found !== undefined && isAgentProgram(found.command);
}

/** @param command the program and its first argument */
export function isAgentProgram(command: string): boolean {
  return AGENT.test(command);
}

function foreign(
  nearest: { pid: number; name: string },
  env: AgentHints["env"],
  isTold: (pid: number) => boolean,
): boolean {
  return nearest.name !== "claude-code" || (env["CLAUDE_PID"] !== undefined && !isTold(nearest.pid));
}

function isUnattended(
  env: AgentHints["env"],
  pid: number | undefined,
  agent: string | undefined,
  inherited: boolean,
): boolean {
  const said = env["CLAUDE_CODE_SESSION_ATTENDED"] === "0" || env["CLAUDE_CODE_ENTRYPOINT"] === "sdk-cli";
  if (said && !inherited) return true;
  const sign = UNATTENDED[agent ?? ""];
  return (
    pid !== undefined &&
    sign !== undefined &&
    readArguments(pid)
      .slice(1)
      .some((argument) => sign.test(argument))
  );
}

/** As scripts take them: what presence shows, and what tells the run from others. */
export function factsOf({ agentPid, machine: where, workTree, started, yields: _yields, ...shown }: AgentRun): object {
  const process = processOf({ agentPid, machine: where, host: shown.host, started });
  return { ...shown, agent_pid: agentPid, machine: where, work_tree: workTree, process };
}

/** The run among the guests of a name: its session where a process may hold several, else its process. "" for none. */
export function runName(run: AgentRun): string {
  const byId = run.id === undefined ? "" : `id:${run.id}`;
  return SEVERAL_SESSIONS.has(run.agent ?? "") && byId !== "" ? byId : (processOf(run) ?? byId);
}

/** The number of a session, given as JSON, whose process was on this run's machine and has ended. */
export function numberOfDead(session: string, { host, machine: where }: AgentRun): string | undefined {
  const { number, process } = JSON.parse(session) as { number: number; process?: string };
  const [, there, machineThere, pid, started] = /^pid (\S+) (\S+) (\d+) (.*)$/.exec(process ?? "") ?? [];
  if (pid === undefined || there !== host || machineThere !== where) return undefined;
  return lives({ pid: Number(pid), started: started || undefined }) ? undefined : String(number);
}

type ProcessFacts = Pick<AgentRun, "machine" | "started"> & { [K in "host" | "agentPid"]?: AgentRun[K] | undefined };

function processOf({ host, machine: where, agentPid, started }: ProcessFacts): string | undefined {
  if (host === undefined || agentPid === undefined) return undefined;
  return ["pid", host, where ?? "", agentPid, started ?? ""].join(" ");
}
