/** A server that speaks the protocol of Redis, and answers scripts with something else than they return. */
import { describe, expect, onTestFinished, test } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import { fuzzReplies, GARBAGE, startLiar } from "../fuzz/replies.ts";
import { OPERATIONS, type Scene } from "../fuzz/scene.ts";
import { refused, startFake, useRedis } from "../harness.ts";
import { coord, environment } from "../surfaces/run.ts";

const bench = useRedis();
const IDS = Array.from({ length: 6 }, (_, i) => `msg-000000000${i}`);
const WRONG = "*1\r\n*1\r\n:3\r\n";
const MAY_HAVE_HAPPENED = "The connection was lost before the answer: the operation may have happened.";

async function liar(answer: (verb: string) => string): Promise<{ scene: Scene; at: string }> {
  const { url, stop } = await startLiar(answer);
  onTestFinished(stop);
  const [alice, bob] = [bench.command("alice", { redis: url }), bench.command("bob", { redis: url })];
  return { scene: { alice, bob, ids: IDS, raw: bench.raw }, at: url.replace("unix:", "") };
}

/** How it ended: only errors of ours, in one line each. */
async function outcome(operation: Promise<unknown>): Promise<string> {
  try {
    await operation;
    return "a result";
  } catch (error) {
    const { name, code, message } = error as { name: string; code: string; message: string };
    return name === "CoordinationError" && !message.includes("\n") ? code : String(error);
  }
}

describe("an answer that is not what the script returns", () => {
  test.each(Object.keys(OPERATIONS))("[G9] to %s: one sentence that says so, whatever comes", async (name) => {
    let answer = WRONG;
    const { scene, at } = await liar(() => answer);
    const refusal = await refused(OPERATIONS[name]!(scene));
    expect(refusal).toMatchObject({
      code: "UNAVAILABLE",
      message: `Redis at ${at}: its answer is not what the script returns. ${MAY_HAVE_HAPPENED}`,
    });
    const ends: string[] = [];
    for (answer of GARBAGE) ends.push(await outcome(OPERATIONS[name]!(scene)));
    const codes = ["UNAVAILABLE", "LOST", "INVALID", "LOOP", "a result"]; // the last where +OK is what it returns
    expect(ends.filter((end) => !codes.includes(end))).toEqual([]);
  });

  test("[G9] ends every command with a sentence and a documented exit code", async () => {
    const url = await startFake(([command]) => (command === "PING" ? "+PONG\r\n" : WRONG));
    const env = environment({ REDIS_URL: url, CLAUDE_INSTANCE_ID: "alice" });
    const commands = [
      ["publish", "GENERAL", "s", "d"],
      ["check"],
      ["search", "word"],
      ["ack", IDS[0]!],
      ["presence"],
      ["notifications"],
      ["show", IDS[0]!],
      ["stats"],
      ["dead"],
      ["drop", IDS[0]!],
      ["sweep"],
      ["export"],
      ["settings"],
      ["forget", "bob"],
      ["move", "--from", "other"],
    ];
    const sentence = `${url.replace("redis://", "Redis at ")}: its answer is not what the script returns.`;
    const ended = await Promise.all(commands.map(async (args) => coord(args, { env })));
    const told = ended.map(({ code, stdout, stderr }) => [code, stdout, stderr.split("\n")[0]?.includes(sentence)]);
    expect(told).toEqual(commands.map(() => [69, "", true]));
    expect(ended.flatMap(({ stderr }) => /^ {4}at /m.exec(stderr) ?? [])).toEqual([]);
  });

  test("[G9] that goes on for ever ends", async () => {
    const page = JSON.stringify({ cursor: "7", total: 0, pending: 0, dead: 0 });
    const { scene } = await liar(() => `$${page.length}\r\n${page}\r\n`);
    const refusal = await refused(scene.alice.getStats());
    expect(refusal).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("has a further page after"),
    });
  });
});

test("an event with a field that is nested without end is an event without that field", async () => {
  const deep = "[".repeat(20_000) + "]".repeat(20_000);
  await bench.command("bob").touch();
  await bench.raw.rpush("coord:notifications:bob", `{"event":"new","further":${deep},"known":[[1]]}`);
  const { result } = await new Mailbox(bench.command("bob")).takeNotifications({}, { bytes: 100_000 });
  expect(result.notifications).toEqual([{ event: "new", known: [[1]] }]);
});

test("[G9] parts of real replies replaced, left out, doubled: a result that can be shown, or a refusal", async () => {
  const { problems, cases } = await fuzzReplies({ seed: Date.now() % 1_000_000, cases: 1000 });
  expect([problems, cases]).toEqual([[], 1000]);
});
