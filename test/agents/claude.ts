/** The real Claude Code, told to take its answers from a scripted model. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import type { ScriptedModel } from "./model.ts";
import { programOf } from "./programs.ts";
import type { Stage } from "./stage.ts";

export const CLAUDE: string = programOf("claude").path ?? "claude";
export const hasClaude: boolean = programOf("claude").path !== undefined;

const ALLOWED = "--allowedTools=mcp__coord,mcp__plugin_coord_coord,Bash";
/** A session that hangs fails its test instead of the whole run. */
const RUN_MILLISECONDS = 40_000;

export interface ClaudeOptions {
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
}

export function claudeEnvironment(stage: Stage, model?: ScriptedModel): Record<string, string> {
  return {
    ...stage.env,
    DISABLE_AUTOUPDATER: "1",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    // Nothing must leave this machine: without a model of ours this is a closed port.
    ANTHROPIC_BASE_URL: model?.url ?? "http://127.0.0.1:9",
    ANTHROPIC_API_KEY: "dummy",
  };
}

/** As if the user had accepted the questions that Claude Code asks about a new folder. */
export async function trust(stage: Stage, project: string): Promise<void> {
  const file = path.join(stage.home, ".claude.json");
  const config = existsSync(file) ? (JSON.parse(await readFile(file, "utf8")) as { projects?: object }) : {};
  const trusted = { hasTrustDialogAccepted: true, enabledMcpjsonServers: ["coord"] };
  const projects = { ...config.projects, [project]: trusted };
  await writeFile(
    file,
    JSON.stringify({
      ...config,
      hasCompletedOnboarding: true,
      customApiKeyResponses: { approved: ["dummy"] },
      projects,
    }),
  );
}

export class ClaudeSession implements AsyncDisposable {
  /** What it printed, one JSON object a line. */
  readonly output: Record<string, unknown>[] = [];
  stderr = "";
  readonly #process: ChildProcess;
  readonly #exit: Promise<unknown>;
  #results = 0;
  #wake: () => void = () => undefined;

  /** A session that stays until its input is closed. */
  constructor(stage: Stage, model: ScriptedModel, project: string, { args = [], env = {} }: ClaudeOptions = {}) {
    const stream = ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"];
    this.#process = spawn(CLAUDE, [...stream, ALLOWED, ...args], {
      cwd: project,
      env: { ...claudeEnvironment(stage, model), ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#exit = once(this.#process, "exit");
    this.#process.stderr!.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    createInterface({ input: this.#process.stdout! }).on("line", (line) => {
      const event = JSON.parse(line) as Record<string, unknown>;
      this.output.push(event);
      if (event["type"] === "result") this.#results++;
      this.#wake();
    });
    void this.#exit.then(() => this.#wake());
  }

  get pid(): number {
    return this.#process.pid!;
  }

  get sessionId(): string {
    return this.output.findLast((event) => event["session_id"] !== undefined)!["session_id"] as string;
  }

  /** Hooks that ended otherwise than silently or with an answer. */
  get hookFailures(): Record<string, unknown>[] {
    const ended = this.output.filter(({ subtype }) => subtype === "hook_response");
    return ended.filter(({ outcome, stderr }) => outcome !== "success" || stderr !== "");
  }

  /** Resolves when the turn that it begins has ended. */
  async prompt(content: string): Promise<void> {
    const results = this.#results;
    this.#process.stdin!.write(`${JSON.stringify({ type: "user", message: { role: "user", content } })}\n`);
    await this.until(() => this.#results > results, `an answer to ${JSON.stringify(content)}`);
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    const end = Date.now() + RUN_MILLISECONDS;
    while (!holds()) {
      if (this.#process.exitCode !== null) throw new Error(`Claude Code ended before ${what}: ${this.stderr}`);
      if (Date.now() > end) throw new Error(`no ${what} within ${RUN_MILLISECONDS / 1000} s: ${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, 50);
      });
    }
  }

  /** Ends as when its user leaves. */
  async end(): Promise<void> {
    this.#process.stdin!.end();
    await this.until(() => this.#process.exitCode !== null, "end of the session").catch((error: Error) => {
      if (this.#process.exitCode === null) throw error;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill("SIGKILL");
    await this.#exit;
  }
}

/** One prompt, one answer, as in a script. @returns what it printed and how long it took */
export async function runClaude(
  stage: Stage,
  model: ScriptedModel | undefined,
  cwd: string,
  args: readonly string[],
): Promise<{ output: string; milliseconds: number; code: number | null }> {
  const begun = Date.now();
  const child = spawn(CLAUDE, args, {
    cwd,
    env: claudeEnvironment(stage, model),
    stdio: ["ignore", "pipe", "pipe"],
    timeout: RUN_MILLISECONDS,
    killSignal: "SIGKILL",
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { output, milliseconds: Date.now() - begun, code };
}
