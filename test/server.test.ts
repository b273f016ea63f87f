/** The Redis of one's own: found, started, told apart from other people's, stopped; all with real processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ask } from "../src/server/ask.ts";
import { findRedisServer } from "../src/server/find.ts";
import { ensureRedisServer } from "../src/server/install.ts";
import { type StartedPrivate, startPrivateRedis, stopPrivateRedis } from "../src/server/private.ts";
import { startThrowawayRedis } from "../src/server/throwaway.ts";
import { openRedis } from "./raw-redis.ts";

/** Also what Redis would take for the end of a value. */
const PASSWORD = `a "b\\ #'ü`;

let folder: string;
let program: string;

beforeAll(async () => {
  // Short, because the folders of throwaway servers, with their sockets, go below it.
  folder = await mkdtemp(path.join(tmpdir(), "server-test-"));
  program = await ensureRedisServer();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a throwaway server", () => {
  it("answers on its socket only, in a folder of this user, and is gone after stop, stopped twice or not", async () => {
    const redis = await startThrowawayRedis();
    const socket = { path: redis.socketPath };
    expect(redis.url).toBe(`unix:${redis.socketPath}`);
    expect(await ask(socket, ["PING"], 1000)).toBe("PONG");
    expect(await ask(socket, ["INFO", "server"], 1000)).toMatch(
      new RegExp(`process_id:${redis.pid}\r\n[^]*tcp_port:0\r\n`),
    );
    expect((await stat(redis.dir)).mode & 0o777).toBe(0o700);

    await Promise.all([redis.stop(), redis.stop()]);
    await redis[Symbol.asyncDispose]();
    expect(isAlive(redis.pid)).toBe(false);
    expect(existsSync(redis.dir)).toBe(false);
  });

  it("takes further settings", async () => {
    await using redis = await startThrowawayRedis({ args: ["--requirepass", "secret"] });
    await expect(ask({ path: redis.socketPath }, ["PING"], 1000)).rejects.toThrow("NOAUTH");
  });

  it("that cannot start says why and leaves nothing behind", async () => {
    const temporary = await emptyFolder();
    await expect(
      withTemporaryFolder(temporary, () => startThrowawayRedis({ args: ["--no-such-setting", "1"] })),
    ).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("no-such-setting") as string });
    expect(await readdir(temporary)).toEqual([]);
  });

  it("falls back to /tmp where the temporary folder is too long for a socket's path", async () => {
    const deep = path.join(await emptyFolder(), "long".repeat(25));
    await mkdir(deep);
    await using redis = await withTemporaryFolder(deep, () => startThrowawayRedis());
    expect(redis.socketPath).toMatch(/^\/tmp\/coord-redis-/);
  });

  it.each(["SIGKILL", "SIGTERM"] as const)("ends when its owner ends by %s", async (signal) => {
    const owner = await runOwner("throwaway");
    const { pid, dir } = owner.said as { pid: number; dir: string };
    expect(isAlive(pid)).toBe(true);
    owner.process.kill(signal);
    await until(() => !isAlive(pid) && !existsSync(dir));
  });

  it("that ended by itself leaves nothing behind", async () => {
    const redis = await startThrowawayRedis();
    process.kill(redis.pid, "SIGKILL");
    await until(() => !existsSync(redis.dir));
    await redis.stop();
  });
});

