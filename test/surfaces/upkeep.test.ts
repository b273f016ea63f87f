/** What keeps a namespace in order, as a person runs it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { useRedis } from "../harness.ts";
import { COORD, type Environment, bash, coord, environment } from "./run.ts";

const bench = useRedis();
beforeAll(() => bench.admitExports());

const env = (more: Environment = {}): Environment =>
  environment({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: "alice", ...more });

/** What a command prints, as one text for a snapshot; times and ids made comparable. */
async function printed(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await coord(args, { env: env() });
  const text = `$ coord ${args.join(" ")}\n${stdout}${stderr === "" ? "" : `--- stderr\n${stderr}`}--- exit ${code}\n`;
  return (await bench.plain(text)).replaceAll(/(waiting for|for|the|after) \d+ s/g, "$1 <n> s");
}

test("deadlines and what is dead, in one play: settings, sweep, dead, retry and drop", async () => {
  await bench.seen({ bob: 0, orchestrator: 0 });
  const lines = [await printed("settings", "ack_attempts", "1")];
  lines.push(await printed("publish", "GENERAL", "tests", "", "--to", "bob", "--ack-within", "600"));
  const [id] = await bench.raw.zrange("coord:timeline", "0", "0");
  for (let step = 0; step < 3; step++) {
    await bench.passDeadlines();
    lines.push(await printed("sweep"));
  }
  lines.push(await printed("dead"), await printed("dead", "retry", id!), await printed("dead"));
  for (let step = 0; step < 3; step++) {
    await bench.passDeadlines();
    await coord(["sweep"], { env: env() });
  }
  lines.push(await printed("dead", "drop", id!), await printed("notifications", "--limit", "3"));
  lines.push(await printed("show", id!));
  expect(lines.join("\n")).toMatchSnapshot();
});

test("--json prints the fields of the library", async () => {
  const outputs = [];
  for (const args of [["settings"], ["sweep"], ["dead"], ["dead", "list", "--limit", "1"]]) {
    const { code, stdout } = await coord([...args, "--json"], { env: env() });
    outputs.push([code, args, JSON.parse(stdout)]);
  }
  const nothing = { success: true, count: 0, messages: [], more: false, unreadable: [] };
  expect(outputs).toEqual([
    [
      0,
      ["settings"],
      {
        success: true,
        retention_days: 30,
        max_messages: 100_000,
        ack_attempts: 2,
        ack_interval_seconds: 300,
        presence_timeout_seconds: 300,
        loop_messages: 50,
        loop_seconds: 300,
        loop_replies: 6,
        senders: "off",
      },
    ],
    [0, ["sweep"], { success: true, announced: 0, told: 0, dead: 0, removed: 0, more: false }],
    [0, ["dead"], nothing],
    [0, ["dead", "list", "--limit", "1"], nothing],
  ]);
});

test.each([
  [["dead", "retry", "msg-nothing"], 'error: message_id is "msg-nothing": it is not listed as dead.'],
  [["dead", "retry"], "error: message_id names 0 messages: it takes 1-100 at once."],
  [["drop", "msg-nothing"], 'error: message_id is "msg-nothing": nobody is asked for it.'],
  [["dead", "bury"], 'error: action is "bury": it is list, retry or drop.'],
  [["dead", "list", "msg-x"], "error: list takes no message ids."],
  [["settings", "speed", "1"], 'error: name is "speed": no such setting.'],
  [["settings", "max_messages"], "error: max_messages needs a value."],
  [
    ["settings", "max_messages", "many"],
    'error: max_messages is "many": it must be a whole number from 1 to 1000000000.',
  ],
  [["publish", "GENERAL", "s", "d", "--ack-within", "soon"], 'error: ack_within is "soon": it must be a whole number'],
  [["import", "/nowhere/file"], "error: /nowhere/file cannot be read: ENOENT"],
  [["import"], "error: The file ends after line 0, before its last line: 0 messages were read."],
])("coord %s is refused", async (args, sentence) => {
  const { code, stdout, stderr } = await coord(args, { env: env() });
  expect([code, stdout, stderr]).toEqual([1, "", expect.stringContaining(sentence)]);
});

test("[G2] a namespace goes through a pipe into another one, whole; through a file as well", async () => {
  await bench.admit("copy");
  for (const [i, name] of ["bob", "all", "later"].entries()) {
    const text = `line ${i}\n\u2028\u{1f986} "quoted" \\ `.repeat(2000);
    await coord(["publish", "GENERAL", "text", "-", "--to", name], { env: env(), input: text });
  }
  const expected = (await coord(["check", "--all", "--json"], { env: env() })).stdout;
  const line = 'set -o pipefail; "$1" "$2" export | COORD_KEY_PREFIX=copy "$1" "$2" import';
  const piped = await bash(line, [process.execPath, COORD], { env: env() });
  expect(piped).toMatchObject({ code: 0, stdout: "3 messages: 3 put back, 0 here already\n", stderr: "" });
  const copied = await coord(["check", "--all", "--json"], { env: env({ COORD_KEY_PREFIX: "copy" }) });
  expect(copied.stdout).toBe(expected);

  const folder = await mkdtemp(path.join(tmpdir(), "coord-archive-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = path.join(folder, "coord.jsonl");
  await writeFile(file, (await coord(["export"], { env: env() })).stdout);
  const again = await coord(["import", file, "--json"], { env: env({ COORD_KEY_PREFIX: "copy" }) });
  expect(JSON.parse(again.stdout)).toEqual({ success: true, messages: 3, restored: 0, present: 3 });
});
