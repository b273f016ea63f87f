/** Bad input: the same refusal as an object on MCP and with --json, as a sentence on stderr; and nothing is stored. */
import { describe, expect, it } from "vitest";
import { MESSAGE_TYPES } from "../../src/protocol/definition.ts";
import { useRedis } from "../harness.ts";
import { type Environment, RawServer, type Wire, coord, environment, script, startAgent } from "./run.ts";

const bench = useRedis();

const NAME_RULE = "A name has 1-64 letters, digits, dots, underscores or hyphens and starts with a letter or digit.";
const IDENTITY_HINT =
  "Run coord init here, set CLAUDE_INSTANCE_ID, give --instance <name>, or name it in code. " + NAME_RULE;
const DETAILS = "Put the details into the description.";
const FURTHER = "Put further lines into the description.";
const LONG_TEXT = "Put long text into a file and say where it is.";
const READ_ON = "The default is 50; read on from the cursor for more.";
const WAIT_AGAIN = "Call again to wait longer; nothing is lost in between.";
const IDS = "Message ids look like msg-0123456789; check lists them.";
const TYPES = `Use one of ${MESSAGE_TYPES.join(", ")}.`;

type Script = "publish" | "check" | "ack";

/** What is typed, what the tool is called with, and the refusal both get. */
interface Row {
  input: string;
  /** A command and its arguments; undefined where a command line cannot say it. */
  args?: readonly [command: string, ...args: string[]];
  tool: readonly [name: string, args: Wire];
  code?: string;
  error: string;
  hint: string;
  valid_types?: readonly string[];
}

const publishing = (changes: Wire): Row["tool"] => [
  "coord_publish_message",
  { msg_type: "GENERAL", subject: "s", description: "d", ...changes },
];
const checking = (args: Wire): Row["tool"] => ["coord_check_messages", args];
const acknowledging = (args: Wire): Row["tool"] => ["coord_ack_message", args];

const limits: Row[] = (["check", "notifications"] as const).flatMap((command) =>
  [
    ["0", 0],
    ["-1", -1],
    ["1001", 1001],
    ["abc", "abc"],
    ["1.5", 1.5],
    ["", ""],
  ].map(([typed, value]) => ({
    input: `limit ${JSON.stringify(value)} of ${command}`,
    ...(command === "check" || value === 0 ? { args: [command, "--limit", String(typed)] as const } : {}),
    tool: [command === "check" ? "coord_check_messages" : "coord_get_notifications", { limit: value }] as const,
    error: `limit is ${JSON.stringify(String(value))}: it must be a whole number from 1 to 1000.`,
    hint: READ_ON,
  })),
);

