/** [G8] Who is there: sessions that live, end and are killed, of every surface that lasts. */
import { hostname } from "node:os";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { COORD, LIBRARY, runOf, START, type Started, useRedis, until } from "./agent.ts";

const bench = useRedis();
const TIMES = { presenceTimeoutSeconds: 1 };

describe.concurrent("[G8] a surface that lasts", () => {
  it("an MCP server shows who it is, what it does and how much waits, and is offline when it ends", async () => {
    const stage = bench.stage(TIMES);
    mkdirSync(path.join(stage.cwd, ".git"));
    writeFileSync(path.join(stage.cwd, ".git/HEAD"), "ref: refs/heads/feat/login\n");
    const agent = await stage.agent("backend");
    const server = await agent.mcp();
    await until(async () => (await stage.status("backend")) === "active");
    await stage.send("backend", "one");
    await stage.send("backend", "two");
    const said = await agent.json("presence", "--activity", "reviewing feat/login");
    expect(said["success"]).toBe(true);
    const presence = await stage.presence("backend");
    expect(presence).toEqual({
      instanceId: "backend",
      status: "active",
      doing: "away",
      guests: 0,
      lastHeartbeat: expect.any(String) as string,
      secondsSinceHeartbeat: 0,
      pending: 2,
      session: {
        id: agent.sessionId,
        agent: "claude-code",
        host: hostname(),
        pid: expect.any(Number) as number,
        agentPid: agent.pid,
        cwd: stage.cwd,
        branch: "feat/login",
        activity: "reviewing feat/login",
        joined: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      },
    });
    // It beats by itself: well beyond the timeout it is as active as before, and the activity stays.
    const first = presence!.lastHeartbeat!;
    await until(async () => Date.parse((await stage.entry("backend")).last_heartbeat) - Date.parse(first) > 1_500);
    const later = await stage.presence("backend");
    expect([later!.status, later!.session]).toEqual(["active", presence!.session]);
    // The tool shows the same.
    const { instances } = (await server.call("get_presence")) as { instances: Record<string, unknown> };
    expect(instances["backend"]).toMatchObject({
      instance_id: "backend",
      status: "active",
      pending: 2,
      session: { id: agent.sessionId, agent: "claude-code", branch: "feat/login", agent_pid: agent.pid },
    });
    server.process.endInput();
    expect((await server.process.ended).code).toBe(0);
    expect(await stage.status("backend")).toBe("offline");
  });

  it.each(["SIGINT", "SIGTERM"] as const)("an MCP server that gets %s leaves at once", async (signal) => {
    const stage = bench.stage(TIMES);
    const agent = await stage.agent("backend");
    const server = await agent.mcp();
    await until(async () => (await stage.status("backend")) === "active");
    server.process.kill(signal);
    expect((await server.process.ended).code).toBe(0);
    expect(await stage.status("backend")).toBe("offline");
  });

  it.each(["server", "library"])("a killed %s turns stale, then offline, with nobody's help", async (kind) => {
    const stage = bench.stage(TIMES);
    const agent = await stage.agent("backend");
    let surface: Started;
    if (kind === "server") surface = (await agent.mcp()).process;
    else surface = agent.start(["--input-type=module", "-e", LIBRARY_SESSION]);
    await until(async () => (await stage.status("backend")) === "active");
    surface.kill("SIGKILL");
    expect(await surface.ended).toMatchObject({ signal: "SIGKILL" });
    const seen = ["active"];
    const ages: number[] = [];
    await until(async () => {
      const { status, secondsSinceHeartbeat } = (await stage.presence("backend"))!;
      if (status !== seen.at(-1)) {
        seen.push(status);
        ages.push(secondsSinceHeartbeat!);
      }
      return status === "offline";
    });
    expect([seen, ages]).toEqual([
      ["active", "stale", "offline"],
      [1, 3],
    ]);
  });

  it("watch makes nobody present", async () => {
    const stage = bench.stage(TIMES);
    const agent = await stage.agent("ops");
    const watch = agent.start([COORD, "watch"]);
    await until(() => watch.stderr.includes("Following"));
    await stage.send("other", "seen by it");
    await until(() => watch.stdout.includes("seen by it"));
    expect(await stage.presence("ops")).toBeUndefined();
    watch.kill("SIGINT");
    expect((await watch.ended).code).toBe(0);
    expect(await stage.presence("ops")).toBeUndefined();
  });

  it("watch never takes a name from a session that is there, nor ends it", async () => {
    const stage = bench.stage(TIMES);
    const client = await stage.client("backend", { session: runOf() });
    const agent = await stage.agent("backend", "codex");
    const watch = agent.start([COORD, "watch"]);
    await until(() => watch.stderr.includes("Following"));
    await client.publishMessage({ type: "GENERAL", subject: "I speak", description: "", to: "other" });
    expect((await stage.entry("backend")).session.number).toBe(1);
    watch.kill("SIGINT");
    await watch.ended;
    expect([await stage.status("backend"), (await stage.entry("backend")).session.number]).toEqual(["active", 1]);
  });

  it("watch within a run of an agent does not end the session of the agent", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await agent.mcp();
    await until(async () => (await stage.status("backend")) === "active");
    const watch = agent.start([COORD, "watch"], agent.toolEnv);
    await until(() => watch.stderr.includes("Following"));
    watch.kill("SIGINT");
    await watch.ended;
    expect(await stage.status("backend")).toBe("active");
  });

  it("a library client with a session joins, beats, says what it does, and leaves", async () => {
    const stage = bench.stage(TIMES);
    const run = runOf({ id: "session-1", branch: "main" });
    const client = await stage.client("backend", { session: run });
    await client.setActivity("compiling");
    const { joined, ...session } = (await stage.presence("backend"))!.session;
    expect(session).toEqual({ ...run, activity: "compiling" });
    const { last_heartbeat: first } = await stage.entry("backend");
    await until(async () => Date.parse((await stage.entry("backend")).last_heartbeat) - Date.parse(first) > 1_200);
    await client.setActivity("");
    expect((await stage.presence("backend"))!.session).toEqual({ ...run, joined });
    await client.leave();
    expect(await stage.status("backend")).toBe("offline");
    // It has left for good: no beat of it comes any more.
    const left = await stage.entry("backend");
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(await stage.entry("backend")).toEqual(left);
  });

  it("one that was forgotten joins again with its next beat", async () => {
    const stage = bench.stage(TIMES);
    const client = await stage.client("backend", { session: runOf() });
    await client.forgetInstance("backend");
    await until(async () => (await stage.status("backend")) === "active");
    expect((await stage.entry("backend")).session.number).toBe(2);
  });
});

