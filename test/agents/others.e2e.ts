/** Agents of which only the connection to our server is tried: they have no way to be driven without a provider. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { Stage } from "./stage.ts";

const run = promisify(execFile);
const AGENTS = [
  { agent: "gemini", program: find("COORD_E2E_GEMINI", "gemini"), connected: /coord: coord mcp \(stdio\) - Connected/ },
];

function find(variable: string, name: string): string {
  return process.env[variable] ?? path.join(homedir(), `.cache/coord-e2e/${name}/node_modules/.bin/${name}`);
}

describe.each(AGENTS)("$agent", ({ agent, program, connected }) => {
  const there = existsSync(program);
  if (!there) console.log(`${agent} is not at ${program}: it is not tested. docs/agents.md says how to get it.`);

  it.skipIf(!there)("connects to the server that coord init set up", async () => {
    await using stage = await Stage.set();
    const project = await stage.project("alice", agent);
    const env = { ...stage.env, GEMINI_CLI_TRUST_WORKSPACE: "true" };
    const { stdout, stderr } = await run(program, ["mcp", "list"], { cwd: project, env, timeout: 60_000 });
    // Both colour what they print even into a pipe.
    // oxlint-disable-next-line no-control-regex
    expect(`${stdout}${stderr}`.replaceAll(/\u001b\[[0-9;]*m/g, "")).toMatch(connected);
  });
});
