/**
 * What the tests of live delivery share: a real Redis for each file, and stand-ins for coding agents. An agent is a process
 * of its own, named like the real one, that starts our programs as its children: `dist/hook.cjs` and
 * `dist/coord.cjs`, with the environment and the JSON that the real agents give them.
 */
import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/client";
// The transport of a server is that of a client with the streams exchanged.
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { openRedis, type Redis } from "../raw-redis.ts";
import { afterAll, beforeAll, vi } from "vitest";
import type { AgentRun } from "../../src/client/agent-run.ts";
import { CoordinationClient, getCoordinationClient } from "../../src/client/client.ts";
import type { ClientOptions } from "../../src/client/options.ts";
import { listRunRecords, removeRunRecord } from "../../src/client/run-record.ts";
import { lives } from "../../src/client/process.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { MessageType } from "../../src/protocol/definition.ts";
import { CoordinationError } from "../../src/protocol/errors.ts";
import type { InstancePresence, PublishRequest } from "../../src/protocol/results.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { ADMINISTRATOR, leastPrivilege } from "../least-privilege.ts";
import { PATIENCE_MS } from "../patience.ts";
import { writeProjects } from "../register.ts";

const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));
/** Another one has faults that the random lives are to find. */
const DIST: string = process.env["COORD_TEST_DIST"] ?? path.join(ROOT, "dist");
export const HOOK: string = path.join(DIST, "hook.cjs");
/** What it loads: the hook itself. */
export const AGENT_HOOK: string = path.join(DIST, "agent-hook.cjs");
export const COORD: string = path.join(DIST, "coord.cjs");
export const LIBRARY: string = path.join(DIST, "index.js");

export type Env = Record<string, string | undefined>;
export type Program = "claude" | "codex" | "gemini" | "opencode";

/** Loaded before the hook, it makes the process look as if it were to start only in 20 seconds. */
const PATIENT_SOURCE = "process.uptime = () => -20;";

/** How many short processes run at the same time: more would only slow each other down beyond what they allow Redis. */
const AT_ONCE = 2;

class Turns {
  #running = 0;
  readonly #queue: (() => void)[] = [];

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running === AT_ONCE) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#running++;
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
const turns = new Turns();

/** Again where a busy machine kept Redis from answering in time. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === 5 || !CoordinationError.is(error) || error.code !== "UNAVAILABLE") throw error;
    }
  }
}

/** Starts what it is asked for and passes the streams on; ends with the test. */
const AGENT_SOURCE = `
const { spawn } = require("node:child_process");
const children = new Map();
process.on("message", ({ id, argv, env, cwd, input, signal }) => {
  if (argv === undefined) {
    const child = children.get(id);
    if (signal !== undefined) child.kill(signal);
    else if (input === null) child.stdin.end();
    else child.stdin.write(input);
    return;
  }
  const began = performance.now();
  const child = spawn(argv[0], argv.slice(1), { env, cwd, stdio: "pipe" });
  children.set(id, child);
  child.stdin.on("error", () => undefined);
  process.send({ id, pid: child.pid });
  for (const name of ["stdout", "stderr"]) child[name].on("data", (bytes) => process.send({ id, [name]: bytes }));
  child.on("exit", () => (child.milliseconds = performance.now() - began));
  child.on("close", (code, signal) => process.send({ id, code, signal, milliseconds: child.milliseconds }));
});
process.on("disconnect", () => process.exit());
process.send({ self: process.pid });
`;

/** No descendant of whoever runs the tests, which may be an agent: a run below another one yields. */
const ORPHAN = '"$0" "$@" &';
/** With a parent that never asks how it ended, as in a container whose first process is no init: killed, it stays a zombie. */
const NEGLECTED = `${ORPHAN} exec sleep 600 3>&-`; // without the channel, whose end says that the agent is gone

/** How a process ended, and all that it said. */
export interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
  milliseconds: number;
}

interface Report {
  id?: string;
  pid?: number;
  stdout?: Uint8Array;
  stderr?: Uint8Array;
  code?: number | null;
  signal?: string | null;
  milliseconds?: number;
}