const rows: Row[] = [
  {
    input: "an unknown type",
    args: ["publish", "READY", "s", "d"],
    tool: publishing({ msg_type: "READY" }),
    error: 'type is "READY": no such type.',
    hint: TYPES,
    valid_types: MESSAGE_TYPES,
  },
  {
    input: "a type in lower case",
    args: ["publish", "general", "s", "d"],
    tool: publishing({ msg_type: "general" }),
    error: 'type is "general": no such type.',
    hint: TYPES,
    valid_types: MESSAGE_TYPES,
  },
  {
    input: "an unknown type in a filter",
    args: ["check", "--type", "READY"],
    tool: checking({ msg_type: "READY" }),
    error: 'type is "READY": no such type.',
    hint: TYPES,
    valid_types: MESSAGE_TYPES,
  },
  {
    input: "an empty recipient",
    args: ["publish", "GENERAL", "s", "d", "--to", ""],
    tool: publishing({ to_instance: "" }),
    error: 'to is "": a name has at least 1 character.',
    hint: NAME_RULE,
  },
  {
    input: "a malformed recipient",
    args: ["publish", "GENERAL", "s", "d", "--to", "two words"],
    tool: publishing({ to_instance: "two words" }),
    error: `to is "two words": a name has only letters, digits, '.', '_' and '-', the first a letter or digit.`,
    hint: NAME_RULE,
  },
  {
    input: "a reserved word as recipient",
    args: ["publish", "GENERAL", "s", "d", "--to", "ALL"],
    tool: publishing({ to_instance: "ALL" }),
    error: 'to is "ALL": this word is reserved and cannot name an instance.',
    hint: NAME_RULE,
  },
  {
    input: "oneself as recipient",
    args: ["publish", "GENERAL", "s", "d", "--to", "backend"],
    tool: publishing({ to_instance: "backend" }),
    error: 'to is "backend": that is yourself.',
    hint: 'Give another instance, or "all".',
  },
  {
    input: "no recipient where the type has no default",
    args: ["publish", "REVIEW_FAILED", "s", "d"],
    tool: publishing({ msg_type: "REVIEW_FAILED" }),
    error: "to is missing: REVIEW_FAILED has no default recipient.",
    hint: "Give the instance, or reply_to with the message it answers.",
  },
  {
    input: "an empty subject",
    args: ["publish", "GENERAL", "", "d"],
    tool: publishing({ subject: "" }),
    error: "subject is empty: it needs 1-200 characters.",
    hint: "Say in a few words what it is about.",
  },
  {
    input: "a subject of 201 characters",
    args: ["publish", "GENERAL", "😀".repeat(201), "d"],
    tool: publishing({ subject: "😀".repeat(201) }),
    error: "subject has 201 characters: the limit is 200.",
    hint: DETAILS,
  },
  ...["\n", "\r", "\v", "\f", "\u0085", "\u2028", "\u2029"].map((end) => ({
    input: `a subject with the line break ${JSON.stringify(end).replace("\u0085", "\\u0085")}`,
    ...(end === "\n" || end === "\u2028" ? { args: ["publish", "GENERAL", `a${end}b`, "d"] as const } : {}),
    tool: publishing({ subject: `a${end}b` }),
    error: "subject has a line break: it must be one line.",
    hint: FURTHER,
  })),
  {
    input: "a description over 64 KiB",
    args: ["publish", "GENERAL", "s", "é".repeat(32_769)],
    tool: publishing({ description: "é".repeat(32_769) }),
    error: "description has 65538 bytes: the limit is 65536.",
    hint: LONG_TEXT,
  },
  {
    input: "a comment over 4 KiB",
    args: ["ack", "msg-0000000001", "--comment", "x".repeat(4097)],
    tool: acknowledging({ message_id: "msg-0000000001", comment: "x".repeat(4097) }),
    error: "comment has 4097 bytes: the limit is 4096.",
    hint: "Send long answers as a message with reply_to.",
  },
  ...limits,
  ...(["51", "-1", "soon"] as const).map((value) => ({
    input: `wait ${value}`,
    args: ["check", "--wait", value] as const,
    tool: checking({ wait_seconds: value === "soon" ? value : Number(value) }),
    error: `wait_seconds is "${value}": it must be a number from 0 to 50.`,
    hint: WAIT_AGAIN,
  })),
  ...(["to", "from"] as const).map((field) => ({
    input: `a malformed name to filter by ${field}`,
    ...(field === "from" ? { args: ["check", "--from", "-x"] as const } : {}),
    tool: checking({ [`${field}_instance`]: "-x" }),
    error: `${field} is "-x": a name has only letters, digits, '.', '_' and '-', the first a letter or digit.`,
    hint: NAME_RULE,
  })),
  ...(["since", "before", "thread"] as const).map((field) => ({
    input: `an empty ${field}`,
    args: ["check", `--${field}`, ""] as const,
    tool: checking({ [field]: "" }),
    error: `${field} has 0 characters: it needs 1-128.`,
    hint: IDS,
  })),
  ...(["since", "before"] as const).map((field) => ({
    input: `a cursor ${field} that never was`,
    args: ["check", `--${field}`, "msg-nope"] as const,
    tool: checking({ [field]: "msg-nope" }),
    code: "NOT_FOUND",
    error: `${field} is "msg-nope": no such message was ever stored.`,
    hint: "Copy next_since or next_before from an earlier check.",
  })),
  {
    input: "an id of 129 characters",
    args: ["ack", "m".repeat(129)],
    tool: acknowledging({ message_id: "m".repeat(129) }),
    error: "message_id has 129 characters: it needs 1-128.",
    hint: IDS,
  },
  {
    input: "an unknown id to acknowledge",
    args: ["ack", "msg-nope"],
    tool: acknowledging({ message_id: "msg-nope" }),
    code: "NOT_FOUND",
    error: 'message_id is "msg-nope": no such message is stored.',
    hint: "List messages with check and copy the id from there.",
  },
  {
    input: "an unknown id to show",
    args: ["show", "msg-nope"],
    tool: checking({ message_id: "msg-nope" }),
    code: "NOT_FOUND",
    error: 'message_id is "msg-nope": no such message is stored.',
    hint: "List messages with check and copy the id from there.",
  },
  {
    input: "a reply to an unknown id",
    args: ["publish", "GENERAL", "s", "d", "--reply-to", "msg-nope"],
    tool: publishing({ reply_to: "msg-nope" }),
    code: "NOT_FOUND",
    error: 'reply_to is "msg-nope": no such message is stored.',
    hint: "List messages with check and copy the id from there.",
  },
  {
    input: "a conversation that is not there",
    args: ["check", "--thread", "msg-nope"],
    tool: checking({ thread: "msg-nope" }),
    code: "NOT_FOUND",
    error: 'thread is "msg-nope": no such message is stored.',
    hint: "Copy a message id from check.",
  },
  {
    input: "a query with an unknown filter",
    args: ["search", "login", "form:backend"],
    tool: checking({ query: "login form:backend" }),
    error: 'query has "form:": no such filter.',
    hint: "Filters are from: to: type: thread: is: before: after: id:; text with a colon goes in quotation marks.",
  },
  {
    input: "a query with a date that is none",
    args: ["search", "before:2026-02-30"],
    tool: checking({ query: "before:2026-02-30" }),
    error: 'before is "2026-02-30": no id, and no date since 1970.',
    hint: "Give the id of a message, or a date in UTC, as 2026-11-30 or 2026-11-30T09:07.",
  },
  {
    input: "an empty query",
    args: ["search", ""],
    tool: checking({ query: "" }),
    error: "query has 0 characters: it needs 1-1000.",
    hint: 'Write words, "a phrase" or filters, as in: login -draft from:backend',
  },
  {
    input: "a query of 1,001 characters",
    args: ["search", "x".repeat(1001)],
    tool: checking({ query: "x".repeat(1001) }),
    error: "query has 1001 characters: it needs 1-1000.",
    hint: 'Write words, "a phrase" or filters, as in: login -draft from:backend',
  },
  {
    input: "a query that is a number",
    tool: checking({ query: 5 }),
    error: 'query is "5": it must be text.',
    hint: "Give query as a string.",
  },
  {
    input: "a search that waits",
    tool: checking({ query: "login", wait_seconds: 5 }),
    error: "query does not go with wait_seconds.",
    hint: "Search without waiting, or wait without a query.",
  },
  {
    input: "a search of what is pending, told twice",
    tool: checking({ query: "login", pending_only: true }),
    error: "query does not go with pending_only.",
    hint: "Write is:pending into the query.",
  },
  ...(["from", "to"] as const).map((field) => ({
    input: `a malformed name beside a query, in ${field}`,
    tool: checking({ query: "login", [`${field}_instance`]: "a b" }),
    error: `${field} is "a b": a name has only letters, digits, '.', '_' and '-', the first a letter or digit.`,
    hint: NAME_RULE,
  })),
  {
    input: "a search from a cursor that never was",
    args: ["search", "login", "--before", "msg-nope"],
    tool: checking({ query: "login", before: "msg-nope" }),
    code: "NOT_FOUND",
    error: 'before is "msg-nope": no such message was ever stored.',
    hint: "Copy the id of a message, or next_before from an earlier search.",
  },
  {
    input: "a subject that is a number",
    tool: publishing({ subject: 5 }),
    error: 'subject is "5": it must be text.',
    hint: "Give subject as a string.",
  },
  {
    input: "a subject that is missing",
    tool: publishing({ subject: null }),
    error: 'subject is "undefined": it must be text.',
    hint: "Give subject as a string.",
  },
  {
    input: "a description that is an object",
    tool: publishing({ description: { text: "d" } }),
    error: String.raw`description is "{\"text\":\"d\"}": it must be text.`,
    hint: "Give description as a string.",
  },
  {
    input: "an unpaired surrogate",
    tool: publishing({ description: "a\ud800b" }),
    error: "description has an unpaired surrogate: it is not valid Unicode.",
    hint: "Send text that can be written as UTF-8.",
  },
  {
    input: "a flag that is text",
    tool: publishing({ requires_ack: "yes" }),
    error: 'requires_ack is "yes": it must be true or false.',
    hint: "Give requires_ack as a boolean.",
  },
  {
    input: "a limit that is text",
    tool: checking({ limit: "5" }),
    error: 'limit is "5": it must be a whole number from 1 to 1000.',
    hint: READ_ON,
  },
  {
    input: "a list of ids where one is taken",
    tool: acknowledging({ message_id: ["msg-0000000001", 7] }),
    error: 'message_id is "7": it must be text.',
    hint: "Give message_id as a string.",
  },
  {
    input: "an unknown argument",
    tool: publishing({ recipient: "backend" }),
    error: 'coord_publish_message has no argument "recipient".',
    hint: "It takes msg_type, subject, description, to_instance, requires_ack, reply_to.",
  },
  {
    input: "an argument with a name of Object.prototype",
    tool: checking({ constructor: 1 }),
    error: 'coord_check_messages has no argument "constructor".',
    hint:
      "It takes to_instance, from_instance, msg_type, pending_only, all, since, before, thread, message_id, limit, " +
      "query, wait_seconds.",
  },
  {
    input: "an argument for a tool that takes none",
    tool: ["coord_get_presence", { limit: 5 }],
    error: 'coord_get_presence has no argument "limit".',
    hint: "It takes none.",
  },
  {
    input: "an unknown tool",
    tool: ["coord_publish", {}],
    error: 'There is no tool "coord_publish".',
    hint:
      "Use one of coord_publish_message, coord_check_messages, coord_ack_message, coord_get_presence, " +
      "coord_get_notifications.",
  },
];

