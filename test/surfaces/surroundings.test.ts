/** What surrounds a program may be broken: what was not shown is not marked, the exit code tells, a sentence says what to do. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ensureRedisServer } from "../../src/server/install.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { PREFIX, useRedis } from "../harness.ts";
import {
  type Ended,
  COORD,
  RawServer,
  ROOT,
  bash,
  coord,
  environment,
  freePort,
  json,
  run,
  temporaryFolder,
} from "./run.ts";

const bench = useRedis();
beforeAll(() => bench.admitExports());
const settings = (): Record<string, string> => environment({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: "me" });
/** A line of bash in which `args` are `$1` and so on. */
const shell = (line: string, env = settings(), ...args: string[]): Promise<Ended> =>
  bash(`node=$1 main=$2; shift 2; ${line}`, [process.execPath, COORD, ...args], { env });
/** `coord` in such a line. */
const COORD_LINE = '"$node" "$main"';

const UNWRITTEN =
  "error: The output could not be written: ENOSPC: no space left on device, write.\n" +
  "What the command changes is done; what was not shown counts as unread. Run it again where there is room.\n";
const DELETED = "The working directory does not exist any more.";

/** Ids of messages that wait for `me`. */
async function receive(...descriptions: string[]): Promise<string[]> {
  const [other] = await bench.clients("other", "me");
  const ids = [];
  for (const description of descriptions) {
    ids.push((await other.publishMessage({ type: "GENERAL", subject: "s", description, to: "me" })).messageId);
  }
  return ids;
}

const unread = (): Promise<string[]> => bench.raw.zrange(`${PREFIX}:unread:me`, "0", "-1");

describe("[G3] output that cannot be written", () => {
  it.each(["check", "check --json", "check --pending", "show ID", "show ID --thread"])(
    "%s: marks nothing, and is shown once there is room",
    async (line) => {
      const [id] = await receive("text");
      const args = line.replace("ID", id!).split(" ");
      expect(await shell(`${COORD_LINE} "$@" >/dev/full`, settings(), ...args)).toMatchObject({
        code: 74,
        stderr: UNWRITTEN,
      });
      expect(await unread()).toEqual([id]);
      expect((await coord(args, { env: settings() })).stdout).toContain("text");
      expect(await unread()).toEqual([]);
    },
  );

  it("notifications: the events come again", async () => {
    await receive("text");
    expect(await shell(`${COORD_LINE} notifications >/dev/full`)).toMatchObject({ code: 74, stderr: UNWRITTEN });
    const client = await bench.client("me", { loanSeconds: 0 });
    for await (const { event } of client.events()) {
      expect(event).toBe("message_published");
      break;
    }
  });

  it("presence, stats, help, export and a publish, which is stored all the same", async () => {
    await receive("text");
    for (const line of ["presence", "stats --json", "--help", "export", "publish GENERAL s d --to other"]) {
      const ended = await shell(`${COORD_LINE} "$@" >/dev/full`, settings(), ...line.split(" "));
      expect([line, ended.code, ended.stderr]).toEqual([line, 74, expect.stringContaining(UNWRITTEN)]);
    }
    expect(await bench.raw.zcard(`${PREFIX}:timeline`)).toBe(2);
  });

  it("watch ends", async () => {
    const watching = shell(`${COORD_LINE} watch >/dev/full`);
    const publishing = setInterval(() => void receive("text"), 200);
    const { code, stderr } = await watching;
    clearInterval(publishing);
    expect([code, stderr]).toEqual([74, expect.stringContaining(UNWRITTEN)]);
  });

  it("a refusal keeps its own code where nobody can read it", async () => {
    expect(await shell(`${COORD_LINE} ack msg-0000000000 2>/dev/full`)).toMatchObject({ code: 1, stdout: "" });
    expect(await shell(`${COORD_LINE} ack msg-0000000000 --json >/dev/full`)).toMatchObject({ code: 1 });
  });
});

describe("[G3] a reader that closes early", () => {
  it("leaves unread what it did not read, and is no error", async () => {
    const ids = await receive(...["a", "b", "c"].map((letter) => letter.repeat(60_000)));
    const { stdout, stderr } = await shell(
      `${COORD_LINE} check | head -c 7; code=\${PIPESTATUS[0]}; echo; echo "$code"`,
    );
    expect({ stdout, stderr }).toEqual({ stdout: "GENERAL\n0\n", stderr: "" });
    expect(await unread()).toEqual(ids);
  });

  it("ends an export of more than a pipe holds", async () => {
    await receive(...["a", "b", "c"].map((letter) => letter.repeat(60_000)));
    const { stdout, stderr } = await shell(
      `${COORD_LINE} export | head -c 7; code=\${PIPESTATUS[0]}; echo; echo "$code"`,
    );
    expect({ stdout, stderr }).toEqual({ stdout: '{"kind"\n0\n', stderr: "" });
  });

  it("ends coord mcp", async () => {
    const request = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
    const line = `(while echo '${request}'; do sleep 0.1; done) 2>/dev/null | ${COORD_LINE} mcp | true; echo "\${PIPESTATUS[1]}"`;
    expect(await shell(line)).toMatchObject({ stdout: "0\n", stderr: "" });
  });
});

