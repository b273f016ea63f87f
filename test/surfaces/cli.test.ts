/** The command line as people and scripts see it: what each command prints, and the same JSON as the MCP tools. */
import { describe, expect, it } from "vitest";
import { until, useRedis } from "../harness.ts";
import {
  COORD,
  type Ended,
  type Environment,
  type Wire,
  bash,
  coord,
  environment,
  json,
  run,
  script,
  startAgent,
} from "./run.ts";

const bench = useRedis();

function env(instance: string | undefined, more: Environment = {}): Environment {
  const name = instance === undefined ? {} : { CLAUDE_INSTANCE_ID: instance };
  return environment({ REDIS_URL: bench.redis.url, ...name, ...more });
}

/** What a command prints, as one text for a snapshot; times, ids and ages made comparable. */
async function printed(instance: string, ...args: readonly string[]): Promise<string> {
  return told(args, await coord(args, { env: env(instance) }));
}

async function told(args: readonly string[], { code, stdout, stderr }: Ended): Promise<string> {
  const errors = stderr === "" ? "" : `--- stderr\n${stderr}`;
  const text = `$ coord ${args.join(" ")}\n${stdout}${errors}--- exit ${code}\n`;
  return (await bench.plain(text))
    .replaceAll(/seen \d+ s ago/g, "seen <n> s ago")
    .replaceAll(/after \d+ s$/gm, "after <n> s");
}

async function publish(instance: string, ...args: readonly string[]): Promise<string> {
  const ended = await coord(["publish", ...args, "--json"], { env: env(instance) });
  return String((JSON.parse(ended.stdout) as Wire)["message_id"]);
}

describe("what people read", () => {
  it("publish, check, show, ack, notifications, stats, presence and forget, in one play", async () => {
    await bench.seen({ orchestrator: 0, "feature-auth": 0, "feature-ui": 0 });
    const lines = [
      await printed("feature-auth", "publish", "READY_FOR_REVIEW", "login form", "Branch feat/login\ntests pass"),
      await printed("feature-auth", "publish", "NOTIFICATION", "lunch", "", "--to", "feature-uy"),
    ];
    const [review] = await bench.raw.zrange("coord:timeline", "0", "0");
    lines.push(
      await printed("orchestrator", "check", "--pending"),
      await printed("orchestrator", "publish", "REVIEW_FAILED", "login form", "No tests.", "--reply-to", review!),
      await printed("feature-auth", "notifications"),
      await printed("feature-auth", "notifications"),
      await printed("feature-auth", "check"),
      await printed("orchestrator", "publish", "CONTRACT_APPROVED", "POST /session", "Returns 201."),
    );
    const contract = (await bench.raw.zrange("coord:timeline", "-1", "-1"))[0]!;
    lines.push(
      await printed("feature-ui", "ack", contract, "--comment", "adapted\nall of it"),
      await printed("feature-ui", "ack", contract, "--comment", "again"),
      await printed("feature-ui", "ack", contract, "msg-nope"),
      await printed("orchestrator", "show", contract),
      await printed("orchestrator", "show", review!, "--thread"),
      await printed("orchestrator", "check", "--all", "--limit", "1"),
      await printed("orchestrator", "check", "--since", review!, "--all", "--limit", "1"),
      await printed("orchestrator", "notifications"),
      await printed("orchestrator", "check", "--type", "META_CHANGE_REQUEST"),
      await printed("orchestrator", "check", "--pending"),
      await printed("orchestrator", "search", "FORM", "-branch"),
      await printed("orchestrator", "search", "from:feature-auth", "--limit", "1"),
      await printed("orchestrator", "search", "adapted -from:orchestrator"),
      await printed("orchestrator", "search", "form:alice"),
      await printed("orchestrator", "presence"),
      await printed("orchestrator", "stats"),
      await printed("orchestrator", "forget", "feature-ui"),
      await printed("orchestrator", "forget", "nobody"),
      await printed("orchestrator", "publish", "GENERAL", "again", "", "--idempotency-key", "k"),
      await printed("orchestrator", "publish", "GENERAL", "again", "", "--idempotency-key", "k"),
    );
    expect(lines.join("\n")).toMatchSnapshot();
  });

  it("an empty namespace", async () => {
    const lines = [];
    for (const args of [["check"], ["check", "--pending"], ["notifications"], ["stats"], ["presence"]]) {
      lines.push(await printed("backend", ...args));
    }
    expect(lines.join("\n")).toMatchSnapshot();
  });

  it("what is broken in Redis is reported, and the rest is listed", async () => {
    await bench.seen({ frontend: 0, backend: 0 });
    const ids = [];
    for (const subject of ["first", "second", "third"]) {
      ids.push(await publish("frontend", "GENERAL", subject, "d", "--to", "backend"));
    }
    await bench.raw.del(`coord:msg:${ids[0]}`);
    await bench.raw.hset(`coord:msg:${ids[1]}`, "type", "OF_A_NEWER_VERSION", "colour", "blue");
    await bench.raw.hset("coord:presence", "broken", "{", "newer", '{"last_heartbeat":7,"mood":"good"}');
    await bench.raw.lpush("coord:notifications:backend", "{", '{"event":"of_a_newer_version","type":"X"}');
    const lines = [
      await printed("backend", "check"),
      await printed("backend", "presence"),
      await printed("backend", "notifications"),
      await printed("backend", "stats"),
    ];
    expect(lines.join("\n")).toMatchSnapshot();
  });

  it("the message id stands on a line of its own, to be cut out by a script", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const line = `node "$1" publish GENERAL s d --to frontend | sed -n 's/^  ID: //p'`;
    const { stdout } = await bash(line, [COORD], { env: env("backend") });
    expect([stdout.trimEnd()]).toEqual(await bench.raw.zrange("coord:timeline", "0", "-1"));
  });
});

