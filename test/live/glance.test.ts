/** What a person looks at: `coord watch` in a terminal and the status line of an agent. */
import { describe, expect, it } from "vitest";
import { COORD, runOf, type Stage, type Started, START, until, useRedis } from "./agent.ts";
import { MessageType } from "../../src/protocol/definition.ts";

const bench = useRedis();

async function watching(stage: Stage, args: string[] = [], env: Record<string, string> = {}): Promise<Started> {
  const agent = await stage.agent("");
  const watch = agent.start([COORD, "watch", ...args], env);
  await until(() => watch.stderr.includes("Following"));
  return watch;
}

const plainTimes = (text: string): string => text.replaceAll(/^\d\d:\d\d:\d\d(?= )/gm, "<time>");
// oxlint-disable-next-line no-control-regex
const ESCAPE = /\x1b/;

describe.concurrent("coord watch", () => {
  it("prints what happens, a block for each event, without colour into a pipe", async () => {
    const stage = bench.stage();
    const watch = await watching(stage);
    const session = await stage.client("backend", { session: runOf() });
    const id = await stage.send("backend", "login\u202E form");
    await session.ackMessage(id, { comment: "merged\u001b[2J" });
    await session.leave();
    await until(() => watch.stdout.includes("left"));
    expect((await stage.plain(plainTimes(watch.stdout))).split("\n")).toEqual([
      "<time> backend joined",
      "<time> orchestrator → backend: GENERAL login\\u{202e} form",
      "  ID: m1",
      "<time> backend acknowledged GENERAL login\\u{202e} form: merged\\u{1b}[2J",
      "  ID: m1",
      "<time> backend left",
      "",
    ]);
    watch.kill("SIGINT");
    expect((await watch.ended).code).toBe(0);
    expect(watch.stderr).toBe(`Following ${stage.prefix}; end with Ctrl-C.\n`); // its own end is no lost connection
  });

  it("with --since tells first what was published since then, in local times and within 80 columns, each message once", async () => {
    const stage = bench.stage();
    const [old, long, answer] = [
      await stage.send("backend", "before"),
      await stage.send("backend", "語".repeat(100)),
      await stage.send("all", "to all", { type: MessageType.NOTIFICATION }),
    ];
    await stage.raw.hset(`${stage.prefix}:msg:${long}`, "timestamp", "2020-01-31T20:00:05.678Z");
    await stage.raw.hset(`${stage.prefix}:msg:${answer}`, "timestamp", "2020-01-31T20:01:00.000Z");
    const watch = await watching(stage, ["--since", old], { TZ: "Asia/Kolkata" });
    const since = await watching(stage, ["--since", "1h", "--json", "--only", "backend"]);
    await stage.send("backend", "live");
    await until(() => watch.stdout.includes("live") && since.stdout.includes("live"));
    expect(
      (await stage.plain(plainTimes(watch.stdout))).replace(/\d{4}-\d\d-\d\d\n(?=.*live)/, "<today>\n").split("\n"),
    ).toEqual([
      "2020-02-01",
      `<time> orchestrator → backend: GENERAL ${"語".repeat(19)}…`,
      "  ID: m2",
      "<time> orchestrator → all: NOTIFICATION to all",
      "  ID: m3",
      "<today>",
      "<time> orchestrator → backend: GENERAL live",
      "  ID: m4",
      "",
    ]);
    expect(watch.stdout).toContain("01:30:05 orchestrator → backend");
    const events = since.stdout.trim().split("\n");
    expect(events.map((line) => (JSON.parse(line) as { subject: string }).subject)).toEqual([
      "before",
      "語".repeat(100),
      "to all",
      "live",
    ]);
    const agent = await stage.agent("");
    for (const when of ["yesterday", "5 m", "2026-11-30 is:dead", "msg-nothere000"]) {
      const { code, stderr } = await agent.start([COORD, "watch", "--since", when]).ended;
      expect([when, code, stderr]).toEqual([when, 1, expect.stringContaining(when)]);
    }
  });

  it("says on a terminal who is there, whenever that changes", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("");
    const terminal = agent.start(["-e", TERMINAL, `${process.execPath} ${COORD} watch`], { NO_COLOR: "1" });
    await until(() => terminal.stdout.includes("There: nobody yet"));
    const session = await stage.client("backend", { session: runOf() });
    await until(() => terminal.stdout.includes("There: backend"));
    await session.leave();
    await until(() => terminal.stdout.includes("There: nobody right now"));
    terminal.kill("SIGTERM");
  });

  it("prints colour on a terminal, and none where NO_COLOR is set", async () => {
    const stage = bench.stage();
    const outputs: string[] = [];
    for (const env of [{ TERM: "xterm" }, { TERM: "xterm", NO_COLOR: "1" }]) {
      const agent = await stage.agent("");
      const terminal = agent.start(["-e", TERMINAL, `${process.execPath} ${COORD} watch`], env);
      await until(() => terminal.stdout.includes("Following"));
      await stage.send("backend", "login");
      await until(() => terminal.stdout.includes("login"));
      outputs.push(terminal.stdout);
      terminal.kill("SIGTERM");
    }
    expect([ESCAPE.test(outputs[0]!), ESCAPE.test(outputs[1]!)]).toEqual([true, false]);
  });

  it("with --json prints one event a line, with --only what concerns one instance", async () => {
    const stage = bench.stage();
    await stage.command("backend").registerInstance();
    const watch = await watching(stage, ["--json", "--only", "backend"]);
    await stage.send("other", "not this");
    const id = await stage.send("backend", "to it");
    await stage.send("other", "by it", { from: "backend" });
    await stage.send("all", "to all", { type: MessageType.NOTIFICATION });
    await stage.command("backend").ackMessage(id);
    await until(() => watch.stdout.includes("acknowledged"));
    const events = watch.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.map(({ event, from, to, subject }) => [event, from, to, subject])).toEqual([
      ["message_published", "orchestrator", "backend", "to it"],
      ["message_published", "backend", "other", "by it"],
      ["message_published", "orchestrator", "all", "to all"],
      ["message_acknowledged", "backend", "orchestrator", "to it"],
    ]);
    expect(events[0]).toMatchObject({ message_id: id, requires_ack: true, type: "GENERAL" });
  });

  it("refuses within a second where there is no Redis, and a malformed name", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("");
    const down = await agent.start([COORD, "watch"], { REDIS_URL: "redis://127.0.0.1:1" }).ended;
    expect([down.code, down.stdout, down.stderr]).toEqual([69, "", expect.stringContaining("127.0.0.1:1")]);
    expect((await agent.start([COORD, "watch", "--only", "a b"]).ended).code).toBe(1);
  });

  it("ends quietly when nobody reads it any more", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("");
    const piped = agent.start(["-e", TERMINAL_PIPE, `${process.execPath} ${COORD} watch | head -n 1`]);
    const channel = `${stage.prefix}:events`;
    await until(async () => ((await stage.raw.pubsub("NUMSUB", channel)) as [string, number])[1] > 0);
    await until(async () => {
      await stage.send("backend", "login");
      return piped.exited;
    });
    const { code, stderr } = await piped.ended;
    expect([code, stderr.replace(/^Following.*\n/, "")]).toEqual([0, ""]);
  });
});

