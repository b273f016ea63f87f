/**
 * `coord-hook` between tool calls, which asks Redis without starting Node where the record of its run says where. Whether Node
 * was started is told by a `node` of our own in PATH, which notes it and starts the real one. The agent is this process.
 */
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { userInfo } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import type { ClientOptions } from "../../src/client/options.ts";
import { knowProcess } from "../../src/client/process.ts";
import { listRunRecords, removeRunRecord, type RunRecord, writeRunRecord } from "../../src/client/run-record.ts";
import { PREFIX, useRedis } from "../harness.ts";
import { type Environment, bash, environment, freePort, ROOT, run, temporaryFolder } from "../surfaces/run.ts";

const HOOK = path.join(ROOT, "dist/coord-hook");
const COORD = path.join(ROOT, "dist/coord.cjs");
const { uid } = userInfo();
const RECORDS = existsSync(`/run/user/${uid}`) ? `/run/user/${uid}/cli-coordination` : `/tmp/cli-coordination-${uid}`;
const PORT = await freePort();
const bench = useRedis(["--port", String(PORT), "--bind", "127.0.0.1"]);
/** Its own: records are found by it on the whole machine. */
const SESSION = randomUUID();
const TOOL = {
  session_id: SESSION,
  hook_event_name: "PostToolUse",
  tool_name: "Bash",
  tool_response: "x".repeat(100_000),
};

let folder: string;
let project: string;
let started: string;
let stalled: Server;
beforeAll(async () => {
  stalled = createServer((socket) => socket.on("error", () => undefined)); // accepts, and never answers
  await new Promise<void>((resolve) => stalled.listen(0, "127.0.0.1", resolve));
});
afterAll(() => void stalled.close());

beforeEach(async () => {
  folder = await temporaryFolder();
  project = path.join(folder, "project");
  started = path.join(folder, "started");
  mkdirSync(path.join(project, ".git"), { recursive: true });
  mkdirSync(path.join(project, "deep/er"), { recursive: true });
  write("bin/node", `#!/bin/sh\n: >"${started}"\nexec "${process.execPath}" "$@"\n`);
  chmodSync(path.join(folder, "bin/node"), 0o755);
  writeRunRecord(record());
  await begin();
  await new Mailbox(bench.command("me", { env: { CLAUDE_CODE_SESSION_ID: SESSION } })).glance(); // Redis has the script
});

/** As its start hook does: until then there is a session to begin, which only Node can. */
async function begin(options: ClientOptions = {}): Promise<void> {
  await bench.command("me", options).join({ id: SESSION });
}

/** Also of what a real hook has written. */
function removeRecords(): void {
  for (const written of listRunRecords()) if (written.sessions.includes(SESSION)) removeRunRecord(written);
}
afterEach(removeRecords);

function record(changes: Partial<RunRecord> = {}): RunRecord {
  return {
    by: "hook",
    standing: "speaker",
    agent: "claude-code",
    process: knowProcess(process.pid),
    sessions: ["s0", SESSION],
    instance: "me",
    prefix: PREFIX,
    server: { COORD_REDIS_URL: `redis://127.0.0.1:${PORT}` },
    tree: project,
    ...changes,
  };
}

function write(name: string, text: string): void {
  mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
  writeFileSync(path.join(folder, name), text);
}

interface Outcome {
  node: boolean;
  code: number | null;
  stderr: string;
  /** The ids of the messages that are shown. */
  shown: string[];
}

async function hook(settings: Environment = {}, args = ["claude", "tool"], program = HOOK): Promise<Outcome> {
  rmSync(started, { force: true });
  const PATH = `${path.join(folder, "bin")}:${process.env["PATH"]}`;
  const session = { CLAUDE_PROJECT_DIR: project, CLAUDE_CODE_SESSION_ID: SESSION };
  const connection = { CLAUDE_INSTANCE_ID: "me", REDIS_PORT: String(PORT) };
  const env = environment({ ...session, ...connection, ...settings, PATH });
  const { code, stdout, stderr } = await run(program, args, { env, cwd: folder, input: JSON.stringify(TOOL) });
  return { node: existsSync(started), code, stderr, shown: [...new Set(stdout.match(/msg-[0-9a-z]{10}/g))] };
}

