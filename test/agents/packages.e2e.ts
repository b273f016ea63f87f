/** The packages for hosts as this repository offers them: installed from it by the real programs, and used. */
import path from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it } from "vitest";
import { CLAUDE, ClaudeSession, hasClaude, runClaude, trust } from "./claude.ts";
import { askCodex, CODEX, configureCodex, hasCodex, runCodex } from "./codex.ts";
import { framesIn, idsIn } from "./frames.ts";
import { GEMINI, hasGemini, runGemini } from "./gemini.ts";
import { ScriptedModel } from "./model.ts";
import { Stage } from "./stage.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const unless = (there: boolean, program: string): [boolean, string] => [
  !there,
  `there is no ${program}: docs/agents.md says how to get it`,
];

describe("the plugin of Claude Code", () => {
  beforeEach(({ skip }) => skip(...unless(hasClaude, CLAUDE)));

  it.each([
    ["the plugin", "plugin/claude", ["--profile", "directory"]],
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
    const project = await stage.project("alice", "none", "anywhere");
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
    await using session = new ClaudeSession(stage, model, project);
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
  });

  it("is silent where there is no name", async () => {
    await using stage = await Stage.set();
    await using model = await ScriptedModel.start();
    const project = await stage.repository("anywhere");
    await trust(stage, project);
    await using session = new ClaudeSession(stage, model, project, {
      args: ["--plugin-dir", path.join(ROOT, "plugin/claude")],
    });
    model.will({ tool: "Bash", input: { command: "true" } });
    await session.prompt("Work.");
    expect(model.shown).not.toMatch(/hook (?:additional|blocking|failed)|agent-message/i);
    expect(session.hookFailures).toEqual([]);
  });
});

/** Publishes while the agent waits for its model, and expects each message shown once, at the next moment that the host has. */
async function work(
  stage: Stage,
  model: ScriptedModel,
  tool: { tool: string; namespace?: string },
  run: () => Promise<unknown>,
): Promise<void> {
  const ids = [await stage.publish("bob", "alice", "before the start")];
  const shown: string[][] = [];
  model.will(
    async () => {
      shown.push(idsIn(model.shown));
      ids.push(await stage.publish("bob", "alice", "between tool calls"));
      return tool;
    },
    async () => {
      shown.push(idsIn(model.shown));
      ids.push(await stage.publish("bob", "alice", "on stop"));
      return { text: "Finished." };
    },
  );
  const outcome = await run();
  expect([outcome, ...shown, idsIn(model.shown)]).toEqual([
    expect.objectContaining({ code: 0 }),
    ids.slice(0, 1),
    ids.slice(0, 2),
    ids,
  ]);
  expect(model.shown).toMatch(/\\?"success\\?": ?true/);
}

describe("the plugin of Codex", () => {
  beforeEach(({ skip }) => skip(...unless(hasCodex, CODEX)));

  it("is installed from the marketplace, connects its server, shows mail at every moment, and offers its skill", async () => {
    await using stage = await Stage.set();
    await using model = await ScriptedModel.start();
    const project = await stage.project("alice", "none", "anywhere");
    await configureCodex(stage, model, project);
    expect(await runCodex(stage, project, "plugin", "marketplace", "add", ROOT)).toMatchObject({ code: 0 });
    expect(await runCodex(stage, project, "plugin", "add", "coord@cli-coordination")).toMatchObject({ code: 0 });
    await work(stage, model, { tool: "coord_get_presence", namespace: "mcp__coord" }, () =>
      askCodex(stage, project, "Work."),
    );
    expect(model.shown).toContain("coord:coordination");
    expect(await stage.presenceOf("alice")).toMatchObject({ status: "offline", session: { agent: "codex" } });
  });
});

describe("the extension of Gemini CLI", () => {
  beforeEach(({ skip }) => skip(...unless(hasGemini, GEMINI)));
  const folder = path.join(ROOT, "plugin/gemini");

  it("is valid", async () => {
    await using stage = await Stage.set();
    const { code, output } = await runGemini(stage, undefined, stage.folder, "extensions", "validate", folder);
    expect({ code, output }).toMatchObject({ code: 0 });
    expect(output).toContain("successfully validated");
  });

  it.each([
    ["install", "--consent"],
    ["link", "--consent"],
  ])("connects its server, shows mail at every moment, and offers its skill, by %s", async (...install) => {
    await using stage = await Stage.set();
    await using model = await ScriptedModel.start();
    const project = await stage.project("alice", "none", "anywhere");
    const installed = await runGemini(stage, undefined, project, "extensions", ...install, folder);
    expect(installed).toMatchObject({ code: 0 });
    const list = await runGemini(stage, undefined, project, "mcp", "list");
    expect(list.output).toMatch(/coord \(from coord\): coord mcp \(stdio\) - Connected/);
    await work(stage, model, { tool: "mcp_coord_coord_get_presence" }, () =>
      runGemini(stage, model, project, "--yolo", "-p", "Work."),
    );
    expect(model.shown).toContain("coordination");
  });
});
