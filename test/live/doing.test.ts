/** [G8] What an agent does, as its host's events tell, who else would like to speak for it, and who sleeps. */
import { spawn } from "node:child_process";
import { describe, expect, it } from "vitest";
import { hearsChannels } from "../../src/surfaces/mcp/channel.ts";
import {
  type Agent,
  COORD,
  END,
  type Program,
  PROMPT,
  type Stage,
  START,
  STOP,
  TOOL,
  until,
  useRedis,
} from "./agent.ts";

const bench = useRedis();
const ASK = { hook_event_name: "PermissionRequest", tool_name: "Bash", tool_input: { command: "rm x" } };
const TOLD: Record<Program, [start: object, prompt: object, tool: object, ask: object, stop: object]> = {
  claude: [START, PROMPT, TOOL, ASK, STOP],
  codex: [START, PROMPT, TOOL, ASK, STOP],
  gemini: [
    START,
    { hook_event_name: "BeforeAgent", prompt: "go" },
    { hook_event_name: "AfterTool", tool_name: "ls" },
    { hook_event_name: "Notification", notification_type: "ToolPermission", message: "Tool requires confirmation" },
    { hook_event_name: "AfterAgent", prompt: "go", prompt_response: "done" },
  ],
  opencode: [
    { hook_event_name: "session.start", source: "startup" },
    { hook_event_name: "chat.message" },
    { hook_event_name: "tool.execute.after" },
    { hook_event_name: "permission.asked" },
    { hook_event_name: "session.idle" },
  ],
};

async function doing(stage: Stage): Promise<string> {
  return (await stage.presence("backend"))!.doing;
}

async function told(stage: Stage, agent: Agent, events: readonly object[]): Promise<string[]> {
  const seen: string[] = [];
  for (const event of events) {
    await agent.hook(event as typeof START);
    seen.push(await doing(stage));
  }
  return seen;
}

/** The stored session as it would be had it happened so long ago. */
async function change(stage: Stage, session: object, seen?: string): Promise<void> {
  const entry = await stage.entry("backend");
  const changed = { ...entry, last_heartbeat: seen ?? entry.last_heartbeat, session: { ...entry.session, ...session } };
  await stage.raw.hset(`${stage.prefix}:presence`, "backend", JSON.stringify(changed));
}

const ago = (seconds: number): string => new Date(Date.now() - seconds * 1000).toISOString();

describe.concurrent("what an agent does", () => {
  it.each(["claude", "codex", "gemini", "opencode"] as const)("of %s follows from its events", async (program) => {
    const stage = bench.stage();
    const agent = await stage.agent("backend", program);
    const [start, prompt, tool, ask, stop] = TOLD[program];
    const seen = await told(stage, agent, [start, prompt, ask, tool, ask, stop, prompt, tool, stop]);
    expect(seen).toEqual(["idle", "working", "waiting", "working", "waiting", "idle", "working", "working", "idle"]);
    // A compaction and a resumed session begin no turn.
    expect(await told(stage, agent, [prompt, { ...start, source: "resume" }])).toEqual(["working", "idle"]);
    await agent.hook(prompt as typeof PROMPT);
    expect((await agent.coord("presence")).stdout).toMatch(/^backend +active, working +seen/m);
  });

  it("at a stop that shows mail it works on, and ends with the next", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await told(stage, agent, [START, PROMPT]);
    await stage.send("backend", "one more");
    expect(await told(stage, agent, [STOP, STOP, STOP])).toEqual(["working", "working", "idle"]);
  });

  it("waits for a person for ten minutes at most; each new question begins them again", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await told(stage, agent, [START, PROMPT, ASK]);
    await change(stage, { doing_at: ago(595) });
    expect(await doing(stage)).toBe("waiting");
    await change(stage, { doing_at: ago(605) });
    expect(await doing(stage)).toBe("idle");
    expect(await told(stage, agent, [ASK])).toEqual(["waiting"]);
    await change(stage, { doing_at: "soon" });
    expect(await doing(stage)).toBe("idle");
  });

  it("is away where its session ended or is stale, and where no host has told anything", async () => {
    const stage = bench.stage({ presenceTimeoutSeconds: 1 });
    const agent = await stage.agent("backend");
    expect(await told(stage, agent, [START, PROMPT])).toEqual(["idle", "working"]);
    await until(async () => (await stage.presence("backend"))!.status === "stale");
    expect(await doing(stage)).toBe("away");
    expect(await told(stage, agent, [PROMPT, END])).toEqual(["working", "away"]);
    await stage.send("backend", "x", { from: "plain" });
    expect((await stage.presence("plain"))!.doing).toBe("away");
  });

  it("is not told by a guest, nor by what its session has left behind", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await told(stage, agent, [START, PROMPT]);
    const nested = await stage.agent("backend");
    const yields = { CLAUDE_CODE_SESSION_ATTENDED: "0" };
    for (const event of [START, PROMPT, ASK, STOP]) await nested.hook(event, yields);
    expect(await doing(stage)).toBe("working");
    await agent.hook(END);
    await agent.hook(ASK);
    expect((await stage.presence("backend"))!.status).toBe("offline");
  });
});

it("a question for permission is answered with nothing, whatever waits", async () => {
  const stage = bench.stage();
  const agent = await stage.agent("backend");
  await told(stage, agent, [START, PROMPT]);
  await stage.send("backend", "not now");
  expect([await agent.hook(ASK), await doing(stage)]).toEqual([undefined, "waiting"]);
  expect(await agent.shown(TOOL)).toContain("not now");
});

