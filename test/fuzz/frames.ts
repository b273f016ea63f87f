/** Whatever a client sends: the MCP server lives, answers each request that has an id exactly once, and goes on working. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import * as fc from "fast-check";
import { residentKilobytes } from "../resident.ts";

/** Sent before the answers to them are awaited. */
const ROUND = 500;
const ANSWERED_WITHIN_MS = 20_000;
const RESIDENT_MEGABYTES_MAXIMUM = 400;

/** One line without its end, and the id whose answer it asks for; `ID` in a text stands for that id. */
interface Frame {
  bytes: Buffer;
  id: string | undefined;
}

export interface FramesOutcome {
  sent: number;
  asked: number;
  answered: number;
  /** Requests that were refused as malformed or impossible. */
  errors: number;
  residentMegabytes: number;
}

const odd = fc.oneof(
  fc.json({ maxDepth: 4 }).map((text) => JSON.parse(text) as unknown),
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    1e308,
    "",
    "\u0000",
    "\u202E\u2066x",
    "a".repeat(10_000),
    [],
    {},
    [[]],
    "all",
  ),
  fc.string({ unit: "binary", maxLength: 40 }),
);
const toolNames = ["publish_message", "check_messages", "ack_message", "get_presence", "get_notifications"];
const tool = fc.oneof(fc.constantFrom(...toolNames.map((name) => `coord_${name}`)), fc.string());
const argumentNames = fc.constantFrom(
  ..."msg_type subject description to_instance requires_ack reply_to from_instance pending_only all since before thread".split(
    " ",
  ),
  ..."message_id limit comment __proto__ constructor toString x".split(" "),
);
const args = fc.dictionary(argumentNames, odd, { maxKeys: 6 });
const method = fc.constantFrom(
  ..."ping tools/list tools/call initialize resources/list prompts/get logging/setLevel completion/complete x".split(
    " ",
  ),
  "",
  "__proto__",
  "notifications/cancelled",
  "notifications/initialized",
);

/** With an id, and so to be answered, whatever else is wrong with it. */
const request: fc.Arbitrary<object> = fc.oneof(
  fc.record({ jsonrpc: fc.constant("2.0"), method: fc.constantFrom("ping", "tools/list") }),
  fc.record({
    jsonrpc: fc.constant("2.0"),
    method: fc.constant("tools/call"),
    params: fc.record({ name: tool, arguments: fc.oneof(args, odd) }, { requiredKeys: [] }),
  }),
  fc.record({ jsonrpc: fc.constant("2.0"), method, params: fc.oneof(odd, fc.record({ name: tool, _meta: odd })) }),
  fc.record({ jsonrpc: fc.oneof(fc.constant("2.0"), odd), method: odd, params: odd }, { requiredKeys: [] }),
);

/** Nobody can say whose answer it would be. */
const noise: fc.Arbitrary<Buffer> = fc.oneof(
  fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  odd.map((value) => Buffer.from(JSON.stringify(value))),
  fc.record({ jsonrpc: fc.constant("2.0"), method, params: odd }, { requiredKeys: ["jsonrpc"] }).map(json),
  fc.record({ jsonrpc: fc.constant("2.0"), id: fc.nat(50), result: odd }).map(json),
  fc.record({ jsonrpc: fc.constant("2.0"), id: fc.nat(50), error: odd }).map(json),
  fc.nat(3000).map((depth) => Buffer.from("[".repeat(depth) + "]".repeat(depth))),
  fc.nat(3000).map((depth) => Buffer.from('{"a":'.repeat(depth))),
  fc
    .constantFrom("", " ", "\r", "null", '{"jsonrpc":"2.0","id":7', '{"jsonrpc":"2.0","method":"exit"}')
    .map((text) => Buffer.from(text)),
  fc.integer({ min: 1, max: 200_000 }).map((size) => Buffer.alloc(size, "x")),
);

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function framesOf(count: number, seed: number): Frame[] {
  const drawn = fc.sample(fc.oneof({ weight: 3, arbitrary: request }, { weight: 2, arbitrary: noise }), {
    seed,
    numRuns: count,
  });
  return drawn.map((one, i) => {
    // A line is a line: what is inside a frame cannot be one.
    if (Buffer.isBuffer(one))
      return { bytes: Buffer.from(one.map((byte) => (byte === 0x0a ? 0x20 : byte))), id: undefined };
    const id = `f${seed}-${i}`;
    const frame = JSON.stringify({ ...one, id });
    // Every tenth as a batch, which is not part of MCP.
    return { bytes: Buffer.from(i % 10 === 0 ? `[${frame}]` : frame), id };
  });
}

