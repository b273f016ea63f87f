/** [G8] Whether an agent lives: told by its number and its start, also where a killed process stays a zombie. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, it, onTestFinished } from "vitest";
import { knowProcess, lives, readProcess } from "../../src/client/process.ts";
import { START, until, useRedis } from "./agent.ts";

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
  async function claude(): Promise<{ pid: number; env: Record<string, string> }> {
    const pid = await neglected();
    return { pid, env: { CLAUDE_PID: String(pid) } };
  }

  it("ends its waker, and its session goes stale by itself", async () => {
    const stage = bench.stage({ presenceTimeoutSeconds: 1 });
    const { pid, env } = await claude();
    const agent = await stage.agent("backend");
    await agent.hook(START, env);
    const waker = agent.wait(env);
    await until(async () => (await stage.raw.get(`${stage.prefix}:waker:backend`)) !== null);
    await makeZombie(pid);
    expect(await waker.ended).toMatchObject({ code: 0, stdout: "", stderr: "" });
    await until(async () => (await stage.status("backend")) === "stale");
  });

  it("ends its server, which leaves, though another process holds its input open", async () => {
    const stage = bench.stage();
    const { pid, env } = await claude();
    const agent = await stage.agent("backend");
    const server = agent.startServer(env);
    await until(async () => (await stage.status("backend")) === "active");
    await makeZombie(pid);
    expect(await server.ended).toMatchObject({ code: 0, stderr: "" });
    expect(await stage.status("backend")).toBe("offline");
  });
});

describe.concurrent("a host that keeps the input of its hook open", () => {
  it("is answered, and its waker waits", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await stage.send("backend", "login");
    const hook = agent.startPatientHook(START, {}, "open");
    expect((await hook.ended).stdout).toContain("About login.");
    const waker = agent.wait({}, "open");
    await until(async () => (await stage.raw.get(`${stage.prefix}:waker:backend`)) !== null);
    await stage.send("backend", "logout");
    expect(await waker.ended).toMatchObject({ code: 2, stderr: expect.stringContaining("About logout.") as string });
  });
});
