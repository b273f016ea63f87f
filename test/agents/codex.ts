/** The real Codex, told to take its answers from a scripted model. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { ScriptedModel } from "./model.ts";
import { programOf } from "./programs.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import type { Stage } from "./stage.ts";

export const CODEX: string = programOf("codex").path ?? "codex";
export const hasCodex: boolean = programOf("codex").path !== undefined;

/** As if its user had trusted the project. */
export async function configureCodex(stage: Stage, model: ScriptedModel, project: string): Promise<void> {
  await mkdir(path.join(stage.home, ".codex"));
  const config = `
model = "scripted"
model_provider = "scripted"
[model_providers.scripted]
name = "scripted"
base_url = "${model.url}/v1"
wire_api = "responses"
[projects."${project}"]
trust_level = "trusted"
`;
  await writeFile(path.join(stage.home, ".codex/config.toml"), config);
}

export function runCodex(stage: Stage, cwd: string, ...args: string[]): Promise<Outcome> {
  return outcomeOf(CODEX, args, { cwd, env: stage.env });
}

/** One prompt, one answer, with the hooks taken as reviewed. */
export function askCodex(stage: Stage, cwd: string, prompt: string): Promise<Outcome> {
  const unasked = ["--dangerously-bypass-hook-trust", "--dangerously-bypass-approvals-and-sandbox"];
  return runCodex(stage, cwd, "exec", ...unasked, prompt);
}
