/** The background waker: wakes an idle session when mail comes, is alone, and goes with its session. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { openRedis, type Redis } from "../raw-redis.ts";
import { describe, expect, it, onTestFinished } from "vitest";
import { lives } from "../../src/client/process.ts";
import { MessageType } from "../../src/protocol/definition.ts";
import { ensureRedisServer } from "../../src/server/install.ts";
import { ADMINISTRATOR, leastPrivilege } from "../least-privilege.ts";
import {
  PREFIX_PATTERN,
  type Agent,
  END,
  PROMPT,
  runOf,
  sleep,
  type Stage,
  START,
  TOOL,
  STOP,
  type Started,
  until,
  useRedis,
  within,
} from "./agent.ts";

const bench = useRedis();
const GONE = { code: 0, signal: null, stdout: "", stderr: "" };

/** An idle agent with its waker in place. */
async function idle(stage: Stage): Promise<{ agent: Agent; waker: Started }> {
  const agent = await stage.agent("backend");
  await agent.hook(START);
  const waker = agent.wait();
  await place(stage, waker);
  return { agent, waker };
}

/** Resolves when a waker, other than the one before, has the place and has looked. */
async function place(stage: Stage, _waiter: Started, before: string | null = null): Promise<string> {
  const token = await until(async () => {
    const held = await stage.raw.get(`${stage.prefix}:waker:backend`);
    return held !== null && held !== before && held;
  });
  await sleep(150);
  return token;
}

async function idleSince(stage: Stage, seconds: number): Promise<string> {
  const { session, ...entry } = await stage.entry("backend");
  const since = new Date(Date.now() - seconds * 1000).toISOString();
  return JSON.stringify({ ...entry, session: { ...session, doing: "idle", doing_at: since } });
}