describe("--json prints what the MCP tool returns", () => {
  /** A command and the tool call that means the same; `id` is the first message of the play, `last` its newest. */
  type Step = [args: string[], tool: string, call: Wire];
  const steps = (id: string, last: string): Step[] => [
    [["check"], "coord_check_messages", {}],
    [["check", "--pending"], "coord_check_messages", { pending_only: true }],
    [["check", "--all", "--limit", "2"], "coord_check_messages", { all: true, limit: 2 }],
    [["check", "--to", "backend"], "coord_check_messages", { to_instance: "backend" }],
    [["check", "--from", "frontend"], "coord_check_messages", { from_instance: "frontend" }],
    [["check", "--from", "backend", "--all"], "coord_check_messages", { from_instance: "backend", all: true }],
    [["check", "--type", "NOTIFICATION"], "coord_check_messages", { msg_type: "NOTIFICATION" }],
    [["check", "--since", id], "coord_check_messages", { since: id }],
    [["check", "--before", last], "coord_check_messages", { before: last }],
    [["check", "--thread", id], "coord_check_messages", { thread: id }],
    [["show", id], "coord_check_messages", { message_id: id }],
    [["search", "LOGIN", '"one\ntwo"'], "coord_check_messages", { query: 'LOGIN "one\ntwo"' }],
    [
      ["search", "login", "-from:frontend", "--limit", "1"],
      "coord_check_messages",
      { query: "login -from:frontend", limit: 1 },
    ],
    [["search", "login", "--before", last], "coord_check_messages", { query: "login", before: last }],
    [["search", "nowhere"], "coord_check_messages", { query: "nowhere", all: true }],
    [["ack", id, "--comment", "c"], "coord_ack_message", { message_id: id, comment: "c" }],
    [["ack", id], "coord_ack_message", { message_id: id }],
    [["presence"], "coord_get_presence", {}],
    [["notifications", "--limit", "1"], "coord_get_notifications", { limit: 1 }],
    [["notifications"], "coord_get_notifications", {}],
    [
      ["publish", "GENERAL", "s", "d", "--to", "frontend", "--no-ack"],
      "coord_publish_message",
      { msg_type: "GENERAL", subject: "s", description: "d", to_instance: "frontend", requires_ack: false },
    ],
    [
      ["publish", "REVIEW_FAILED", "s", "d", "--reply-to", last],
      "coord_publish_message",
      { msg_type: "REVIEW_FAILED", subject: "s", description: "d", reply_to: last },
    ],
    [
      ["publish", "CONTRACT_APPROVED", "s", "d"],
      "coord_publish_message",
      { msg_type: "CONTRACT_APPROVED", subject: "s", description: "d" },
    ],
  ];

  it("with the same fields in the same order, for the same state", async () => {
    // The same play in two namespaces: one by commands, one by tools.
    const prepare = async (keyPrefix: string): Promise<[first: string, last: string]> => {
      await bench.admit(keyPrefix);
      const ids = [];
      const names = ["backend", "frontend", "orchestrator"] as const;
      for (const name of names) await (await bench.client(name, { keyPrefix })).touch();
      const [backend, frontend] = [
        await bench.client("backend", { keyPrefix }),
        await bench.client("frontend", { keyPrefix }),
      ];
      const content = { subject: "login \u001b[31m \u202e", description: "one\ntwo\u0085" };
      ids.push((await frontend.publishMessage({ type: "GENERAL", ...content, to: "backend" })).messageId);
      await backend.publishMessage({ type: "GENERAL", ...content, to: "frontend", replyTo: ids[0] });
      await frontend.publishMessage({ type: "NOTIFICATION", ...content, to: "all" });
      ids.push((await frontend.publishMessage({ type: "GENERAL", ...content, to: "backend" })).messageId);
      return [ids[0]!, ids[1]!];
    };
    const byTool = await prepare("tool");
    const byCommand = await prepare("command");
    await using agent = await startAgent({ ...env("backend"), COORD_KEY_PREFIX: "tool" });
    const results: [unknown[], unknown[]] = [[], []];
    for (const [, tool, call] of steps(...byTool)) results[0].push(JSON.stringify(await agent.get(tool, call)));
    for (const [args] of steps(...byCommand)) {
      const ended = await coord([...args, "--json"], { env: env("backend", { COORD_KEY_PREFIX: "command" }) });
      results[1].push(JSON.stringify(JSON.parse(ended.stdout)));
    }
    const comparable = async (texts: unknown[]): Promise<unknown[]> =>
      (await bench.plain(texts as string[])).map((text) =>
        // The server is a session, a command is none.
        text.replaceAll(/(heartbeat":)\d+/g, "$1<n>").replaceAll(/"session":\{[^}]*\}/g, '"session":{}'),
      );
    expect(await comparable(results[1])).toEqual(await comparable(results[0]));
  });

  it("several acknowledgements: each result on its own, exit 1 when one was refused", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const id = await publish("frontend", "GENERAL", "s", "d", "--to", "backend");
    const other = await publish("frontend", "GENERAL", "s", "d", "--to", "orchestrator");
    const { code, stdout } = await script("ack", [id, other, "msg-nope", "--json"], { env: env("backend") });
    const result = await bench.plain(JSON.parse(stdout) as Wire);
    expect({ code, result }).toEqual({
      code: 1,
      result: {
        success: false,
        results: [
          { message_id: "m1", acknowledged_by: "backend", timestamp: "<time>", already: false },
          {
            message_id: "m2",
            code: "NOT_RECIPIENT",
            error: expect.any(String) as string,
            hint: expect.any(String) as string,
          },
          {
            message_id: "msg-nope",
            code: "NOT_FOUND",
            error: 'message_id is "msg-nope": no such message is stored.',
            hint: "List messages with check and copy the id from there.",
          },
        ],
      },
    });
    expect(json(await script("ack", [id, id, "--json"], { env: env("backend") }))).toMatchObject({ success: true });
  });

  it("stats and forget", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    await publish("backend", "GENERAL", "s", "d", "--to", "frontend");
    const stats = json(await coord(["stats", "--json"], { env: env("backend") }));
    const forgotten = json(await coord(["forget", "frontend", "--json"], { env: env("backend") }));
    expect(await bench.plain([stats, forgotten])).toMatchSnapshot();
  });
});

