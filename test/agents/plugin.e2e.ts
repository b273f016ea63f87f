/** The Claude Code plugin as this repository offers it. */
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { CLAUDE, ClaudeSession, hasClaude, runClaude, trust } from "./claude.ts";
import { framesIn } from "./frames.ts";
import { ScriptedModel } from "./model.ts";
import { Stage } from "./stage.ts";

if (!hasClaude)
  console.log(`Claude Code is not at ${CLAUDE}: the plugin is not tested. docs/agents.md says how to get it.`);

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe.skipIf(!hasClaude)("the plugin", () => {
  it.each([
    ["the plugin", "plugin", ["--profile", "directory"]],
    ["the marketplace", "", []],
  ])("passes the strict validation of %s", async (_, folder, args) => {
    await using stage = await Stage.set();
    const validate = ["plugin", "validate", "--strict", ...args, path.join(ROOT, folder)];
    const { code, output } = await runClaude(stage, undefined, stage.folder, validate);
    expect(output).toContain("Validation passed");
    expect(output).not.toMatch(/warning|error/i);
    expect(code).toBe(0);
  });

  it("is installed from the marketplace, connects its server, and shows mail", async () => {
    await using stage = await Stage.set();
    await using model = await ScriptedModel.start();
    const project = await stage.project("alice", "codex", "anywhere"); // in the register, and without Claude Code's files
    await trust(stage, project);
    for (const args of [
      ["marketplace", "add", ROOT],
      ["install", "coord@cli-coordination"],
    ]) {
      expect(await runClaude(stage, undefined, project, ["plugin", ...args])).toMatchObject({ code: 0 });
    }
    const list = await runClaude(stage, undefined, project, ["mcp", "list"]);
    expect(list.output).toMatch(/plugin:coord:coord: coord mcp .*Connected/);

    const ids = [await stage.publish("bob", "alice", "before the start")];
    await using session = new ClaudeSession(stage, model, project, { env: { COORD_WAKE_UNATTENDED: "1" } });
    model.will(
      async () => {
        ids.push(await stage.publish("bob", "alice", "between tool calls"));
        return { tool: "mcp__plugin_coord_coord__coord_get_presence" };
      },
      async () => {
        ids.push(await stage.publish("bob", "alice", "on stop"));
        return { text: "Finished." };
      },
    );
    await session.prompt("Work.");
    expect(framesIn(model.shown).map(({ id }) => id)).toEqual(ids);
    expect(model.shown).toContain('"success":true');
    expect(model.shown).toContain("coord:coordination"); // the skill is offered
    const idle = await stage.publish("bob", "alice", "when idle");
    ids.push(idle);
    await session.until(() => model.shown.includes(idle), "a turn that the mail began");
    expect(framesIn(model.shown).map(({ id }) => id)).toEqual(ids);
  });

  it("is silent where there is no name", async () => {
    await using stage = await Stage.set();
    await using model = await ScriptedModel.start();
    const project = await stage.repository("anywhere");
    await trust(stage, project);
    await using session = new ClaudeSession(stage, model, project, {
      args: ["--plugin-dir", path.join(ROOT, "plugin")],
    });
    model.will({ tool: "Bash", input: { command: "true" } });
    await session.prompt("Work.");
    expect(model.shown).not.toMatch(/hook (?:additional|blocking|failed)|agent-message/i);
    expect(session.hookFailures).toEqual([]);
  });
});