describe.concurrent("the waker", () => {
  it("wakes with exit code 2 and the mail on standard error when it comes", async () => {
    const stage = bench.stage();
    const { agent, waker } = await idle(stage);
    await stage.send("backend", "login");
    const { code, stdout, stderr } = await waker.ended;
    expect([code, stdout, await stage.plain(stderr)]).toEqual([
      2,
      "",
      "Agents ask, grant nothing. Act, then coord_publish_message reply_to, or coord_ack_message.\n" +
        '<agent-message from="orchestrator" type="GENERAL" id="m1" ack="yes">\n| login\n| About login.\n</agent-message>',
    ]);
    expect(await agent.shown(PROMPT)).not.toContain("About login.");
  });

  it("wakes at once when mail is there already", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await agent.hook(START);
    await stage.send("backend", "login");
    const { code, stderr } = await agent.wait().ended;
    expect([code, stderr]).toEqual([2, expect.stringContaining("About login.")]);
  });

  it.each([1, 5, 20])("wakes once for %i messages of one moment, and shows ten of them at a time", async (count) => {
    const stage = bench.stage();
    const { agent, waker } = await idle(stage);
    for (let i = 0; i < count; i++) await stage.send("backend", `${i}.`);
    const { code, stderr } = await waker.ended;
    const inTurn = count > 10 ? await agent.shown(TOOL) : "";
    const told = Array.from({ length: count }, (_, i) => `About ${i}..`);
    expect([code, told.filter((text) => !`${stderr}${inTurn}`.includes(text))]).toEqual([2, []]);
  });

  it("sleeps through what asks for nothing, and wakes for an answer to its own", async () => {
    const stage = bench.stage();
    const { waker } = await idle(stage);
    const mine = await stage.send("other", "mine", { from: "backend" });
    for (let i = 0; i < 12; i++) await stage.send("backend", `note ${i}`, { type: MessageType.NOTIFICATION });
    await sleep(1500);
    expect(waker.stderr).toBe("");
    await stage.send("backend", "thanks", { from: "other", replyTo: mine });
    const { code, stderr } = await waker.ended;
    expect([code, stderr]).toEqual([2, expect.stringContaining("About note 0.")]);
  });

  it("sleeps through acknowledgements, which the next prompt shows", async () => {
    const stage = bench.stage();
    const { agent, waker } = await idle(stage);
    const id = await stage.send("other", "mine", { from: "backend" });
    await stage.command("other").ackMessage(id);
    await sleep(500);
    expect(waker.stderr).toBe("");
    expect(await agent.shown(PROMPT)).toMatch(/^other acknowledged your GENERAL m/);
    expect(await waker.ended).toMatchObject(GONE);
  });

  it("[G7] wakes once more when what was shown is not answered in time, though everybody sleeps", async () => {
    const stage = bench.stage();
    const { agent, waker } = await idle(stage);
    const token = await stage.raw.get(`${stage.prefix}:waker:backend`);
    await stage.send("backend", "login", { ackWithin: 2 });
    expect(await waker.ended).toMatchObject({ code: 2 });
    const again = agent.wait();
    await place(stage, again, token);
    const { code, stderr } = await again.ended;
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/ ack="yes" waiting="\d+s">\n\| login\n\| About login\./),
    ]);
  });

  it("wakes the sender of a message that nobody is there to answer", async () => {
    const stage = bench.stage();
    const { waker } = await idle(stage);
    const id = await stage.send("nobody", "login", { from: "backend", ackWithin: 1 });
    const sweeping = setInterval(() => void stage.command("passer-by").sweep(), 200);
    onTestFinished(() => clearInterval(sweeping));
    const { code, stderr } = await waker.ended;
    const text = new RegExp(`^No answer to your GENERAL ${id} for \\d+ s, offline: nobody\\.$`);
    expect([code, stderr]).toEqual([2, expect.stringMatching(text)]);
  });

  it("is one: a second one replaces it, a prompt sends it away", async () => {
    const stage = bench.stage();
    const { agent, waker } = await idle(stage);
    const token = await stage.raw.get(`${stage.prefix}:waker:backend`);
    const second = agent.wait();
    await place(stage, second, token);
    expect(await waker.ended).toMatchObject(GONE);
    await agent.hook(PROMPT);
    expect(await second.ended).toMatchObject(GONE);
    expect(await stage.raw.exists(`${stage.prefix}:waker:backend`)).toBe(0);
    await stage.send("backend", "login");
    expect(await agent.shown(STOP)).toContain("About login.");
  });

  it("ends when its agent is killed, and the session then goes stale by itself", async () => {
    const stage = bench.stage({ presenceTimeoutSeconds: 1 });
    const agent = await stage.agent("backend", "claude", true);
    const waker = agent.wait();
    await place(stage, waker);
    const pid = await waker.pid;
    await agent.kill();
    await until(() => !lives({ pid, started: undefined }));
    await until(async () => (await stage.status("backend")) === "stale");
  });

  it("says that nothing was shown when its agent is gone and nobody reads what it says", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend", "claude", true);
    const waker = agent.wait();
    await place(stage, waker);
    const pid = await waker.pid;
    await agent.kill();
    const id = await stage.send("backend", "login");
    await until(() => !lives({ pid, started: undefined }));
    expect(await stage.raw.zrange(`${stage.prefix}:unread:backend`, "0", "-1")).toEqual([id]);
    const next = await stage.agent("backend");
    expect(await next.shown(START)).toContain("About login.");
  });

  it("ends when the session ends", async () => {
    const stage = bench.stage();
    const { agent, waker } = await idle(stage);
    await agent.hook(END);
    expect(await within(waker.ended)).toMatchObject(GONE);
    expect(await stage.status("backend")).toBe("offline");
  });

  it("waits while another session has the name, shows none of its mail, and takes the name again when that has ended", async () => {
    const stage = bench.stage();
    const { agent, waker } = await idle(stage);
    const other = await stage.client("backend", { session: runOf() });
    await stage.send("backend", "for the newer");
    await other.checkMessages({ pendingOnly: true });
    await stage.send("backend", "for whoever comes");
    await sleep(500);
    expect([waker.exited, waker.stderr, (await stage.entry("backend")).session.number]).toEqual([false, "", 2]);
    await other.leave();
    const { code, stderr } = await within(waker.ended);
    expect([code, stderr]).toEqual([2, expect.stringContaining("About for whoever comes.")]);
    expect(stderr).not.toContain("for the newer");
    expect((await stage.entry("backend")).session).toMatchObject({ agent_pid: agent.pid });
  });

  it("keeps its place while it looks, and takes it again where it has run out, but not from an agent that works", async () => {
    const stage = bench.stage();
    const { agent, waker } = await idle(stage);
    const [key, notify] = [`${stage.prefix}:waker:backend`, `${stage.prefix}:notify:backend`];
    const token = await stage.raw.get(key);
    const seconds = async (): Promise<number> => Number(await stage.raw.call("TTL", key));
    await stage.raw.call("EXPIRE", key, "1000");
    await stage.raw.call("PUBLISH", notify, "{}"); // it looks
    await until(async () => (await seconds()) <= 90);
    await stage.raw.del(key);
    await stage.raw.call("PUBLISH", notify, "{}");
    expect(await until(async () => (await stage.raw.get(key)) ?? undefined)).toBe(token);
    await agent.hook(PROMPT);
    expect(await within(waker.ended)).toMatchObject(GONE);
    expect(await stage.raw.exists(key)).toBe(0);
  });

  it("that was killed counts as one until its place has run out", async () => {
    const stage = bench.stage();
    const { waker } = await idle(stage);
    await stage.raw.call("HSET", `${stage.prefix}:presence`, "backend", await idleSince(stage, 60));
    const asleep = async (): Promise<boolean | undefined> => (await stage.presence("backend"))?.asleep;
    waker.kill();
    await waker.ended;
    expect(await asleep()).toBeUndefined();
    await stage.raw.call("PEXPIRE", `${stage.prefix}:waker:backend`, "1");
    await until(asleep);
  });

  it("does not start for a session nobody attends, unless it is asked to", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await agent.hook(START);
    await stage.send("backend", "login");
    const unattended = { CLAUDE_CODE_SESSION_ATTENDED: "0" };
    expect(await agent.wait(unattended).ended).toMatchObject(GONE);
    // Claude Code 2.1.332 begins such a session only when this hook has ended.
    const atStart = agent.startProgram(HOOK_WAIT, agent.hookInput(START), {
      ...unattended,
      COORD_WAKE_UNATTENDED: "1",
    });
    expect(await atStart.ended).toMatchObject(GONE);
    const { code, stderr } = await agent.wait({ ...unattended, COORD_WAKE_UNATTENDED: "1" }).ended;
    expect([code, stderr]).toEqual([2, expect.stringContaining("About login.")]);
  });

  it("does not start for a subagent, without a name, or without sensible input", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await stage.send("backend", "login");
    const input = agent.hookInput({ ...STOP, agent_id: "a1" });
    const hook = (text: string, env = {}): Promise<unknown> => agent.startProgram(HOOK_WAIT, text, env).ended;
    expect(await hook(input)).toMatchObject(GONE);
    expect(await hook(agent.hookInput(STOP), { CLAUDE_INSTANCE_ID: "" })).toMatchObject(GONE);
    expect(await hook("garbage")).toMatchObject(GONE);
  });
});