describe("exit codes", () => {
  it("75 when --wait ended without a message, with and without --json", async () => {
    const [human, wire] = await Promise.all([
      script("check", ["--wait", "0.2"], { env: env("backend") }),
      coord(["check", "--wait", "0.2", "--json"], { env: env("backend") }),
    ]);
    expect([human.code, human.stdout, human.stderr]).toEqual([75, "No messages.\n", ""]);
    expect([wire.code, JSON.parse(wire.stdout), wire.stderr]).toEqual([75, expect.objectContaining({ count: 0 }), ""]);
  });

  it("0 when --wait got one", async () => {
    const waiting = script("check", ["--wait", "15", "--json"], { env: env("backend") });
    await until(async () => Number((await bench.raw.pubsub("NUMSUB", "coord:notify:backend"))[1]) > 0);
    const id = await publish("frontend", "GENERAL", "s", "d", "--to", "backend");
    const { messages } = json(await waiting);
    expect((messages as Wire[]).map((message) => message["id"])).toEqual([id]);
  });

  it("0 when only warned, with the warning on stderr", async () => {
    const ended = await coord(["publish", "GENERAL", "s", "d", "--to", "nobody"], { env: env("backend") });
    expect([ended.code, ended.stderr]).toEqual([
      0,
      'warning: No instance "nobody" has ever been seen: it gets the message when it starts.\n',
    ]);
  });
});

