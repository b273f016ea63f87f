/** The MCP server as an outsider sees it: the Inspector's command line, strict about schemas. */
import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { beforeAll, beforeEach, expect, it } from "vitest";
import { useRedis } from "../harness.ts";
import { COORD, type Ended, ROOT, type Wire, environment, run } from "./run.ts";

const PACKAGE = "@modelcontextprotocol/inspector@2.12.0";
/** It has 110 MB; on demand, since only this file needs it. */
const FETCH_WITHIN_MS = 240_000;
const CACHE = path.join(ROOT, "node_modules/.cache/inspector");
const PROGRAM = path.join(CACHE, "node_modules/.bin/mcp-inspector");

const bench = useRedis();

/** Why there is no Inspector here. */
let missing: string | undefined;
beforeAll(async () => {
  if (existsSync(PROGRAM)) return;
  // Beside the cache and moved there whole: neither an interrupted fetch nor a second one leaves half an Inspector.
  const work = `${CACHE}.${process.pid}`;
  const quiet = ["--no-save", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"];
  try {
    const fetched = await run("npm", ["install", "--prefix", work, ...quiet, PACKAGE], {
      env: { ...process.env },
      cwd: path.dirname(ROOT),
      withinMs: FETCH_WITHIN_MS,
    });
    if (fetched.code === 0) await rename(work, CACHE).catch(() => undefined);
    if (!existsSync(PROGRAM)) missing = `${PACKAGE} could not be fetched: ${fetched.stderr.trim()}`;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}, FETCH_WITHIN_MS + 10_000);

/** Only where nothing can be fetched from anywhere: another failure is one. */
beforeEach(({ skip }) => {
  if (missing === undefined) return;
  skip(/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/.test(missing), missing.split("\n", 1)[0]);
  throw new Error(missing);
});

function inspect(...args: string[]): Promise<Ended> {
  const settings = { CLAUDE_INSTANCE_ID: "backend", REDIS_URL: bench.redis.url };
  const passed = Object.entries(settings).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
  const server = [process.execPath, COORD, "mcp"];
  return run(PROGRAM, ["--cli", ...passed, ...server, ...args, "--format", "json", "-q"], { env: environment() });
}

it("tools/list has no schema that some client cannot read (--strict)", async () => {
  const { code, stdout, stderr } = await inspect("--method", "tools/list", "--strict");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const found = /"tools":/.test(stdout) ? (JSON.parse(stdout) as { tools?: Wire[]; result?: { tools: Wire[] } }) : {};
  const tools = found.tools ?? found.result?.tools ?? [];
  expect(tools.map(({ name }) => name)).toEqual([
    "coord_publish_message",
    "coord_check_messages",
    "coord_ack_message",
    "coord_get_presence",
    "coord_get_notifications",
  ]);
});

it("tools/call stores a message", async () => {
  const args = JSON.stringify({ msg_type: "GENERAL", subject: "s", description: "d", to_instance: "frontend" });
  const call = ["--method", "tools/call", "--tool-name", "coord_publish_message", "--tool-args-json", args];
  const { code, stdout } = await inspect(...call);
  expect(code).toBe(0);
  const [id] = await bench.raw.zrange("coord:timeline", "0", "-1");
  expect(stdout).toContain(
    `"message_id":"${id}"`.replaceAll('"', stdout.includes(String.raw`\"message_id`) ? String.raw`\"` : '"'),
  );
  expect(await bench.raw.hmget(`coord:msg:${id}`, "from", "to", "subject")).toEqual(["backend", "frontend", "s"]);
});
