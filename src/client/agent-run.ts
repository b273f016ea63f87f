/**
 * Which run of which agent this process belongs to. The MCP server, the hooks and the shell commands of one run are started
 * by the same agent process, but are told different things: a session id that changes with /clear, or none at all. The
 * process of the agent is what they all have in common.
 */
import { readFileSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { SessionFacts } from "../protocol/results.ts";
import { readProcess } from "./process.ts";

/** How far up the agent is looked for: npx, a shell or two, a version switcher. */
const ANCESTORS_MAXIMUM = 8;
/** Names of agent programs, and of their scripts where the program is an interpreter. */
const AGENT = /(?:^|[/\s])(claude|codex|gemini|opencode|cursor-agent)(?:[\s.]|$)/;
const AGENT_NAMES: Record<string, string> = {
  claude: "claude-code",
  gemini: "gemini-cli",
  "cursor-agent": "cursor",
};

export interface AgentHints {
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** As a hook or an MCP client calls it. */
  agent?: string | undefined;
  sessionId?: string | undefined;
}

/** What presence shows of a run; `id`, and `host` with `agentPid`, tell whether two surfaces belong to the same. */
export type AgentRun = SessionFacts;

/** Looks at the environment, at the processes above, and at the repository. Never fails: what is not known is absent. */
export function identifyRun({ env, cwd, agent, sessionId }: AgentHints): AgentRun {
  const told = Number(env["CLAUDE_PID"]);
  const found = Number.isInteger(told) && told > 0 ? { pid: told, name: "claude-code" } : findAgent(process.ppid);
  const id = sessionId ?? env["CLAUDE_CODE_SESSION_ID"];
  const branch = currentBranch(cwd);
  const name = agent ?? (env["CLAUDECODE"] ? "claude-code" : found.name);
  return {
    ...(id ? { id } : {}),
    ...(name === undefined ? {} : { agent: name }),
    host: hostname(),
    agentPid: found.pid,
    cwd,
    ...(branch === undefined ? {} : { branch }),
  };
}

/** The nearest ancestor that is a known agent, else the parent: a script that starts several surfaces is their agent. */
function findAgent(parent: number): { pid: number; name?: string } {
  let pid = parent;
  for (let i = 0; i < ANCESTORS_MAXIMUM && pid > 1; i++) {
    const ancestor = readProcess(pid);
    if (ancestor === undefined) break;
    const name = AGENT.exec(ancestor.command)?.[1];
    if (name !== undefined) return { pid, name: AGENT_NAMES[name] ?? name };
    pid = ancestor.parent;
  }
  return { pid: parent };
}

/** Read from the files: starting git would cost more than all the rest. */
function currentBranch(cwd: string): string | undefined {
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    try {
      const entry = join(folder, ".git");
      const git = statSync(entry).isDirectory() ? entry : resolve(folder, readFileSync(entry, "utf8").slice(8).trim());
      const head = readFileSync(join(git, "HEAD"), "utf8").trim();
      return head.startsWith("ref: refs/heads/") ? head.slice(16) : head.slice(0, 12);
    } catch {
      if (folder === dirname(folder)) return undefined;
    }
  }
}
