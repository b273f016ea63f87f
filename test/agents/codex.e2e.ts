/** The real Codex against a scripted model: which of its hooks reach the model, and that its server connects. */
import { describe, expect, it } from "vitest";
import { askCodex, CODEX, configureCodex, hasCodex } from "./codex.ts";
import { idsIn } from "./frames.ts";
import { ScriptedModel } from "./model.ts";
import { Stage } from "./stage.ts";

if (!hasCodex) console.log(`Codex is not at ${CODEX}: its tests are skipped. docs/agents.md says how to get it.`);

describe.skipIf(!hasCodex)("Codex", () => {
  it("is shown mail at the start, after a tool call and on stop, each once, and has the tools", async () => {
    await using stage = await Stage.set();
    await using model = await ScriptedModel.start();
    const project = await stage.project("alice", "codex");
    await configureCodex(stage, model, project);
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
    const { code, output } = await askCodex(stage, project, "Work.");
    expect({ code, output }).toMatchObject({ code: 0 });
    expect(shown).toEqual([ids.slice(0, 1), ids.slice(0, 2)]);
    expect(idsIn(model.shown)).toEqual(ids);
    expect(model.shown).toContain('"success":true');
    expect(model.shown).not.toMatch(/SUPERSEDED|newer session/);
    expect(output).not.toMatch(/hook[^\n]*(?:failed|invalid)/i);
    expect(await stage.presenceOf("alice")).toMatchObject({ status: "offline", session: { agent: "codex" } });
  });
});
