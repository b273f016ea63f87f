/** [G11] Who does not take a live session's name and mail: nested, unattended and compacted runs, servers that come and go. */
import { describe, expect, it } from "vitest";
import { type Agent, END, type McpServer, PROMPT, type Stage, START, STOP, until, useRedis } from "./agent.ts";
import { playBelow } from "./below.ts";

const bench = useRedis();
const COMPACT = { ...START, source: "compact" };
const RESUME = { ...START, source: "resume" };
const TAKEN = "Another session speaks for backend";
const SUPERSEDED = "A newer session speaks for backend";

async function speaking(): Promise<{ stage: Stage; agent: Agent }> {
  const stage = bench.stage();
  await stage.hadSession("backend");
  const agent = await stage.agent("backend", "claude", true);
  await agent.hook(START);
  return { stage, agent };
}

async function expectSpeaker(stage: Stage, agent: Agent): Promise<void> {
  expect(await stage.status("backend")).toBe("active");
  await stage.send("backend", "for the speaker", { requiresAck: false });
  expect(await agent.shown(PROMPT)).toContain("About for the speaker.");
}

describe.concurrent("an agent that an agent has started (2)", () => {
  it.each(["claude", "codex"] as const)(
    "%s: has not its name by the environment, and takes nothing",
    async (program) => {
      const { stage, agent } = await speaking();
      await stage.send("backend", "login");
      const env = { ...stage.env, CLAUDE_INSTANCE_ID: "backend" };
      expect(await playBelow(agent, program, { folder: bench.folder, env, cwd: stage.cwd })).toEqual(["", "", ""]);
      expect(await agent.shown(PROMPT)).toContain("About login.");
      await expectSpeaker(stage, agent);
    },
  );

  it.each(["claude", "codex"] as const)("%s: in a registered folder is a guest, and is told", async (program) => {
    const { stage, agent } = await speaking();
    await stage.send("backend", "login");
    stage.register({ [stage.cwd]: "backend" });
    const below = await playBelow(agent, program, { folder: bench.folder, env: stage.env, cwd: stage.cwd });
    expect(below.map((text) => [text.includes(TAKEN), text.includes("login")])).toEqual([
      [true, false],
      [true, false],
      [false, false],
    ]);
    expect(await agent.shown(PROMPT)).toContain("About login.");
    await expectSpeaker(stage, agent);
  });
});

describe.concurrent("servers that come and go (3)", () => {
  const end = async ({ process }: McpServer): Promise<void> => {
    process.endInput();
    await process.ended;
  };
  const ORDERS = ["hook, server, end", "server, hook, end", "server, end, hook", "hook, two servers, end of either"];
  it.each(ORDERS)("%s: the session goes on", async (order) => {
    const stage = bench.stage();
    await stage.hadSession("backend");
    const agent = await stage.agent("backend");
    const serve = async (): Promise<McpServer> => {
      const server = await agent.mcp();
      await until(async () => (await stage.entry("backend")).session["agent_pid"] === agent.pid);
      await server.client.listTools();
      return server;
    };
    if (order.startsWith("hook")) await agent.hook(START);
    const first = await serve();
    if (order === "server, hook, end") await agent.hook(START);
    const second = order === "hook, two servers, end of either" ? await serve() : undefined;
    await end(first);
    if (order === "server, end, hook") {
      expect(await stage.status("backend")).toBe("offline"); // no hook had joined: it was its session
      await agent.hook(START);
    }
    await expectSpeaker(stage, agent);
    if (second === undefined) return;
    expect(await second.call("check_messages")).toMatchObject({ success: true, count: 1 });
    await end(second);
    await expectSpeaker(stage, agent);
  });
});

describe.concurrent("a throwaway run (4)", () => {
  it("in the folder of a live session is a guest, and the live one is shown the text", async () => {
    const { stage, agent } = await speaking();
    await stage.send("backend", "login");
    const other = await stage.agent("backend");
    const unattended = { CLAUDE_CODE_SESSION_ATTENDED: "0" };
    expect(await other.shown(START, unattended)).toContain(TAKEN);
    expect(await other.shown(PROMPT, unattended)).not.toContain("About login.");
    await other.hook(END, unattended);
    expect(await agent.shown(PROMPT)).toContain("About login.");
    await expectSpeaker(stage, agent);
  });
});

describe.concurrent("a compaction (5)", () => {
  it.each(["the older", "the newer", "the older, which was told", "both"])("of %s changes nobody", async (who) => {
    const { stage, agent: older } = await speaking();
    const newer = await stage.agent("backend");
    await newer.hook(START);
    if (who === "the older, which was told") expect(await older.shown(PROMPT)).toContain(SUPERSEDED);
    if (who !== "the newer") expect(await older.shown(COMPACT)).toContain(SUPERSEDED);
    if (who === "the newer" || who === "both") expect(await newer.shown(COMPACT)).toBe("");
    await expectSpeaker(stage, newer);
    expect(await older.shown(PROMPT)).toContain(SUPERSEDED);
  });
});

describe.concurrent("an agent that ended without a word", () => {
  it("resumed after kill -9, is the same session", async () => {
    const { stage, agent } = await speaking();
    await stage.send("backend", "login");
    expect(await agent.shown(PROMPT)).toContain("About login.");
    const { number, joined } = (await stage.entry("backend")).session;
    await agent.kill();
    const resumed = await stage.agent("backend");
    resumed.sessionId = agent.sessionId;
    expect(await resumed.shown(RESUME)).toMatch(/^Still waiting for your answer or acknowledgement: \S+ GENERAL from/);
    expect((await stage.entry("backend")).session).toMatchObject({ number, joined, agent_pid: resumed.pid });
    await expectSpeaker(stage, resumed);
  });

  it("with its terminal, has no server and no waiter left, and its name is free at once", async () => {
    const { stage, agent } = await speaking();
    const server = await agent.mcp();
    const waiter = agent.wait();
    await until(async () => (await stage.raw.exists(`${stage.prefix}:waker:backend`)) === 1);
    for (const process of [server.process, waiter]) process.kill("SIGHUP");
    expect(await waiter.ended).toMatchObject({ code: 0, stdout: "", stderr: "" });
    await server.process.ended;
    await agent.kill();
    const next = await stage.agent("backend");
    await next.hook(PROMPT, { CLAUDE_CODE_SESSION_ATTENDED: "0" }); // which takes nothing from a live session
    await expectSpeaker(stage, next);
    expect(await next.shown(STOP)).toBe("");
  });
});
