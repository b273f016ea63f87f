/** An agent in a real terminal: tmux, on a server of its own. */
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import path from "node:path";
import { isOnPath } from "./programs.ts";
import type { Stage } from "./stage.ts";

export const hasTmux: boolean = isOnPath("tmux");
const WAIT_MILLISECONDS = 60_000;

export class Terminal implements AsyncDisposable {
  readonly #socket: string;
  readonly #env: Record<string, string>;

  constructor(stage: Stage, cwd: string, argv: readonly string[], env: Record<string, string> = {}) {
    this.#socket = path.join(stage.folder, "tmux");
    this.#env = { ...stage.env, TERM: "xterm-256color", ...env };
    this.#tmux("new-session", "-d", "-s", "agent", "-x", "120", "-y", "40", "-c", cwd, "--", ...argv);
  }

  #tmux(...args: string[]): string {
    return execFileSync("tmux", ["-S", this.#socket, "-f", "/dev/null", ...args], {
      env: this.#env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  get screen(): string {
    return this.#tmux("capture-pane", "-p", "-t", "agent");
  }

  /** Types a line and sends it. */
  async type(line: string): Promise<void> {
    this.#tmux("send-keys", "-t", "agent", "-l", line);
    await sleep(500); // else some take what is pasted with its end for a text of several lines
    this.key("Enter");
  }

  key(name: string): void {
    this.#tmux("send-keys", "-t", "agent", name);
  }

  async until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const end = Date.now() + WAIT_MILLISECONDS;
    while (!(await holds())) {
      if (Date.now() > end) throw new Error(`no ${what} within ${WAIT_MILLISECONDS / 1000} s:\n${this.screen}`);
      await sleep(500);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#tmux("kill-server");
    } catch {
      // the agent has ended, and with it the only session
    }
    await sleep(500); // what it started is told to end
  }
}