/** The port of a server whose queue of connections is full, and which takes none out of it: a further one waits for minutes. */
async function unaccepting(): Promise<number> {
  const program =
    'const s = require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(s.address().port));';
  const server = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "ignore"] });
  const port = Number(String((await once(server.stdout, "data"))[0]));
  server.kill("SIGSTOP");
  const queue = Array.from({ length: 4 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
  await once(queue[0]!, "connect");
  onTestFinished(() => {
    for (const socket of queue) socket.destroy();
    server.kill("SIGKILL");
  });
  return port;
}

const SILENT = { code: 0, stderr: "", shown: [] };
const FAST: Outcome = { node: false, ...SILENT };
const REAL: Outcome = { node: true, ...SILENT };

async function send(to = "me"): Promise<string> {
  const sender = bench.command("other");
  return (await sender.publishMessage({ type: "GENERAL", subject: "s", description: "d", to })).messageId;
}

async function heartbeat(): Promise<string> {
  return (JSON.parse((await bench.raw.hget(`${PREFIX}:presence`, "me"))!) as { last_heartbeat: string }).last_heartbeat;
}

describe("where nothing waits", () => {
  it("[G8] Node is not started, and the hook is a sign of life all the same", async () => {
    const before = new Date(Date.now() - 100_000).toISOString();
    const entry = { last_heartbeat: before, left: false, session: { number: 1, ids: [SESSION] } };
    await bench.raw.hset(`${PREFIX}:presence`, "me", JSON.stringify(entry));
    expect(await hook()).toEqual(FAST);
    expect((await heartbeat()) > before).toBe(true);
  });

  it("[G8] Node is not started, and an agent that had waited for a person works again", async () => {
    const key = `${PREFIX}:presence`;
    const at = new Date().toISOString();
    const session = { number: 1, ids: [SESSION], doing: "waiting", doing_at: at };
    await bench.raw.hset(key, "me", JSON.stringify({ last_heartbeat: at, left: false, session }));
    expect(await hook()).toEqual(FAST);
    const entry = JSON.parse((await bench.raw.hget(key, "me"))!) as { session: object };
    expect(entry.session).toEqual({ ...session, doing: "working", doing_at: expect.stringMatching(/Z$/) as string });
  });

  it("[G7] mail that could not be written, or that nobody reads, stays unread and disturbs nobody", async () => {
    const id = await send();
    const session = { CLAUDE_PROJECT_DIR: project, CLAUDE_CODE_SESSION_ID: SESSION, CLAUDE_INSTANCE_ID: "me" };
    const env = environment({ ...session, REDIS_PORT: String(PORT) });
    for (const target of [">/dev/full", "| true"]) {
      const line = `printf %s "$2" | "$1" claude tool ${target}; echo "\${PIPESTATUS[1]}"`;
      const ended = await bash(line, [HOOK, JSON.stringify({ ...TOOL, tool_response: "" })], { env, cwd: folder });
      expect([target, ended.stdout, ended.stderr]).toEqual([target, "0\n", ""]);
      expect(await bench.raw.zrange(`${PREFIX}:unread:me`, "0", "-1")).toEqual([id]);
      await bench.raw.del(`${PREFIX}:loans:me`, `${PREFIX}:loaned:me`); // as after ten seconds
    }
    expect(await hook()).toEqual({ ...REAL, shown: [id] });
  });

  it("[G7] mail is shown once, whole and by the real hook, and what was written to it meanwhile is not lost", async () => {
    const id = await send();
    expect(await hook()).toEqual({ ...REAL, shown: [id] });
    expect(await hook()).toEqual(REAL); // takes the event of it out of the queue
    expect(await hook()).toEqual(FAST);
  });

  it("a server that has lost the script gets it from the real hook", async () => {
    await bench.raw.script("FLUSH");
    expect(await hook()).toEqual(REAL);
    expect(await hook()).toEqual(FAST);
  });

  it("one that cannot be told from another session, and one that has to begin, are for the real hook", async () => {
    expect(await hook({ CLAUDE_CODE_SESSION_ID: "" })).toEqual(REAL);
    await bench.raw.del(`${PREFIX}:presence`);
    expect(await hook()).toEqual(REAL);
    expect(await hook()).toEqual(FAST);
  });

  it("in opencode the record of the very session counts, of the several that its process may hold", async () => {
    removeRecords();
    const sessions = [SESSION];
    writeRunRecord(record({ agent: "opencode", sessions }));
    const args = ["opencode", "tool"];
    expect(await hook({ OPENCODE_SESSION_ID: SESSION }, args)).toEqual(FAST);
    expect((await hook({ OPENCODE_SESSION_ID: `${SESSION}-other` }, args)).node).toBe(true);
    removeRunRecord(record({ agent: "opencode", sessions }));
  });

  it("a session that was superseded is shown nothing, and starts nothing", async () => {
    await bench.command("me").join({ id: "s2", host: "there", agentPid: 2 });
    await send();
    const before = await bench.state();
    expect(await hook()).toEqual(FAST);
    expect(await bench.state()).toEqual(before);
  });

  it("a server that stalls is not waited for", async () => {
    const { port } = stalled.address() as { port: number };
    writeRunRecord(record({ server: { COORD_REDIS_PORT: String(port) } }));
    expect(await hook()).toEqual(FAST);
  });

  it("one that does not even accept is not waited for", async () => {
    writeRunRecord(record({ server: { COORD_REDIS_PORT: String(await unaccepting()) } }));
    expect(await hook()).toEqual(FAST);
  });

  it.each([0, 60_000, 5_000_000])(
    "a host that writes %i bytes more than are needed writes them to its end",
    async (bytes) => {
      const { instance: _, ...out } = record({ standing: "out" });
      writeRunRecord(out);
      const env = environment({ CLAUDE_PROJECT_DIR: project, CLAUDE_CODE_SESSION_ID: SESSION });
      const line = `trap '' PIPE; head -c ${bytes} /dev/zero | tr '\\0' x | "$1" claude tool; echo "\${PIPESTATUS[*]}"`;
      expect(await bash(line, [HOOK], { env, cwd: folder })).toMatchObject({ code: 0, stdout: "0 0 0\n", stderr: "" });
    },
  );

  it("linked into a folder of PATH it finds the real hook", async () => {
    const link = path.join(folder, "bin/coord-hook");
    symlinkSync(HOOK, link);
    const id = await send();
    expect(await hook({}, undefined, link)).toEqual({ ...REAL, shown: [id] });
  });
});

describe("the record of the run", () => {
  const at = { COORD_REDIS_HOST: "127.0.0.1", COORD_REDIS_PORT: String(PORT) };

  // In each of these, mail for `me` is found and nothing is shown where there is none: that is where it looks.
  it.each<[string, Partial<RunRecord>, Environment?]>([
    ["host and port", { server: at }],
    ["a URL with a database", { server: { COORD_REDIS_URL: `redis://localhost:${PORT}/0` } }],
    ["host, port and database", { server: { ...at, COORD_REDIS_DB: "0" } }],
    ["another folder and a stripped environment", {}, { CLAUDE_PROJECT_DIR: "/", CLAUDE_INSTANCE_ID: "" }],
    ["variables that say otherwise", {}, { CLAUDE_INSTANCE_ID: "you", COORD_KEY_PREFIX: "other", REDIS_PORT: "1" }],
    ["one without a process", { process: undefined as never, sessions: [SESSION] }],
  ])("names where to ask: %s", async (_, changes, settings = {}) => {
    removeRecords();
    writeRunRecord(record(changes));
    expect(await hook(settings)).toEqual(FAST);
    const id = await send();
    expect(await hook(settings)).toEqual({ ...REAL, shown: [id] });
  });

  it("names the password of a server of coord up, which bash sends", async () => {
    await bench.raw.call("ACL", "SETUSER", "default", "resetpass", ">abc123");
    onTestFinished(async () => void (await bench.raw.call("ACL", "SETUSER", "default", "nopass")));
    writeRunRecord(record({ localPassword: "abc123" }));
    expect(await hook()).toEqual(FAST);
    writeRunRecord(record({ localPassword: "wrong" }));
    expect((await hook()).node).toBe(true);
    writeRunRecord(record());
    expect((await hook()).node).toBe(true);
  });

  it("another prefix and database are other mail", async () => {
    await send();
    await bench.admit("{team}");
    await begin({ keyPrefix: "{team}" });
    await begin({ redis: `redis://127.0.0.1:${PORT}/3` });
    writeRunRecord(record({ prefix: "{team}" }));
    expect(await hook()).toEqual(FAST);
    writeRunRecord(record({ server: { ...at, COORD_REDIS_DB: "3" } }));
    expect(await hook()).toEqual(FAST);
  });

  it("a run that takes no part, and a guest, are shown nothing and start nothing", async () => {
    await send();
    const { instance: _, ...out } = record({ standing: "out" });
    writeRunRecord(out);
    expect(await hook({ REDIS_PORT: "1" })).toEqual(FAST);
    writeRunRecord(record({ standing: "guest" }));
    expect(await hook({ REDIS_PORT: "1" })).toEqual(FAST);
  });

  it.each<[string, Partial<RunRecord> | undefined, Environment?, string[]?]>([
    ["there is none", undefined],
    ["a password", { server: { ...at, COORD_REDIS_PASSWORD: "x" } }],
    ["a login in a URL", { server: { COORD_REDIS_URL: `redis://u:p@127.0.0.1:${PORT}` } }],
    ["TLS", { server: { COORD_REDIS_URL: `rediss://127.0.0.1:${PORT}` } }],
    ["a socket", { server: { COORD_REDIS_URL: "unix:/nowhere/redis.sock" } }],
    ["another host", { server: { COORD_REDIS_HOST: "no-such-host.invalid" } }],
    ["a closed port", { server: { COORD_REDIS_PORT: "1" } }],
    ["a port that is none", { server: { COORD_REDIS_PORT: "6379 " } }],
    ["a variable of a newer version", { server: { ...at, COORD_SOMETHING_NEW: "1" } }],
    ["a name that is none", { instance: "a b" }],
    ["a prefix that is none", { prefix: "a b" }],
    ["a run of another session", { sessions: ["s0"] }],
    ["another process of the same number", { process: { pid: process.pid, started: "1" } }],
    ["a session id with other characters", {}, { CLAUDE_CODE_SESSION_ID: "s 1" }],
    ["no session id", {}, { CLAUDE_CODE_SESSION_ID: "" }],
    ["a run that is to be kept out", {}, { COORD_OFF: "1" }],
    ["no word for the moment", {}, {}, ["claude"]],
    ["another agent", {}, {}, ["codex", "tool"]],
  ])("not understood with certainty is for the real hook: %s", async (_, changes, settings, args) => {
    removeRecords();
    if (changes !== undefined) writeRunRecord(record(changes));
    const { node, stderr, code } = await hook(settings, args);
    expect({ node, stderr, code }).toEqual({ node: true, stderr: "", code: 0 });
  });
});

describe("what lies in the place of a record and is none", () => {
  const file = path.join(RECORDS, `${process.pid}.hook.`);

  it.each<[string, string]>([
    ["a pipe", 'mkfifo "$1"'],
    ["a link to a pipe", 'mkfifo "$2/pipe" && ln -s "$2/pipe" "$1"'],
    ["a link to a terminal", 'ln -s /dev/tty "$1"'],
    ["a link that has no end", 'ln -s /dev/zero "$1"'],
    ["a folder", 'mkdir "$1"'],
    ["thirty megabytes", 'head -c 30000000 /dev/zero | tr "\\0" = >"$1"'],
  ])("holds up no program and is not believed: %s", async (_, make) => {
    removeRecords();
    rmSync(file, { force: true, recursive: true });
    onTestFinished(() => rmSync(file, { force: true, recursive: true }));
    const made = await bash(make, [file, folder], { env: environment({}), cwd: folder });
    expect(made.code).toBe(0);
    const { node, stderr, code } = await hook();
    expect({ node, stderr, code }).toEqual({ node: true, stderr: "", code: 0 });
    const settings = { CLAUDE_INSTANCE_ID: "me", COORD_REDIS_PORT: String(PORT), COORD_KEY_PREFIX: PREFIX };
    const env = environment(settings);
    expect(await run(process.execPath, [COORD, "check", "--peek"], { env, cwd: folder })).toMatchObject({ code: 0 });
  });
});
