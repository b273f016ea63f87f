/** The real opencode, told to take its answers from a scripted model. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { ScriptedModel } from "./model.ts";
import type { Stage } from "./stage.ts";

export const QUIET_OPENCODE: Record<string, string> = {
  OPENCODE_DISABLE_AUTOUPDATE: "1",
  OPENCODE_DISABLE_MODELS_FETCH: "1",
  OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
};

export async function configureOpencode(stage: Stage, model: ScriptedModel): Promise<void> {
  const folder = path.join(stage.home, ".config/opencode");
  await mkdir(folder, { recursive: true });
  const config = {
    autoupdate: false,
    share: "disabled",
    model: "scripted/scripted",
    small_model: "scripted/scripted",
    provider: {
      scripted: {
        npm: "@ai-sdk/openai-compatible",
        options: { baseURL: `${model.url}/v1`, apiKey: "dummy" },
        models: { scripted: { tool_call: true, limit: { context: 200_000, output: 8_000 } } },
      },
    },
  };
  await writeFile(path.join(folder, "opencode.json"), JSON.stringify(config));
}
