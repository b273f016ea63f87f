/**
 * Random lives of agents, as real processes, beside a small model of who speaks: which says after each step whom the store
 * names, and which messages the step has shown. Each message is shown once, and only to who speaks for its recipient.
 */
import type { Random } from "../faults/random.ts";
import { run as runProgram } from "../surfaces/run.ts";
import {
  type Agent,
  type Bench,
  COORD,
  END,
  type HookFields,
  type McpServer,
  PROMPT,
  START,
  STOP,
  TOOL,
  until,
} from "./agent.ts";
import { playBelow } from "./below.ts";
import { namedByEnvironment, namedByRegister, type Room } from "./rooms.ts";

/** The others of a scene are resumed, or thrown away in one step. */
const AGENTS_MAXIMUM = 4;
/** For each room one agent and so many steps more. */
const STEPS_MAXIMUM = 11;
const STEPS_FOR_A_ROOM = 3;

/** A room as the model has it. */
interface Place extends Room {
  /** Who spoke last; with `left` nobody does now. */
  speaker: Life | undefined;
  left: boolean;
  sent: number;
  unshown: string[];
}

interface Life {
  agent: Agent;
  place: Place;
  number: number;
  attended: boolean;
  /** Its process lives. */
  alive: boolean;
  /** Another session has taken the name from it. */
  superseded: boolean;
  /** What its last hook was told: as long as that says that it speaks, its name comes down to nobody by the environment. */
  recorded: boolean;
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
  readonly #places: Place[];
  readonly #registered: boolean;
  readonly #folder: string;
  readonly #random: Random;
  readonly #agents: Life[] = [];
  readonly #killed: Life[] = [];

  constructor(bench: Bench, random: Random) {
    this.#registered = random.whole(0, 1) === 1;
    const rooms = this.#registered ? namedByRegister(bench) : namedByEnvironment(bench);
    this.#places = rooms.map((room) => ({ ...room, speaker: undefined, left: true, sent: 0, unshown: [] }));
    this.#folder = bench.folder;
    this.#random = random;
  }

  async play(): Promise<void> {
    for (const { stage, name } of this.#places) await stage.hadSession(name);
    await this.#begin();
    const most = STEPS_MAXIMUM + STEPS_FOR_A_ROOM * this.#places.length;
    const count = this.#random.whole(Math.floor(most / 2), most);
    for (let i = 0; i < count; i++) {
      await this.#step();
      for (const place of this.#places) await compareSpeaker(place);
    }
    // Whoever speaks in the end is shown what is left, and nothing comes twice.
    for (const place of this.#places) {
      const last = this.#alive().find((life) => life.place === place) ?? (await this.#begin(place));
      await this.#hook(last, "prompt", PROMPT);
      await this.#hook(last, "prompt", PROMPT);
    }
  }

  async end(): Promise<void> {
    for (const life of this.#agents) if (life.alive) await this.#kill(life);
    for (const { stage } of this.#places) stage.dispose();
  }

  #alive(): Life[] {
    return this.#agents.filter(({ alive }) => alive);
  }

  async #step(): Promise<void> {
    const living = this.#alive();
    const weighted: (() => Promise<unknown>)[] = [() => this.#send(), () => this.#send(), () => this.#look()];
    if (this.#agents.length < AGENTS_MAXIMUM + this.#places.length - 1)
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

  /** @returns whether it speaks after having joined */
  #join(life: Life, mode: "start" | "yield", surface: "hook" | "server"): boolean {
    const { place } = life;
    const live = liveIn(place);
    if (live !== undefined && live !== life && mode === "yield") return false;
    if (live !== life) {
      if (live !== undefined) live.superseded = true;
      life.hooks = false;
      life.served = false;
    }
    place.speaker = life;
    place.left = false;
    life.superseded = false;
    life.hooks ||= surface === "hook";
    return true;
  }

  // The steps, each with real processes.

  async #begin(place: Place = this.#random.pick(this.#places)): Promise<Life> {
    const attended = this.#random.whole(1, 3) > 1;
    const life = await this.#spawn(place, attended);
    if (this.#random.whole(1, 5) === 1) {
      this.steps.push(`server ${life.number}${place.label}`);
      life.server = await this.#startServer(life);
      life.served = liveIn(place) === life;
    }
    // The start hook is missed where a plugin is enabled later: the run then begins, yielding, with its next hook.
    if (this.#random.whole(1, 5) === 1) await this.#hook(life, "prompt", PROMPT);
    else await this.#hook(life, attended ? "start" : "unattended start", START, attended ? "start" : "yield");
    return life;
  }

  async #spawn(place: Place, attended: boolean, sessionId?: string): Promise<Life> {
    const agent = await place.stage.agent("", "claude", true);
    agent.cwd = place.cwd;
    if (sessionId !== undefined) agent.sessionId = sessionId;
    const never = { superseded: false, recorded: false, hooks: false, served: false };
    const life = { agent, place, number: ++this.lives, attended, alive: true, ...never };
    this.#agents.push(life);
    return life;
  }

  async #resume(): Promise<void> {
    const [dead] = this.#killed.splice(this.#random.whole(0, this.#killed.length - 1), 1) as [Life];
    const { place } = dead;
    const life = await this.#spawn(place, dead.attended, dead.agent.sessionId);
    if (place.speaker === dead && !place.left) place.speaker = life; // the same session, in a new process
    await this.#hook(life, `resume of ${dead.number} as`, { ...START, source: "resume" });
  }

  async #hook(life: Life, step: string, fields: HookFields, mode: "start" | "yield" = "yield"): Promise<void> {
    this.steps.push(`${step} ${life.number}${life.place.label}`);
    const text = await life.agent.shown(fields, { CLAUDE_CODE_SESSION_ATTENDED: life.attended ? "1" : "0" });
    const speaks = this.#join(life, mode, "hook");
    life.recorded = speaks;
    const stops = fields.hook_event_name === "Stop"; // what asks for nothing does not hold it
    same("what it was shown", subjectsIn(text), speaks && !stops ? showAll(life.place) : []);
    const said = /(?:Another|A newer) session speaks for \w+/.exec(text)?.[0];
    const told = speaks || stops ? undefined : life.superseded ? "A newer" : "Another";
    same("what it was told", said, told === undefined ? undefined : `${told} session speaks for ${life.place.name}`);
  }

  /** Between tool calls a guest is not looked after, unless nobody speaks. */
  async #tool(life: Life): Promise<void> {
    const { speaker, left } = life.place;
    if (speaker === life || left) return this.#hook(life, "tool", TOOL);
    this.steps.push(`tool ${life.number}`);
    same("what a guest was shown between tools", await life.agent.shown(TOOL), "");
  }

