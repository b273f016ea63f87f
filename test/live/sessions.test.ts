/** [G8] What is one session, and what becomes of two under one name. */
import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import type { CoordinationClient } from "../../src/client/client.ts";
import { END, PROMPT, refused, runOf, START, sleep, STOP, TOOL, until, useRedis } from "./agent.ts";

const bench = useRedis();
const TIMES = { presenceTimeoutSeconds: 1 };
const CLEAR = { hook_event_name: "SessionEnd", reason: "clear" };

describe.concurrent("[G8] one run of an agent is one session", () => {
  it("of MCP server, hooks, waker and commands: they renew each other", async () => {
    const stage = bench.stage(TIMES);
    const agent = await stage.agent("backend");
    const server = await agent.mcp();
    await until(async () => (await stage.entry("backend")).session.number === 1);
    const { joined } = (await stage.entry("backend")).session;
    await stage.send("backend", "hello");
    expect(await agent.shown(START)).toContain("hello");
    const waker = agent.wait();
    await until(async () => (await stage.raw.exists(`${stage.prefix}:waker:backend`)) === 1);
    for (const fields of [TOOL, PROMPT, STOP]) await agent.hook(fields);
    expect((await waker.ended).code).toBe(0); // the prompt sent it away
    expect(await agent.json("check")).toMatchObject({ success: true, count: 1 });
    expect(await server.call("check_messages")).toMatchObject({ success: true, count: 1 });
    expect(await agent.json("publish", "GENERAL", "hi", "", "--to", "other")).toMatchObject({ success: true });
    const pid = await server.process.pid;
    expect((await stage.entry("backend")).session).toEqual({
      number: 1,
      joined,
      id: agent.sessionId,
      ids: [agent.sessionId],
      agent: "claude-code",
      host: hostname(),
      agent_pid: agent.pid,
      pid,
      cwd: stage.cwd,
      work_tree: stage.cwd,
      machine: expect.stringMatching(/^\S+$/) as string,
      process: expect.stringMatching(new RegExp(`^pid ${hostname()} \\S+ ${agent.pid} `)) as string,
      run: expect.stringMatching(new RegExp(`^pid ${hostname()} \\S+ ${agent.pid} `)) as string,
      hooks: true,
      servers: [String(pid)],
      doing: "working", // with what its stop was reminded of
      doing_at: expect.stringMatching(/^\d{4}-.*Z$/) as string,
    });
    expect(pid).toBeGreaterThan(0);
  });

  it("also after /clear, where the hooks have a new id and the server the old one", async () => {
    const stage = bench.stage(TIMES);
    const agent = await stage.agent("backend");
    const before = agent.sessionId;
    const server = await agent.mcp();
    await agent.hook(START);
    await agent.hook({ ...CLEAR });
    expect(await stage.status("backend")).toBe("active");
    agent.sessionId = "after-clear";
    expect(await agent.shown({ ...START, source: "clear" })).toBe("");
    await stage.send("backend", "hello");
    expect(await server.call("check_messages")).toMatchObject({ success: true, count: 1 });
    await stage.send("backend", "again");
    expect(await agent.shown(TOOL)).toContain("again");
    for (const id of [before, "after-clear"]) {
      agent.sessionId = id;
      expect(await agent.json("check")).toMatchObject({ success: true, count: 2 });
    }
    await until(async () => (await stage.status("backend")) === "active");
    expect((await stage.entry("backend")).session).toMatchObject({
      number: 1,
      id: "after-clear",
      ids: [before, "after-clear"],
      agent_pid: agent.pid,
    });
  });

  it("also after more of /clear than ids are kept", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const server = await agent.mcp();
    await agent.hook(START);
    for (let i = 1; i <= 9; i++) {
      agent.sessionId = `clear-${i}`;
      await agent.hook({ ...START, source: "clear" });
    }
    expect(await server.call("check_messages")).toMatchObject({ success: true });
    expect((await stage.entry("backend")).session).toMatchObject({ number: 1, id: "clear-9" });
    await agent.hook(END);
    expect(await stage.status("backend")).toBe("offline");
  });

  it.each(["hook", "server"])("after resume in a new process, whose %s comes first", async (first) => {
    const stage = bench.stage(TIMES);
    const before = await stage.agent("backend", "claude", true);
    await before.hook(START);
    await before.hook({ ...END, reason: "resume" });
    await before.kill();
    const after = await stage.agent("backend");
    const resume = { ...START, source: "resume" };
    if (first === "hook") {
      after.sessionId = before.sessionId;
      expect(await after.shown(resume)).toBe("");
    }
    // The server is started before the resumed session is known, under an id of its own.
    const server = await after.mcp();
    await until(async () => (await stage.entry("backend")).session["agent_pid"] === after.pid);
    after.sessionId = before.sessionId;
    if (first === "server") await after.hook(resume);
    await stage.send("backend", "hello");
    expect(await after.shown(PROMPT)).toContain("hello");
    expect(await server.call("check_messages")).toMatchObject({ success: true, count: 1 });
    expect(await after.json("check")).toMatchObject({ success: true, count: 1 });
    await until(async () => (await stage.status("backend")) === "active");
  });

  it.each(["codex", "gemini"] as const)("of %s, whose server is told no session id", async (program) => {
    const stage = bench.stage(TIMES);
    const agent = await stage.agent("backend", program);
    const server = await agent.mcp(program);
    await until(async () => (await stage.entry("backend")).session.number === 1);
    await agent.hook(START);
    await stage.send("backend", "hello");
    const prompt = program === "gemini" ? { hook_event_name: "BeforeAgent", prompt: "go" } : PROMPT;
    expect(await agent.shown(prompt)).toContain("hello");
    expect(await server.call("check_messages")).toMatchObject({ success: true, count: 1 });
    expect(await agent.json("check")).toMatchObject({ success: true, count: 1 });
    expect((await stage.entry("backend")).session).toMatchObject({
      number: 1,
      id: agent.sessionId,
      ids: [agent.sessionId],
      agent: program === "gemini" ? "gemini-cli" : "codex",
      agent_pid: agent.pid,
      pid: expect.any(Number) as number,
    });
    await agent.hook(END);
    expect(await stage.status("backend")).toBe("offline");
    const { last_heartbeat } = await stage.entry("backend");
    await sleep(1000); // three beats of its server, which must not revive it
    expect(await stage.entry("backend")).toMatchObject({ left: true, last_heartbeat });
  });
});