describe("what is refused changes nothing and gets the same answer on every surface", () => {
  it("over MCP, as JSON in the result", async () => {
    await using agent = await startAgent(settings("backend"));
    // Waited for, so that the server's own touch is no change.
    await agent.get("coord_get_presence");
    await bench.seen({ backend: 0 });
    const refusals: unknown[] = [];
    const changes = await bench.changes(async () => {
      for (const { tool } of rows) refusals.push(await agent.call(...tool));
    });
    const expected = rows.map((row) => {
      const value = refusalOf(row);
      return { isError: true, value, text: JSON.stringify(value) };
    });
    expect(refusals).toEqual(expected);
    expect(changes).toEqual({});
  });

  const typed = rows.filter((row) => row.args !== undefined);
  it.each(typed.map((row) => [row.input, row] as const))("on the command line: %s", async (_, row) => {
    await bench.seen({ backend: 0 });
    const [command, ...args] = row.args!;
    const env = settings("backend");
    const sentence = `error: ${row.error}\n${row.hint}\n`;
    const changes = await bench.changes(async () => {
      const words = [...args, "--json"];
      const ended = isScript(command)
        ? await script(command, words, { env })
        : await coord([command, ...words], { env });
      expect(told(ended)).toEqual({ code: 1, stdout: `${JSON.stringify(refusalOf(row))}\n`, stderr: sentence });
    });
    expect(changes).toEqual({});
  });

  it("without --json standard output stays empty", async () => {
    const env = settings("backend");
    const stderr = `error: to is "": a name has at least 1 character.\n${NAME_RULE}\n`;
    const ended = await coord(["publish", "GENERAL", "s", "d", "--to", ""], { env });
    expect(told(ended)).toEqual({ code: 1, stdout: "", stderr });
  });

  it("an idempotency key used again with other content", async () => {
    const env = settings("backend");
    const first = await coord(["publish", "GENERAL", "s", "d", "--idempotency-key", "k", "--json"], { env });
    const id = (JSON.parse(first.stdout) as Wire)["message_id"] as string;
    const changes = await bench.changes(async () => {
      const again = await script("publish", ["GENERAL", "s", "other", "--idempotency-key", "k", "--json"], { env });
      const error = `The idempotency_key was used for ${id} with other content.`;
      const hint = "Use a new key for a new message; the old one can only repeat the same content.";
      const refusal = { success: false, code: "INVALID", error, hint };
      expect(told(again)).toEqual({
        code: 1,
        stdout: `${JSON.stringify(refusal)}\n`,
        stderr: `error: ${error}\n${hint}\n`,
      });
    });
    expect(changes).toEqual({});
  });

  it("standard input that is no UTF-8, or over 64 KiB", async () => {
    await bench.seen({ backend: 0 });
    const env = settings("backend");
    const piped = async (input: Uint8Array): Promise<string[]> => {
      const [human, wire] = await Promise.all([
        coord(["publish", "GENERAL", "s", "-"], { env, input }),
        script("publish", ["GENERAL", "s", "-", "--json"], { env, input }),
      ]);
      expect(human).toMatchObject({ code: 1, stdout: "" });
      const { error, hint, ...rest } = JSON.parse(wire.stdout) as Wire;
      expect({ code: wire.code, rest }).toEqual({ code: 1, rest: { success: false, code: "INVALID" } });
      expect(human.stderr).toBe(`error: ${String(error)}\n${String(hint)}\n`);
      expect(wire.stderr).toBe(human.stderr);
      return [String(error), String(hint)];
    };
    const changes = await bench.changes(async () => {
      const notText = "description on standard input is not UTF-8.";
      const tooLong = "description has more than 65536 bytes on standard input: that is the limit.";
      const convert = "Convert it first, for example with iconv -t UTF-8.";
      expect(await piped(Uint8Array.of(0x61, 0xff, 0x62))).toEqual([notText, convert]);
      // A surrogate in UTF-8, and a character cut off at the end.
      expect(await piped(Uint8Array.of(0xed, 0xa0, 0x80))).toEqual([notText, convert]);
      expect(await piped(Uint8Array.of(0x61, 0xf0, 0x9f, 0x98))).toEqual([notText, convert]);
      expect(await piped(Buffer.alloc(65_537, "x"))).toEqual([tooLong, LONG_TEXT]);
      // It stops reading, however much more comes.
      expect(await piped(Buffer.alloc(10_000_000, "x"))).toEqual([tooLong, LONG_TEXT]);
    });
    expect(changes).toEqual({});
  });
});

