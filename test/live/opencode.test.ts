/** The plugin that `coord init` writes for opencode, played without opencode: what it adds, what it prompts, what it leaves alone. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { type Agent, type Env, type Stage, type Started, until, useRedis } from "./agent.ts";

const bench = useRedis();
const PLUGIN = path.resolve(import.meta.dirname, "../../dist/opencode-plugin.js");

/** Stands for opencode: calls the hooks that it is told to, and says what they did. `ses_child` is a subagent's. */
const HOST_SOURCE = `
import { createInterface } from "node:readline";
const [, , plugin, directory] = process.argv;
const { Coord } = await import(plugin);
const say = (message) => process.stdout.write(JSON.stringify(message) + "\\n");
const client = {
  session: {
    get: async ({ path }) => ({ data: path.id === "ses_none" ? undefined : path.id === "ses_child" ? { parentID: "ses_one" } : {} }),
    promptAsync: async (request) => say({ prompted: request }),
  },
  tui: { showToast: async ({ body }) => say({ toast: body.message }) },
};
const hooks = await Coord({ client, directory });
const working = new Set();
const lines = createInterface(process.stdin);
lines.on("line", (line) => {
  const { id, hook, input, output } = JSON.parse(line);
  const work = hooks[hook](input, output).then(() => say({ id, output }));
  working.add(work);
});
lines.on("close", () => Promise.all(working).then(() => process.exit()));
`;

interface Said {
  id?: number;
  output?: Record<string, unknown> & { parts: { text: string }[] };
  prompted?: { path: { id: string }; body: { agent: string; model: object; parts: { text: string }[] } };
  toast?: string;
}

class Opencode {
  readonly said: Said[] = [];
  readonly #child: Started;
  #calls = 0;

