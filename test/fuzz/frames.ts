/**
 * What a client may send to `coord mcp`: lines that are no JSON, no JSON-RPC, of the wrong type, hostile, huge, cut in two, out
 * of order. The process has to live, every request with an id has to be answered once, and a proper call has to work
 * afterwards.
 */
import * as fc from "fast-check";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { McpProcess, residentBytes } from "./server.ts";

const TOOLS = ["publish_message", "check_messages", "ack_message", "get_presence", "get_notifications"].map(
  (name) => `coord_${name}`,
);
const METHODS = [
  "initialize",
  "ping",
  "tools/list",
  "tools/call",
  "resources/list",
  "prompts/get",
  "logging/setLevel",
  "completion/complete",
];
const NOTIFICATIONS = [
  "notifications/initialized",
  "notifications/progress",
  "notifications/roots/list_changed",
  "notifications/x",
];

interface Frame {
  bytes: Buffer;
  /** The id of a request that has to be answered. */
  id?: string | number;
}

const hostile: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1e308,
    9e15,
    "",
    "\0",
    "__proto__",
    "\u202e",
    "all",
    "../..",
    "msg-0000000000",
  ),
  fc.constantFrom<unknown>(
    [],
    {},
    [[]],
    { __proto__: null },
    { constructor: 1 },
    ["a", { b: [] }],
    "x".repeat(70_000),
    "\n",
    "é",
  ),
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: "binary", maxLength: 30 }),
);
const ARGUMENTS = [
  "msg_type",
  "subject",
  "description",
  "to_instance",
  "requires_ack",
  "reply_to",
  "message_id",
  "comment",
];
const FILTERS = ["from_instance", "pending_only", "all", "since", "before", "thread", "limit", "wait_seconds", "x"];
/** Arguments of a tool: mostly wrong, sometimes right; never a wait, which would be rightly slow. */
const toolArguments = fc
  .dictionary(
    fc.constantFrom(...ARGUMENTS, ...FILTERS),
    fc.oneof(hostile, fc.constantFrom("GENERAL", "s", "d", "bob", true, 5)),
    { maxKeys: 6 },
  )
  .map(({ wait_seconds: wait, ...rest }) =>
    typeof wait === "number" ? rest : { ...rest, ...(wait === undefined ? {} : { wait_seconds: wait }) },
  );
const params: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      name: fc.oneof(fc.constantFrom(...TOOLS), hostile),
      arguments: fc.oneof(toolArguments, hostile),
    }),
  },
  { weight: 1, arbitrary: hostile },
);

/** What has an id that counts as one, a method, and nothing that makes it no request. */
const request = (id: string | number): fc.Arbitrary<Frame> =>
  fc
    .record({
      method: fc.oneof(fc.constantFrom(...METHODS), fc.constant("tools/call"), fc.string({ maxLength: 20 })),
      params,
    })
    .map(({ method, params: given }) => ({
      id,
      bytes: line({
        jsonrpc: "2.0",
        id,
        method,
        ...(given !== null && typeof given === "object" && !Array.isArray(given) ? { params: given } : {}),
      }),
    }));

function line(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

/** Never to be answered by its id: no request, or of an id that is none. */
const garbage: fc.Arbitrary<Frame> = fc
  .oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc.string({ unit: "binary", maxLength: 60 }).map((text) => Buffer.from(text)),
    fc
      .constantFrom("{", "[]", "null", "[[[", "{}", '"', "\r", "\u2028", "{'a':1}", "NaN", "undefined", "[".repeat(500))
      .map((text) => Buffer.from(text)),
    fc
      .constantFrom(
        '{"a":'.repeat(20_000),
        `"${"x".repeat(300_000)}"`,
        `{"jsonrpc":"2.0","method":"${"m".repeat(200_000)}"}`,
      )
      .map((text) => Buffer.from(text)),
    fc
      .record({
        jsonrpc: fc.constantFrom("2.0", "1.0", 2, null),
        id: fc.constantFrom(null, {}, [], true, 1.5),
        method: fc.oneof(fc.constantFrom(...METHODS), hostile),
        params,
      })
      .map((value) => line(value).subarray(0, -1)),
    fc
      .record({ jsonrpc: fc.constant("2.0"), method: fc.constantFrom(...NOTIFICATIONS), params: hostile })
      .map((value) => line(value).subarray(0, -1)),
    // A cancellation of nothing, an answer to nothing, and a batch, which this revision of the protocol does not know.
    fc
      .constantFrom(
        { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "never" } },
        { jsonrpc: "2.0", id: "never", result: {} },
        [{ jsonrpc: "2.0", id: "batch", method: "ping" }],
      )
      .map((value) => line(value).subarray(0, -1)),
  )
  .map((bytes) => ({ bytes: Buffer.concat([Buffer.from(bytes.filter((byte) => byte !== 10)), Buffer.from("\n")]) }));