describe("[G10] a terminal gets no control characters of a message", () => {
  const EVIL = "\x1b[2J\x1b]0;title\x07\x08\x7f\x9b31m\r\u202etxet\u2066\u200f";
  // Those of C0 but tab and newline, DEL, C1, and what turns the direction of text.
  // oxlint-disable-next-line no-control-regex
  const RAW = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
  const LOOKS = [
    ["check"],
    ["check", "--from", "backend"],
    ["show", "<id>"],
    ["search", "to:all"],
    ["search", "-nothing"],
    ["presence"],
    ["stats"],
    ["notifications"],
    ["publish", "GENERAL", "s", "d", "--to", "all"],
    ["publish", "GENERAL", "s", "d", "--to", "ab"],
    ["ack", "<id>"],
    ["check", "--json"],
    ["presence", "--json"],
  ];

  /** What reached the terminal, and the characters before it. */
  async function dirty(looks: readonly string[][], id: string): Promise<string[]> {
    const found: string[] = [];
    for (const words of looks) {
      const args = words.map((word) => (word === "<id>" ? id : word));
      const { stdout, stderr } = await coord(args, { env: env("backend") });
      const at = `${stdout}${stderr}`.search(RAW);
      if (at >= 0) found.push(`${words.join(" ")}: ${JSON.stringify(`${stdout}${stderr}`.slice(at - 30, at))}`);
    }
    return found;
  }

  it("that came in by our rules", async () => {
    const [frontend, backend] = await bench.clients("frontend", "backend");
    const content = { type: "GENERAL", subject: EVIL.replaceAll("\r", ""), description: EVIL } as const;
    const { messageId } = await frontend.publishMessage({ ...content, to: "backend" });
    const sent = await backend.publishMessage({ ...content, to: "frontend" });
    await frontend.ackMessage(sent.messageId, { comment: EVIL });
    const looks = [
      ["notifications"],
      ["search", "title"],
      ["search", "title", "--json"],
      ["check"],
      ["check", "--from", "backend"],
      ["check", "--all", "--json"],
    ];
    expect(await dirty(looks, messageId)).toEqual([]);
  });

  it("nor of what somebody else wrote into Redis", async () => {
    await bench.seen({ backend: 0, ab: 0, [`ab${EVIL}`]: 0, [EVIL]: 0 });
    const frontend = await bench.client("frontend");
    const content = { type: "GENERAL", subject: "s", description: "d" } as const;
    const { messageId } = await frontend.publishMessage({ ...content, to: "backend" });
    const fields = ["type", "from", "to", "timestamp", "subject", "description", "reply_to", "thread"];
    await bench.raw.hset(`coord:msg:${messageId}`, Object.fromEntries(fields.map((field) => [field, EVIL])));
    await bench.raw.hset("coord:meta", `published:${EVIL}`, "1");
    const session = Object.fromEntries(["agent", "host", "cwd", "branch", "activity"].map((fact) => [fact, EVIL]));
    await bench.raw.hset("coord:presence", "ab", JSON.stringify({ last_heartbeat: new Date().toISOString(), session }));
    const event = { message_id: EVIL, type: EVIL, from: EVIL, subject: EVIL, timestamp: EVIL, comment: EVIL };
    for (const name of ["message_published", "message_acknowledged", "events_skipped", "unreadable", EVIL]) {
      const more = { event: name, count: EVIL, reason: EVIL };
      await bench.raw.rpush("coord:notifications:backend", JSON.stringify({ ...event, ...more }));
    }
    expect(await dirty(LOOKS, messageId)).toEqual([]);
  });

  it("nor does a refusal repeat them", async () => {
    const ended = await coord(["check", "--from", EVIL, "--json"], { env: env("backend") });
    expect([ended.code, RAW.test(`${ended.stdout}${ended.stderr}`)]).toEqual([1, false]);
    const usage = await coord(["check", `--${EVIL}`, EVIL], { env: env("backend") });
    expect([usage.code, RAW.test(`${usage.stdout}${usage.stderr}`)]).toEqual([64, false]);
  });
});

const terminal = await terminalProgram();

