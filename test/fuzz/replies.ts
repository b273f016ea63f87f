/**
 * A server that speaks the protocol of Redis and answers wrongly: what scripts have really returned, with parts of it replaced,
 * left out or doubled, also in the JSON inside, and bytes that are no reply at all. Each operation ends in a result that every
 * surface can show, or in one sentence of ours.
 */
import { connect, createServer, type Socket } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import * as fc from "fast-check";
import { CoordinationClient } from "../../src/client/client.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { CoordinationError } from "../../src/protocol/errors.ts";
import { ErrorReply } from "../../src/redis/errors.ts";
import { type Reply, ReplyReader } from "../../src/redis/resp.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { SCRIPTS } from "../../src/store/scripts.ts";
import { openRedis } from "../raw-redis.ts";
import { OPERATIONS, type Scene, stage } from "./scene.ts";

/** What scripts have returned, by the names of the verbs. */
type Recording = Map<string, Reply[]>;

export interface ReplyFigures {
  cases: number;
  /** How many replies were sent that were not as a script returns them. */
  wrong: number;
  results: number;
  refused: number;
  problems: string[];
}

const VERBS = new Map(Object.entries(SCRIPTS).map(([verb, { sha }]) => [sha, verb]));
const OPERATION_WITHIN_MS = 15_000;
const PROBLEMS_MAXIMUM = 20;
/** As many of one verb. */
const RECORDED_MAXIMUM = 20;

/** What replaces a part. */
const WRONG: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  7,
  1e300,
  "",
  "OK",
  "0",
  "-1",
  "nan",
  "1e308",
  "9".repeat(5000),
  "x".repeat(10_000),
  "\u0000\r\n\t\u001b[2J\u202e",
  "{}",
  "[]",
  "{",
  "[".repeat(50_000),
  '{"a":'.repeat(20_000),
  '"\\ud800"',
  `{"event":"x","last_heartbeat":"2026-01-01T00:00:00.000Z","session":{"guests":${"[".repeat(20_000)}${"]".repeat(20_000)}},"further":${"[".repeat(20_000)}${"]".repeat(20_000)}}`,
  "2099-01-01T00:00:00.000Z",
  "msg-zzzzzzzzzz",
  "__proto__",
  "constructor",
  [],
  [[]],
  ["message", "coord:events", "x"],
  {},
  { __proto__: null, constructor: 1, toString: 1 },
  // Written behind the JSON: no value of JavaScript becomes these.
  "<1e999>",
  "<-1e999>",
  "<NaN>",
];

/** Bytes that are no reply, or one of another protocol. */
export const GARBAGE: readonly string[] = [
  ">2\r\n+invalidate\r\n*0\r\n",
  "%1\r\n+a\r\n:1\r\n",
  "~1\r\n+a\r\n",
  ",3.14\r\n",
  "#t\r\n",
  "_\r\n",
  "(12345678901234567890\r\n",
  "=15\r\ntxt:Some string\r\n",
  "$many\r\n",
  "$-2\r\n",
  ":\r\n",
  ":--1\r\n",
  ":1.5\r\n",
  "*1\r\n-ERR inside\r\n",
  "*-7\r\n",
  "*2000000000\r\n",
  "$5368709120\r\n",
  "$3\r\nabcdef\r\n",
  "*1\r\n".repeat(100),
  "HTTP/1.1 400 Bad Request\r\n\r\n",
  "\u0016\u0003\u0001\u0002\r\n",
  "-\r\n",
  "-LOST\r\n",
  "-constructor x\thint\r\n",
  "-INVALID \t\t\r\n",
  `-LOOP x\ty\t${"9".repeat(5000)}\r\n`,
  "-NOSCRIPT x\r\n",
  "-MOVED 1 :99999\r\n",
  "-LOADING x\r\n",
  "-ERR Error compiling script\r\n",
  "+OK\r\n",
  ":3\r\n",
  "*0\r\n",
  "*-1\r\n",
  "$-1\r\n",
  "*1\r\n*1\r\n:3\r\n",
];