/** How the bytes of several frames are cut on their way. */
const cuts = fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 1, maxLength: 8 });

export interface FrameFigures {
  frames: number;
  /** With an id; each was answered once. */
  requests: number;
  /** Of them answered with a result. */
  results: number;
  /** Of the server's process, after a tenth of the frames and at the end. */
  memory: [early: number, late: number];
  problems: string[];
}

const BATCH = 500;
/** Memory that a process may have gained since a tenth of the frames: the heap of V8 breathes. */
const GAINED_MAXIMUM = 64 * 1024 * 1024;

export async function fuzzFrames({ seed, cases }: { seed: number; cases: number }): Promise<FrameFigures> {
  await using redis = await startThrowawayRedis();
  await using server = new McpProcess("fuzz", redis.url);
  const figures: FrameFigures = { frames: 0, requests: 0, results: 0, memory: [0, 0], problems: [] };
  const pid = server.process.pid!;
  const settle = async (ids: ReadonlySet<string | number>): Promise<void> => {
    for (const id of ids) {
      const answer = await server.answer(id);
      if (answer.result !== undefined) figures.results++;
    }
    // An answer more than one would have come before that of a later request.
    await server.request(`after ${figures.frames}`, "ping", {});
    for (const id of ids) {
      const count = server.answers.get(id)!.length;
      if (count !== 1) figures.problems.push(`${id} was answered ${count} times`);
    }
    server.answers.clear();
  };
  try {
    // Half of the first batch comes before the handshake.
    for (let batch = 0; figures.frames < cases; batch++) {
      const sent = new Set<string | number>();
      const chosen = fc.sample(
        fc.tuple(fc.boolean(), fc.constantFrom(0, 1)).chain(([asks, text]) => {
          return asks ? request(0).map((frame) => ({ frame, text })) : garbage.map((frame) => ({ frame, text }));
        }),
        { seed: seed + batch, numRuns: Math.min(BATCH, cases - figures.frames) },
      );
      const parts: Buffer[] = [];
      chosen.forEach(({ frame, text }, n) => {
        if (frame.id === undefined) return parts.push(frame.bytes);
        const id = text === 1 ? `r${batch}-${n}` : batch * BATCH + n + 1;
        sent.add(id);
        const value = JSON.parse(frame.bytes.toString()) as object;
        return parts.push(line({ ...value, id }));
      });
      figures.frames += chosen.length;
      figures.requests += sent.size;
      const bytes = Buffer.concat(parts);
      const sizes = fc.sample(cuts, { seed: seed + batch, numRuns: 1 })[0]!;
      for (let at = 0, n = 0; at < bytes.length; n++) {
        // Mostly in large pieces, now and then byte by byte.
        const size = n < 50 ? sizes[n % sizes.length]! : 65_536;
        await server.write(bytes.subarray(at, at + size));
        at += size;
      }
      await settle(sent);
      if (batch === 0) await server.initialize("handshake");
      if (figures.memory[0] === 0 && figures.frames >= cases / 10) figures.memory[0] = await residentBytes(pid);
    }
    figures.memory[1] = await residentBytes(pid);
    const words = { msg_type: "GENERAL", subject: "after all", description: "d", to_instance: "bob" };
    const published = await server.call("publish", "coord_publish_message", words);
    const shown = await server.call("check", "coord_check_messages", { message_id: published["message_id"] });
    const [message] = (shown["messages"] ?? []) as { subject?: string }[];
    if (message?.subject !== words.subject) figures.problems.push(`afterwards: ${JSON.stringify([published, shown])}`);
  } catch (error) {
    figures.problems.push(String(error));
  }
  const gained = figures.memory[1] - figures.memory[0];
  if (gained > GAINED_MAXIMUM) figures.problems.push(`the process has gained ${gained} bytes`);
  if (server.noise.length > 0)
    figures.problems.push(`it wrote what is no JSON-RPC: ${server.noise.slice(0, 3).join(" ")}`);
  return figures;
}
