/** Odd text, as subject, description, comment and name, in by every door: the same again, or refused; never run. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { useRedis } from "../harness.ts";
import { Agent, type Ended, type Environment, type Wire, bash, coord, environment, json, script } from "./run.ts";

const bench = useRedis();

const folder = mkdtempSync(path.join(tmpdir(), "coord-t-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
/** Would be there if any text had been run. */
const canary = path.join(folder, "executed");

const oneLine: Record<string, string> = {
  "quotes and backslashes": String.raw`it's "quoted" ''nested"" C:\new\table \\ \' \" \u0041 \x41 %s %n`,
  "commands, variables and separators": `$(touch ${canary}) \`touch ${canary}\`; touch ${canary} & $HOME $$ !! ~ *`,
  "emoji, other scripts and directions": "👩‍👩‍👧‍👦 é é 日本語 \u{1f600} \u202eright to left\u202c \ufeff",
  "tabs and control characters": "\ttab\x1b[31mred\x1b]0;title\x07 \x08 \x7f \x9b31m",
  "a list item": "- item",
  "a negative number": "-1",
  "spaces around something like JSON": '  {"event":"message_published","message_id":"msg-0000000001"}  ',
  "200 characters": "😀".repeat(200),
};
const severalLines: Record<string, string> = {
  "several lines": "one\n\ntwo\r\nthree\u2028four\u2029five\u0085six\vseven\n",
  "60 KiB": `${"0123456789abcdef".repeat(3839)}${"é".repeat(8)}`,
  nothing: "",
};

const env = (instance: string): Environment =>
  environment({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: instance });

let sender: Agent;
let reader: Agent;
beforeAll(async () => {
  const agent = (instance: string): Agent => new Agent({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: instance });
  sender = await agent("sender").start();
  reader = await agent("reader").start();
});
// Each test empties the namespace, which a server that has known it is told once.
beforeEach(async () => {
  for (const agent of [sender, reader]) await agent.call("coord_get_presence");
  await bench.clear();
  // Known, so that nothing is warned about.
  await bench.seen({ sender: 0, reader: 0, orchestrator: 0 });
});
afterAll(async () => {
  await sender[Symbol.asyncDispose]();
  await reader[Symbol.asyncDispose]();
});

const subjectAndText = ({ subject, description }: Wire): unknown[] => [subject, description];

async function shown(ids: readonly string[]): Promise<unknown[]> {
  const results = await Promise.all(ids.map((message_id) => sender.get("coord_check_messages", { message_id })));
  return results.flatMap(({ messages }) => (messages as Wire[]).map(subjectAndText));
}

describe("[G10] the text that goes in comes out, byte for byte, and is never run", () => {
  const texts = [...Object.entries(oneLine), ...Object.entries(severalLines)];
  it.each(texts)("%s", async (name, text) => {
    const subject = name in oneLine ? text : name;
    const message = { msg_type: "GENERAL", subject, description: text, to_instance: "reader" };
    const options = { env: env("sender"), input: text };
    const sent = [
      json(await coord(["publish", "GENERAL", subject, text, "--to", "reader", "--json"], options)),
      json(await script("publish", ["GENERAL", subject, "-", "--to", "reader", "--json"], options)),
      await sender.get("coord_publish_message", message),
    ];
    const ids = sent.map(({ message_id }) => String(message_id));

    const read = json(await script("check", ["--pending", "--json"], { env: env("reader") }));
    const expected = ids.map(() => [subject, text]);
    expect((read["messages"] as Wire[]).map(subjectAndText)).toEqual(expected);
    expect(await shown(ids)).toEqual(expected);
    const stored = ids.map((id) => bench.raw.hmget(`coord:msg:${id}`, "subject", "description"));
    expect(await Promise.all(stored)).toEqual(expected);

    const comment = text.slice(0, 1000);
    const told = comment === "" ? undefined : comment;
    const typed = await script("ack", [...ids.slice(0, 2), "--json", "--comment", comment], { env: env("reader") });
    const called = await reader.get("coord_ack_message", { message_id: ids[2], comment });
    const acknowledged = [...(json(typed)["results"] as Wire[]), called];
    expect(acknowledged.map((ack) => ack["comment"])).toEqual(ids.map(() => told));
    const { notifications } = await sender.get("coord_get_notifications");
    const events = (notifications as Wire[]).map((event) => [event["subject"], event["comment"]]);
    expect(events).toEqual(ids.map(() => [subject, told]));
    expect(existsSync(canary)).toBe(false);
  });

  it("zero bytes, through standard input and MCP", async () => {
    const text = "a\0b\0\0c";
    const byInput = json(await coord(["publish", "GENERAL", "s", "-", "--json"], { env: env("sender"), input: text }));
    const byTool = await sender.get("coord_publish_message", { msg_type: "GENERAL", subject: text, description: text });
    const ids = [byInput, byTool].map(({ message_id }) => String(message_id));
    expect(await shown(ids)).toEqual([
      ["s", text],
      [text, text],
    ]);
    const cli = json(await coord(["show", ids[1]!, "--json"], { env: env("sender") }));
    expect((cli["messages"] as Wire[]).map(subjectAndText)).toEqual([[text, text]]);
  });

  it("exactly 64 KiB, and a byte order mark, through standard input", async () => {
    const text = `\ufeff${"x".repeat(65_533)}`;
    const sent = json(await script("publish", ["GENERAL", "s", "-", "--json"], { env: env("sender"), input: text }));
    const id = String(sent["message_id"]);
    expect(await bench.raw.hget(`coord:msg:${id}`, "description")).toBe(text);
  });
});

