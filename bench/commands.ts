/**
 * What whole processes take, from their start to their end or to their first answer, beside a Node that does nothing: the time that
 * somebody waits, and that of the processor, which the bounds are about, since it is nearly the same on a busy machine.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CoordinationClient, getCoordinationClient } from "../src/client/client.ts";
import { listRunRecords, removeRunRecord } from "../src/client/run-record.ts";
import { startThrowawayRedis } from "../src/server/throwaway.ts";
import { distribution, interleave, type Side, single, type Timing } from "./measure.ts";
import { type Measured, type Part, row } from "./report.ts";
import { type Lap, type Line, Stopwatch } from "./stopwatch.ts";
import type { TargetName } from "./targets.ts";
import { DESCRIPTION, publishMany, RECIPIENT, SENDER, SUBJECT } from "./world.ts";

/** A round takes two seconds. */
const EFFORT = { block: 1, warmUpSeconds: 4, rounds: 40, seconds: 90 };
/** The memory of the server is read when it has been idle for so long. */
const IDLE_MILLISECONDS = 3_000;
const ANSWERED_WITHIN_MILLISECONDS = 10_000;
/** Instances that never and always have mail. */
const QUIET = "quiet";
const BUSY = "busy";
/** Of each instance its own, and of this run: the record of a session says who its hooks are, and on which server. */
const SESSION = `bench-${process.pid}`;
const sessionOf = (instance: string): string => `${SESSION}-${instance}`;
const hookInput = (instance: string): string =>
  JSON.stringify({ session_id: sessionOf(instance), hook_event_name: "PostToolUse", tool_name: "Bash" });
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

/** Where the result of the second begins. */
const MCP_ANSWER = '"id":2';

/** The bench runs in the root folder of the repository. */
const inRoot = (file: string): string => resolve(file);
const inScripts = (file: string): string => resolve("scripts/coordination", file);
const NODE: Line = [process.execPath];
const COORD: Line = [process.execPath, inRoot("dist/coord.cjs")];
const HOOK: Line = [inRoot("dist/coord-hook"), "claude", "tool"];
const MESSAGE = ["GENERAL", SUBJECT, DESCRIPTION, "--to", SENDER];

/** Said of a row that is about the time of the processor: user and system. */
const WORKED = ", processor";

interface Timed {
  side: Side;
  /** Those of the warm-up first. */
  laps: Lap[];
}

interface Process extends Timed {
  target?: TargetName;
  /** What its time is made of, one on the other: these processes do the first parts of what it does. */
  parts?: readonly [name: string, what: string][];
}

const START: [string, string] = ["node", "Node's own start (node -e 0)"];
const LOAD: [string, string] = ["coord --version", "loading coord (coord --version)"];
const BASH: [string, string] = ["bash -c :", "the start of bash (bash -c :)"];
const ASK: [string, string] = ["hook, nothing waiting", "bash asking Redis (the hook with nothing waiting)"];

export async function commands(): Promise<Measured> {
  const port = await freePort();
  await using redis = await startThrowawayRedis({ args: ["--port", String(port), "--bind", "127.0.0.1"] });
  await using sender = await getCoordinationClient({ redis: redis.url, cwd: redis.dir, env: {}, instanceId: SENDER });
  // Nobody acknowledges what the commands send here, which looks like an agent in a loop.
  await sender.changeNamespaceSetting("loop_messages", 0);
  using stopwatch = await Stopwatch.start(redis.dir);
  // Nothing else of our environment: NODE_EXTRA_CA_CERTS alone makes every start of Node slower by 40 ms.
  const env = (instance: string): Record<string, string> => ({
    PATH: process.env["PATH"] ?? "",
    HOME: redis.dir,
    REDIS_URL: `redis://127.0.0.1:${port}`,
    CLAUDE_INSTANCE_ID: instance,
    CLAUDE_CODE_SESSION_ID: sessionOf(instance),
    CLAUDE_PROJECT_DIR: redis.dir,
  });
  const processes = timedProcesses(
    (line, instance) => stopwatch.whole(line, env(instance), hookInput(instance)),
    () => stopwatch.answer([...COORD, "mcp"], env(RECIPIENT), MCP_INPUT, MCP_ANSWER),
    sender,
  );
  const sides = Object.fromEntries(Object.entries(processes).map(([name, { side }]) => [name, side]));
  const timings = await interleave<string>(sides, EFFORT);
  const processor = (name: string): Timing =>
    distribution(processes[name]!.laps.slice(-timings[name]!.samples).map((lap) => lap.processor));
  const rows = Object.entries(processes).flatMap(([name, { target, parts }]) => {
    const waited = { ours: timings[name]!, node: timings["node"]! };
    const worked = { ours: processor(name), node: processor("node") };
    if (name === "node")
      return [row("node -e 0", { ours: waited.node }), row(`node -e 0${WORKED}`, { ours: worked.node })];
    return [
      row(name, waited, { ...(parts && { breakdown: partsOf(timings, name, parts) }) }),
      row(`${name}${WORKED}`, worked, { ...(target && { target }) }),
    ];
  });
  const memory = await residentMemory(env(RECIPIENT), redis.dir);
  forgetRuns();
  const resident = { unit: "KB", target: "serverMemory", breakdown: memory.breakdown } as const;
  return { rows: [...rows, row("coord mcp, resident, idle", memory.timings, resident)] };
}

