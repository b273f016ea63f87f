/**
 * Random lives of agents under one name, as real processes, beside a small model of who speaks: which says after each step
 * whom the store names, and which messages the step has shown. Each message is shown once, and only to who speaks.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Random } from "../faults/random.ts";
import { run as runProgram } from "../surfaces/run.ts";
import {
  type Agent,
  type Bench,
  COORD,
  END,
  HOOK,
  type HookFields,
  type McpServer,
  PROMPT,
  type Stage,
  START,
  STOP,
  TOOL,
  until,
} from "./agent.ts";

const NAME = "backend";
/** The others of a scene are resumed, or thrown away in one step. */
const AGENTS_MAXIMUM = 4;
const STEPS_MAXIMUM = 14;

/** Plays the start, a prompt and the end of a run below another agent, and says what each was shown. */
const THROWAWAY_SOURCE = `
const { spawnSync } = require("node:child_process");
const { argv, env, inputs } = JSON.parse(process.argv[2]);
if (env.CLAUDE_PID === "self") env.CLAUDE_PID = String(process.pid);
const outputs = inputs.map((input) => spawnSync(process.execPath, argv, { env, input }).stdout.toString());
process.stdout.write(JSON.stringify(outputs));
`;
/** As a shell of an agent starts a program: in a process group of its own. */
const SHELL_SOURCE = `require("node:child_process").spawn(process.execPath, process.argv.slice(1), { detached: true, stdio: "inherit" })`;

interface Life {
  agent: Agent;
  number: number;
  attended: boolean;
  /** Its process lives. */
  alive: boolean;
  /** Another session has taken the name from it. */
  superseded: boolean;
  /** A hook has joined the session in which it speaks: no server ends that. */
  hooks: boolean;
  /** Its lasting server has joined that session. */
  served: boolean;
  server?: McpServer;
}

export interface Lives {
  lives: number;
  steps: number;
}

/** Plays scenes until so many lives are over. @throws Error with seed and steps where model and store differ */
export async function playLives(bench: Bench, random: Random, lives: number): Promise<Lives> {
  const played: Lives = { lives: 0, steps: 0 };
  while (played.lives < lives) {
    const scene = new Scene(bench, random);
    try {
      await scene.play();
    } catch (error) {
      throw new Error(`${(error as Error).message}\nafter ${scene.steps.join(", ")}`, { cause: error });
    } finally {
      await scene.end();
    }
    played.lives += scene.lives;
    played.steps += scene.steps.length;
  }
  return played;
}

class Scene {
  readonly steps: string[] = [];
  lives = 0;
  readonly #stage: Stage;
  readonly #folder: string;
  readonly #random: Random;
  readonly #agents: Life[] = [];
  readonly #killed: Life[] = [];
  /** Who spoke last; with `#left` nobody does now. */
  #speaker: Life | undefined;
  #left = true;
  #sent = 0;
  #unshown: string[] = [];

  constructor(bench: Bench, random: Random) {
    this.#stage = bench.stage();
    this.#folder = bench.folder;
    this.#random = random;
  }

  async play(): Promise<void> {
    await this.#stage.hadSession(NAME);
    await this.#begin();
    const count = this.#random.whole(STEPS_MAXIMUM / 2, STEPS_MAXIMUM);
    for (let i = 0; i < count; i++) {
      await this.#step();
      await this.#compareSpeaker();
    }
    // Whoever speaks in the end is shown what is left, and nothing comes twice.
    const last = this.#alive()[0] ?? (await this.#begin());
    await this.#hook(last, "prompt", PROMPT);
    await this.#hook(last, "prompt", PROMPT);
  }

  async end(): Promise<void> {
    for (const life of this.#agents) if (life.alive) await this.#kill(life);
    this.#stage.dispose();
  }

  #alive(): Life[] {
    return this.#agents.filter(({ alive }) => alive);
  }