describe("without a usable name nobody speaks or reads for an instance", () => {
  const long = "n".repeat(65);
  const letters = "a name has only letters, digits, '.', '_' and '-', the first a letter or digit";
  const names: [name: string | undefined, error: (source: string) => string][] = [
    [undefined, () => "No instance name is set."],
    ["unknown", (source) => `${source} is "unknown": this word is reserved and cannot name an instance.`],
    ["All", (source) => `${source} is "All": this word is reserved and cannot name an instance.`],
    ["two words", (source) => `${source} is "two words": ${letters}.`],
    ["two\nlines", (source) => String.raw`${source} is "two\nlines": ${letters}.`],
    ["-x", (source) => `${source} is "-x": ${letters}.`],
    [long, (source) => `${source} is "${"n".repeat(60)}…": a name has at most 64 characters, this has 65.`],
  ];

  it.each(names)("%j", async (name, error) => {
    const refusal = (source: string): Wire => ({
      success: false,
      code: "IDENTITY",
      error: error(source),
      hint: IDENTITY_HINT,
    });
    const answer = (source: string): unknown => ({
      code: 1,
      stdout: `${JSON.stringify(refusal(source))}\n`,
      stderr: `error: ${error(source)}\n${IDENTITY_HINT}\n`,
    });
    const env = settings(name);
    const sent = await script("publish", ["GENERAL", "s", "d", "--json"], { env });
    expect(told(sent)).toEqual(answer("CLAUDE_INSTANCE_ID"));
    if (name === long || name === "-x") {
      const option = await coord(["check", "--instance", name, "--json"], { env: settings("backend") });
      expect(told(option)).toEqual(answer("instanceId"));
    }
    if (name === undefined || name === "two words") {
      const stderr = `error: ${error("CLAUDE_INSTANCE_ID")}\n${IDENTITY_HINT}\n`;
      expect(told(await new RawServer(env).ended)).toEqual({ code: 1, stdout: "", stderr });
    }
    expect(await bench.raw.keys("*")).toEqual([]);
  });

  it("whatever the command", async () => {
    const env = settings(undefined);
    const commands = [["publish", "GENERAL", "s", "d"], ["check"], ["ack", "msg-0000000001"], ["notifications"]];
    for (const command of commands) {
      const stderr = `error: No instance name is set.\n${IDENTITY_HINT}\n`;
      expect(told(await coord(command, { env }))).toEqual({ code: 1, stdout: "", stderr });
    }
    expect(await bench.raw.keys("*")).toEqual([]);
  });

  it("but anyone may look: presence, show, search and stats need no name", async () => {
    const sent = await coord(["publish", "GENERAL", "s", "d", "--json"], { env: settings("backend") });
    const { message_id } = JSON.parse(sent.stdout) as Wire;
    const env = settings(undefined);
    const looks = [["presence"], ["show", String(message_id)], ["search", "s"], ["stats"]].map((args) =>
      coord(args, { env }),
    );
    expect((await Promise.all(looks)).map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      Array.from({ length: 4 }, () => ({ code: 0, stderr: "" })),
    );
  });
});

