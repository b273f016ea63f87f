/** What a client sends without reading, or in one piece that is too large: it is answered, and costs the server no memory without bound. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { useRedis } from "../harness.ts";
import { PATIENCE_MS } from "../patience.ts";
import { residentKilobytes } from "../resident.ts";
import { COORD, environment, type Wire } from "./run.ts";

const bench = useRedis();
const MEBIBYTE = 1024 * 1024;
/** Half as much again as it takes; without a bound it was twice this after eight seconds, and growing. */
const RESIDENT_KILOBYTES_MAXIMUM = 170_000;

function startServer(): ChildProcessWithoutNullStreams {
  const env = environment({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: "backend" });
  const server = spawn(process.execPath, [COORD, "mcp"], { env, cwd: "/" });
  onTestFinished(() => void server.kill("SIGKILL"));
  const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "test", version: "0" } };
  server.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id: 0, method: "initialize", params })}\n`);
  server.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" })}\n`);
  return server;
}

/** The answers that a server gives until all of so many are there. */
async function answers(server: ChildProcessWithoutNullStreams, count: number): Promise<Wire[]> {
  const found: Wire[] = [];
  for await (const line of createInterface({ input: server.stdout, signal: AbortSignal.timeout(PATIENCE_MS) })) {
    found.push(JSON.parse(line) as Wire);
    if (found.length === count) break;
  }
  return found;
}

test("a request that is too long is refused by its id, wherever that stands, and the next one is served", async () => {
  const server = startServer();
  const long = "x".repeat(5 * MEBIBYTE);
  const params = { name: "coord_publish_message", arguments: { description: `"id": 9} ${long}` } };
  for (const request of [
    { jsonrpc: "2.0", id: 1, method: "tools/call", params },
    { id: "two", jsonrpc: "2.0", method: "tools/call", params },
    { method: "tools/call", params, jsonrpc: "2.0", id: 3 },
    { method: "tools/call", params, id: "four", jsonrpc: "2.0" },
    { method: "tools/call", id: 5, params, jsonrpc: "2.0" },
    { jsonrpc: "2.0", id: 6, method: "ping" },
  ])
    server.stdin.write(`${JSON.stringify(request)}\n`);
  const message = `A request has at most ${4 * MEBIBYTE} bytes: this one was not read.`;
  const refused = [1, "two", 3, "four", null].map((id) => ({ jsonrpc: "2.0", id, error: { code: -32_600, message } }));
  const [, ...rest] = await answers(server, 7);
  expect(rest).toEqual([...refused, { jsonrpc: "2.0", id: 6, result: {} }]);
});

test("requests whose answers nobody reads wait in the client's own pipe; each is answered once when they are read", async () => {
  const server = startServer();
  const count = 10_000;
  const line = (id: number): string => `${JSON.stringify({ jsonrpc: "2.0", id, method: "tools/list", params: {} })}\n`;
  for (let id = 1; id <= count; id++) server.stdin.write(line(id));
  // It has stopped listening when it takes no more memory for two seconds.
  let resident = 0;
  for (let same = 0; same < 20;) {
    await sleep(100);
    const now = residentKilobytes(server.pid!);
    same = Math.abs(now - resident) < 1_000 ? same + 1 : 0;
    resident = now;
  }
  expect(resident).toBeLessThan(RESIDENT_KILOBYTES_MAXIMUM);
  const ids = (await answers(server, count + 1)).map(({ id }) => id as number);
  expect(ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count + 1 }, (_, id) => id));
});
