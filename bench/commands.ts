/** How long whole processes take, from their start to their end or to their first answer, beside a Node that does nothing. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { getCoordinationClient } from "../src/client/client.ts";
import { startThrowawayRedis } from "../src/server/throwaway.ts";
import { interleave, type Side, type Timing } from "./measure.ts";
import { type Row, row } from "./report.ts";
import { DESCRIPTION, publishMany, RECIPIENT, SENDER, SUBJECT } from "./world.ts";

/** The aims, in multiples of `node -e 0`. */
const AIM_COMMAND = 1.45;
const AIM_HOOK = 0.05;
const AIM_SERVER = 2.2;
const AIM_MEMORY = 1.5;

/** A round takes two seconds. */
const EFFORT = { block: 1, warmUp: 2, rounds: 25, seconds: 60 };
/** The memory of the server is read when it has been idle for so long. */
const IDLE_MILLISECONDS = 3_000;
/** Instances that never and always have mail. */
const QUIET = "quiet";
const BUSY = "busy";
const SESSION = "bench";
const HOOK_INPUT = JSON.stringify({ session_id: SESSION, hook_event_name: "PostToolUse", tool_name: "Bash" });
const MCP_INPUT = [
  {
    id: 1,
    method: "initialize",
    params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "bench", version: "1" } },
  },
  { method: "notifications/initialized" },
  { id: 2, method: "tools/call", params: { name: "coord_check_messages", arguments: {} } },
]
  .map((message) => `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`)
  .join("");

export async function commands(): Promise<Row[]> {
  const port = await freePort();
  await using redis = await startThrowawayRedis({ args: ["--port", String(port), "--bind", "127.0.0.1"] });
  const sender = await getCoordinationClient({ redis: redis.url, cwd: redis.dir, env: {}, instanceId: SENDER });
  const start = (instance: string, [program, ...args]: Line, output: "ignore" | "pipe" = "ignore"): ChildProcess =>
    spawn(program, args, {
      cwd: redis.dir,
      env: {
        PATH: process.env["PATH"],
        HOME: redis.dir,
        REDIS_URL: `redis://127.0.0.1:${port}`,
        CLAUDE_INSTANCE_ID: instance,
        CLAUDE_CODE_SESSION_ID: SESSION,
        CLAUDE_PROJECT_DIR: redis.dir,
      },
      stdio: ["pipe", output, "ignore"],
    });
  const whole = (line: Line, instance = RECIPIENT): Side => ({ run: () => ended(start(instance, line), HOOK_INPUT) });
  const withMessage = (to: string, line: (id: string) => Line, instance?: string): Side => {
    let id = "";
    return {
      prepare: async () => ([id] = (await publishMany(sender, 1, { to })) as [string]),
      run: () => whole(line(id), instance).run(),
    };
  };
  const message = ["GENERAL", SUBJECT, DESCRIPTION, "--to", SENDER];
  const hook: Line = [inRoot("dist/coord-hook"), "claude", "tool"];
  const node: Side = whole([...NODE, "-e", "0"]);
  const answer = async (): Promise<void> => {
    const server = start(RECIPIENT, [...COORD, "mcp"], "pipe");
    await answered(server);
    await stopped(server);
  };
  const sides: Record<string, [side: Side, aim?: number]> = {
    "bash -c :": [whole(["bash", "-c", ":"])],
    "coord publish": [whole([...COORD, "publish", ...message]), AIM_COMMAND],
    "coord check": [whole([...COORD, "check"]), AIM_COMMAND],
    "coord ack": [withMessage(RECIPIENT, (id) => [...COORD, "ack", id]), AIM_COMMAND],
    "publish-message.sh": [whole([inScripts("publish-message.sh"), ...message]), AIM_COMMAND],
    "check-messages.sh": [whole([inScripts("check-messages.sh")]), AIM_COMMAND],
    "ack-message.sh": [withMessage(RECIPIENT, (id) => [inScripts("ack-message.sh"), id]), AIM_COMMAND],
    "hook, nothing waiting": [whole(hook, QUIET), AIM_HOOK],
    "hook, nothing waiting, without bash": [whole([...NODE, inRoot("dist/hook.cjs"), "claude"], QUIET), AIM_COMMAND],
    "hook with mail": [withMessage(BUSY, () => hook, BUSY), AIM_COMMAND],
    "coord mcp, spawn to first result": [{ run: answer }, AIM_SERVER],
  };
  try {
    await whole(hook, QUIET).run(); // Redis has the script from here on
    const timed = Object.fromEntries(Object.entries(sides).map(([name, [side]]) => [name, side]));
    const { node: floor, ...timings } = await interleave<string>({ node, ...timed }, EFFORT);
    const rows = Object.entries(timings).map(([name, ours]) => {
      const aim = sides[name]![1];
      return row(name, { ours, node: floor! }, aim === undefined ? undefined : { of: "node", atMost: aim });
    });
    const bare = start(RECIPIENT, [...NODE, "-e", "setInterval(() => {}, 1e6)"]);
    const server = start(RECIPIENT, [...COORD, "mcp"], "pipe");
    await answered(server);
    await sleep(IDLE_MILLISECONDS);
    const memory = { ours: kilobytes(server), node: kilobytes(bare) };
    await Promise.all([stopped(bare), stopped(server)]);
    return [...rows, row("coord mcp, resident memory (KB)", memory, { of: "node", atMost: AIM_MEMORY })];
  } finally {
    sender.close();
  }
}

type Line = [program: string, ...args: string[]];

/** The bench runs in the root folder of the repository. */
const inRoot = (file: string): string => resolve(file);
const inScripts = (file: string): string => resolve("scripts/coordination", file);
const NODE: Line = [process.execPath];
const COORD: Line = [process.execPath, inRoot("dist/coord.cjs")];

async function ended(child: ChildProcess, input = ""): Promise<void> {
  child.stdin!.on("error", () => undefined); // it may end without reading
  child.stdin!.end(input);
  await once(child, "exit");
}

async function answered(server: ChildProcess): Promise<void> {
  server.stdin!.write(MCP_INPUT);
  let output = "";
  for await (const chunk of server.stdout!.iterator({ destroyOnReturn: false })) {
    output += String(chunk);
    if (output.includes('"id":2')) return;
  }
}

async function stopped(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

/** In the form of a timing, which the table prints alike. */
function kilobytes({ pid }: ChildProcess): Timing {
  const output = execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" });
  const size = Number(output);
  return { p50: size, p95: size, p99: size, rate: NaN, samples: 1 };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}