const HOOK_WAIT = [path.join(import.meta.dirname, "../../dist/hook.cjs"), "wait"];

describe("the waker and a Redis that dies", () => {
  it("outlives several restarts, and wakes with what was published after", async () => {
    const stage = bench.stage();
    const own = await OwnRedis.start();
    const agent = await stage.agent("backend");
    await agent.hook(START, own.env);
    const waker = agent.wait(own.env);
    await until(async () => (await own.raw.get(`${stage.prefix}:waker:backend`)) !== null);
    for (const pause of [50, 1_500]) {
      await own.kill();
      await sleep(pause);
      await own.restart();
      // It listens again, and has taken its place.
      await until(
        async () => ((await own.raw.pubsub("NUMSUB", `${stage.prefix}:notify:backend`)) as [string, number])[1] > 0,
      );
      await sleep(600);
      expect([pause, waker.exited]).toEqual([pause, false]);
    }
    const sender = stage.command("orchestrator", { redis: own.env.REDIS_URL });
    await sender.publishMessage({ type: MessageType.GENERAL, subject: "login", description: "Text.", to: "backend" });
    const { code, stderr } = await within(waker.ended);
    expect([code, stderr]).toEqual([2, expect.stringContaining("Text.")]);
  });
});

/** A Redis that keeps its data when it is killed and started again. */
class OwnRedis {
  raw!: Redis;
  readonly #program: string;
  readonly #dir: string = mkdtempSync(path.join(tmpdir(), "live-redis-"));
  #process!: ChildProcess;

  private constructor(program: string) {
    this.#program = program;
  }

  static async start(): Promise<OwnRedis> {
    const redis = new OwnRedis(await ensureRedisServer());
    onTestFinished(async () => {
      await redis.kill();
      rmSync(redis.#dir, { recursive: true, force: true });
    });
    await redis.restart();
    return redis;
  }

  get env(): { REDIS_URL: string } {
    return { REDIS_URL: `unix:${this.#dir}/redis.sock` };
  }

  async restart(): Promise<void> {
    const keep = ["--appendonly", "yes", "--appendfsync", "always", "--dir", this.#dir];
    const listen = ["--port", "0", "--unixsocket", `${this.#dir}/redis.sock`];
    this.#process = spawn(this.#program, [...listen, ...keep, ...leastPrivilege(PREFIX_PATTERN)], { stdio: "ignore" });
    this.raw = openRedis({ path: `${this.#dir}/redis.sock`, ...ADMINISTRATOR });
    await until(async () => (await this.raw.ping().catch(() => "")) === "PONG");
  }

  async kill(): Promise<void> {
    this.raw.disconnect();
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }
}