describe("a working directory that was deleted", () => {
  it.each(["presence", "check", "mcp", "watch", "doctor", "init --dry-run"])("coord %s says so", async (line) => {
    const folder = path.join(await temporaryFolder(), "gone");
    mkdirSync(folder);
    const ended = await shell(
      `cd "$1" && rmdir "$1" && shift && ${COORD_LINE} "$@"`,
      settings(),
      folder,
      ...line.split(" "),
    );
    const { code, stdout, stderr } = ended;
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: "",
      stderr: `error: ${DELETED}\nChange into one that does, for example: cd ~\n`,
    });
  });

  it("the scripts say so, and take no other folder for the project", async () => {
    const folder = path.join(await temporaryFolder(), "gone");
    mkdirSync(folder);
    const ended = await bash(
      'cd "$1" && rmdir "$1" && "$2"',
      [folder, path.join(ROOT, "scripts/coordination/check-messages.sh")],
      {
        env: settings(),
      },
    );
    expect([ended.code, ended.stdout, ended.stderr]).toEqual([1, "", expect.stringContaining(DELETED)]);
  });

  it("what needs no folder works", async () => {
    const folder = path.join(await temporaryFolder(), "gone");
    mkdirSync(folder);
    const line = `cd "$1" && rmdir "$1" && ${COORD_LINE} --version && ${COORD_LINE} completion bash >/dev/null`;
    expect(await shell(line, settings(), folder)).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("a home, a temporary folder, a PATH", () => {
  it("without HOME everything works", async () => {
    const { HOME: _, ...env } = settings();
    expect(json(await coord(["presence", "--json"], { env }))).toMatchObject({ success: true });
  });

  it("a home in which nothing can be written is said with its name", async () => {
    // A file in its place refuses everybody, root too.
    const HOME = path.join(ROOT, "package.json");
    const server = { COORD_REDIS_SERVER: await ensureRedisServer(), REDIS_PORT: String(await freePort()) };
    const { code, stderr } = await coord(["up"], { env: { ...environment(server), HOME } });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: The system refuses: ENOTDIR: .*package\.json/)]);
    expect(stderr).not.toContain("    at ");
  });

  it("a temporary folder that is not there is said with its name", async () => {
    const { code, stderr } = await coord(["demo"], { env: environment({ TMPDIR: "/nonexistent" }) });
    expect([code, stderr]).toEqual([1, expect.stringContaining("mkdtemp '/nonexistent/")]);
    expect(stderr).not.toContain("    at ");
  });

  it("without node the scripts say so, and the hook does as well without disturbing its session", async () => {
    const scripts = path.join(ROOT, "scripts/coordination");
    for (const name of ["publish-message.sh", "check-messages.sh", "ack-message.sh"]) {
      expect(await run("/bin/sh", [path.join(scripts, name)], { env: { PATH: "/nonexistent" } })).toMatchObject({
        code: 1,
        stderr: "There is no node on PATH: cli-coordination needs Node 20.19 or newer\n",
      });
    }
    const hook = path.join(ROOT, "dist/coord-hook");
    expect(await run("/bin/bash", [hook, "claude"], { env: { PATH: "/nonexistent" }, input: "{}" })).toMatchObject({
      code: 0,
      stdout: "",
      stderr:
        "coord-hook: there is no node on PATH, so no messages are shown; start the agent where `node --version` works\n",
    });
  });
});

describe("nothing of a library's own reaches standard error", () => {
  it("with a password that nobody asks for", async () => {
    const redis = await startThrowawayRedis();
    onTestFinished(() => redis.stop());
    const env = environment({ REDIS_URL: redis.url, REDIS_PASSWORD: "secret", CLAUDE_INSTANCE_ID: "me" });
    expect(await coord(["presence", "--json"], { env })).toMatchObject({ code: 0, stderr: "" });
    const server = new RawServer({ REDIS_URL: redis.url, REDIS_PASSWORD: "secret", CLAUDE_INSTANCE_ID: "me" });
    await server.initialize();
    server.process.stdin!.end();
    expect(await server.ended).toMatchObject({ code: 0, stderr: "" });
  });

  it("nor where a client reads forty long answers late", async () => {
    await receive(...Array.from({ length: 5 }, () => "x".repeat(20_000)));
    const server = new RawServer(settings());
    await server.initialize();
    server.process.stdout!.pause();
    const params = { name: "coord_check_messages", arguments: { all: true } };
    const ids = Array.from({ length: 40 }, (_, i) => i + 1);
    server.send(...ids.map((id) => ({ id, method: "tools/call", params })));
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // until the pipe is full and the answers wait
    server.process.stdout!.resume();
    for (const id of ids) await server.answer(id);
    server.process.stdin!.end();
    expect(await server.ended).toMatchObject({ code: 0, stderr: "" });
  });
});