  async #step(): Promise<void> {
    const living = this.#alive();
    const weighted: (() => Promise<unknown>)[] = [() => this.#send(), () => this.#send(), () => this.#look()];
    if (this.#agents.length < AGENTS_MAXIMUM)
      weighted.push(
        () => this.#begin(),
        () => this.#begin(),
      );
    if (this.#killed.length > 0) weighted.push(() => this.#resume());
    if (living.length > 0) {
      const life = this.#random.pick(living);
      weighted.push(
        () => this.#hook(life, "prompt", PROMPT),
        () => this.#hook(life, "prompt", PROMPT),
        () => this.#hook(life, "compact", { ...START, source: "compact" }),
        () => this.#hook(life, "compact", { ...START, source: "compact" }),
        () => this.#hook(life, "stop", STOP),
        () => this.#tool(life),
        () => this.#call(life),
        () => this.#checkHealth(life),
        () => this.#throwAway(life, this.#random.pick(["claude", "codex"] as const)),
        () => this.#endByHook(life),
        async () => {
          this.#killed.push(life);
          await this.#kill(life);
        },
      );
    }
    await this.#random.pick(weighted)();
  }

  // What changes who speaks, in the model: section by section of docs/protocol.md, Sessions.

  get #live(): Life | undefined {
    return !this.#left && this.#speaker?.alive === true ? this.#speaker : undefined;
  }

  /** @returns whether it speaks after having joined */
  #join(life: Life, mode: "start" | "yield", surface: "hook" | "server"): boolean {
    const live = this.#live;
    if (live !== undefined && live !== life && mode === "yield") return false;
    if (live !== life) {
      if (live !== undefined) live.superseded = true;
      life.hooks = false;
      life.served = false;
    }
    this.#speaker = life;
    this.#left = false;
    life.superseded = false;
    life.hooks ||= surface === "hook";
    return true;
  }