  async #startServer(life: Life): Promise<McpServer> {
    const { stage, name } = life.place;
    const before = JSON.stringify(await stage.entry(name));
    const server = await life.agent.mcp("any"); // one called claude-code tries again when a message comes, at a time of its own
    // It joins by itself, and each try leaves its trace.
    await until(async () => JSON.stringify(await stage.entry(name)) !== before);
    this.#join(life, "yield", "server");
    return server;
  }

  async #call(life: Life): Promise<void> {
    this.steps.push(`tool call ${life.number}`);
    life.server ??= await this.#startServer(life);
    const result = await life.server.call("check_messages", { limit: 100 });
    const speaks = this.#join(life, "yield", "server");
    if (speaks) showAll(life.place);
    life.served = speaks;
    const expected = speaks ? { count: life.place.sent } : { code: life.superseded ? "SUPERSEDED" : "TAKEN" };
    same("the result of the tool", pick(result, Object.keys(expected)), expected);
  }

  /** As `claude mcp list` does: a server that is asked for its tools, and ends. */
  async #checkHealth(life: Life): Promise<void> {
    this.steps.push(`health check ${life.number}`);
    const server = await this.#startServer(life);
    await server.client.listTools();
    server.process.endInput();
    await server.process.ended;
    if (life.place.speaker === life && !life.hooks && !life.served) life.place.left = true;
  }

  /** A run below an agent, over in one step: `claude -p` or `codex exec` in its shell, with all that they inherit. */
  async #throwAway(outer: Life, program: "claude" | "codex"): Promise<void> {
    const place = this.#random.pick(this.#places);
    this.steps.push(`${program} below ${outer.number}${place.label}`);
    this.lives++;
    const setting = { folder: this.#folder, env: place.stage.env, cwd: place.cwd };
    const outputs = await playBelow(outer.agent, program, setting);
    const shown = outputs.map(subjectsIn);
    // By the environment it has a name only where that is no other's, and in Codex never.
    const named = this.#registered || (program === "claude" && !outer.recorded);
    const speaks = named && liveIn(place) === undefined;
    same("what a run below it was shown", shown, [speaks ? showAll(place) : [], [], []]);
    if (!speaks) return;
    place.speaker = undefined;
    place.left = true;
  }

  async #endByHook(life: Life): Promise<void> {
    this.steps.push(`end ${life.number}`);
    await life.agent.hook(END);
    if (life.place.speaker === life) life.place.left = true;
    await this.#kill(life);
  }

  async #kill(life: Life): Promise<void> {
    if (this.steps.at(-1) !== `end ${life.number}`) this.steps.push(`kill ${life.number}`);
    life.alive = false;
    await life.agent.kill();
    life.server?.process.kill("SIGKILL");
  }

  async #send(): Promise<void> {
    const place = this.#random.pick(this.#places);
    const subject = `m${++place.sent}`;
    this.steps.push(`send ${subject}${place.label}`);
    await place.stage.send(place.name, subject, { requiresAck: false });
    place.unshown.push(subject);
  }

  /** A person, in a terminal of the work tree. */
  async #look(): Promise<void> {
    const { stage, cwd, label, sent } = this.#random.pick(this.#places);
    this.steps.push(`look${label}`);
    const line = ["-c", '"$@" & wait $!', "sh", process.execPath, COORD, "check", "--json"];
    const { stdout } = await runProgram("/bin/sh", line, { env: stage.env, cwd });
    const looked = { count: sent, looking: true };
    same("what a person saw", pick(JSON.parse(stdout) as object, Object.keys(looked)), looked);
  }
}

function liveIn({ speaker, left }: Place): Life | undefined {
  return !left && speaker?.alive === true ? speaker : undefined;
}

function showAll({ unshown }: Place): string[] {
  return unshown.splice(0);
}

async function compareSpeaker({ stage, name, label, speaker, left, unshown }: Place): Promise<void> {
  const entry = await stage.entry(name);
  same(`whether somebody speaks${label}`, !entry.left, !left);
  if (!left) same(`who speaks${label}`, entry.session.ids?.includes(speaker!.agent.sessionId), true);
  const unread = await stage.raw.zcard(`${stage.prefix}:unread:${name}`);
  same(`how many were shown to nobody${label}`, unread, unshown.length);
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