describe("a command line that cannot be understood is answered with usage on stderr and exit 64", () => {
  it.each([
    [["check", "--limit"], "error: option '--limit <n>' argument missing"],
    [["ack", "msg-0000000001", "--comment"], "error: option '--comment <comment>' argument missing"],
    [["publish", "GENERAL", "s", "d", "--to"], "error: option '--to <instance>' argument missing"],
    [["check", "--nope"], "error: unknown option '--nope'"],
    [["check", "-nope"], "error: unknown option '-nope'"],
    [["search", "login", "--nope"], "error: unknown option '--nope'"],
    [["search"], "error: missing required argument 'query'"],
    [["publish", "GENERAL", "s", "d", "--instnace", "x"], "error: unknown option '--instnace'"],
    [
      ["publish", "GENERAL", "s", "d", "more"],
      "error: too many arguments for 'publish'. Expected 3 arguments but got 4.",
    ],
    [["check", "backend"], "error: too many arguments for 'check'. Expected 0 arguments but got 1."],
    [["publish", "GENERAL", "s"], "error: missing required argument 'description'"],
    [["ack"], "error: missing required argument 'message-id'"],
    [["nope"], "error: unknown command 'nope'"],
    [["--nope"], "error: unknown option '--nope'"],
    [
      ["completion", "tcsh"],
      "error: command-argument value 'tcsh' is invalid for argument 'shell'. Allowed choices are",
    ],
  ])("coord %j", async (args, sentence) => {
    const env = settings("backend");
    const [command = "", ...rest] = args;
    const ended = isScript(command) ? await script(command, rest, { env }) : await coord(args, { env });
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 64, stdout: "" });
    expect(ended.stderr.startsWith(sentence), ended.stderr).toBe(true);
    expect(ended.stderr).toMatch(/\nSee coord (\w+ )?--help\n$/);
    expect(await bench.raw.keys("*")).toEqual([]);
  });
});

