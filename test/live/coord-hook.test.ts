/**
 * `coord-hook` between tool calls, which asks Redis without starting Node. Whether Node was started is told by a `node` of
 * our own in PATH, which notes it and starts the real one.
 */
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import { PREFIX, useRedis } from "../harness.ts";
import { type Environment, bash, environment, freePort, ROOT, run, temporaryFolder } from "../surfaces/run.ts";

const HOOK = path.join(ROOT, "dist/coord-hook");
const PORT = await freePort();
const bench = useRedis(["--port", String(PORT), "--bind", "127.0.0.1"]);
const TOOL = {
  session_id: "s1",
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
  await new Mailbox(bench.command("me", { env: { CLAUDE_CODE_SESSION_ID: "s1" } })).glance(); // Redis has the script
});

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
  const session = { CLAUDE_PROJECT_DIR: project, CLAUDE_CODE_SESSION_ID: "s1" };
  const connection = { CLAUDE_INSTANCE_ID: "me", REDIS_PORT: String(PORT) };
  const env = environment({ ...session, ...connection, ...settings, PATH });
  const { code, stdout, stderr } = await run(program, args, { env, cwd: folder, input: JSON.stringify(TOOL) });
  return { node: existsSync(started), code, stderr, shown: stdout.match(/msg-[0-9a-z]{10}/g) ?? [] };
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
    await bench.seen({ me: 100 });
    const before = await heartbeat();
    expect(await hook()).toEqual(FAST);
    expect((await heartbeat()) > before).toBe(true);
  });

  it("[G7] mail that could not be written, or that nobody reads, stays unread and disturbs nobody", async () => {
    const id = await send();
    const session = { CLAUDE_PROJECT_DIR: project, CLAUDE_CODE_SESSION_ID: "s1", CLAUDE_INSTANCE_ID: "me" };
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

  it("a session that was superseded, and one that cannot be told from it, are for the real hook", async () => {
    const joined = bench.command("me");
    await joined.join({ id: "s1", host: "here", agentPid: 1 });
    expect(await hook()).toEqual(FAST);
    expect(await hook({ CLAUDE_CODE_SESSION_ID: "" })).toEqual(REAL);
    await joined.join({ id: "s2", host: "there", agentPid: 2 });
    const before = await bench.state();
    expect(await hook()).toEqual(REAL);
    expect(await bench.state()).toEqual(before);
  });

  it("a server that stalls is not waited for", async () => {
    const { port } = stalled.address() as { port: number };
    expect(await hook({ REDIS_PORT: String(port) })).toEqual(FAST);
  });

  it.each([0, 60_000, 5_000_000])(
    "a host that writes %i bytes more than are needed writes them to its end",
    async (bytes) => {
      const env = environment({ CLAUDE_PROJECT_DIR: project, CLAUDE_CODE_SESSION_ID: "s1" }); // no name: takes no part
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

describe("settings", () => {
  const url = `redis://127.0.0.1:${PORT}`;
  const nowhere = { CLAUDE_INSTANCE_ID: "", REDIS_PORT: "" };
  const file = { instanceId: "me", redis: url };
  const elsewhere = { instanceId: "you", redis: url };

  // In each of these, mail for `me` is found and nothing is shown where there is none: that is where it looks.
  it.each<[string, Environment, (() => void)?]>([
    ["host and port", { REDIS_HOST: "127.0.0.1" }],
    ["a URL", { REDIS_URL: `redis://localhost:${PORT}/0`, REDIS_PORT: "1" }],
    ["a file as coord init writes it", nowhere, () => write("project/.coord.json", JSON.stringify(file, undefined, 2))],
    ["a file by hand", nowhere, () => write("project/.coord.json", `{"redis":"${url}" , "instanceId": "me"}\n`)],
    [
      "a file further up",
      { ...nowhere, CLAUDE_PROJECT_DIR: "deep/er" },
      () => write("project/.coord.json", JSON.stringify(file)),
    ],
    [
      "the environment before the file",
      { REDIS_URL: url },
      () => write("project/.coord.json", JSON.stringify(elsewhere)),
    ],
    ["variables that change nothing here", { COORD_PRESENCE_TIMEOUT_SECONDS: "60", COORD_DIRECTION: "strict" }],
  ])("%s", async (_, settings, prepare) => {
    prepare?.();
    const env = settings["CLAUDE_PROJECT_DIR"]
      ? { ...settings, CLAUDE_PROJECT_DIR: path.join(project, "deep/er") }
      : settings;
    expect(await hook(env)).toEqual(FAST);
    const id = await send();
    expect(await hook(env)).toEqual({ ...REAL, shown: [id] });
  });

  it("another prefix and database are other mail", async () => {
    await send();
    await bench.admit("{team}");
    expect(await hook({ COORD_KEY_PREFIX: "{team}" })).toEqual(FAST);
    expect(await hook({ REDIS_DB: "3" })).toEqual(FAST);
  });

  it("a project without a name takes no part, and the file of the repository around it does not count", async () => {
    write(".coord.json", JSON.stringify({ instanceId: "me" }));
    expect(await hook({ CLAUDE_INSTANCE_ID: "", REDIS_PORT: "1" })).toEqual(FAST);
  });

  it.each<[string, Environment, (string | undefined)?, string[]?]>([
    ["a password", { REDIS_PASSWORD: "x" }],
    ["a login in a URL", { REDIS_URL: `redis://u:p@127.0.0.1:${PORT}` }],
    ["TLS", { REDIS_URL: `rediss://127.0.0.1:${PORT}` }],
    ["a socket", { REDIS_URL: "unix:/nowhere/redis.sock" }],
    ["another host", { REDIS_HOST: "no-such-host.invalid" }],
    ["a closed port", { REDIS_PORT: "1" }],
    ["a port that is none", { REDIS_PORT: "6379 " }],
    ["a variable of a newer version", { COORD_SOMETHING_NEW: "1" }],
    ["a name that is none", { CLAUDE_INSTANCE_ID: "All" }],
    ["a name with a line break", { CLAUDE_INSTANCE_ID: "me\r\nFLUSHALL" }],
    ["a prefix that is none", { COORD_KEY_PREFIX: "a b" }],
    ["a session id with other characters", { CLAUDE_CODE_SESSION_ID: "s 1" }],
    ["no project folder", { CLAUDE_PROJECT_DIR: "" }],
    ["a relative one", { CLAUDE_PROJECT_DIR: "project" }],
    ["one with ..", { CLAUDE_PROJECT_DIR: "/tmp/../tmp" }],
    ["a broken file", {}, "{"],
    ["an empty file", {}, ""],
    ["a file with a field of a newer version", {}, '{"instanceId":"me","somethingNew":"x"}'],
    ["a file with an escape", {}, '{"instanceId":"m\\u0065"}'],
    ["a file without a comma", {}, '{"instanceId":"me" "keyPrefix":"x"}'],
    ["no word for the moment", {}, undefined, ["claude"]],
    ["another agent", {}, undefined, ["codex", "tool"]],
  ])("not understood with certainty is for the real hook: %s", async (_, settings, text, args) => {
    if (text !== undefined) write("project/.coord.json", text);
    const { node, stderr, code } = await hook(settings, args);
    expect({ node, stderr, code }).toEqual({ node: true, stderr: "", code: 0 });
  });
});
