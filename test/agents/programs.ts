/** The real agents: each at the path that its variable names, else by its name on PATH. What is not there is named, and not tested. */
import { execFileSync } from "node:child_process";
import { accessSync, constants, realpathSync } from "node:fs";
import path from "node:path";

export const AGENTS = ["claude", "codex", "gemini", "opencode"] as const;
export type AgentName = (typeof AGENTS)[number];

export interface Program {
  /** Undefined where it is not there. */
  readonly path: string | undefined;
  readonly version: string;
}

export function programOf(agent: AgentName): Program {
  const variable = `COORD_E2E_${agent.toUpperCase()}`;
  const given = process.env[variable] ?? pathOf(agent);
  if (given === undefined) {
    console.log(`${agent} is not on PATH, and ${variable} names none: not checked. docs/agents.md says how to get it.`);
    return { path: undefined, version: "" };
  }
  const program = realpathSync(given);
  const said = execFileSync(program, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return { path: program, version: /\d+\.\d+\.\d+/.exec(said)?.[0] ?? said.trim() };
}

export function isOnPath(name: string): boolean {
  return pathOf(name) !== undefined;
}

function pathOf(name: string): string | undefined {
  const files = (process.env["PATH"] ?? "").split(path.delimiter).map((folder) => path.join(folder, name));
  return files.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
