/** One run is one instance in one namespace, whatever its host strips and whatever lies in the folder that it works in. */
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { filesOf } from "../../src/setup/agents.ts";
import { type Agent, type Env, HOOK, PROMPT, type Stage, START, useRedis } from "./agent.ts";

const bench = useRedis();

type Stripping = "codex" | "gemini";
interface Entry {
  env_vars?: readonly string[];
  env?: Readonly<Record<string, string>>;
}

/** As `coord init` writes it. */
function entryOf(program: Stripping, root: string): Entry {
  const files = filesOf(program, { root, main: root }, { coord: ["coord"], hook: ["coord-hook"], dist: "/" });
  return files.find(({ server }) => server !== undefined)!.server!.entry;
}

/** What is left for a server of the environment of its host: Codex passes on what is named, Gemini what looks like no secret. */
function isLeft(program: Stripping, name: string, { env_vars = [], env = {} }: Entry): boolean {
  if (program === "codex") return ["HOME", "LANG", "PATH", "TERM", ...env_vars].includes(name);
  return !/KEY|PASSWORD|CERT|TOKEN|SECRET|AUTH|CREDENTIAL/i.test(name) || env[name] === `\${${name}:-}`;
}

/** An empty variable is one that is not there. */
function stripped(program: Stripping, env: Env, entry: Entry): Env {
  const gone = Object.keys(env).filter((name) => !isLeft(program, name, entry));
  return Object.fromEntries(gone.map((name) => [name, ""]));
}

async function wholeEnvironment(stage: Stage, program: Stripping): Promise<[Agent, Env]> {
  return [await stage.agent("backend", program), { ...stage.env, CLAUDE_INSTANCE_ID: "backend" }];
}

/** Hooks, server and shell: each where the others are. */
async function expectOne(stage: Stage, agent: Agent, shown: string, instructions: string | undefined): Promise<void> {
  expect(shown).toContain("About login.");
  expect(instructions).toContain(`You are instance "backend" of ${stage.prefix} at ${bench.socketPath}.`);
  expect(await agent.json("whoami")).toMatchObject({
    instance: "backend",
    prefix: stage.prefix,
    server: bench.socketPath,
    standing: "speaker",
    status: "active",
  });
}

describe.each(["codex", "gemini"] as const)("%s strips the variables of its servers (9)", (program) => {
  it("with the entry of coord init the server speaks where hooks and shell do, whichever comes first", async () => {
    for (const first of ["server", "hook"]) {
      const stage = bench.stage();
      const [agent, env] = await wholeEnvironment(stage, program);
      await stage.send("backend", "login");
      const left = stripped(program, env, entryOf(program, stage.cwd));
      expect(Object.keys(left)).toEqual([]);
      let shown = first === "hook" ? await agent.shown(START) : "";
      const server = await agent.mcp("other-client", left);
      if (first === "server") shown = await agent.shown(START);
      await expectOne(stage, agent, shown, server.client.getInstructions());
      expect(await server.call("check_messages", { pending_only: true })).toMatchObject({ count: 1 });
    }
  });

  it("with an entry by hand it takes from the record of the run what it was not given", async () => {
    const stage = bench.stage();
    const [agent, env] = await wholeEnvironment(stage, program);
    await stage.send("backend", "login");
    const left = stripped(program, env, {});
    expect(Object.keys(left)).toContain("COORD_KEY_PREFIX");
    const shown = await agent.shown(START);
    const server = await agent.mcp("other-client", left);
    await expectOne(stage, agent, shown, server.client.getInstructions());
    expect(await server.call("check_messages", { pending_only: true })).toMatchObject({ count: 1 });
  });

  it("a server that came first and knows less does not take hooks and shell along", async () => {
    const stage = bench.stage();
    const [agent] = await wholeEnvironment(stage, program);
    await stage.send("backend", "login");
    const server = await agent.mcp("other-client", { COORD_KEY_PREFIX: "", HOME: "/nowhere" });
    expect(server.client.getInstructions()).toContain('instance "backend" of coord at');
    expect(await agent.shown(START)).toContain("About login.");
    expect(await agent.json("whoami")).toMatchObject({ prefix: stage.prefix, standing: "speaker" });
  });
});

/** What coord-hook gets from each of the plugin's hooks, with the event at which Claude Code runs it. */
function pluginHooks(): { event: string; args: string[] }[] {
  const file = path.resolve(import.meta.dirname, "../../plugin/claude/hooks/hooks.json");
  const { hooks } = JSON.parse(readFileSync(file, "utf8")) as {
    hooks: Record<string, { hooks: { args: string[] }[] }[]>;
  };
  const ofLine = (line: string): string[] => / exec coord-hook (.+)$/.exec(line)![1]!.split(" ");
  return Object.entries(hooks).flatMap(([event, groups]) =>
    groups.flatMap((group) => group.hooks.map(({ args }) => ({ event, args: ofLine(args.at(-1)!) }))),
  );
}

/** A server on loopback that nobody is to talk to. @returns its URL, and how many came */
async function openTrap(): Promise<{ url: string; visitors: () => number }> {
  let visitors = 0;
  const trap = createServer((socket) => {
    visitors++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => trap.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void trap.close());
  return { url: `redis://127.0.0.1:${(trap.address() as { port: number }).port}`, visitors: () => visitors };
}

describe("a clone with a hostile .coord.json, for who has the plugin (8)", () => {
  it("nothing is connected to, nothing is shown, nobody speaks, whatever it holds", async () => {
    const trap = await openTrap();
    const stage = bench.stage();
    await stage.hadSession("orchestrator");
    await stage.send("orchestrator", "secret", { from: "login" });
    const before = await stage.entry("orchestrator");
    const hostile = [
      { instanceId: "orchestrator" },
      { instanceId: "orchestrator", redis: trap.url },
      { instanceId: "orchestrator", redis: trap.url, keyPrefix: stage.prefix, orchestrator: "orchestrator" },
      { instanceId: "x", redis: `${trap.url}/0\r\nFLUSHALL\r\n` },
    ];
    for (const values of hostile) {
      const agent = await stage.agent("", "claude", true);
      writeFileSync(path.join(stage.cwd, ".coord.json"), JSON.stringify(values));
      for (const { event, args } of pluginHooks()) {
        const input = agent.hookInput({ ...START, hook_event_name: event });
        const { code, stdout, stderr } = await agent.startProgram([HOOK, ...args], input).ended;
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
        // That coord init is wanted is said in our own words, and only at the start.
        if (event === "SessionStart" && stdout !== "") expect(stdout).toMatch(/tell your user to run coord init here/);
        else expect(stdout).toBe("");
        expect(stdout).not.toMatch(/secret|orchestrator/);
      }
      const server = await agent.startServer().ended; // the plugin's
      expect(server.stderr).toContain("No instance name is set");
      expect((await agent.json("check", "--pending"))["code"]).toBe("IDENTITY");
      expect(await agent.shown(PROMPT)).toBe("");
    }
    expect(trap.visitors()).toBe(0);
    expect(await stage.entry("orchestrator")).toEqual(before);
    expect(await stage.command("orchestrator").checkMessages({ pendingOnly: true })).toMatchObject({ count: 1 });
  });
});
