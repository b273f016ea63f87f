/** [G8] Whether an agent lives: told by its number and its start, also where a killed process stays a zombie. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, it, onTestFinished } from "vitest";
import { knowProcess, lives, readProcess } from "../../src/client/process.ts";
import { COORD, START, until, useRedis } from "./agent.ts";

const bench = useRedis();

/** A process whose parent never asks how it ended, as in a container whose first process is no init: killed, it stays a zombie. */
async function neglected(): Promise<number> {
  const parent: ChildProcess = spawn("sh", ["-c", "sleep 600 & echo $!; exec sleep 600"], { stdio: "pipe" });
  onTestFinished(() => void parent.kill("SIGKILL"));
  const [line] = (await once(createInterface({ input: parent.stdout! }), "line")) as [string];
  const pid = Number(line);
  onTestFinished(() => void (lives(knowProcess(pid)) && process.kill(pid, "SIGKILL")));
  return pid;
}

/** Kills it, and resolves when it has become a zombie, which still takes signals. */
async function makeZombie(pid: number): Promise<void> {
  process.kill(pid, "SIGKILL");
  await until(async () => readProcess(pid)?.zombie);
  expect(process.kill(pid, 0)).toBe(true);
}

describe("lives", () => {
  it("is true of this process, and of one of another user", () => {
    expect([process.pid, 1].map((pid) => lives(knowProcess(pid)))).toEqual([true, true]);
  });

  it("is false of a zombie, and of a process that has ended", async () => {
    const pid = await neglected();
    const known = knowProcess(pid);
    expect(lives(known)).toBe(true);
    await makeZombie(pid);
    expect(lives(known)).toBe(false);
    const child = spawn("true");
    const ended = knowProcess(child.pid!);
    await once(child, "exit");
    expect(lives(ended)).toBe(false);
  });

  it("is false of another process that was given the same number", () => {
    expect(lives({ pid: process.pid, started: "1" })).toBe(false);
    expect(lives({ pid: process.pid, started: undefined })).toBe(true);
  });
});

describe.concurrent("[G8] an agent that is killed and stays a zombie", () => {
  it("ends its waiter, and its session goes stale by itself", async () => {
    const stage = bench.stage({ presenceTimeoutSeconds: 1 });
    const agent = await stage.agent("backend", "claude", "neglected");
    await agent.hook(START);
    const waiter = agent.wait();
    const pid = await waiter.pid;
    await until(async () => (await stage.raw.get(`${stage.prefix}:waker:backend`)) !== null);
    await agent.kill();
    // Its channel is closed before the system has made a zombie of it.
    await until(() => readProcess(agent.pid)?.zombie === true);
    await until(() => !lives(knowProcess(pid)));
    await until(async () => (await stage.status("backend")) === "stale");
  });

  it("ends its server, which leaves, though another process holds its input open", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend", "claude", "neglected");
    const holder = `require("node:child_process").spawn(process.execPath, [${JSON.stringify(COORD)}, "mcp"]);`;
    agent.start(["-e", holder], { ...agent.toolEnv, CLAUDE_PROJECT_DIR: agent.cwd });
    await until(async () => (await stage.status("backend")) === "active");
    await agent.kill();
    await until(async () => (await stage.status("backend")) === "offline");
  });
});