/** @throws Error with the seed of the round, when anything is not as promised */
export async function fuzzFrames(redisUrl: string, frames: number, seed: number): Promise<FramesOutcome> {
  const program = path.resolve("dist/coord.cjs");
  const env = { PATH: process.env["PATH"], REDIS_URL: redisUrl, CLAUDE_INSTANCE_ID: "fuzz" };
  const server = spawn(process.execPath, [program, "mcp"], { env, stdio: ["pipe", "pipe", "ignore"] });
  const exited = once(server, "exit");
  server.stdin.on("error", () => undefined); // told by its exit
  const answers = new Map<string, number>();
  const outcome = { sent: 0, asked: 0, answered: 0, errors: 0, residentMegabytes: 0 };
  let look = (): void => undefined;
  createInterface({ input: server.stdout }).on("line", (line) => {
    const answer = JSON.parse(line) as { id?: unknown; error?: unknown; result?: { isError?: boolean } };
    if (typeof answer.id !== "string") return; // a notification of ours
    answers.set(answer.id, (answers.get(answer.id) ?? 0) + 1);
    if (answer.error !== undefined || answer.result?.isError) outcome.errors++;
    look();
  });
  const ask = async (lines: readonly Frame[], what: string): Promise<void> => {
    const wanted = lines.flatMap(({ id }) => (id === undefined ? [] : [id]));
    const all = new Promise<void>((resolve) => {
      look = () => {
        if (wanted.every((id) => answers.has(id))) resolve();
      };
    });
    for (const { bytes } of lines) {
      if (!server.stdin.write(Buffer.concat([bytes, Buffer.from("\n")])))
        await Promise.race([once(server.stdin, "drain"), exited]);
    }
    look();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => (timer = setTimeout(() => resolve("no answer"), ANSWERED_WITHIN_MS)));
    const ended = exited.then(([code]) => `the server ended with ${code}`);
    const problem = await Promise.race([all, late, ended]);
    clearTimeout(timer);
    const missing = lines.filter(({ id }) => id !== undefined && !answers.has(id));
    const twice = wanted.filter((id) => answers.get(id) !== 1 && answers.has(id));
    if (problem !== undefined || missing.length > 0 || twice.length > 0) {
      const listed = missing.slice(0, 3).map(({ bytes }) => bytes.toString().slice(0, 300));
      throw new Error(
        `${what}: ${problem ?? ""}; unanswered ${missing.length}: ${listed.join("\n")}; twice: ${twice.join(" ")}`,
      );
    }
    outcome.sent += lines.length;
    outcome.asked += wanted.length;
    outcome.answered += wanted.length;
  };
  try {
    for (let round = 0; outcome.sent < frames; round++) {
      await ask(framesOf(Math.min(ROUND, frames - outcome.sent), seed + round), `seed ${seed + round}`);
      const id = `valid-${round}`;
      const call = { jsonrpc: "2.0", id, method: "tools/call", params: { name: "coord_get_presence", arguments: {} } };
      const before = outcome.errors;
      await ask([{ bytes: json(call), id }], `the valid call after seed ${seed + round}`);
      if (outcome.errors > before) throw new Error(`the valid call after seed ${seed + round} was refused`);
      outcome.sent--;
    }
    outcome.residentMegabytes = Math.round(residentKilobytes(server.pid!) / 1024);
    // Turned round, so that what is not known does not pass.
    if (!(outcome.residentMegabytes <= RESIDENT_MEGABYTES_MAXIMUM))
      throw new Error(`it holds ${outcome.residentMegabytes} MB`);
    return outcome;
  } finally {
    server.kill("SIGKILL");
    await exited;
  }
}