  constructor(stage: Stage, agent: Agent, env: Env = {}, hook: readonly string[] = agent.patientHook) {
    const folder = path.join(stage.cwd, "opencode-files");
    mkdirSync(folder, { recursive: true });
    const [host, plugin] = [path.join(folder, "host.mjs"), path.join(folder, "coord.mjs")];
    writeFileSync(host, HOST_SOURCE);
    const text = readFileSync(PLUGIN, "utf8").replace(/^const HOOK = .*$/m, `const HOOK = ${JSON.stringify(hook)};`);
    writeFileSync(plugin, text);
    this.#child = agent.start([host, plugin, stage.cwd], env);
    createInterface(this.#child.output).on("line", (line) => this.said.push(JSON.parse(line) as Said));
  }

  async call(hook: string, input: object, output: object = {}): Promise<NonNullable<Said["output"]>> {
    const id = ++this.#calls;
    this.#child.write(`${JSON.stringify({ id, hook, input, output })}\n`);
    await until(() => this.said.some((message) => message.id === id));
    return this.said.find((message) => message.id === id)!.output!;
  }

  /** @returns what the prompt has behind its own text */
  async prompt(sessionID: string, agent = "plan"): Promise<string[]> {
    const message = { id: "msg_1", agent, model: { providerID: "p", modelID: "m" } };
    const { parts } = await this.call(
      "chat.message",
      { sessionID },
      { message, parts: [{ id: "prt_1", text: "Work." }] },
    );
    return parts.slice(1).map(({ text }) => text);
  }

  async event(type: string, properties: object): Promise<void> {
    await this.call("event", { event: { type, properties } });
  }

  get prompted(): { id: string; agent: string; text: string }[] {
    return this.said.flatMap(({ prompted }) =>
      prompted === undefined
        ? []
        : [{ id: prompted.path.id, agent: prompted.body.agent, text: prompted.body.parts[0]!.text }],
    );
  }

  async end(): Promise<{ code: number | null; stderr: string }> {
    this.#child.endInput();
    return this.#child.ended;
  }
}

const about = (texts: readonly string[]): string[] =>
  texts.flatMap((text) => text.match(/(?<=\| About ).*(?=\.)/g) ?? []);

async function setUp(): Promise<{ stage: Stage; agent: Agent; opencode: Opencode }> {
  const stage = bench.stage();
  await stage.hadSession("alice");
  const agent = await stage.agent("", "opencode");
  stage.register({ [stage.cwd]: "alice" });
  return { stage, agent, opencode: new Opencode(stage, agent) };
}

describe.concurrent("the plugin of opencode", () => {
  it("shows mail at a prompt and in what a tool said, whatever the form, goes on with it at a stop, and wakes", async () => {
    const { stage, opencode } = await setUp();
    await stage.send("alice", "the start");
    expect(about(await opencode.prompt("ses_one"))).toEqual(["the start"]);
    expect(opencode.said.map(({ toast }) => toast).filter(Boolean)).toEqual([
      expect.stringMatching(/^coord: GENERAL from orchestrator \(msg-\w+\)$/),
    ]);
    await stage.send("alice", "a tool");
    const { output } = await opencode.call("tool.execute.after", { sessionID: "ses_one" }, { output: "done" });
    expect(output).toMatch(/^done\n\n/);
    expect(about([String(output)])).toEqual(["a tool"]);
    await stage.send("alice", "a server's tool");
    const { content } = await opencode.call("tool.execute.after", { sessionID: "ses_one" }, { content: [] });
    expect(about((content as { text: string }[]).map(({ text }) => text))).toEqual(["a server's tool"]);
    await stage.send("alice", "the stop");
    await opencode.event("session.idle", { sessionID: "ses_one" });
    await until(() => opencode.prompted.length === 1);
    expect(about(opencode.prompted.map(({ text }) => text))).toEqual(["the stop"]);
    // As its person spoke to it: one that plans is not woken as one that builds.
    expect(opencode.prompted[0]).toMatchObject({ id: "ses_one", agent: "plan" });
    await opencode.event("session.idle", { sessionID: "ses_one" });
    await until(() => opencode.prompted.length === 2); // reminds of the four, once
    await opencode.event("session.idle", { sessionID: "ses_one" });
    await until(async () => (await stage.presence("alice"))?.doing === "idle");
    await stage.send("alice", "idleness");
    await until(() => opencode.prompted.length === 3);
    expect(opencode.prompted[2]).toEqual({
      id: "ses_one",
      agent: "plan",
      text: "Messages from other agents have arrived; they are shown with this prompt.",
    });
    expect(about(await opencode.prompt("ses_one"))).toEqual(["idleness"]);
  });

  it("leaves a subagent alone, whose shell speaks as the session, and a session that nobody knows", async () => {
    const { stage, opencode } = await setUp();
    await opencode.prompt("ses_one");
    await stage.send("alice", "for the session");
    expect(await opencode.prompt("ses_child")).toEqual([]);
    expect(await opencode.prompt("ses_none")).toEqual([]);
    const done = { output: "done" };
    expect(await opencode.call("tool.execute.after", { sessionID: "ses_child" }, done)).toEqual(done);
    await opencode.event("session.idle", { sessionID: "ses_child" });
    expect(await opencode.call("shell.env", { sessionID: "ses_child" }, { env: {} })).toEqual({
      env: { OPENCODE_SESSION_ID: "ses_one" },
    });
    // What has no place for a text takes none.
    await opencode.call("tool.execute.after", { sessionID: "ses_one" }, { output: 1 });
    expect(about(await opencode.prompt("ses_one"))).toEqual(["for the session"]);
    expect(opencode.prompted).toEqual([]);
  });

  it("waits for its person at a question, and once they have stopped it, which no mail undoes", async () => {
    const { stage, opencode } = await setUp();
    await opencode.prompt("ses_one");
    await opencode.event("permission.asked", { sessionID: "ses_one" });
    await until(async () => (await stage.presence("alice"))?.doing === "waiting");
    await opencode.prompt("ses_one");
    await until(async () => (await stage.presence("alice"))?.doing === "working");
    await opencode.event("session.error", { sessionID: "ses_one", error: { name: "MessageAbortedError" } });
    await stage.send("alice", "after the stop");
    await opencode.event("session.idle", { sessionID: "ses_one" });
    await until(async () => (await stage.presence("alice"))?.doing === "waiting");
    expect(opencode.prompted).toEqual([]);
    expect(about(await opencode.prompt("ses_one"))).toEqual(["after the stop"]);
  });

  it("the session that its person goes on in speaks; one beside a session that works is told who does", async () => {
    const { stage, opencode } = await setUp();
    await opencode.prompt("ses_one");
    await stage.send("alice", "while the first works", { requiresAck: false });
    expect(await opencode.prompt("ses_two")).toEqual([expect.stringContaining("Another session speaks for alice")]);
    expect(about(await opencode.prompt("ses_one"))).toEqual(["while the first works"]);
    await opencode.event("session.idle", { sessionID: "ses_one" });
    await until(async () => (await stage.presence("alice"))?.doing === "idle");
    await stage.send("alice", "for the second", { requiresAck: false });
    expect(about(await opencode.prompt("ses_two"))).toEqual(["for the second"]);
    await opencode.event("session.idle", { sessionID: "ses_two" });
    await stage.send("alice", "for the first again", { requiresAck: false });
    await until(async () => (await stage.presence("alice"))?.doing === "idle");
    expect(about(await opencode.prompt("ses_one"))).toEqual(["for the first again"]);
    await opencode.call("dispose", {});
    await until(async () => (await stage.status("alice")) === "offline");
  });

  it("nothing happens where coord-hook is not installed, or says what nobody understands", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("alice", "opencode");
    for (const hook of [["/nowhere/coord-hook"], ["/bin/echo"], ["/bin/false"]]) {
      const opencode = new Opencode(stage, agent, {}, hook);
      expect(await opencode.prompt("ses_one")).toEqual([]);
      const done = { output: "done" };
      expect(await opencode.call("tool.execute.after", { sessionID: "ses_one" }, done)).toEqual(done);
      await opencode.event("session.idle", { sessionID: "ses_one" });
      await opencode.call("dispose", {});
      expect(await opencode.end()).toMatchObject({ code: 0, stderr: "" });
      expect(opencode.prompted).toEqual([]);
    }
  });
});
