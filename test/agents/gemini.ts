/** The real Gemini CLI, told to take its answers from a scripted model. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { ScriptedModel } from "./model.ts";
import { programOf } from "./programs.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import type { Stage } from "./stage.ts";

export const GEMINI: string = programOf("gemini").path ?? "gemini";
export const hasGemini: boolean = programOf("gemini").path !== undefined;

export async function runGemini(
  stage: Stage,
  model: ScriptedModel | undefined,
  cwd: string,
  ...args: string[]
): Promise<Outcome> {
  await configureGemini(stage);
  return outcomeOf(GEMINI, args, {
    cwd,
    env: { ...geminiEnvironment(stage, model), GEMINI_CLI_TRUST_WORKSPACE: "true" },
  });
}

export function geminiEnvironment(stage: Stage, model?: ScriptedModel): Record<string, string> {
  return {
    ...stage.env,
    GEMINI_API_KEY: "dummy",
    // Nothing must leave this machine: without a model of ours this is a closed port.
    GOOGLE_GEMINI_BASE_URL: model?.url ?? "http://127.0.0.1:9",
  };
}

/** As if its user had said yes to the question that it asks about a new folder. */
export async function trustInGemini(stage: Stage, folder: string): Promise<void> {
  await configureGemini(stage);
  const rules = JSON.stringify({ [folder]: "TRUST_FOLDER" });
  await writeFile(path.join(stage.home, ".gemini/trustedFolders.json"), rules);
}

async function configureGemini(stage: Stage): Promise<void> {
  const settings = path.join(stage.home, ".gemini/settings.json");
  await mkdir(path.dirname(settings), { recursive: true });
  await writeFile(settings, '{"security": {"auth": {"selectedType": "gemini-api-key"}}}');
}