/** Runs a command on a terminal of its own. */
const TERMINAL = `
  const { spawn } = require("node:child_process");
  const child = spawn("script", ["-qefc", process.argv[1], "/dev/null"], { stdio: ["ignore", "inherit", "inherit"] });
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("exit", () => process.exit());`;
const TERMINAL_PIPE = `
  const { spawnSync } = require("node:child_process");
  process.exit(spawnSync("bash", ["-c", process.argv[1]], { stdio: "inherit" }).status);`;

describe.concurrent("coord statusline", () => {
  // oxlint-disable-next-line no-control-regex
  const uncoloured = (text: string): string => text.replaceAll(/\x1b\[\d+m/g, "");

  it("shows what is unread and pending, and who is active", async () => {
    const stage = bench.stage();
    await stage.hadSession("backend");
    const agent = await stage.agent("backend");
    expect(uncoloured((await agent.coord("statusline")).stdout)).toBe("backend · nobody else active\n");
    await stage.client("frontend", { session: runOf() });
    const left = await stage.client("gone", { session: runOf() });
    await left.leave();
    await stage.send("backend", "one");
    await stage.send("backend", "two", { type: MessageType.NOTIFICATION });
    const { code, stdout, stderr } = await agent.coord("statusline");
    expect([code, stderr, uncoloured(stdout)]).toEqual([
      0,
      "",
      "backend · 2 unread · 1 pending · active: frontend, orchestrator\n",
    ]);
    expect(ESCAPE.test(stdout)).toBe(true);
    const child = agent.start([COORD, "statusline"], { NO_COLOR: "1" });
    child.endInput();
    expect((await child.ended).stdout).toBe("backend · 2 unread · 1 pending · active: frontend, orchestrator\n");
    // Looking is no reading.
    expect(await agent.shown(START)).toContain("About one.");
  });

  it("never fails: with Redis down, or a malformed setting, it says so in its line", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    for (const [env, text] of [
      [{ REDIS_URL: "redis://127.0.0.1:1" }, "coord: Redis at 127.0.0.1:1: nothing listens there.\n"],
      [{ CLAUDE_INSTANCE_ID: "all" }, expect.stringMatching(/^coord: .*\n$/)],
    ] as const) {
      const child = agent.start([COORD, "statusline"], { ...env, NO_COLOR: "1" });
      child.endInput();
      const { code, stdout, stderr } = await child.ended;
      expect([code, stderr, stdout]).toEqual([0, "", text]);
    }
  });
});

// On its own: it cuts the connections of everybody who listens.
describe("coord watch, cut off", () => {
  it("goes on after its connection was cut, and says so", async () => {
    const stage = bench.stage();
    const watch = await watching(stage);
    await stage.raw.call("CLIENT", "KILL", "TYPE", "pubsub");
    // Nobody hears these: they are read from what is stored.
    for (let n = 1; n <= 5; n++) await stage.send("backend", `missed ${n}`);
    await until(() => watch.stderr.includes("The connection was lost and is back"));
    await stage.send("backend", "login");
    await until(() => watch.stdout.includes("login"));
    expect(watch.stdout.match(/missed \d|login/g)).toEqual([
      "missed 1",
      "missed 2",
      "missed 3",
      "missed 4",
      "missed 5",
      "login",
    ]);
  });
});