describe.concurrent("guests", () => {
  it("are counted, listed by doctor, and refused with TAKEN where they never spoke", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await agent.hook(START);
    const guest = await stage.agent("backend");
    await guest.hook(START, { CLAUDE_CODE_SESSION_ATTENDED: "0" });
    expect((await stage.presence("backend"))!.guests).toBe(1);
    const id = await stage.send("backend", "not for a guest");
    for (const args of [
      ["publish", "GENERAL", "x", "", "--to", "other"],
      ["ack", id],
      ["presence", "--activity", "x"],
    ]) {
      const { code, stdout } = await guest.coord(...args, "--json");
      expect([args, code, JSON.parse(stdout)]).toMatchObject([args, 1, { success: false, code: "TAKEN" }]);
      expect(stdout).toContain("Another session speaks for backend: claude-code on ");
    }
    const newer = await stage.agent("backend");
    await newer.hook(START);
    expect((await stage.presence("backend"))!.guests).toBe(2);
    const publish = ["publish", "GENERAL", "x", "", "--to", "other"] as const;
    expect(await agent.json(...publish)).toMatchObject({ code: "SUPERSEDED" });
    expect(await guest.json(...publish)).toMatchObject({ code: "TAKEN" });
    expect((await newer.coord("presence")).stdout).toMatch(/^backend +active, idle +seen .* 1 pending, 2 guests /m);
    const { stdout } = await newer.coord("doctor");
    expect(stdout).toContain("! guests: 2 guests get no messages for backend, since another session speaks: ");
    expect(stdout).toMatch(new RegExp(`process ${agent.pid} on \\S+, which spoke before`));
    expect(stdout).toMatch(new RegExp(`process ${guest.pid} on [^,;\\s]+(;|$)`, "m"));
    await guest.hook(END);
    expect((await stage.presence("backend"))!.guests).toBe(1);
  });
});

describe.concurrent("who is idle and woken by nobody", () => {
  const SENTENCE = "backend is idle, and nobody wakes it: it sees this at its next prompt.";
  const publish = async (stage: Stage): Promise<object> => {
    const sender = await stage.client("other");
    const { recipients, warnings } = await sender.publishMessage({
      type: "NOTIFICATION",
      subject: "s",
      description: "",
      to: "backend",
    });
    return { recipients, warnings };
  };
  const AWAKE = { recipients: [{ instance: "backend", presence: "active" }], warnings: [] };
  const ASLEEP = { recipients: [{ instance: "backend", presence: "active", asleep: true }], warnings: [SENTENCE] };

  it("is named in the receipt, by all surfaces", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await told(stage, agent, [START, PROMPT, STOP]);
    expect(await publish(stage)).toEqual(AWAKE); // its waker may be about to start
    await change(stage, { doing_at: ago(11) });
    expect(await publish(stage)).toEqual(ASLEEP);
    const id = await stage.send("backend", "login");
    const receipt = async (): Promise<string | undefined> =>
      /^ {4}backend .*$/m.exec((await agent.start([COORD, "show", id, "--instance", "other"]).ended).stdout)?.[0];
    expect(await receipt()).toBe("    backend stored, idle, nobody wakes it");
    const { last_heartbeat: seen } = await stage.entry("backend");
    await change(stage, {}, ago(3600)); // it has gone without a word
    expect(await receipt()).toBe("    backend stored");
    await change(stage, {}, seen);
    const shell = agent.start([COORD, "publish", "GENERAL", "s", "", "--to", "backend", "--instance", "other"], {
      CLAUDE_INSTANCE_ID: undefined,
    });
    const { stdout, stderr } = await shell.ended;
    expect(stdout + stderr).toContain(SENTENCE);
    expect(await stage.presence("backend")).toMatchObject({ doing: "idle", asleep: true });
    expect((await agent.start([COORD, "doctor", "--instance", "backend"]).ended).stdout).toContain(
      "backend is idle, and nobody wakes it",
    );
    // A channel rings, and so does a waker.
    await change(stage, { channel: true });
    expect(await publish(stage)).toEqual(AWAKE);
    expect(await stage.presence("backend")).not.toHaveProperty("asleep");
    await change(stage, { channel: false });
    const waker = agent.wait();
    await until(async () => (await stage.raw.exists(`${stage.prefix}:waker:backend`)) === 1 || waker.exited);
    await waker.ended; // woken by what waits
    await change(stage, { doing: "idle", doing_at: ago(11) });
    expect(await publish(stage)).toEqual(AWAKE);
    await told(stage, agent, [PROMPT, STOP, STOP]);
    await change(stage, { doing_at: ago(11) });
    expect(await publish(stage)).toEqual(ASLEEP);
    await agent.hook(END);
    expect(await publish(stage)).toMatchObject({ recipients: [{ presence: "offline" }], warnings: [] });
  });

  it("Claude Code is known to hear channels by how it was started", async () => {
    const start = (...args: string[]): ReturnType<typeof spawn> =>
      spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", "--", ...args], { stdio: "ignore" });
    const [with_, without] = [start("--channels", "server:coord"), start("--resume")];
    try {
      await until(() => hearsChannels(with_.pid));
      expect([hearsChannels(without.pid), hearsChannels(undefined)]).toEqual([false, false]);
    } finally {
      for (const child of [with_, without]) child.kill("SIGKILL");
    }
  });
});
