/** An agent that another agent has started, over in one step: `claude -p` or `codex exec` in its shell, with all that they inherit. */
import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type Agent, END, type Env, HOOK, PROMPT, START } from "./agent.ts";

/** Plays the start, a prompt and the end, and says what each was shown. */
const THROWAWAY_SOURCE = `
const { spawnSync } = require("node:child_process");
const { argv, env, inputs } = JSON.parse(process.argv[2]);
if (env.CLAUDE_PID === "self") env.CLAUDE_PID = String(process.pid);
const outputs = inputs.map((input) => spawnSync(process.execPath, argv, { env, input }).stdout.toString());
process.stdout.write(JSON.stringify(outputs));
`;
/** As a shell of an agent starts a program: in a process group of its own. */
const SHELL_SOURCE = `require("node:child_process").spawn(process.execPath, process.argv.slice(1), { detached: true, stdio: "inherit" })`;

/** @returns what its start, prompt and end were shown, as JSON or "" */
export async function playBelow(
  outer: Agent,
  program: "claude" | "codex",
  { folder, env: given, cwd }: { folder: string; env: Env; cwd: string },
): Promise<string[]> {
  const place = path.join(folder, "below");
  mkdirSync(place, { recursive: true });
  writeFileSync(path.join(place, program), THROWAWAY_SOURCE);
  const session = randomUUID();
  const own = { CLAUDE_PID: "self", CLAUDE_CODE_SESSION_ID: session, CLAUDE_CODE_SESSION_ATTENDED: "1" };
  const env = { ...given, ...outer.hookEnv, ...(program === "claude" ? own : {}) };
  const inputs = [START, PROMPT, END].map((fields) => JSON.stringify({ session_id: session, cwd, ...fields }));
  const plan = { argv: ["--require", path.join(folder, "patient.cjs"), HOOK, program], env, inputs };
  const { stdout, stderr } = await outer.start(
    ["-e", SHELL_SOURCE, path.join(place, program), JSON.stringify(plan)],
    outer.toolEnv,
  ).ended;
  if (stderr !== "") throw new Error(stderr);
  return JSON.parse(stdout) as string[];
}