function timedProcesses(
  run: (line: Line, instance: string) => Promise<Lap>,
  startServer: () => Promise<Lap>,
  sender: CoordinationClient,
): Record<string, Process> {
  const whole = (line: Line, instance = RECIPIENT): Timed => timed(() => run(line, instance));
  const withMessage = (to: string, line: (id: string) => Line, instance = RECIPIENT): Timed => {
    let id = "";
    const { side, laps } = timed(() => run(line(id), instance));
    return {
      side: { ...side, prepare: async () => ([id] = (await publishMany(sender, 1, { to })) as [string]) },
      laps,
    };
  };
  const command = (process: Timed): Process => ({ ...process, target: "command", parts: [START, LOAD] });
  const script = (process: Timed): Process => ({ ...process, target: "command", parts: [BASH, START, LOAD] });
  return {
    node: whole([...NODE, "-e", "0"]),
    "coord --version": whole([...COORD, "--version"]),
    "coord publish": command(whole([...COORD, "publish", ...MESSAGE])),
    "coord check": command(whole([...COORD, "check"])),
    "coord ack": command(withMessage(RECIPIENT, (id) => [...COORD, "ack", id])),
    "publish-message.sh": script(whole([inScripts("publish-message.sh"), ...MESSAGE])),
    "check-messages.sh": script(whole([inScripts("check-messages.sh")])),
    "ack-message.sh": script(withMessage(RECIPIENT, (id) => [inScripts("ack-message.sh"), id])),
    "bash -c :": whole(["bash", "-c", ":"]),
    "hook, nothing waiting": { ...whole(HOOK, QUIET), target: "hookQuiet", parts: [BASH] },
    "hook, nothing waiting, without bash": {
      ...whole([...NODE, inRoot("dist/hook.cjs"), "claude"], QUIET),
      target: "hookMail",
      parts: [START],
    },
    "hook with mail": { ...withMessage(BUSY, () => HOOK, BUSY), target: "hookMail", parts: [ASK, START] },
    "coord mcp, spawn to first result": {
      ...timed(startServer),
      target: "server",
      parts: [START],
    },
  };
}

/** Nothing else would, since no process tells that these runs have ended. */
function forgetRuns(): void {
  const ours = listRunRecords().filter(({ sessions }) => sessions.some((id) => id.startsWith(SESSION)));
  for (const record of ours) removeRunRecord(record);
}

function timed(run: () => Promise<Lap>): Timed {
  const laps: Lap[] = [];
  const time = async (): Promise<number> => {
    const lap = await run();
    laps.push(lap);
    return lap.microseconds;
  };
  return { side: { time }, laps };
}

function partsOf(timings: Record<string, Timing>, name: string, parts: Process["parts"] & object): Part[] {
  const known: Part[] = parts.map(([floor, what]) => {
    const inner = floor === LOAD[0] ? timings["node"]!.p50 : 0;
    return { what, amount: timings[floor]!.p50 - inner };
  });
  const rest = timings[name]!.p50 - known.reduce((sum, { amount }) => sum + amount, 0);
  return [...known, { what: "what is left: its own work, connecting to Redis, round trips, the end", amount: rest }];
}

async function residentMemory(
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<{ timings: Record<"ours" | "node", Timing>; breakdown: Part[] }> {
  const start = ([program, ...args]: Line): ChildProcess =>
    spawn(program, args, { cwd, env, stdio: ["pipe", "pipe", "ignore"] });
  const bare = start([...NODE, "-e", "setInterval(() => {}, 1e6)"]);
  const server = start([...COORD, "mcp"]);
  try {
    await answered(server);
    await sleep(IDLE_MILLISECONDS);
    const [ours, node] = [server, bare].map(({ pid }) => residentSize(pid!));
    const anonymous = ours!.anonymous - node!.anonymous;
    const breakdown = [
      { what: "Node itself, idle", amount: node!.all },
      { what: "more memory of its own: heap, compiled code", amount: anonymous },
      { what: "more of files, mostly Node's own code that is used now", amount: ours!.all - node!.all - anonymous },
    ];
    return { timings: { ours: single(ours!.all), node: single(node!.all) }, breakdown };
  } finally {
    await Promise.all([stopped(bare), stopped(server)]);
  }
}

/** In kilobytes; what is anonymous only where the system tells. */
function residentSize(pid: number): Record<"all" | "anonymous", number> {
  const all = Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" }));
  const status = process.platform === "linux" ? readFileSync(`/proc/${pid}/status`, "utf8") : "";
  return { all, anonymous: Number(/^RssAnon:\s*(\d+)/m.exec(status)?.[1] ?? NaN) };
}

async function answered(server: ChildProcess): Promise<void> {
  const late = setTimeout(() => server.kill("SIGKILL"), ANSWERED_WITHIN_MILLISECONDS);
  server.stdin!.write(MCP_INPUT);
  let output = "";
  for await (const chunk of server.stdout!.iterator({ destroyOnReturn: false })) {
    output += String(chunk);
    if (output.includes(MCP_ANSWER)) return clearTimeout(late);
  }
  throw new Error("coord mcp has ended without an answer.");
}

async function stopped(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit");
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await exit;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}