  #showAll(): string[] {
    return this.#unshown.splice(0);
  }

  // The steps, each with real processes.

  async #begin(): Promise<Life> {
    const attended = this.#random.whole(1, 3) > 1;
    const life = await this.#spawn(attended);
    // The start hook is missed where a plugin is enabled later: the run then begins, yielding, with its next hook.
    if (this.#random.whole(1, 5) === 1) await this.#hook(life, "prompt", PROMPT);
    else await this.#hook(life, attended ? "start" : "unattended start", START, attended ? "start" : "yield");
    return life;
  }

  async #spawn(attended: boolean, sessionId?: string): Promise<Life> {
    const agent = await this.#stage.agent(NAME, "claude", true);
    if (sessionId !== undefined) agent.sessionId = sessionId;
    const life = { agent, number: ++this.lives, attended, alive: true, superseded: false, hooks: false, served: false };
    this.#agents.push(life);
    return life;
  }

  async #resume(): Promise<void> {
    const [dead] = this.#killed.splice(this.#random.whole(0, this.#killed.length - 1), 1) as [Life];
    const life = await this.#spawn(dead.attended, dead.agent.sessionId);
    if (this.#speaker === dead && !this.#left) this.#speaker = life; // the same session, in a new process
    await this.#hook(life, `resume of ${dead.number} as`, { ...START, source: "resume" });
  }

  async #hook(life: Life, step: string, fields: HookFields, mode: "start" | "yield" = "yield"): Promise<void> {
    this.steps.push(`${step} ${life.number}`);
    const text = await life.agent.shown(fields, { CLAUDE_CODE_SESSION_ATTENDED: life.attended ? "1" : "0" });
    const speaks = this.#join(life, mode, "hook");
    same("what it was shown", subjectsIn(text), speaks ? this.#showAll() : []);
    const said = /(?:Another|A newer) session speaks for backend/.exec(text)?.[0];
    const told = speaks || fields.hook_event_name === "Stop" ? undefined : life.superseded ? "A newer" : "Another";
    same("what it was told", said, told === undefined ? undefined : `${told} session speaks for ${NAME}`);
  }

  /** Between tool calls a guest is not looked after, unless nobody speaks. */
  async #tool(life: Life): Promise<void> {
    const speaking = this.#speaker === life && !this.#left;
    if (speaking || this.#left) return this.#hook(life, "tool", TOOL);
    this.steps.push(`tool ${life.number}`);
    same("what a guest was shown between tools", await life.agent.shown(TOOL), "");
  }

  async #startServer(life: Life): Promise<McpServer> {
    const before = JSON.stringify(await this.#stage.entry(NAME));
    const server = await life.agent.mcp("any"); // one called claude-code tries again when a message comes, at a time of its own
    // It joins by itself, and each try leaves its trace.
    await until(async () => JSON.stringify(await this.#stage.entry(NAME)) !== before);
    this.#join(life, "yield", "server");
    return server;
  }

  async #call(life: Life): Promise<void> {
    this.steps.push(`tool call ${life.number}`);
    life.server ??= await this.#startServer(life);
    const result = await life.server.call("check_messages", { limit: 100 });
    const speaks = this.#join(life, "yield", "server");
    if (speaks) this.#showAll();
    life.served = speaks;
    const expected = speaks ? { count: this.#sent } : { code: life.superseded ? "SUPERSEDED" : "TAKEN" };
    same("the result of the tool", pick(result, Object.keys(expected)), expected);
  }

  /** As `claude mcp list` does: a server that is asked for its tools, and ends. */
  async #checkHealth(life: Life): Promise<void> {
    this.steps.push(`health check ${life.number}`);
    const server = await this.#startServer(life);
    await server.client.listTools();
    server.process.endInput();
    await server.process.ended;
    if (this.#speaker === life && !life.hooks && !life.served) this.#left = true;
  }

  /** A run below an agent, over in one step: `claude -p` or `codex exec` in its shell, with all that they inherit. */
  async #throwAway(outer: Life, program: "claude" | "codex"): Promise<void> {
    this.steps.push(`${program} below ${outer.number}`);
    this.lives++;
    const folder = path.join(this.#folder, "below");
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, program), THROWAWAY_SOURCE);
    const session = `below-${this.lives}`;
    const own = { CLAUDE_PID: "self", CLAUDE_CODE_SESSION_ID: session, CLAUDE_CODE_SESSION_ATTENDED: "1" };
    const env = { ...this.#stage.env, CLAUDE_INSTANCE_ID: NAME, ...outer.agent.hookEnv };
    const inputs = [START, PROMPT, END].map((fields) =>
      JSON.stringify({ session_id: session, cwd: this.#stage.cwd, ...fields }),
    );
    const plan = {
      argv: ["--require", path.join(this.#folder, "patient.cjs"), HOOK, program],
      env: program === "claude" ? { ...env, ...own } : env,
      inputs,
    };
    const { stdout, stderr } = await outer.agent.start(
      ["-e", SHELL_SOURCE, path.join(folder, program), JSON.stringify(plan)],
      outer.agent.toolEnv,
    ).ended;
    if (stderr !== "") throw new Error(stderr);
    const shown = (JSON.parse(stdout) as string[]).map(subjectsIn);
    const speaks = this.#live === undefined;
    same("what a run below it was shown", shown, [speaks ? this.#showAll() : [], [], []]);
    if (!speaks) return;
    this.#speaker = undefined;
    this.#left = true;
  }

  async #endByHook(life: Life): Promise<void> {
    this.steps.push(`end ${life.number}`);
    await life.agent.hook(END);
    if (this.#speaker === life) this.#left = true;
    await this.#kill(life);
  }

  async #kill(life: Life): Promise<void> {
    if (this.steps.at(-1) !== `end ${life.number}`) this.steps.push(`kill ${life.number}`);
    life.alive = false;
    await life.agent.kill();
    life.server?.process.kill("SIGKILL");
  }

  async #send(): Promise<void> {
    const subject = `m${++this.#sent}`;
    this.steps.push(`send ${subject}`);
    await this.#stage.send(NAME, subject, { requiresAck: false });
    this.#unshown.push(subject);
  }

  /** A person, in a terminal of the work tree. */
  async #look(): Promise<void> {
    this.steps.push("look");
    const line = ["-c", '"$@" & wait $!', "sh", process.execPath, COORD, "check", "--json"];
    const env = { ...this.#stage.env, CLAUDE_INSTANCE_ID: NAME };
    const { stdout } = await runProgram("/bin/sh", line, { env, cwd: this.#stage.cwd });
    const looked = { count: this.#sent, looking: true };
    same("what a person saw", pick(JSON.parse(stdout) as object, Object.keys(looked)), looked);
  }

  async #compareSpeaker(): Promise<void> {
    const { left, session } = await this.#stage.entry(NAME);
    same("whether somebody speaks", !left, !this.#left);
    if (!this.#left) same("who speaks", session.ids?.includes(this.#speaker!.agent.sessionId), true);
    const unread = await this.#stage.raw.zcard(`${this.#stage.prefix}:unread:${NAME}`);
    same("how many were shown to nobody", unread, this.#unshown.length);
  }
}

function subjectsIn(text: string): string[] {
  return [...text.matchAll(/About (m\d+)\./g)].map(([, subject]) => subject!);
}

function pick(value: object, names: readonly string[]): unknown {
  return Object.fromEntries(Object.entries(value).filter(([name]) => names.includes(name)));
}

function same(what: string, found: unknown, expected: unknown): void {
  const [have, want] = [JSON.stringify(found), JSON.stringify(expected)];
  if (have !== want) throw new Error(`${what} is ${have}, not ${want}`);
}