describe.concurrent("[G8] two runs under one name", () => {
  const superseded = (cwd: string): RegExp =>
    new RegExp(
      `^A newer session speaks for backend: claude-code on ${hostname()} in ${cwd}, ` +
        String.raw`since \d{4}-\d\d-\d\dT[\d:.]+Z\.$`,
    );

  it("the newer takes over, the older is told who, where and since when, and says and reads nothing more", async () => {
    const stage = bench.stage();
    const older = await stage.agent("backend");
    const olderServer = await older.mcp();
    await older.hook(START);
    const newer = await stage.agent("backend");
    expect(await newer.shown(START)).toBe(
      `You now speak for backend and get its messages; until now another session (claude-code) on ${hostname()} ` +
        `in ${stage.cwd} did.`,
    );
    const newerServer = await newer.mcp();
    const sentence = superseded(stage.cwd);
    const id = await stage.send("backend", "for the newer");
    for (const [tool, args] of [
      ["check_messages", {}],
      ["get_notifications", {}],
      ["ack_message", { message_id: id }],
      ["publish_message", { msg_type: "GENERAL", subject: "x", description: "", to_instance: "other" }],
    ] as const) {
      const refusal = await olderServer.call(tool, args);
      expect([tool, refusal]).toMatchObject([tool, { success: false, code: "SUPERSEDED" }]);
      expect(refusal["error"]).toMatch(sentence);
    }
    for (const args of [["check"], ["notifications"], ["ack", id], ["publish", "GENERAL", "x", "", "--to", "other"]]) {
      const { code, stdout, stderr } = await older.coord(...args, "--json");
      expect([args, code, JSON.parse(stdout)]).toMatchObject([args, 1, { success: false, code: "SUPERSEDED" }]);
      expect(stderr).toMatch(/A newer session speaks for backend/);
    }
    // Said at a prompt, and not at every tool call.
    expect(await older.shown(PROMPT)).toMatch(/^A newer session speaks for backend: .* You get no messages for it any/);
    for (const fields of [TOOL, STOP]) expect(await older.shown(fields)).toBe("");
    await older.hook(END);
    expect(await stage.status("backend")).toBe("active");
    expect(await newer.shown(TOOL)).toContain("for the newer");
    expect(await newerServer.call("check_messages")).toMatchObject({ success: true, count: 1 });
    expect((await stage.entry("backend")).session.number).toBe(2);
  });

  it("the waker of the older never takes the name back", async () => {
    const stage = bench.stage();
    const older = await stage.agent("backend");
    await older.hook(START);
    const newer = await stage.agent("backend");
    await newer.hook(START);
    const waker = older.wait();
    expect(await waker.ended).toMatchObject({ code: 0, stdout: "", stderr: "" });
    expect((await stage.entry("backend")).session).toMatchObject({ number: 2, agent_pid: newer.pid });
  });

  it("a command of the older is refused while the newer is there, whatever started it", async () => {
    const stage = bench.stage();
    const older = await stage.agent("backend");
    await older.hook(START);
    const client = await stage.client("backend", { session: runOf() });
    expect(await older.json("check")).toMatchObject({ success: false, code: "SUPERSEDED" });
    await client.leave();
    expect(await older.json("check")).toMatchObject({ success: true });
  });

  it("the older does not beat for the newer, and speaks again once that is offline", async () => {
    const stage = bench.stage(TIMES);
    const older = await stage.agent("backend");
    const server = await older.mcp();
    await until(async () => (await stage.entry("backend")).session.number === 1);
    const newer = await stage.agent("backend");
    const other = await newer.mcp();
    expect(await other.call("check_messages")).toMatchObject({ success: true });
    expect((await stage.entry("backend")).session.number).toBe(2);
    other.process.kill("SIGKILL");
    await other.process.ended;
    const last = (await stage.entry("backend")).last_heartbeat;
    const seen: string[] = [];
    await until(async () => {
      const { status, lastHeartbeat, session } = (await stage.presence("backend"))!;
      expect([lastHeartbeat, session.agentPid]).toEqual([last, newer.pid]);
      if (status !== seen.at(-1)) seen.push(status);
      return status === "offline";
    });
    expect(seen).toContain("stale");
    expect(await server.call("check_messages")).toMatchObject({ success: true });
    expect((await stage.entry("backend")).session).toMatchObject({ number: 3, agent_pid: older.pid });
    expect(await server.call("check_messages")).toMatchObject({ success: true });
    await until(async () => (await stage.status("backend")) === "active");
  });

  it("the older speaks again by the next call, once the newer has left", async () => {
    const stage = bench.stage(TIMES);
    const older = await stage.agent("backend");
    const server = await older.mcp();
    await until(async () => (await stage.entry("backend")).session.number === 1);
    const newer = await stage.client("backend", { session: runOf() });
    expect(await server.call("check_messages")).toMatchObject({ code: "SUPERSEDED" });
    await newer.leave();
    expect(await stage.status("backend")).toBe("offline");
    expect(await server.call("check_messages")).toMatchObject({ success: true });
    expect((await stage.presence("backend"))!.session.agentPid).toBe(older.pid);
    expect(await stage.status("backend")).toBe("active");
  });

  it("likewise for two library clients", async () => {
    const stage = bench.stage();
    const older = await stage.client("backend", { session: runOf({ agent: "old" }) });
    const newer = await stage.client("backend", { session: runOf({ agent: "new", host: "north", agentPid: 7 }) });
    const calls: ((client: CoordinationClient) => Promise<unknown>)[] = [
      (client) => client.checkMessages(),
      (client) => client.waitForMessages({ waitSeconds: 1 }),
      (client) => client.getNotifications(),
      (client) => client.publishMessage({ type: "GENERAL", subject: "x", description: "", to: "other" }),
      (client) => client.setActivity("busy"),
      (client) => new Mailbox(client).takeWakerPlace("me", false),
      (client) => new Mailbox(client).collect("turn", 10, { bytes: 1000, descriptionBytes: 100 }),
      async (client) => {
        for await (const event of client.events()) return event;
      },
    ];
    for (const call of calls) {
      const { code, message, hint } = await refused(call(older));
      expect([code, hint]).toEqual([
        "SUPERSEDED",
        "Use another instance name here, or end the other session; this one may speak again once it has ended.",
      ]);
      expect(message).toMatch(
        /^A newer session speaks for backend: new on north in \/projects\/elsewhere, since \d{4}-.*Z\.$/,
      );
    }
    await older.leave(); // the end of a superseded one changes nothing
    expect(await stage.status("backend")).toBe("active");
    for (const call of calls.slice(2, 6)) await call(newer);
  });

  it("news of a session that cannot be read are news all the same", async () => {
    const stage = bench.stage();
    const session = {
      number: 1,
      ...runOf(),
      ids: { a: 1 },
      agent: [],
      joined: null,
      news: { superseded: "{" },
      process: "pid elsewhere  7 ",
    };
    const entry = { last_heartbeat: new Date().toISOString(), left: false, session: { ...session, agent_pid: 7 } };
    await stage.raw.hset(`${stage.prefix}:presence`, "backend", JSON.stringify(entry));
    const client = await stage.client("backend");
    expect(await client.join(runOf({ agentPid: 7 }))).toEqual({ first: false, superseded: {} });
    expect((await client.join(runOf({ agentPid: 8 }))).superseded).toMatchObject({ agentPid: 7 });
  });

  it("a restart after a crash needs no waiting", async () => {
    const stage = bench.stage();
    const crashed = await stage.agent("backend", "claude", true);
    const server = await crashed.mcp();
    await crashed.hook(START);
    await stage.send("backend", "before the crash");
    server.process.kill("SIGKILL");
    await server.process.ended;
    await crashed.kill();
    const restarted = await stage.agent("backend");
    const text = await restarted.shown(START);
    expect(text).toMatch(/^You now speak for backend/);
    expect(text).toContain("before the crash");
    const again = await restarted.mcp();
    expect(await again.call("check_messages")).toMatchObject({ success: true, count: 1 });
  });

  it("of twenty that join at once, exactly one speaks in the end", async () => {
    const stage = bench.stage();
    const clients = await Promise.all(
      Array.from({ length: 20 }, (_, i) => stage.client("backend", { session: runOf({ agentPid: 2000 + i }) })),
    );
    const outcomes = await Promise.all(
      clients.map((client) =>
        client.checkMessages().then(
          () => "speaks",
          (error: { code: string }) => error.code,
        ),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === "speaks")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === "SUPERSEDED")).toHaveLength(19);
    const { session } = await stage.entry("backend");
    expect(session.number).toBe(20);
    expect(session["agent_pid"]).toBe(2000 + outcomes.indexOf("speaks"));
  });

  it("of hooks of one run that start at once, none supersedes another", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const answers = await Promise.all([START, PROMPT, TOOL, STOP].map((fields) => agent.shown(fields)));
    expect(answers.join("")).not.toContain("speak for");
    expect((await stage.entry("backend")).session.number).toBe(1);
  });
});
