/** The real Gemini CLI, in a linked worktree that `coord worktree add` has set up, against a scripted model. */
import { beforeEach, describe, expect, it } from "vitest";
import { GEMINI, geminiEnvironment, hasGemini, runGemini, trustInGemini } from "./gemini.ts";
import { idsIn, outsideFrames } from "./frames.ts";
import { ScriptedModel } from "./model.ts";
import { Stage } from "./stage.ts";
import { hasTmux, Terminal } from "./terminal.ts";

describe("Gemini CLI", () => {
  beforeEach(({ skip }) => skip(!hasGemini, `Gemini CLI is not at ${GEMINI}: not checked`));

  it("has the tools without a terminal, and is shown mail at each moment, each once", async () => {
    await using stage = await Stage.set();
    await using model = await ScriptedModel.start();
    const project = await stage.worktree("login", "gemini");
    const ids = [await stage.publish("bob", "login", "before the start")];
    const seen: string[][] = [];
    model.will(
      async () => {
        seen.push(idsIn(model.shown));
        ids.push(await stage.publish("bob", "login", "between tool calls"));
        return { tool: "mcp_coord_coord_get_presence" };
      },
      async () => {
        seen.push(idsIn(model.shown));
        ids.push(await stage.publish("bob", "login", "on stop"));
        return { text: "Finished." };
      },
    );
    const { code, output } = await runGemini(stage, model, project, "-p", "Work.");
    expect({ code, output }).toMatchObject({ code: 0 });
    expect(seen).toEqual([ids.slice(0, 1), ids.slice(0, 2)]);
    expect(idsIn(model.shown)).toEqual(ids);
    expect(model.shown).toContain('"success":true');
    expect(await stage.presenceOf("login")).toMatchObject({ status: "offline", session: { agent: "gemini-cli" } });
  });

  it("in a terminal its person sees who has written in a line, and not the mail", async ({ skip }) => {
    skip(!hasTmux, "tmux is not here: not checked");
    await using stage = await Stage.set();
    await using model = await ScriptedModel.start();
    const project = await stage.worktree("login", "gemini");
    await trustInGemini(stage, stage.folder);
    const ids = [await stage.publish("bob", "login", "before the start")];
    model.will(async () => {
      ids.push(await stage.publish("bob", "login", "on stop", "A text that only the model is to be shown."));
      return { text: "Finished." };
    });
    await using terminal = new Terminal(stage, project, [GEMINI], geminiEnvironment(stage, model));
    await terminal.until(() => /Type your message/.test(terminal.screen), "prompt line");
    await terminal.type("Work.");
    await terminal.until(() => idsIn(model.shown).length === 2, "mail at the stop");
    expect(idsIn(model.shown)).toEqual(ids);
    await terminal.until(async () => (await stage.presenceOf("login")).doing === "idle", "idleness");
    expect(terminal.screen).toContain(`coord: GENERAL from bob (${ids[1]}) [coord]`);
    expect(terminal.screen).not.toContain("A text that only the model");
    expect(outsideFrames(model.shown)).not.toContain("A text that only the model");
    await terminal.type("/quit");
    await terminal.until(async () => (await stage.presenceOf("login")).status === "offline", "end of the session");
  });
});