describe("colour", () => {
  const ESCAPE = "\x1b[";

  it.each([{}, { CI: "true" }, { FORCE_COLOR: "1" }] as Environment[])(
    "none through a pipe, in results and refusals: %j",
    async (more) => {
      const [frontend] = await bench.clients("frontend", "backend");
      await frontend.publishMessage({ type: "GENERAL", subject: "s", description: "d", to: "backend" });
      for (const args of [["check"], ["check", "--limit", "0"]]) {
        const { stdout, stderr } = await coord(args, { env: env("backend", { TERM: "xterm", ...more }) });
        expect(`${stdout}${stderr}`).not.toContain(ESCAPE);
      }
    },
  );

  /** Runs `coord` on a terminal of its own. */
  async function onTerminal(args: readonly string[], more: Environment): Promise<Ended> {
    return run(...terminal!(`node ${COORD} ${args.join(" ")}`), {
      env: env("backend", { TERM: "xterm", ...more }),
    });
  }

  it("on a terminal only, and none with NO_COLOR", async ({ skip }) => {
    skip(terminal === undefined, "neither script of util-linux nor python3 is here");
    const [frontend] = await bench.clients("frontend", "backend");
    await frontend.publishMessage({ type: "GENERAL", subject: "s", description: "d", to: "backend" });
    const coloured = await onTerminal(["check"], {});
    expect([coloured.code, coloured.stdout.includes(`${ESCAPE}33m`)]).toEqual([0, true]);
    expect((await onTerminal(["check", "--limit", "0"], {})).stdout).toContain(`${ESCAPE}31merror:${ESCAPE}39m`);
    for (const more of [{ NO_COLOR: "1" }, { TERM: "dumb" }] as Environment[]) {
      const plain = await onTerminal(["check"], more);
      expect([plain.code, plain.stdout.includes(ESCAPE)]).toEqual([0, false]);
    }
    const wire = await onTerminal(["check", "--json"], {});
    expect(JSON.parse(wire.stdout)).toMatchObject({ success: true, count: 1 });
  });
});

describe("in a pipe and beside others", () => {
  it("a reader that has seen enough is no failure", async () => {
    const frontend = await bench.client("frontend");
    for (let i = 0; i < 60; i++) {
      const content = { subject: `s${i}`, description: "x".repeat(20_000) };
      await frontend.publishMessage({ type: "GENERAL", ...content, to: "backend" });
    }
    const line = 'set -o pipefail; node "$1" check | head -1';
    const { code, stdout, stderr } = await bash(line, [COORD], { env: env("backend") });
    expect({ code, stderr, lines: stdout.split("\n").length }).toEqual({ code: 0, stderr: "", lines: 2 });
  });

  it("a megabyte comes through a pipe whole", async () => {
    const frontend = await bench.client("frontend");
    for (let i = 0; i < 20; i++) {
      await frontend.publishMessage({ type: "GENERAL", subject: "s", description: "x".repeat(60_000), to: "backend" });
    }
    const { messages } = json(await coord(["check", "--json"], { env: env("backend") }));
    expect((messages as Wire[]).map(({ description }) => String(description).length)).toEqual(Array(20).fill(60_000));
  });

  it("[G1] two shells at once: all is stored, and every event is told to one of them", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const shell = 'for i in 1 2; do node "$1" publish GENERAL "$2 $i" d --to backend || exit 1; done';
    const shells = await Promise.all(["a", "b"].map((name) => bash(shell, [COORD, name], { env: env("frontend") })));
    expect(shells.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    const subjects = ["a", "b"].flatMap((name) => [1, 2].map((i) => `${name} ${i}`));
    const stored = json(await coord(["check", "--pending", "--json"], { env: env("backend") }))["messages"] as Wire[];
    expect(stored.map(({ subject }) => String(subject)).toSorted()).toEqual(subjects);

    // What was looked at is no news any more, so these are four others.
    await Promise.all(["a", "b"].map((name) => bash(shell, [COORD, name], { env: env("frontend") })));
    const take = (): Promise<Ended> => coord(["notifications", "--limit", "3", "--json"], { env: env("backend") });
    const taken = (await Promise.all([take(), take()])).map((ended) => json(ended)["notifications"] as Wire[]);
    expect(taken.map(({ length }) => String(length)).toSorted()).toEqual(["1", "3"]);
    expect(taken.flatMap((events) => events.map(({ subject }) => String(subject))).toSorted()).toEqual(subjects);
  });
});

type Terminal = (line: string) => [program: string, args: string[]];

/** How to run a line of shell on a terminal here. */
async function terminalProgram(): Promise<Terminal | undefined> {
  const present = async (program: string, ...args: string[]): Promise<boolean> =>
    run(program, args).then(
      ({ code }) => code === 0,
      () => false,
    );
  if (await present("script", "-qec", "true", "/dev/null")) return (line) => ["script", ["-qec", line, "/dev/null"]];
  if (!(await present("python3", "-c", "import pty"))) return undefined;
  const spawn = "import os,pty,sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh','-c',sys.argv[1]])))";
  return (line) => ["python3", ["-c", spawn, line]];
}