export async function fuzzReplies({ seed, cases }: { seed: number; cases: number }): Promise<ReplyFigures> {
  const { recording, ids } = await record();
  const figures: ReplyFigures = { cases: 0, wrong: 0, results: 0, refused: 0, problems: [] };
  const operations = Object.entries(OPERATIONS);
  const dice = { next: (_limit: number): number => 0 };
  const fake = await startLiar((verb) => {
    const recorded = recording.get(verb);
    // Not each: the further calls of an operation are to be reached as well.
    if (recorded === undefined) return encode("OK");
    if (dice.next(4) === 0) return encode(drawn(recorded, 0));
    figures.wrong++;
    if (dice.next(8) === 0) return GARBAGE[dice.next(GARBAGE.length)]!;
    let reply = drawn(recorded, dice.next(recorded.length));
    for (let times = 1 + dice.next(3); times > 0; times--) reply = mutated(reply, dice.next) as Reply;
    return encode(reply);
  });
  const unhandled = (reason: unknown): void => void figures.problems.push(`nobody was told of ${String(reason)}`);
  process.on("unhandledRejection", unhandled);
  try {
    for (const [number, random] of fc.sample(fc.infiniteStream(fc.nat(2 ** 30)), { seed, numRuns: cases }).entries()) {
      const [name, operation] = operations[number % operations.length]!;
      dice.next = (limit) => (random.next().value as number) % limit;
      const [alice, bob] = [open("alice", fake.url), open("bob", fake.url)];
      const scene: Scene = { alice, bob, ids, raw: undefined as unknown as Scene["raw"] };
      try {
        figures[await ended(operation(scene))]++;
      } catch (error) {
        const text = error instanceof Error ? error.stack : String(error);
        figures.problems.push(`${name}, seed ${seed}, case ${number}: ${text}`);
        if (figures.problems.length >= PROBLEMS_MAXIMUM) break;
      } finally {
        for (const client of [alice, bob]) client.close();
      }
      figures.cases++;
    }
    return figures;
  } finally {
    process.off("unhandledRejection", unhandled);
    fake.stop();
  }
}

function drawn(replies: readonly Reply[], at: number): Reply {
  const reply = replies[at];
  return reply === undefined ? null : reply;
}

function open(instanceId: string, url: string): CoordinationClient {
  const env = { REDIS_URL: url, COORD_ACK_TIMEOUT_SECONDS: "0" };
  return new CoordinationClient(resolveSettings({ instanceId, env, cwd: "/" }));
}

/** A result, or a refusal in one sentence with a code and what to do. */
export async function ended(operation: Promise<unknown>): Promise<"results" | "refused"> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it hangs")), OPERATION_WITHIN_MS);
  });
  try {
    await Promise.race([operation, late]);
    return "results";
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    if (error.code === "TIMEOUT") throw error; // it was answered at once
    return "refused";
  } finally {
    clearTimeout(timer);
  }
}

/** What every operation gets from a real Redis. */
async function record(): Promise<{ recording: Recording; ids: string[] }> {
  await using redis = await startThrowawayRedis();
  const raw = openRedis({ path: redis.socketPath });
  const recording: Recording = new Map();
  const clients: CoordinationClient[] = [];
  const tap = await startServer((socket) => {
    const verbs: (string | undefined)[] = [];
    const upstream = openUpstream(redis.socketPath, socket, (reply) => {
      const verb = verbs.shift();
      if (verb === undefined || reply instanceof ErrorReply) return;
      const recorded = recording.get(verb) ?? [];
      if (recorded.length < RECORDED_MAXIMUM) recording.set(verb, [...recorded, reply]);
    });
    eachCommand(socket, (words, bytes) => {
      verbs.push(VERBS.get(words[1] ?? ""));
      upstream.write(bytes);
    });
  });
  try {
    const scene = await stage(raw, (instanceId) => {
      clients.push(open(instanceId, tap.url));
      return clients.at(-1)!;
    });
    // The scripts are there now, and each answers by its name; twice, the second after each other's changes.
    for (let round = 0; round < 2; round++) {
      for (const operation of Object.values(OPERATIONS)) {
        await operation(scene).catch((error: unknown) => {
          if (!CoordinationError.is(error)) throw error;
        });
      }
    }
    return { recording, ids: scene.ids };
  } finally {
    for (const client of clients) client.close();
    raw.disconnect();
    tap.stop();
  }
}

