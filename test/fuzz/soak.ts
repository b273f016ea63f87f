/**
 * `npm run test:soak [-- minutes]`: an MCP server, a library client and Redis work for a long time at the bound of the
 * namespace, so that each message that is stored makes another one go; the memory of all three has to stay level.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { CoordinationClient } from "../../src/client/client.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { circumstances, writeSection } from "./report.ts";
import { McpProcess, residentBytes, ROOT } from "./server.ts";

const MINUTES = 20;
const SAMPLE_SECONDS = 5;
/** V8 sizes its heap, Redis its tables; the namespace fills within the first of these minutes. */
const WARM_UP_SHARE = 0.25;
/** Of the straight line through the samples after that, from its first to its last: what garbage collection may amount to. */
const RISE_MAXIMUM = 0.1;
const MAXIMUM_MESSAGES = 2000;
/**
 * The keys that make a repeat safe live for 24 hours, so their number is level only after a day: here each lives half a
 * minute.
 */
const KEY_SECONDS = 30;
const PAUSE_MS = 20;

type Sample = Record<"server" | "client" | "redis", number>;
const NAMES = { server: "MCP server", client: "library client", redis: "Redis" } as const;

async function soak(minutes: number): Promise<void> {
  await using redis = await startThrowawayRedis();
  const raw = new Redis({ path: redis.socketPath });
  const env = {
    REDIS_URL: redis.url,
    COORD_MAX_MESSAGES: String(MAXIMUM_MESSAGES),
    COORD_ACK_ATTEMPTS: "1",
    COORD_ACK_INTERVAL_SECONDS: "1",
  };
  const keeper = new CoordinationClient(resolveSettings({ instanceId: "keeper", env, cwd: "/" }));
  for (const instanceId of ["server", "client", "silent"]) {
    const client = new CoordinationClient(resolveSettings({ instanceId, env, cwd: "/" }));
    await client.registerInstance();
    client.close();
  }
  await keeper.changeNamespaceSetting("max_messages", MAXIMUM_MESSAGES); // the first one brings the settings
  await using server = new McpProcess("server", redis.url);
  const program = path.join(ROOT, "test/fuzz/client.mjs");
  const client = spawn(process.execPath, [program, "client", "server"], {
    env,
    cwd: "/",
    stdio: ["ignore", "inherit", "inherit"],
  });
  const ended = new AbortController();
  const calls = { count: 0 };
  const serving = converse(server, ended.signal, calls);
  const samples: Sample[] = [];
  try {
    const until = performance.now() + minutes * 60_000;
    for (let n = 1; performance.now() < until; n++) {
      await Promise.race([sleep(SAMPLE_SECONDS * 1000), serving]); // its failure ends the run
      if (client.exitCode !== null) throw new Error("the library client has ended");
      await age(raw);
      const { messages } = await keeper.listDead({ limit: 100 });
      if (messages.length > 0) await keeper.dropDead(messages.map(({ id }) => id));
      samples.push({
        server: await residentBytes(server.process.pid!),
        client: await residentBytes(client.pid!),
        redis: Number(/^used_memory:(\d+)/m.exec(await raw.info("memory"))?.[1]),
      });
      if (n % (60 / SAMPLE_SECONDS) === 0)
        console.log(`${n / (60 / SAMPLE_SECONDS)} min  ${line(samples.at(-1)!)}  ${calls.count} tool calls`);
    }
    const published = Object.values((await keeper.getStats()).byType).reduce((sum, count) => sum + count, 0);
    const stored = await raw.zcard("coord:timeline");
    conclude(minutes, samples, {
      calls: calls.count,
      published,
      stored,
      version: /^redis_version:(\S+)/m.exec(await raw.info("server"))![1]!,
    });
  } finally {
    ended.abort();
    client.kill("SIGKILL");
    if (client.exitCode === null) await once(client, "exit");
    keeper.close();
    raw.disconnect();
    await serving.catch(() => undefined);
  }
}

/** An agent that uses all its tools. */
async function converse(server: McpProcess, signal: AbortSignal, calls: { count: number }): Promise<void> {
  await server.initialize("begin");
  while (!signal.aborted) {
    const call = async (tool: string, args: object): Promise<Record<string, unknown>> => {
      const id = ++calls.count;
      const result = await server.call(id, tool, args);
      server.answers.delete(id);
      if (result["success"] !== true && !signal.aborted) throw new Error(JSON.stringify(result));
      return result;
    };
    const text = { msg_type: "GENERAL", subject: `${calls.count}`, description: "y".repeat(calls.count % 3000) };
    await call("coord_publish_message", { ...text, to_instance: "client" });
    const { messages } = await call("coord_check_messages", { pending_only: true, limit: 20, wait_seconds: 0.05 });
    for (const { id } of messages as { id: string }[])
      await call("coord_ack_message", { message_id: id, comment: "done" });
    await call("coord_get_notifications", { limit: 100 });
    await call("coord_get_presence", {});
    await sleep(PAUSE_MS);
  }
}

async function age(raw: Redis): Promise<void> {
  for (let cursor = "0"; ;) {
    const [next, keys] = await raw.scan(cursor, "MATCH", "coord:once:*", "COUNT", 1000);
    const pipeline = raw.pipeline();
    for (const key of keys) pipeline.call("EXPIRE", key, KEY_SECONDS, "LT");
    await pipeline.exec();
    if (next === "0") return;
    cursor = next;
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`;
const line = (sample: Sample): string =>
  (["server", "client", "redis"] as const).map((name) => `${NAMES[name]} ${megabytes(sample[name])}`).join("  ");

function conclude(
  minutes: number,
  all: readonly Sample[],
  run: { calls: number; published: number; stored: number; version: string },
): void {
  const samples = all.slice(Math.floor(all.length * WARM_UP_SHARE));
  const rows = [];
  let level = true;
  for (const name of ["server", "client", "redis"] as const) {
    const values = samples.map((sample) => sample[name]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const rise = slope(values) * (values.length - 1);
    if (rise > RISE_MAXIMUM * mean) level = false;
    const [least, most] = [Math.min(...values), Math.max(...values)];
    rows.push(
      `| ${NAMES[name]} | ${megabytes(mean)} | ${megabytes(least)} | ${megabytes(most)} | ${megabytes(rise)} |`,
    );
  }
  const section = `## Soak

${minutes} minutes; figures after a quarter of that. ${run.calls.toLocaleString("en")} tool calls and ${run.published.toLocaleString("en")} messages in a namespace whose bound is ${MAXIMUM_MESSAGES.toLocaleString("en")}; ${run.stored.toLocaleString("en")} are stored at
the end. Keys for repeats, which live for 24 hours, are made to expire after ${KEY_SECONDS} seconds. The run fails when the straight line through
the samples rises by more than ${RISE_MAXIMUM * 100}% of their mean.

| memory of | mean | least | most | rise of the line |
|---|--:|--:|--:|--:|
${rows.join("\n")}

${circumstances(run.version)}; \`npm run test:soak\`.`;
  console.log(section);
  if (!level) throw new Error("memory does not stay level");
  if (minutes >= MINUTES) writeSection("soak", section);
}

/** Of the line of least squares, per sample. */
function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let [covariance, variance] = [0, 0];
  values.forEach((value, i) => {
    covariance += (i - middle) * (value - mean);
    variance += (i - middle) ** 2;
  });
  return covariance / variance;
}

const minutes = Number(process.argv[2] ?? MINUTES);
if (!(minutes > 0)) throw new Error("usage: npm run test:soak [-- minutes]");
await soak(minutes);
