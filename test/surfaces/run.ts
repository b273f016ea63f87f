/** Real processes, started as a person, a script or an agent starts them; none outlives its test. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { expect, onTestFinished } from "vitest";
import { PATIENCE_MS } from "../patience.ts";

export const ROOT: string = path.resolve(import.meta.dirname, "../..");
export const COORD: string = path.join(ROOT, "dist/coord.cjs");

export type Wire = Record<string, unknown>;
export type Environment = Record<string, string>;

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
  milliseconds: number;
}

export interface RunOptions {
  env?: Readonly<Record<string, string | undefined>>;
  /** Default the root folder, which is in no register. */
  cwd?: string;
  /** What it reads from standard input; default nothing. */
  input?: string | Uint8Array;
  /** Default as long as a test is patient; then it is killed, and its code is null. */
  withinMs?: number;
}

/** What a program needs to start, and what the test gives; no setting of whoever runs the tests changes anything. */
export function environment(settings: Environment = {}): Environment {
  const inherited = ["PATH", "HOME", "COORD_REDIS_SERVER"].map((name) => [name, process.env[name]]);
  return { ...(Object.fromEntries(inherited.filter(([, value]) => value !== undefined)) as Environment), ...settings };
}

/** Runs to the end, in a folder and with settings of its own. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { env = environment(), cwd = "/", input = "", withinMs = PATIENCE_MS } = options;
  const began = performance.now();
  const child = spawn(program, args, { env, cwd, stdio: "pipe", timeout: withinMs, killSignal: "SIGKILL" });
  const output = [collect(child.stdout), collect(child.stderr)] as const;
  child.stdin.on("error", () => undefined); // it may end without reading
  child.stdin.end(input);
  const code = await exitOf(child);
  const [stdout, stderr] = await Promise.all(output);
  return { code, stdout, stderr, milliseconds: performance.now() - began };
}

/** `coord` as built. */
export function coord(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return run(process.execPath, [COORD, ...args], options);
}

export function script(
  name: "publish" | "check" | "ack",
  args: readonly string[],
  options?: RunOptions,
): Promise<Ended> {
  const file = { publish: "publish-message.sh", check: "check-messages.sh", ack: "ack-message.sh" }[name];
  return run(path.join(ROOT, "scripts/coordination", file), args, options);
}

/** A line of bash, as in a terminal; `$1` and so on are `args`. */
export function bash(line: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Ended> {
  // Node's pipes are sockets, which bash takes for a remote login; it would read ~/.bashrc first.
  return run("bash", ["--norc", "-c", line, "bash", ...args], options);
}

/** The object a command printed with `--json`; fails unless it ended well and said nothing else. */
export function json(ended: Ended): Wire {
  expect({ code: ended.code, stderr: ended.stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(ended.stdout) as Wire;
}

async function collect(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
}

/** Gone, with all that is in it, when the test is over. Short, since sockets may lie in it. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "coord-t-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A loopback port on which nothing listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A tool's result: the object for a model, and whether it is a refusal. */
export interface ToolResult {
  isError: boolean;
  value: Wire;
  /** As it stands in the answer. */
  text: string;
}

/** `coord mcp` with the official client at the other end. */
export class Agent implements AsyncDisposable {
  readonly client: Client = new Client({ name: "test", version: "0" });
  readonly #env: Environment;

  constructor(settings: Environment) {
    this.#env = environment(settings);
  }

  async start(): Promise<this> {
    const args = [COORD, "mcp"];
    const { client } = this;
    await client.connect(
      new StdioClientTransport({ command: process.execPath, args, env: this.#env, cwd: "/", stderr: "inherit" }),
    );
    return this;
  }

  /** Every result is checked for what holds for all: the text is the structured content, or a refusal as JSON. */
  async call(name: string, args: Wire = {}, options: { signal?: AbortSignal } = {}): Promise<ToolResult> {
    const result = await this.client.callTool({ name, arguments: args }, { timeout: PATIENCE_MS, ...options });
    const { content, structuredContent, isError = false } = result;
    const [first] = content;
    expect(content).toEqual([{ type: "text", text: expect.any(String) as string }]);
    const text = first?.type === "text" ? first.text : "";
    const value = JSON.parse(text) as Wire;
    expect(value["success"]).toBe(!isError);
    expect(structuredContent).toEqual(isError ? undefined : value);
    return { isError, value, text };
  }

  /** The result of a call that is not refused. */
  async get(name: string, args: Wire = {}): Promise<Wire> {
    const { isError, value } = await this.call(name, args);
    expect(isError, JSON.stringify(value)).toBe(false);
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
  }
}

/** An agent that ends with the test. */
export async function startAgent(settings: Environment): Promise<Agent> {
  const agent = new Agent(settings);
  onTestFinished(() => agent[Symbol.asyncDispose]());
  return agent.start();
}

/** `coord mcp` without a client: lines of JSON-RPC in and out. */
export class RawServer {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly #messages: Wire[] = [];
  #changed: () => void = () => undefined;

  constructor(settings: Environment, args: readonly string[] = []) {
    const began = performance.now();
    const options = { env: environment(settings), cwd: "/", timeout: PATIENCE_MS } as const;
    const child = spawn(process.execPath, [COORD, "mcp", ...args], {
      ...options,
      stdio: "pipe",
      killSignal: "SIGKILL",
    });
    this.process = child;
    onTestFinished(() => void child.kill("SIGKILL"));
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      const lines = stdout.split("\n").slice(0, -1);
      // Throws for what is no JSON: nothing but protocol may come.
      for (const line of lines.slice(this.#messages.length)) this.#messages.push(JSON.parse(line) as Wire);
      this.#changed();
    });
    const stderr = collect(child.stderr);
    this.ended = exitOf(child).then(async (code) => {
      return { code, stdout, stderr: await stderr, milliseconds: performance.now() - began };
    });
  }

  send(...messages: readonly Wire[]): void {
    this.process.stdin!.write(
      messages.map((message) => `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`).join(""),
    );
  }

  /** The answer to a request. */
  async answer(id: number): Promise<Wire> {
    for (;;) {
      const found = this.#messages.find((message) => message["id"] === id);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
  }

  /** The handshake of the 2025 era. */
  async initialize(): Promise<Wire> {
    const clientInfo = { name: "test", version: "0" };
    this.send({ id: 0, method: "initialize", params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo } });
    const answer = await this.answer(0);
    this.send({ method: "notifications/initialized" });
    return answer;
  }
}
