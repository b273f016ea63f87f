/** The commands of the README and of docs/recipes.md, run as they are pasted, each recipe on a machine of its own. */
import { spawn } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ensureRedisServer } from "../../src/server/install.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { Stage } from "../setup/stage.ts";
import { ROOT, bash, freePort } from "./run.ts";

/** As `coord up` starts one: its users may everything, an export too. */
let redis: ThrowawayRedis;
beforeAll(async () => void (redis = await startThrowawayRedis()));
afterAll(() => redis.stop());
let projects = 0;

/** Parts of a document by their headings, with the commands that stand in them. */
function parts(document: string): [title: string, commands: string][] {
  const sections = readFileSync(path.join(ROOT, document), "utf8").split(/^## /m).slice(1);
  return sections.map((section) => [
    section.slice(0, section.indexOf("\n")),
    [...section.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block]) => block!).join("\n"),
  ]);
}

/** With programs that the documents start and that are not ours: they say how they were called. */
function machine(): Stage {
  const stage = new Stage(redis.url);
  for (const name of ["claude", "npm"]) {
    const program = path.join(stage.home, "bin", name);
    writeFileSync(program, `#!/bin/sh\necho "${name} $*${name === "claude" ? "${CLAUDE_INSTANCE_ID-off}" : ""}"\n`);
    chmodSync(program, 0o755);
  }
  return stage;
}

/** Pastes it, and expects it to end well. */
async function paste(stage: Stage, commands: string, cwd: string): Promise<string> {
  const { code, stdout, stderr } = await bash(`set -euo pipefail\n${commands}`, [], { env: stage.env, cwd });
  expect({ code, said: stderr.match(/^error: .*/gm) }, `${stdout}${stderr}`).toEqual({ code: 0, said: null });
  return stdout;
}

const RECIPES = parts("docs/recipes.md").filter(([, commands]) => commands !== "");

/** A project as the first recipe leaves it. */
async function project(): Promise<{ stage: Stage; folder: string; prefix: string; stdout: string }> {
  const stage = machine();
  const shop = stage.repository("projects/shop");
  const prefix = `coord-acme-shop${++projects}`; // a namespace of its own
  shop.git("remote", "set-url", "origin", `git@example.org:${prefix.replace("coord-acme-", "acme/")}.git`);
  const folder = shop.path;
  return { stage, folder, prefix, stdout: await paste(stage, RECIPES[0]![1], folder) };
}

/** The orchestrator, who approves the next that is asked for. */
function answerFrom(stage: Stage, folder: string): void {
  const line = `id=$(coord check --wait 50 --take | awk '/^  ID: / { print $2 }')
    coord publish REVIEW_COMPLETE reviewed "Nothing to change." --reply-to "$id"`;
  const child = spawn("bash", ["--norc", "-c", line], { env: stage.env, cwd: folder, stdio: "ignore" });
  onTestFinished(() => void child.kill());
}

describe("docs/recipes.md", () => {
  it(RECIPES[0]![0], async () => {
    const { stdout } = await project();
    expect(stdout).toMatch(/^basket +offline.*\nlogin +offline.*\norchestrator +active.*\nsearch +offline/m);
  });

  const ENDS: Record<string, RegExp> = {
    "Codex reviews Claude Code": /created +\.codex\/hooks\.json[^]*created +opencode\.json/,
    "A second agent in one worktree": /^claude tester\nclaude off$/m,
    "You take part yourself": /^Sent GENERAL to basket/m,
    "A contract that several features build on": /^ {4}basket +stored\n {4}login +stored/m,
    "A nightly job": /^Sent GENERAL to orchestrator/m,
    "A CI job asks for a review, and waits": /^REVIEW_COMPLETE orchestrator → ci/m,
    "Nobody answers": /^Sent GENERAL to basket[^]*dropped/im,
    "Back up, move, start anew": /^0 messages/m,
  };

  it("has an end for each", () => expect(Object.keys(ENDS)).toEqual(RECIPES.slice(1).map(([title]) => title)));

  it.each(RECIPES.slice(1))("%s", async (title, commands) => {
    const { stage, folder, prefix } = await project();
    if (title.includes("waits")) answerFrom(stage, folder);
    expect(await paste(stage, commands.replaceAll("coord-acme-shop", prefix), folder)).toMatch(ENDS[title]!);
  });
});

describe("README.md and docs/uninstall.md", () => {
  it("three minutes with one's own agents, and nothing left after uninstalling", async () => {
    const stage = machine();
    delete stage.env["REDIS_URL"];
    stage.env["REDIS_PORT"] = String(await freePort());
    stage.env["COORD_REDIS_SERVER"] = await ensureRedisServer();
    const { path: folder } = stage.repository("projects/shop");
    onTestFinished(async () => void (await bash("coord down", [], { env: stage.env, cwd: folder })));
    const commands = new Map(parts("README.md")).get("Three minutes with your own agents")!;
    const said = await paste(stage, commands.replace("--wait 50", "--wait 1 || true"), folder);
    expect(said).toMatch(/^Worktree .*shop-login on the new branch login$/m);
    expect(said).toMatch(/^Sent GENERAL to login/m);
    const [uninstall] = readFileSync(path.join(ROOT, "docs/uninstall.md"), "utf8").match(/^```sh\n[^]*```$/m)!;
    const lines = uninstall.split("\n").filter((line) => /^(cd|coord|npm|rm) /.test(line));
    expect(await paste(stage, lines.join("\n"), folder)).toContain("npm uninstall --global cli-coordination");
    const left = readdirSync(stage.home, { recursive: true, encoding: "utf8" }).filter((name) =>
      /coord|\.claude|mcp/.test(name),
    );
    expect(left.filter((name) => !/^(bin|Library)\//.test(name) && !name.includes(".git/"))).toEqual([]);
  });
});
