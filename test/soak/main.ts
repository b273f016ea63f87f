/**
 * `npm run test:soak [-- --minutes n]`: an MCP server, library clients and Redis under steady load in a namespace that is
 * full, so that retention works as hard as publishing. Their memory has to stay level; the figures go to docs/reliability.md.
 */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { getCoordinationClient } from "../../src/client/client.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { openRedis, type Redis } from "../raw-redis.ts";
import { writeSection } from "../reliability.ts";
import { residentKilobytes } from "../resident.ts";

const EXIT_USAGE = 64;
const MINUTES = 20;
/** Small, so that it is full before the first figure counts. */
const MAX_MESSAGES = 2000;
/** Rounds a second of each kind of client; twenty messages and more each. */
const PAUSE_MILLISECONDS = 40;
const SAMPLE_MILLISECONDS = 5000;
/** Heaps grow to their working size first. */
const WARM_UP_SHARE = 0.3;
/** Of the medians of the two halves behind it; collections come when they come. */
const GROWTH_MAXIMUM = 1.1;

const MEASURED = ["mcp", "library", "redis"] as const;
type Measured = (typeof MEASURED)[number];
const TITLES = {
  mcp: "`coord mcp`, resident",
  library: "library clients, heap",
  redis: "Redis, used, without a day's idempotency keys",
};

async function main(): Promise<void> {
  let minutes = MINUTES;
  try {
    const { values } = parseArgs({ options: { minutes: { type: "string" } } });
    minutes = Number(values.minutes ?? MINUTES);
    if (!(minutes > 0 && minutes <= 1440)) throw new Error("--minutes is a number up to 1440.");
  } catch (error) {
    console.error(`${(error as Error).message}\n\nUsage: npm run test:soak [-- --minutes n]`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  await using redis = await startThrowawayRedis();
  const raw = openRedis({ path: redis.socketPath });
  const env = { REDIS_URL: redis.url, COORD_MAX_MESSAGES: String(MAX_MESSAGES), COORD_ACK_ATTEMPTS: "1" };
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [path.resolve("dist/coord.cjs"), "mcp"],
    env: { PATH: process.env["PATH"] ?? "", ...env, CLAUDE_INSTANCE_ID: "orchestrator" },
  });
  const server = new Client({ name: "soak", version: "1" });
  await server.connect(transport);
  const [feature, other] = await Promise.all(
    ["feature", "other"].map((instanceId) =>
      getCoordinationClient({ instanceId, env, cwd: "/", session: { agentPid: process.pid, host: instanceId } }),
    ),
  );
  const ended = new AbortController();
  const done = { published: 0, tools: 0, events: 0 };

  const asLibrary = async (): Promise<void> => {
    for (let round = 0; !ended.signal.aborted; round++) {
      const to = round % 7 === 0 ? "all" : round % 2 === 0 ? "orchestrator" : "other";
      const description = "word ".repeat(round % 200);
      const requiresAck = round % 3 > 0;
      await feature!.publishMessage({ type: "GENERAL", subject: `round ${round}`, description, to, requiresAck });
      done.published++;
      for (const client of [feature!, other!]) {
        const { messages } = await client.checkMessages({ pendingOnly: true, limit: 20 });
        if (messages.length > 0) await client.ackMessage(messages.map(({ id }) => id));
      }
      await feature!.checkMessages({ waitSeconds: 0.01 });
      await feature!.getNotifications();
      await sleep(PAUSE_MILLISECONDS);
    }
  };
  const asListener = async (): Promise<void> => {
    for await (const _ of other!.events({ signal: ended.signal })) done.events++;
  };
  const call = async (name: string, args: Record<string, unknown>): Promise<Record<string, unknown>> => {
    done.tools++;
    return (await server.callTool({ name, arguments: args })).structuredContent as Record<string, unknown>;
  };
  const asAgent = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      const { messages } = (await call("coord_check_messages", { pending_only: true })) as {
        messages: { id: string }[];
      };
      for (const { id } of messages.slice(0, 10)) await call("coord_ack_message", { message_id: id });
      await call("coord_publish_message", {
        msg_type: "NOTIFICATION",
        subject: "s",
        description: "d",
        to_instance: "all",
      });
      await call("coord_get_notifications", {});
      await call("coord_get_presence", {});
      await sleep(PAUSE_MILLISECONDS);
    }
  };

  const samples: Record<Measured, number[]> = { mcp: [], library: [], redis: [] };
  const measure = async (): Promise<void> => {
    const deadline = performance.now() + minutes * 60_000;
    for (let taken = 1; performance.now() < deadline; taken++) {
      await sleep(Math.min(SAMPLE_MILLISECONDS, Math.max(0, deadline - performance.now())));
      samples.mcp.push(residentKilobytes(transport.pid!));
      samples.library.push(process.memoryUsage().heapUsed / 1024);
      samples.redis.push((await redisBytes(raw)) / 1024);
      if (taken % (60_000 / SAMPLE_MILLISECONDS) === 0) {
        const now = MEASURED.map((name) => `${name} ${megabytes(samples[name].at(-1)!)}`).join(", ");
        const stored = await raw.zcard("coord:timeline");
        console.log(
          `${taken / (60_000 / SAMPLE_MILLISECONDS)} min: ${now}; ${done.published} published, ${stored} stored`,
        );
      }
    }
    ended.abort();
  };
  await Promise.all([measure(), asLibrary(), asListener(), asAgent()]);
  const stored = await raw.zcard("coord:timeline");
  for (const client of [feature!, other!]) client.close();
  await server.close();
  raw.disconnect();

  const rows = MEASURED.map((name) => {
    const counted = samples[name].slice(Math.floor(samples[name].length * WARM_UP_SHARE));
    const half = Math.floor(counted.length / 2);
    const [first, second] = [median(counted.slice(0, half)), median(counted.slice(half))];
    return { name, first, second, growth: second / first };
  });
  const table = rows.map(
    ({ name, first, second, growth }) =>
      `| ${TITLES[name]} | ${megabytes(first)} | ${megabytes(second)} | ${growth.toFixed(3)} |`,
  );
  const text = `## Soak

${new Date().toISOString().slice(0, 10)}, \`npm run test:soak\`: ${minutes} minutes, ${done.published} messages published by the library and some ${done.tools} calls of MCP
tools, ${done.events} events heard, in a namespace at its maximum of ${MAX_MESSAGES} messages (${stored} in the end). Medians behind the first ${100 * WARM_UP_SHARE} %:

| memory | first half | second half | second ÷ first |
|---|--:|--:|--:|
${table.join("\n")}
`;
  console.log(text);
  const level = rows.every(({ growth }) => growth <= GROWTH_MAXIMUM) && stored <= MAX_MESSAGES;
  if (!level) process.exitCode = 1;
  console.log(level ? "Level." : `Not level: at most ${GROWTH_MAXIMUM} is allowed, and ${MAX_MESSAGES} messages.`);
  if (minutes >= MINUTES) await writeSection("soak", text);
}

/** The keys by which publishes are repeated stay for a day; they go here as they would then, or nothing is level before. */
async function redisBytes(raw: Redis): Promise<number> {
  const keys = await raw.keys("coord:once:*");
  if (keys.length > 0) await raw.unlink(...keys);
  return Number(/used_memory:(\d+)/.exec(await raw.info("memory"))![1]);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function megabytes(kilobytes: number): string {
  return `${(kilobytes / 1024).toFixed(1)} MB`;
}

await main();