const LIBRARY_SESSION = `
  const { getCoordinationClient } = await import(${JSON.stringify(LIBRARY)});
  await getCoordinationClient({ session: { agent: "script", host: "here", agentPid: process.pid } });
  setInterval(() => undefined, 1000);`;

describe.concurrent("[G8] a plain command", () => {
  it("keeps an instance active for the timeout and no longer", async () => {
    const stage = bench.stage(TIMES);
    const agent = await stage.agent("scripts");
    await agent.coord("check");
    const seen: string[] = [];
    await until(async () => {
      const status = (await stage.status("scripts"))!;
      if (status !== seen.at(-1)) seen.push(status);
      return status === "offline";
    });
    expect(seen.slice(-2)).toEqual(["stale", "offline"]);
    // Older than the interval at which presence is written.
    const old = { last_heartbeat: new Date(Date.now() - 11_000).toISOString(), left: false, session: {} };
    await stage.raw.hset(`${stage.prefix}:presence`, "scripts", JSON.stringify(old));
    await stage.command("scripts").checkMessages();
    expect(await stage.status("scripts")).toBe("active");
  });

  it("keeps the session of its own run alive, and shows its facts as before", async () => {
    const stage = bench.stage({ presenceTimeoutSeconds: 20 });
    const agent = await stage.agent("backend");
    await agent.hook(START);
    const entry = await stage.entry("backend");
    const old = { ...entry, last_heartbeat: new Date(Date.now() - 30_000).toISOString() };
    await stage.raw.hset(`${stage.prefix}:presence`, "backend", JSON.stringify(old));
    expect(await stage.status("backend")).toBe("stale");
    await agent.coord("check");
    expect(await stage.status("backend")).toBe("active");
    expect((await stage.entry("backend")).session).toEqual(entry.session);
  });

  it("never revives a session that left", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const client = await stage.client("backend", { session: runOf() });
    await client.leave();
    for (const args of [["check"], ["publish", "GENERAL", "hello", "text", "--to", "other"], ["notifications"]]) {
      expect((await agent.coord(...args)).code).toBe(0);
      expect(await stage.status("backend")).toBe("offline");
    }
  });
});
