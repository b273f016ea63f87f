/** What the demo plays on: a throwaway Redis, real `coord mcp` processes driven by a real MCP client, and the scripts. */
import { execFile } from "node:child_process";
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { isDeepStrictEqual, promisify } from "node:util";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { VERSION } from "../../protocol/version.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../../server/throwaway.ts";
import { print, printProgress } from "./outcome.ts";
import { colorsFor } from "./terminal.ts";
import { visible } from "../../protocol/text.ts";

/** One call of the demo; far more than any takes. */
const CALL_MILLISECONDS = 5000;

const { bold, cyan, dim, green, red } = colorsFor(process.stdout);

export type Wire = Record<string, unknown>;

export interface StageEntry {
  who: string;
  /** What is done, for the transcript. */
  what: string;
  how: "mcp" | "script";
}

export class Stage implements AsyncDisposable {
  readonly #redis: ThrowawayRedis;
  readonly #program = realpathSync(process.argv[1]!);
  readonly #agents = new Map<string, Client>();
  readonly #began = performance.now();
  #checks = 0;
  #failures = 0;

  private constructor(redis: ThrowawayRedis) {
    this.#redis = redis;
  }

  static async open(): Promise<Stage> {
    return new Stage(await startThrowawayRedis({ onProgress: printProgress }));
  }

  scene(title: string): void {
    print(`\n${bold(title)}`);
  }

  /** Starts the MCP server of an instance, as its agent would. */
  async start(instance: string): Promise<void> {
    const client = new Client({ name: "coord-demo", version: VERSION });
    const env = this.#environment(instance);
    const began = performance.now();
    await client.connect(
      new StdioClientTransport({ command: process.execPath, args: [this.#program, "mcp"], env, stderr: "inherit" }),
    );
    this.#agents.set(instance, client);
    this.#tell({ who: instance, what: "starts", how: "mcp" }, performance.now() - began);
  }

  async leave(instance: string): Promise<void> {
    const began = performance.now();
    await this.#agents.get(instance)!.close();
    this.#agents.delete(instance);
    this.#tell({ who: instance, what: "ends", how: "mcp" }, performance.now() - began);
  }

  /** Calls a tool as the agent of the instance. */
  async call(instance: string, tool: string, args: Wire, what: string): Promise<Wire> {
    const began = performance.now();
    const result = await this.#agents
      .get(instance)!
      .callTool({ name: tool, arguments: args }, { timeout: CALL_MILLISECONDS });
    this.#tell({ who: instance, what, how: "mcp" }, performance.now() - began);
    return (result.structuredContent ?? {}) as Wire;
  }

  /** Runs one of the scripts with `--json` as the instance. */
  async script(instance: string, name: string, args: readonly string[], what: string): Promise<Wire> {
    const path = join(dirname(this.#program), "../scripts/coordination", name);
    const began = performance.now();
    const options = { env: this.#environment(instance), timeout: CALL_MILLISECONDS };
    const { stdout } = await promisify(execFile)(path, [...args, "--json"], options).catch((error: unknown) => {
      const reason = error instanceof Error && "stderr" in error ? String(error.stderr).trim() || error.message : error;
      throw new CoordinationError(ErrorCode.INTERNAL, `${name} failed: ${String(reason)}.`, {
        hint: "The scripts need node on the PATH.",
        cause: error,
      });
    });
    this.#tell({ who: instance, what, how: "script" }, performance.now() - began);
    return JSON.parse(stdout) as Wire;
  }

  check(claim: string, actual: unknown, expected: unknown): void {
    this.#checks++;
    if (isDeepStrictEqual(actual, expected)) {
      print(`           ${green("✓")} ${dim(claim)}`);
      return;
    }
    this.#failures++;
    const difference = `expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
    print(`           ${red("✗")} ${claim}: ${visible(difference)}`);
  }

  /** @returns whether all was as it should be */
  summary(): boolean {
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(1);
    const verdict = this.#failures === 0 ? green("All as promised") : red(`${this.#failures} not as promised`);
    print(`\n${verdict}: ${this.#checks - this.#failures} of ${this.#checks} checks passed in ${seconds} s.`);
    return this.#failures === 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#agents.values()].map((client) => client.close()));
    await this.#redis.stop();
  }

  #environment(instance: string): Record<string, string> {
    // Only what a program needs to start: no setting of the person who watches may change the play.
    const { PATH = "", HOME = "" } = process.env;
    const settings = { COORD_REDIS_URL: this.#redis.url, CLAUDE_INSTANCE_ID: instance, COORD_KEY_PREFIX: "demo" };
    const defaults = { COORD_ORCHESTRATOR: "orchestrator", COORD_DIRECTION: "", COORD_UNKNOWN_RECIPIENT: "" };
    return { PATH, HOME, ...settings, ...defaults };
  }

  #tell({ who, what, how }: StageEntry, milliseconds: number): void {
    const time = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`.padStart(8);
    print(`${dim(time)}  ${cyan(who.padEnd(12))} ${visible(what)}${how === "script" ? dim(" (script)") : ""}`);
  }
}