describe("a private server", () => {
  it("is started once, durable, for this machine only, and stopped once", async () => {
    const { env, port } = await freshUser();
    const started = await up({ env, port });
    expect(started).toEqual({
      state: "started",
      port,
      pid: expect.any(Number) as number,
      dataDir: path.join(env["XDG_DATA_HOME"] as string, "cli-coordination", `data-${port}`),
      description: expect.stringMatching(/^(Redis|Valkey) [\d.]+, process \d+$/) as string,
    });
    expect(await up({ env, port })).toEqual({ ...started, state: "already-running" });
    expect((await stat(started.dataDir)).mode & 0o777).toBe(0o700);
    const client = openRedis({ port, username: "default", password: PASSWORD });
    const pairs = await client.config("GET", "*").finally(() => client.disconnect());
    expect(Object.fromEntries(pairs.flatMap((name, i) => (i % 2 === 0 ? [[name, pairs[i + 1]]] : [])))).toMatchObject({
      appendonly: "yes",
      appendfsync: "always",
      "maxmemory-policy": "noeviction",
      maxmemory: expect.stringMatching(/^[1-9]\d{7,9}$/) as string,
      requirepass: "",
      aclfile: path.join(started.dataDir, "users.acl"),
      bind: "127.0.0.1 -::1",
      "protected-mode": "yes",
      dir: started.dataDir,
    });

    expect(await stopPrivateRedis({ env, port, password: PASSWORD })).toEqual({ ...started, state: "stopped" });
    expect(await stopPrivateRedis({ env, port, password: PASSWORD })).toMatchObject({ state: "not-running" });
    await until(() => !isAlive(started.pid as number));
  });

  it("has its data again after down and up, and after a crash and up", async () => {
    const { env, port } = await freshUser();
    const address = { host: "127.0.0.1", port, password: PASSWORD };
    await up({ env, port });
    await ask(address, ["SET", "a", "kept"], 1000);
    await stopPrivateRedis({ env, port, password: PASSWORD });
    const { pid } = await up({ env, port });
    expect(await ask(address, ["GET", "a"], 1000)).toBe("kept");
    await ask(address, ["SET", "a", "kept again"], 1000);
    process.kill(pid as number, "SIGKILL");
    await until(() => !isAlive(pid as number));
    expect(await up({ env, port })).toMatchObject({ state: "started" });
    expect(await ask(address, ["GET", "a"], 1000)).toBe("kept again");
  });

  it("is started by exactly one of several ups at once, and all name the same process", async () => {
    const { env, port } = await freshUser();
    const all = await Promise.all(Array.from({ length: 4 }, () => up({ env, port })));
    expect(all.map(({ state }) => state).toSorted()).toEqual([...Array(3).fill("already-running"), "started"]);
    expect(new Set(all.map(({ pid }) => pid)).size).toBe(1);
    // None of the others is still on its way to the port.
    await stopPrivateRedis({ env, port, password: PASSWORD });
    await sleep(100);
    expect(await stopPrivateRedis({ env, port, password: PASSWORD })).toMatchObject({ state: "not-running" });
  });

  it("outlives the process group that started it", async () => {
    const { env, port } = await freshUser();
    onTestFinished(() => void stopPrivateRedis({ env, port, password: PASSWORD }));
    const owner = await runOwner("private", String(port), env);
    process.kill(-(owner.process.pid as number), "SIGKILL");
    await once(owner.process, "exit");
    expect(await stopPrivateRedis({ env, port, password: PASSWORD })).toMatchObject({
      state: "stopped",
      pid: (owner.said as StartedPrivate).pid,
    });
  });

  it("that cannot start says why", async () => {
    const { env, port } = await freshUser();
    const { dataDir } = await stopPrivateRedis({ env, port, password: PASSWORD });
    await mkdir(dataDir, { recursive: true });
    await writeFile(path.join(dataDir, "appendonlydir"), "in the way");
    await expect(up({ env, port })).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("appendonlydir") as string,
    });
  });
});

describe("what somebody else runs on the port is left alone and described", () => {
  it.each([
    ["a Redis", [], /^(Redis|Valkey) [\d.]+, process \d+$/],
    ["a Redis with a password", ["--requirepass", "secret"], /^a Redis with a password$/],
  ])("%s", async (_, args, description) => {
    const { env, port } = await freshUser();
    await using foreign = await startThrowawayRedis({ args: ["--port", String(port), "--bind", "127.0.0.1", ...args] });
    expect(await up({ env, port })).toMatchObject({
      state: "occupied",
      description: expect.stringMatching(description) as string,
    });
    expect(await stopPrivateRedis({ env, port, password: PASSWORD })).toMatchObject({ state: "foreign" });
    expect(isAlive(foreign.pid)).toBe(true);
  });

  it("another user's private server", async () => {
    const { env, port } = await freshUser();
    const { pid } = await up({ env, port });
    const other = { env: (await freshUser()).env, port, password: "another" };
    const left = { description: "a Redis with a password" };
    expect(await startPrivateRedis(other)).toMatchObject({ ...left, state: "occupied" });
    expect(await stopPrivateRedis(other)).toMatchObject({ ...left, state: "foreign" });
    expect(isAlive(pid as number)).toBe(true);
  });

  it.each<[string, (socket: Socket) => void]>([
    ["a listener that says nothing", () => {}],
    ["a listener that hangs up", (socket) => socket.destroy()],
    ["a web server", (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["a listener that never comes to a point", (socket) => void dribble(socket)],
  ])("%s", async (_, onConnection) => {
    const { env } = await freshUser();
    const sockets = new Set<Socket>();
    const listener = await listen((socket) => {
      sockets.add(socket.on("error", () => {}));
      onConnection(socket);
    });
    onTestFinished(() => {
      listener.close();
      for (const socket of sockets) socket.destroy();
    });
    const { port } = listener.address() as AddressInfo;
    const description = "a program that does not answer as Redis";
    expect(await up({ env, port })).toMatchObject({ state: "occupied", description });
    expect(await stopPrivateRedis({ env, port, password: PASSWORD })).toMatchObject({ state: "foreign", description });
  });
});

describe("the server program", () => {
  it.each(["/no/such/redis-server", tmpdir(), "package.json", "/bin/true"])(
    "is never replaced by another when COORD_REDIS_SERVER is %s",
    async (value) => {
      const { env, port } = await freshUser();
      const wrong = { env: { ...env, COORD_REDIS_SERVER: value } };
      const refusal = {
        code: "UNAVAILABLE",
        message: expect.stringContaining(`COORD_REDIS_SERVER is "${value}"`) as string,
      };
      await expect(startThrowawayRedis(wrong)).rejects.toMatchObject(refusal);
      await expect(up({ ...wrong, port })).rejects.toMatchObject(refusal);
    },
  );

  it("is the first on the PATH that is new enough, whatever its name", async () => {
    const [old, broken, good] = [await emptyFolder(), await emptyFolder(), await emptyFolder()];
    await fakeProgram(path.join(old, "redis-server"), "echo 'Redis server v=6.2.14 sha=0'");
    await fakeProgram(path.join(broken, "redis-server"), "exit 127");
    await fakeProgram(path.join(good, "valkey-server"), "echo 'Valkey server v=8.1.0 sha=0'");
    const unusable: string[] = [];
    const env = { PATH: [old, broken, good].join(":"), HOME: await emptyFolder() };
    expect(await findRedisServer(env, (what) => unusable.push(what))).toBe(path.join(good, "valkey-server"));
    expect(unusable).toEqual([
      expect.stringContaining(`${old}/redis-server is too old`),
      expect.stringContaining(`${broken}/redis-server does not run`),
    ]);
  });

  it("that is missing and cannot be installed is refused with the ways out, and what was too old", async () => {
    const bin = await emptyFolder();
    await fakeProgram(path.join(bin, "redis-server"), "echo 'Redis server v=6.2.14 sha=0'");
    const hint = expect.stringMatching(/redis-server or valkey.*COORD_REDIS_SERVER.*REDIS_URL/) as string;
    await expect(ensureRedisServer({ env: { PATH: bin, HOME: await emptyFolder() } })).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("version 6.2.14") as string,
      hint,
    });
  });
});

