/** [G9] Whatever goes wrong, a hook says nothing, succeeds, and does not hold up the session. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeRegister } from "../register.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { type Agent, AGENT_HOOK, type Env, HOOK, PROMPT, START, STOP, TOOL, useRedis } from "./agent.ts";

const bench = useRedis();
const UNDISTURBED = { code: 0, signal: null, stdout: "", stderr: "" };

let silent: Server;
beforeAll(async () => {
  silent = createServer((socket) => socket.on("error", () => undefined)); // accepts, and never answers
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
});
afterAll(() => void silent.close());

async function expectUndisturbed(run: () => ReturnType<Agent["startHook"]>): Promise<void> {
  const { milliseconds: _, ...ended } = await run().ended;
  expect(ended).toEqual(UNDISTURBED);
}

describe("[G9] a hook is silent, succeeds and ends", () => {
  const environments: [name: string, env: () => Env][] = [
    ["nothing listens", () => ({ REDIS_URL: "redis://127.0.0.1:1" })],
    ["there is no socket", () => ({ REDIS_URL: "unix:/nowhere/redis.sock" })],
    [
      "the server never answers",
      () => ({ REDIS_URL: `redis://127.0.0.1:${(silent.address() as { port: number }).port}` }),
    ],
    ["the host name does not resolve", () => ({ REDIS_URL: "redis://no-such-host.invalid:6379" })],
    ["a password is given that nobody asks for", () => ({ REDIS_PASSWORD: "wrong" })],
    ["a setting is malformed", () => ({ COORD_PRESENCE_TIMEOUT_SECONDS: "soon" })],
    ["the name is malformed", () => ({ CLAUDE_INSTANCE_ID: "all" })],
    ["the environment file cannot be written", () => ({ CLAUDE_ENV_FILE: "/nowhere/env.sh" })],
  ];
  it.each(environments)("where %s", async (_, env) => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await stage.hadSession("backend"); // nothing is said of contracts
    for (const fields of [START, STOP]) await expectUndisturbed(() => agent.startHook(fields, env()));
  });

  it("where the password is wrong", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await using guarded = await startThrowawayRedis({ args: ["--requirepass", "secret"] });
    for (const env of [{ REDIS_URL: guarded.url }, { REDIS_URL: guarded.url, REDIS_PASSWORD: "wrong" }]) {
      await expectUndisturbed(() => agent.startHook(START, env));
    }
  });

  it("where the register is broken", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const XDG_CONFIG_HOME = writeRegister(stage.cwd, stage.cwd, { keyPrefix: 7 });
    await expectUndisturbed(() => agent.startHook(PROMPT, { XDG_CONFIG_HOME }));
  });

  it.each([
    ["garbage", "garbage"],
    ["nothing", ""],
    ["another kind of JSON", "[1]"],
    ["JSON of other types", '{"hook_event_name":7,"session_id":{}}'],
    ["half an object", '{"hook_event_name":"Stop","session_id"'],
    ["bytes that are no text", "\u0000\uFFFD"],
  ])("where the input is %s", async (_, input) => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await expectUndisturbed(() => agent.startProgram([HOOK, "claude"], input));
  });

  it("where the input never ends", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await expectUndisturbed(() => agent.start([HOOK, "claude"], agent.hookEnv));
  });

  it("where nobody reads the answer", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await stage.send("backend", "login");
    const command = `exec 3<&0; "$0" "$1" claude <&3 | true; exit "\${PIPESTATUS[0]:-0}"`;
    const hook = agent.start(["-e", SHELL, command, process.execPath, HOOK], agent.hookEnv);
    hook.write(agent.hookInput(TOOL));
    hook.endInput();
    const { code, stderr } = await hook.ended;
    expect([code, stderr]).toEqual([0, ""]);
  });

  it("with five megabytes of input it still shows the mail", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await stage.send("backend", "login");
    const fields = { ...TOOL, tool_response: { stdout: "x".repeat(5_000_000) } };
    const { code, stdout, stderr } = await agent.startPatientHook(fields).ended;
    expect([code, stderr, stdout.includes("About login.")]).toEqual([0, "", true]);
    await stage.raw.del(`${stage.prefix}:unread:backend`);
    // Not by way of the agent: passing five megabytes on takes longer than the hook.
    const env = { ...stage.env, ...agent.hookEnv, CLAUDE_INSTANCE_ID: "backend" } as NodeJS.ProcessEnv;
    const input = agent.hookInput(fields);
    const { status, stderr: said } = spawnSync(process.execPath, [HOOK, "claude"], { input, env });
    expect([status, said.toString()]).toEqual([0, ""]);
  });

  it("where a key is of another type, or the namespace is of a newer version", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await stage.send("backend", "login");
    await stage.raw.del(`${stage.prefix}:unread:backend`);
    await stage.raw.set(`${stage.prefix}:unread:backend`, "text");
    await expectUndisturbed(() => agent.startHook(TOOL));
    await stage.raw.hset(`${stage.prefix}:meta`, "protocol", "99");
    await expectUndisturbed(() => agent.startHook(PROMPT));
  });

  it("an unread message that cannot be read does not hide the others", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const broken = await stage.send("backend", "broken");
    await stage.send("backend", "sound");
    await stage.raw.hdel(`${stage.prefix}:msg:${broken}`, "subject");
    expect(await agent.shown(TOOL)).toContain("About sound.");
  });
});

const SHELL = `
  const { spawnSync } = require("node:child_process");
  const [command, ...rest] = process.argv.slice(1);
  process.exit(spawnSync("bash", ["-c", command, ...rest], { stdio: "inherit" }).status);`;

describe("the hook program", () => {
  it("contains neither zod nor the MCP SDK nor the commands", () => {
    const program = readFileSync(AGENT_HOOK, "utf8");
    expect(program).not.toMatch(/ZodError|zod\/v4|modelcontextprotocol|StdioServerTransport|CommanderError/);
    // mcp.cjs, which has both libraries, is 550 KB; this program was 159 KB when the bound was set.
    expect(program.length).toBeLessThan(200_000);
  });

  it("loads two files of ours and otherwise what belongs to Node", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const report = path.join(stage.cwd, "report.cjs");
    writeFileSync(
      report,
      `process.on("exit", () => require("node:fs").writeFileSync("loaded.json", JSON.stringify(Object.keys(require.cache))));`,
    );
    const env = { NODE_OPTIONS: `--require ${report}` };
    await stage.hadSession("backend");
    await agent.hook(PROMPT); // Redis has its scripts from now on
    expect(await agent.hook(PROMPT, env)).toBeUndefined();
    const loaded = JSON.parse(readFileSync(path.join(stage.cwd, "loaded.json"), "utf8")) as string[];
    expect(loaded.filter((file) => !file.startsWith(bench.folder))).toEqual([HOOK, AGENT_HOOK]);
  });
});