function openUpstream(socketPath: string, down: Socket, onReply: (reply: Reply | ErrorReply) => void): Socket {
  const reader = new ReplyReader(onReply);
  const up = connect({ path: socketPath });
  up.on("data", (bytes) => {
    reader.read(bytes);
    down.write(bytes);
  });
  up.on("error", () => down.destroy());
  down.on("close", () => up.destroy());
  return up;
}

/** Answers each script as it is told, and everything else as Redis would. */
export async function startLiar(answer: (verb: string) => string): Promise<{ url: string; stop: () => void }> {
  return startServer((socket) => {
    eachCommand(socket, ([command = "", sha = "", ...others]) => {
      if (command === "PING") return socket.write("+PONG\r\n");
      if (command === "HGET") return socket.write("$-1\r\n");
      if (command === "UNSUBSCRIBE" || command === "SUBSCRIBE") {
        const name = command.toLowerCase();
        return [sha, ...others].map((channel) => socket.write(encode([name, channel, 1])));
      }
      return socket.write(answer(VERBS.get(sha) ?? ""));
    });
  });
}

async function startServer(accept: (socket: Socket) => void): Promise<{ url: string; stop: () => void }> {
  const folder = mkdtempSync(path.join(tmpdir(), "coord-liar-"));
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(path.join(folder, "redis.sock"), resolve));
  const stop = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
    rmSync(folder, { recursive: true, force: true });
  };
  return { url: `unix:${path.join(folder, "redis.sock")}`, stop };
}

/** Commands come from our own client: lists of texts, whole ones as ReplyReader reads them. */
function eachCommand(socket: Socket, take: (words: string[], bytes: Buffer) => void): void {
  let pending = Buffer.alloc(0);
  let words: string[] | undefined;
  const reader = new ReplyReader((command) => (words = command as string[]));
  socket.on("data", (bytes) => {
    // Byte by byte up to each end, since the reader does not say where a command ends: commands begin with `*`.
    for (let at = 0; at < bytes.length;) {
      const end = bytes.indexOf("\r\n*", at);
      const next = end === -1 ? bytes.length : end + 2;
      const piece = bytes.subarray(at, next);
      pending = Buffer.concat([pending, piece]);
      reader.read(piece);
      if (words !== undefined) {
        take(words, pending);
        pending = Buffer.alloc(0);
        words = undefined;
      }
      at = next;
    }
  });
}

function encode(reply: Reply): string {
  if (reply === null) return "$-1\r\n";
  if (typeof reply === "number") return `:${Math.trunc(reply)}\r\n`;
  if (typeof reply === "string") return `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`;
  return `*${reply.length}\r\n${reply.map(encode).join("")}`;
}

/** With one part changed, in the lists or in the JSON of a text. */
export function mutated(value: unknown, roll: (limit: number) => number, inJson = false): unknown {
  const json = !inJson && typeof value === "string" && /^[[{]/.test(value) ? held(value) : undefined;
  if (json !== undefined && roll(8) > 0) {
    return JSON.stringify(mutated(json, roll, true)).replaceAll(/"<(-?1e999|NaN)>"/g, "$1");
  }
  const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
  if (keys.length === 0 || roll(6) === 0) return fitting(WRONG[roll(WRONG.length)], inJson);
  const key = keys[roll(keys.length)]!;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string, unknown>;
  const what = roll(10);
  if (what === 0 && Array.isArray(copy)) copy.splice(Number(key), 1);
  else if (what === 0) delete copy[key];
  else if (what === 1 && Array.isArray(copy)) copy.push(copy[Number(key)]);
  else if (what === 1) copy[`${key}x`] = copy[key];
  else copy[key] = mutated(copy[key], roll, inJson);
  return copy;
}

function held(text: string): unknown {
  if (text.length > 20_000) return undefined; // too deep to be written again
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** RESP has no objects and no truth. */
function fitting(value: unknown, inJson: boolean): unknown {
  const isReply = value === null || typeof value === "string" || typeof value === "number" || Array.isArray(value);
  return inJson || isReply ? value : JSON.stringify(value);
}
