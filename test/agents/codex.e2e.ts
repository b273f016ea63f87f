/** The real Codex against a scripted model: which of its hooks reach the model, and that its server connects. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { ScriptedModel } from "./model.ts";
import { Stage } from "./stage.ts";

const DEFAULT =
  ".cache/coord-e2e/codex/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
const CODEX = process.env["COORD_E2E_CODEX"] ?? path.join(homedir(), DEFAULT);
const hasCodex = existsSync(CODEX);
if (!hasCodex) console.log(`Codex is not at ${CODEX}: its tests are skipped. docs/agents.md says how to get it.`);
const RUN_MILLISECONDS = 60_000;

describe.skipIf(!hasCodex)("Codex", () => {
  it("is shown mail at the start, after a tool call and on stop, each once, and has the tools", async () => {
    await using stage = await Stage.set();
    await using model = await ScriptedModel.start();
    const project = await stage.project("alice", "codex");
    await configure(stage, model, project);
    const ids = [await stage.publish("bob", "alice", "before the start")];
    const shown: string[][] = [];
    const look = (): void => void shown.push(idsIn(model.shown));
    model.will(
      async () => {
        look();
        ids.push(await stage.publish("bob", "alice", "between tool calls"));
        return { tool: "coord_get_presence", namespace: "mcp__coord" };
      },
      async () => {
        look();
        ids.push(await stage.publish("bob", "alice", "on stop"));
        return { text: "Finished." };
      },
    );
    const { code, output } = await runCodex(stage, project, "Work.");
    expect({ code, output }).toMatchObject({ code: 0 });
    expect(shown).toEqual([ids.slice(0, 1), ids.slice(0, 2)]);
    expect(idsIn(model.shown)).toEqual(ids);
    expect(model.shown).toContain('"success":true');
    expect(model.shown).not.toMatch(/SUPERSEDED|newer session/);
    expect(output).not.toMatch(/hook[^\n]*(?:failed|invalid)/i);
    expect(await stage.presenceOf("alice")).toMatchObject({ status: "offline", session: { agent: "codex" } });
  });
});

/** Of the frames; on stop Codex itself escapes what a hook says. */
function idsIn(shown: string): string[] {
  return [...shown.matchAll(/(?:<|&lt;)agent-message [^\n]*? id="([^"]*)"/g)].map(([, id]) => id!);
}

async function configure(stage: Stage, model: ScriptedModel, project: string): Promise<void> {
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

async function runCodex(stage: Stage, project: string, prompt: string): Promise<{ code: number; output: string }> {
  const args = ["exec", "--dangerously-bypass-hook-trust", "--dangerously-bypass-approvals-and-sandbox", prompt];
  const child = spawn(CODEX, args, {
    cwd: project,
    env: stage.env,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: RUN_MILLISECONDS,
    killSignal: "SIGKILL",
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, "close")) as [number];
  return { code, output };
}