/** A data folder and a free port. The program is named: with another data folder an installed one is not found. */
async function freshUser(): Promise<{ env: NodeJS.ProcessEnv; port: number }> {
  const listener = await listen(() => {});
  const { port } = listener.address() as AddressInfo;
  listener.close();
  await once(listener, "close");
  return { env: { ...process.env, XDG_DATA_HOME: await emptyFolder(), COORD_REDIS_SERVER: program }, port };
}

/** Like `coord up`; what it started is stopped when the test ends. */
async function up(options: { env: NodeJS.ProcessEnv; port: number }): Promise<StartedPrivate> {
  const started = await startPrivateRedis({ ...options, password: PASSWORD });
  if (started.state === "started") {
    onTestFinished(async () => {
      await stopPrivateRedis({ ...options, password: PASSWORD });
    });
  }
  return started;
}

/** A process of its own, leader of its group, that starts a server, says so as JSON and stays. */
async function runOwner(what: string, ...rest: [port?: string, env?: NodeJS.ProcessEnv]): Promise<Owner> {
  const [port = "0", env = { ...process.env, COORD_REDIS_SERVER: program }] = rest;
  const script = path.join(await emptyFolder(), "owner.mjs");
  await build({
    stdin: { contents: OWNER, resolveDir: import.meta.dirname, loader: "ts" },
    outfile: script,
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "error",
  });
  const owner = spawn(process.execPath, [script, what, port], {
    detached: true,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void owner.kill("SIGKILL"));
  const [line] = (await once(owner.stdout, "data")) as [Buffer];
  return { process: owner, said: JSON.parse(String(line)) as unknown };
}

interface Owner {
  process: ChildProcess;
  said: unknown;
}

const OWNER = `
  import { startPrivateRedis } from "../src/server/private.ts";
  import { startThrowawayRedis } from "../src/server/throwaway.ts";
  const [, , what, port] = process.argv;
  const server = what === "private" ? await startPrivateRedis({ port: Number(port), password: ${JSON.stringify(PASSWORD)} }) : await startThrowawayRedis();
  console.log(JSON.stringify(server));
  setInterval(() => {}, 1000);
`;

async function emptyFolder(): Promise<string> {
  return mkdtemp(path.join(folder, "f"));
}

async function fakeProgram(file: string, script: string): Promise<void> {
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}

async function withTemporaryFolder<T>(temporary: string, work: () => Promise<T>): Promise<T> {
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = temporary;
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
}

async function listen(onConnection: (socket: Socket) => void): Promise<Server> {
  const listener = createServer(onConnection).listen(0, "127.0.0.1");
  await once(listener, "listening");
  return listener;
}

async function dribble(socket: Socket): Promise<void> {
  for (; !socket.destroyed; await sleep(50)) socket.write(".");
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // An orphan stays a zombie in a container whose first process does not collect it.
  return !existsSync(`/proc/${pid}/stat`) || !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
}

/** Bounded by the time limit of the test. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10);
}
