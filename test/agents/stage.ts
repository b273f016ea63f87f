/** What a test needs around an agent: a Redis, a home folder, projects that `coord init` has set up, colleagues. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { leastPrivilege } from "../least-privilege.ts";

const PROGRAMS = process.env["COORD_E2E_PROGRAMS"] ?? fileURLToPath(new URL("../../dist", import.meta.url));
const run = promisify(execFile);

export interface Presence {
  status: string;
  pending: number;
  doing?: string;
  session: { joined?: string; agent?: string; agent_pid?: number };
}

export class Stage implements AsyncDisposable {
  readonly folder: string;
  readonly redis: ThrowawayRedis;
  readonly home: string;
  /** The whole environment of everything that runs here: nothing of the caller's configuration comes along. */
  readonly env: Record<string, string>;

  private constructor(folder: string, redis: ThrowawayRedis) {
    this.folder = folder;
    this.redis = redis;
    this.home = path.join(folder, "home");
    this.env = {
      HOME: this.home,
      PATH: [path.join(folder, "bin"), process.env["PATH"]].join(path.delimiter),
      TERM: "xterm",
      LANG: "C.UTF-8",
      REDIS_URL: redis.url,
      GIT_CONFIG_NOSYSTEM: "1",
    };
  }

  static async set(): Promise<Stage> {
    const folder = await realpath(await mkdtemp(path.join(tmpdir(), "coord-agents-")));
    const stage = new Stage(folder, await startThrowawayRedis({ args: leastPrivilege("coord") }));
    await mkdir(stage.home);
    await mkdir(path.join(folder, "bin"));
    await symlink(path.join(PROGRAMS, "coord.cjs"), path.join(folder, "bin/coord"));
    await symlink(path.join(PROGRAMS, "coord-hook"), path.join(folder, "bin/coord-hook"));
    return stage;
  }

  async repository(name: string): Promise<string> {
    const folder = path.join(this.folder, name);
    await mkdir(folder);
    await run("git", ["init", "--quiet", "--initial-branch", "main", folder], { env: this.env });
    return folder;
  }

  /** A repository in which the instance works, set up as a user does it. */
  async project(instance: string, agent: string, name: string = instance): Promise<string> {
    const project = await this.repository(name);
    await this.coord(project, "init", "--agent", agent, "--instance", instance, "--prefix", "coord");
    return project;
  }

  /** A linked worktree in which the instance works, of a repository whose main one is set up as well. */
  async worktree(instance: string, agent: string): Promise<string> {
    const main = await this.project("lead", agent, "shop");
    const author = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    await run("git", [...author, "commit", "--quiet", "--allow-empty", "-m", "first"], { cwd: main, env: this.env });
    await this.coord(main, "worktree", "add", instance, "--agent", agent);
    return path.join(this.folder, `shop-${instance}`);
  }

  /** Runs `coord`; in a project it speaks for that instance. */
  async coord(cwd: string, ...args: string[]): Promise<string> {
    return (await run("coord", args, { cwd, env: this.env, maxBuffer: 64 * 1024 * 1024 })).stdout;
  }

  /** Sends a message as some other instance. @returns its id */
  async publish(
    from: string,
    to: string,
    subject: string,
    description: string = subject,
    type = "GENERAL",
  ): Promise<string> {
    const args = ["publish", type, subject, "-", "--to", to, "--json", "--instance", from];
    const running = run("coord", args, { cwd: this.folder, env: this.env, maxBuffer: 64 * 1024 * 1024 });
    running.child.stdin?.end(description);
    return (JSON.parse((await running).stdout) as { message_id: string }).message_id;
  }

  async presenceOf(instance: string): Promise<Presence> {
    const { instances } = JSON.parse(await this.coord(this.folder, "presence", "--json")) as {
      instances: Record<string, Presence>;
    };
    return instances[instance]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAllIn(this.home);
    await this.redis.stop();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** What a host has left running, as the daemon of Codex: found by this home, which nothing else has. */
async function endAllIn(home: string): Promise<void> {
  if (!existsSync("/proc")) return;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const isOf = readFileSync(`/proc/${name}/environ`, "utf8").split("\0").includes(`HOME=${home}`);
      if (isOf) process.kill(Number(name), "SIGKILL");
    } catch {
      // it has ended, or is another user's
    }
  }
  await sleep(200);
}