it.each([
  [{ REDIS_PORT: "0" }, "REDIS_PORT"],
  [{ REDIS_PORT: "abc" }, "REDIS_PORT"],
  [{ REDIS_URL: "http://localhost" }, "REDIS_URL"],
  [{ COORD_KEY_PREFIX: "a b" }, "COORD_KEY_PREFIX"],
  [{ COORD_PRESENCE_TIMEOUT_SECONDS: "0" }, "COORD_PRESENCE_TIMEOUT_SECONDS"],
  [{ COORD_DIRECTION: "sideways" }, "COORD_DIRECTION"],
])("a malformed setting is refused by its name: %j", async (changed: Environment, variable) => {
  const env = { ...settings("backend"), ...changed };
  if (changed["REDIS_PORT"] !== undefined) delete env["REDIS_URL"];
  const cli = await coord(["check", "--json"], { env });
  const { error, hint, ...rest } = JSON.parse(cli.stdout) as Wire;
  expect({ code: cli.code, rest }).toEqual({ code: 1, rest: { success: false, code: "INVALID" } });
  expect(error).toMatch(new RegExp(`^${variable} `));
  const stderr = `error: ${String(error)}\n${String(hint)}\n`;
  expect(cli.stderr).toBe(stderr);
  if (variable !== "REDIS_URL") return;
  expect(told(await new RawServer(env).ended)).toEqual({ code: 1, stdout: "", stderr });
});

function settings(instance: string | undefined): Environment {
  const name = instance === undefined ? {} : { CLAUDE_INSTANCE_ID: instance };
  return environment({ REDIS_URL: bench.redis.url, ...name });
}

function refusalOf({ code = "INVALID", error, hint, valid_types }: Row): Wire {
  return { success: false, code, error, hint, ...(valid_types === undefined ? {} : { valid_types }) };
}

function told({ code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }): unknown {
  return { code, stdout, stderr };
}

function isScript(command: string): command is Script {
  return ["publish", "check", "ack"].includes(command);
}