describe("what looks like an option", () => {
  it("is text behind --", async () => {
    for (const words of [
      ["--to", "-x"],
      ["--json", "--"],
      ["--instance=x", "--no-ack"],
    ]) {
      const args = ["GENERAL", "--json", "--", ...words];
      const { message_id } = json(await script("publish", args, { env: env("sender") }));
      expect(await bench.raw.hmget(`coord:msg:${String(message_id)}`, "subject", "description")).toEqual(args.slice(3));
    }
  });

  it("is the value of the option it follows", async () => {
    for (const comment of ["--to", "-x", "--"]) {
      const sent = json(await coord(["publish", "GENERAL", "s", "d", "--to", "reader", "--json"], { env: env("a") }));
      const id = String(sent["message_id"]);
      const ack = json(await script("ack", [id, "--json", "--comment", comment], { env: env("reader") }));
      expect(ack["comment"]).toBe(comment);
    }
  });

  it.each([
    ["--to", "--json"],
    ["--to", "--reply-to=x"],
    ["--reply-to", "--no-ack", "--json"],
  ])("is no value where it is an option of the same command: %j", async (...words) => {
    const ended = await script("publish", ["GENERAL", "s", "d", ...words], { env: env("sender") });
    expect(ended).toMatchObject({
      code: 64,
      stdout: "",
      stderr: expect.stringContaining("argument missing") as string,
    });
    expect(await bench.raw.keys("coord:msg:*")).toEqual([]);
  });

  it("is the value behind an equals sign", async () => {
    const args = ["publish", "GENERAL", "s", "d", "--to", "reader", "--json", "--idempotency-key=--json"];
    const sent = json(await coord(args, { env: env("sender") }));
    expect(await bench.raw.get("coord:once:sender:--json")).toBe(sent["message_id"]);
  });

  it.each(["--to", "-x", "--no-such", "-x=1\n2"])("else it is refused: %j", async (word) => {
    const ended = await script("publish", ["GENERAL", "s", word], { env: env("sender") });
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 64, stdout: "" });
    expect(await bench.raw.keys("coord:msg:*")).toEqual([]);
  });

  it("behind -- does not change how a refusal is told", async () => {
    const ended = await coord(["publish", "GENERAL", "--", "", "--json"], { env: env("sender") });
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 1, stdout: "" });
  });
});

it("as a name or an id every odd text is refused by the rules, on every surface", async () => {
  const names = [...Object.values(oneLine), "--", "-x", "--to", "\n", "", "a\0b", "päckend"];
  const message = { msg_type: "GENERAL", subject: "s", description: "d" };
  const refusals = [];
  for (const name of names) {
    const called = [
      await sender.call("coord_publish_message", { ...message, to_instance: name }),
      await sender.call("coord_check_messages", { from_instance: name }),
      await sender.call("coord_check_messages", { to_instance: name }),
    ];
    refusals.push(...called.map(({ value }) => value["code"]));
    const { value } = await sender.call("coord_ack_message", { message_id: name });
    expect(["INVALID", "NOT_FOUND"]).toContain(value["code"]);
  }
  expect(refusals).toEqual(refusals.map(() => "INVALID"));

  const typed = [`$(touch ${canary})`, "--", "-x", "two\nlines"];
  const codes: [string, number | null, string][] = [];
  for (const name of typed) {
    const options = { env: env("backend") };
    const ended: Ended[] = await Promise.all([
      script("publish", ["GENERAL", "s", "d", "--json", "--to", name], options),
      coord(["check", "--json", "--instance", name], options),
      coord(["forget", "--json", "--", name], options),
      script("ack", ["--json", "--", name], options),
    ]);
    codes.push(...ended.map(({ code, stdout }) => [name, code, codeOf(stdout)] as [string, number | null, string]));
  }
  expect(codes).toEqual(
    typed.flatMap((name) => ["INVALID", "IDENTITY", "INVALID", "NOT_FOUND"].map((code) => [name, 1, code])),
  );
  expect(existsSync(canary)).toBe(false);
  expect(await bench.raw.keys("coord:msg:*")).toEqual([]);
});

it("a line of bash passes its words on as they are", async () => {
  const text = `a "b" 'c' $(touch ${canary}) \\ \`d\``;
  const line = 'cd / && echo "$2" | "$1/publish-message.sh" GENERAL "$2" - --json --to reader';
  const scripts = path.resolve(import.meta.dirname, "../../scripts/coordination");
  const { message_id } = json(await bash(line, [scripts, text], { env: env("sender") }));
  const stored = await bench.raw.hmget(`coord:msg:${String(message_id)}`, "subject", "description");
  expect(stored).toEqual([text, `${text}\n`]);
  expect(existsSync(canary)).toBe(false);
});

function codeOf(stdout: string): string {
  return String((JSON.parse(stdout) as Wire)["code"]);
}