/** A child of an agent. */
export class Started {
  readonly ended: Promise<Ended>;
  readonly pid: Promise<number>;
  readonly output: PassThrough = new PassThrough();
  exited = false;
  readonly #send: (message: object) => void;
  readonly #chunks: { stdout: Uint8Array[]; stderr: Uint8Array[] } = { stdout: [], stderr: [] };
  #settle!: (ended: Ended) => void;
  #began!: (pid: number) => void;

  constructor(send: (message: object) => void) {
    this.#send = send;
    this.ended = new Promise((resolve) => (this.#settle = resolve));
    this.pid = new Promise((resolve) => (this.#began = resolve));
  }

  get stdout(): string {
    return Buffer.concat(this.#chunks.stdout).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#chunks.stderr).toString();
  }

  hear({ pid, stdout, stderr, code, signal, milliseconds }: Report): void {
    if (pid !== undefined) this.#began(pid);
    if (stdout !== undefined) {
      this.#chunks.stdout.push(stdout);
      this.output.write(stdout);
    }
    if (stderr !== undefined) this.#chunks.stderr.push(stderr);
    if (code === undefined) return;
    this.output.end();
    this.exited = true;
    const ended = { code, signal: signal ?? null, milliseconds: milliseconds ?? 0 };
    this.#settle({ ...ended, stdout: this.stdout, stderr: this.stderr });
  }

  write(input: Uint8Array | string): void {
    this.#send({ input });
  }

  endInput(): void {
    this.#send({ input: null });
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.#send({ signal });
  }
}

/** What the host says of itself on the input of a hook, beside what belongs to the event. */
export interface HookFields {
  hook_event_name: string;
  [field: string]: unknown;
}

/** The process of an agent: by it, all that it starts belongs to one run. */
class Host {
  pid!: number;
  readonly #process: ChildProcess;
  readonly #children = new Map<string, Started>();

  private constructor(file: string, how: string) {
    this.#process = fork(file, {
      cwd: path.dirname(file),
      serialization: "advanced",
      env: {},
      execPath: "/bin/sh",
      execArgv: ["-c", how, process.execPath],
    });
    this.#process.on("message", (report: Report) => {
      if (report.id !== undefined) this.#children.get(report.id)!.hear(report);
    });
  }

  static async start(file: string, neglected = false): Promise<Host> {
    const host = new Host(file, neglected ? NEGLECTED : ORPHAN);
    const [{ self }] = (await once(host.#process, "message")) as [{ self: number }];
    host.pid = self;
    return host;
  }

  start(argv: readonly string[], env: Env, cwd: string): Started {
    const id = randomUUID();
    const child = new Started((message) => {
      if (this.#process.connected) this.#process.send({ id, ...message });
    });
    this.#children.set(id, child);
    this.#process.send({ id, argv: [process.execPath, ...argv], env, cwd });
    return child;
  }

  async kill(): Promise<void> {
    const ended = once(this.#process, "disconnect");
    process.kill(this.pid, "SIGKILL");
    await ended;
    // Its channel is closed before the system has done with it.
    await until(() => !lives({ pid: this.pid, started: undefined }));
  }

  /** Ends its parent as well, where that is still there. */
  dispose(): void {
    this.#process.kill("SIGKILL");
  }

  get alive(): boolean {
    return this.#process.connected;
  }
}

/** One run of a coding agent. */
export class Agent {
  readonly program: Program;
  readonly instance: string;
  cwd: string;
  sessionId: string = randomUUID();
  readonly #host: Host;
  readonly #started: Started[] = [];
  readonly #env: Env;
  readonly #patient: string;
  readonly #clients: Client[] = [];

  constructor(stage: Stage, program: Program, instance: string, host: Host, patient: string) {
    this.program = program;
    this.instance = instance;
    this.cwd = stage.cwd;
    this.#patient = patient;
    this.#env = { ...stage.env, ...(instance === "" ? {} : { CLAUDE_INSTANCE_ID: instance }) };
    this.#host = host;
  }

  get pid(): number {
    return this.#host.pid;
  }

  start(argv: readonly string[], env: Env = {}, cwd: string = this.cwd): Started {
    const child = this.#host.start(argv, { ...this.#env, ...env }, cwd);
    this.#started.push(child);
    return child;
  }

  /** What a real agent of this kind puts into the environment of its tools and servers. */
  get toolEnv(): Env {
    return this.program === "claude" ? { CLAUDECODE: "1", CLAUDE_CODE_SESSION_ID: this.sessionId } : {};
  }

  /** As its person has called the session; undefined where nobody has. */
  title: string | undefined = "work";

  get hookEnv(): Env {
    if (this.program !== "claude") return {};
    return { ...this.toolEnv, CLAUDE_PID: String(this.pid), CLAUDE_CODE_SESSION_ATTENDED: "1" };
  }

  hookInput(fields: HookFields): string {
    return JSON.stringify({
      session_id: this.sessionId,
      transcript_path: "/tmp/transcript.jsonl",
      cwd: this.cwd,
      permission_mode: "default",
      session_title: this.title,
      ...fields,
    });
  }

  /** The hook as it is, which gives up after half a second. */
  startHook(fields: HookFields, env: Env = {}): Started {
    return this.startProgram([HOOK, this.program], this.hookInput(fields), env);
  }

  /** The words that start the hook of `startPatientHook`. */
  get patientHook(): string[] {
    return [process.execPath, "--require", this.#patient, HOOK];
  }

  /** The hook with the clock of its start set back, so that a busy machine does not make it give up. */
  startPatientHook(fields: HookFields, env: Env = {}, end: "ends" | "open" = "ends"): Started {
    return this.startProgram(["--require", this.#patient, HOOK, this.program], this.hookInput(fields), env, end);
  }

  /** @param end whether the host ends the input, or keeps it open as some do */
  startProgram(argv: readonly string[], input: string, env: Env = {}, end: "ends" | "open" = "ends"): Started {
    const child = this.start(argv, { ...this.hookEnv, ...env });
    child.write(input);
    if (end === "ends") child.endInput();
    return child;
  }

  /** @returns what the hook answers, which is nothing or JSON; fails where it disturbs the session */
  async hook(fields: HookFields, env: Env = {}): Promise<HookAnswer | undefined> {
    const { code, stdout, stderr } = await turns.run(() => this.startPatientHook(fields, env).ended);
    if (code !== 0 || stderr !== "") throw new Error(`the hook ended with ${code}: ${stderr}`);
    return stdout === "" ? undefined : (JSON.parse(stdout) as HookAnswer);
  }

  /** @returns the text that the model is shown, "" for none */
  async shown(fields: HookFields, env: Env = {}): Promise<string> {
    const answer = await this.hook(fields, env);
    return shownBy(answer);
  }

  /** The background waker, as it is started at the end of a turn. */
  wait(env: Env = {}, end: "ends" | "open" = "ends"): Started {
    const input = this.hookInput({ hook_event_name: "Stop", stop_hook_active: false });
    return this.startProgram([HOOK, "wait"], input, env, end);
  }

  /** A command in a shell of the agent. */
  async coord(...args: string[]): Promise<Ended> {
    return turns.run(() => {
      const child = this.start([COORD, ...args], this.toolEnv);
      child.endInput();
      return child.ended;
    });
  }

  async json(...args: string[]): Promise<Record<string, unknown>> {
    const { stdout } = await this.coord(...args, "--json");
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  startServer(env: Env = {}): Started {
    return this.start([COORD, "mcp"], { ...this.toolEnv, CLAUDE_PROJECT_DIR: this.cwd, ...env });
  }

  /** The MCP server of the agent, reached by the official client. */
  async mcp(name = "claude-code", env: Env = {}): Promise<McpServer> {
    const server = this.startServer(env);
    const client = new Client({ name, version: "2.1.330" });
    this.#clients.push(client);
    const input = new PassThrough();
    input.on("data", (bytes: Buffer) => server.write(bytes));
    input.on("end", () => server.endInput());
    await client.connect(new StdioServerTransport(server.output, input));
    return new McpServer(server, client);
  }

  /** Ends as by `kill -9`; what it started goes on without it. */
  async kill(): Promise<void> {
    await this.#host.kill();
  }

  /** As if nothing had been written down of its run: the next hook decides anew. */
  forgetRun(): void {
    for (const record of listRunRecords()) if (record.sessions.includes(this.sessionId)) removeRunRecord(record);
  }

  /** Ends everything it started. */
  dispose(): void {
    this.forgetRun();
    for (const client of this.#clients) void client.close().catch(() => undefined);
    for (const child of this.#started) void child.pid.then((pid) => killQuietly(pid));
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

export interface HookAnswer {
  hookSpecificOutput?: { hookEventName: string; additionalContext?: string; sessionTitle?: string };
  systemMessage?: string;
  decision?: string;
  reason?: string;
  /** What our plugin of opencode gets. */
  text?: string;
  notice?: string;
}

/** The text that the model is shown. */
export function shownBy(answer: HookAnswer | undefined): string {
  return answer?.hookSpecificOutput?.additionalContext ?? answer?.reason ?? answer?.text ?? "";
}

export class McpServer {
  readonly process: Started;
  readonly client: Client;

  constructor(server: Started, client: Client) {
    this.process = server;
    this.client = client;
  }

  /** The result of a tool as JSON, a refusal likewise. */
  async call(tool: string, args: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    const result = await this.client.callTool({ name: `coord_${tool}`, arguments: args });
    const [content] = result.content;
    if (content?.type !== "text") throw new Error(JSON.stringify(result));
    return JSON.parse(content.text) as Record<string, unknown>;
  }
}

export interface StoredEntry {
  last_heartbeat: string;
  left: boolean;
  session: Record<string, unknown> & { number?: number; ids?: string[] };
}

/** A namespace of one test: tests in one file may run at the same time. */
/** Every stage has a namespace of its own. */
export const PREFIX_PATTERN = "t????????";

export class Stage {
  /** One of `PREFIX_PATTERN`. */
  readonly prefix: string = `t${randomUUID().slice(0, 8)}`;
  readonly cwd: string;
  /** Over the environment of whoever comes from here on. */
  variables: Env = {};
  readonly #bench: Bench;
  readonly #agents: Agent[] = [];
  readonly #clients: CoordinationClient[] = [];
  readonly #timeout: number;
  #observer: CoordinationClient | undefined;

  constructor(bench: Bench, presenceTimeoutSeconds: number) {
    this.#bench = bench;
    this.#timeout = presenceTimeoutSeconds;
    this.cwd = mkdtempSync(path.join(bench.folder, "work-"));
  }

  get raw(): Redis {
    return this.#bench.raw;
  }

  get env(): Env {
    return {
      PATH: process.env["PATH"],
      HOME: this.cwd,
      REDIS_URL: this.#bench.url,
      COORD_KEY_PREFIX: this.prefix,
      COORD_PRESENCE_TIMEOUT_SECONDS: String(this.#timeout),
      ...this.variables,
    };
  }

  /** @param alone in a process of its own, so that the test may kill it; neglected, it then stays a zombie */
  async agent(instance: string, program: Program = "claude", alone: boolean | "neglected" = false): Promise<Agent> {
    const number = this.#agents.filter((other) => other.program === program).length;
    const host = await this.#bench.host(
      program,
      alone ? randomUUID() : `${this.prefix} ${number}`,
      alone === "neglected",
    );
    const agent = new Agent(this, program, instance, host, path.join(this.#bench.folder, "patient.cjs"));
    this.#agents.push(agent);
    if (program === "codex" && instance !== "") this.register({ [this.cwd]: instance });
    return agent;
  }

  /** As `coord init` would in these folders: in Codex no hook takes who or where it is from variables. */
  register(names: Readonly<Record<string, string>>, server: Env = { COORD_REDIS_URL: this.#bench.url }): void {
    const projects = Object.entries(names).map(([folder, name]): [string, object] => [
      folder,
      { keyPrefix: this.prefix, server, worktrees: { ".": name } },
    ]);
    writeProjects(path.join(this.cwd, ".config"), Object.fromEntries(projects));
  }

  options(instanceId: string | undefined): ClientOptions {
    return {
      instanceId,
      redis: this.#bench.url,
      keyPrefix: this.prefix,
      presenceTimeoutSeconds: this.#timeout,
      env: {},
      cwd: "/",
    };
  }

  /** A library client; with `session` it joins, beats and leaves. */
  async client(instanceId: string, options: ClientOptions = {}): Promise<CoordinationClient> {
    const client = await patiently(() => getCoordinationClient({ ...this.options(instanceId), ...options }));
    this.#clients.push(client);
    return client;
  }

  /** A session has spoken for the name before and has ended: the next one is told of no contracts. */
  async hadSession(instanceId: string): Promise<void> {
    const earlier = await this.client(instanceId, { session: runOf() });
    await earlier.leave();
  }

  /** A client as a single command has it. */
  command(instanceId: string, options: ClientOptions = {}): CoordinationClient {
    const settings = resolveSettings({ ...this.options(instanceId), ...options });
    const client = new CoordinationClient(settings);
    this.#clients.push(client);
    return client;
  }

  /** Sends a message to an instance, as somebody who has no session. @returns its id */
  async send(to: string, subject: string, more: Partial<PublishRequest> & { from?: string } = {}): Promise<string> {
    const { from = "orchestrator", ...request } = more;
    const message = { type: MessageType.GENERAL, description: `About ${subject}.`, ...request, subject, to };
    const client = this.command(from);
    const { messageId } = await patiently(() => client.publishMessage(message));
    client.close();
    return messageId;
  }

  /** As everybody sees it. */
  async presence(instance: string): Promise<InstancePresence | undefined> {
    const settings = resolveSettings(this.options(undefined));
    this.#observer ??= new CoordinationClient(settings);
    const observer = this.#observer;
    return (await patiently(() => observer.getPresence())).instances[instance];
  }

  async status(instance: string): Promise<string | undefined> {
    return (await this.presence(instance))?.status;
  }

  /** As it is stored. */
  async entry(instance: string): Promise<StoredEntry> {
    const stored = await this.raw.hget(`${this.prefix}:presence`, instance);
    return JSON.parse(stored ?? '{"last_heartbeat":"","left":false,"session":{}}') as StoredEntry;
  }

  /** Ids of this namespace as m1, m2 … in their order. */
  async plain<T>(value: T): Promise<T> {
    const ids = await this.raw.zrange(`${this.prefix}:timeline`, "0", "-1");
    const text = JSON.stringify(value).replaceAll(/msg-[0-9a-z]{10}/g, (id) => `m${ids.indexOf(id) + 1}`);
    return JSON.parse(text) as T;
  }

  dispose(): void {
    for (const agent of this.#agents) agent.dispose();
    for (const client of this.#clients) client.close();
    this.#observer?.close();
  }
}

/** A Redis for one test file. Call it at the top of the file. */
export function useRedis(): Bench {
  const bench = new Bench();
  vi.setConfig({ testTimeout: 90_000 });
  beforeAll(async () => bench.start());
  afterAll(async () => bench.stop());
  return bench;
}

export class Bench {
  raw!: Redis;
  folder!: string;
  #redis!: ThrowawayRedis;
  readonly #stages: Stage[] = [];
  readonly #hosts = new Map<string, Promise<Host>>();

  /** The process of the n-th agent of its kind on a stage. */
  async host(program: Program, number: string, neglected = false): Promise<Host> {
    const name = `${program} ${number}`;
    const known = this.#hosts.get(name);
    if (known !== undefined && (await known).alive) return known;
    const host = Host.start(path.join(this.folder, program), neglected);
    this.#hosts.set(name, host);
    return host;
  }

  get url(): string {
    return this.#redis.url;
  }

  get socketPath(): string {
    return this.#redis.socketPath;
  }

  async start(): Promise<void> {
    this.#redis = await startThrowawayRedis({ args: leastPrivilege(PREFIX_PATTERN) });
    this.raw = openRedis({ path: this.#redis.socketPath, ...ADMINISTRATOR });
    // Short: sockets go below it. Not below a folder with .git, or presence would show its branch.
    this.folder = mkdtempSync(path.join(tmpdir(), "live-"));
    for (const program of ["claude", "codex", "gemini", "opencode"])
      writeFileSync(path.join(this.folder, program), AGENT_SOURCE);
    writeFileSync(path.join(this.folder, "patient.cjs"), PATIENT_SOURCE);
  }

  async stop(): Promise<void> {
    for (const stage of this.#stages) stage.dispose();
    await new Promise((resolve) => setTimeout(resolve, 20)); // lets the children be killed before their agents
    for (const host of await Promise.all(this.#hosts.values())) {
      if (host.alive) await host.kill();
      host.dispose();
    }
    this.raw.disconnect();
    await this.#redis.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  stage({ presenceTimeoutSeconds = 300 }: { presenceTimeoutSeconds?: number } = {}): Stage {
    const stage = new Stage(this, presenceTimeoutSeconds);
    this.#stages.push(stage);
    return stage;
  }
}

/** A run of an agent that exists by its facts only, for library clients. */
export function runOf(facts: Partial<AgentRun> = {}): AgentRun {
  return {
    agent: "claude-code",
    host: "elsewhere",
    agentPid: 1000,
    cwd: "/projects/elsewhere",
    id: randomUUID(),
    ...facts,
  };
}

/** The refusal a promise ends in. */
export async function refused(promise: Promise<unknown>): Promise<CoordinationError> {
  const outcome = await promise.then(
    (value) => new Error(`not refused, but ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (CoordinationError.is(outcome)) return outcome;
  throw outcome;
}

/** Resolves once `probe` returns neither undefined nor false. */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  milliseconds: number = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`it did not happen within ${milliseconds} ms`);
    await sleep(20);
  }
}

export async function sleep(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Waits end by themselves after 50 seconds, and look again after 30: what comes before was rung for. */
const RUNG_WITHIN_MS = 20_000;

/** Fails unless the promise is fulfilled before a wait would have found out by itself. */
export async function within<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${RUNG_WITHIN_MS} ms`)), RUNG_WITHIN_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export interface Gate {
  url: string;
  /** Sees each piece of an answer of Redis before it is passed on; `cut` ends that connection instead. */
  onReply: (reply: string) => "pass" | "cut";
  close: () => void;
}

/** Stands between a client and Redis. */
export async function openGate(socketPath: string): Promise<Gate> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connect(socketPath);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => other.destroy());
    }
    near.on("data", (bytes) => far.write(bytes));
    far.on("data", (bytes) => {
      if (gate.onReply(bytes.toString()) === "pass") near.write(bytes);
      else near.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const gate: Gate = {
    url: `redis://127.0.0.1:${(server.address() as { port: number }).port}`,
    onReply: () => "pass",
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  return gate;
}

export const START: HookFields = { hook_event_name: "SessionStart", source: "startup", model: "claude" };
export const PROMPT: HookFields = { hook_event_name: "UserPromptSubmit", prompt: "go on" };
export const TOOL: HookFields = {
  hook_event_name: "PostToolUse",
  tool_name: "Bash",
  tool_input: { command: "ls" },
  tool_use_id: "toolu_1",
  tool_response: { stdout: "", stderr: "" },
};
export const STOP: HookFields = { hook_event_name: "Stop", stop_hook_active: false };
export const STOP_AGAIN: HookFields = { hook_event_name: "Stop", stop_hook_active: true };
export const END: HookFields = { hook_event_name: "SessionEnd", reason: "prompt_input_exit" };
