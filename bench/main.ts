/** `npm run bench [-- name…]`: how fast the product is, every figure beside its floor in the same run. */
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { BENCHES } from "./benches.ts";
import { type Machine, writeDocument } from "./document.ts";
import { type Measured, table } from "./report.ts";
import { createWorld, type World } from "./world.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 64;
const NAMES = Object.keys(BENCHES);

const HELP = `Usage: npm run bench [-- [name…] [--json]]

  npm run bench                      everything, about ten minutes; writes docs/performance.md
  npm run bench -- publish check     some of it, printed only
  npm run bench -- publish --json    machine-readable

${NAMES.map((name) => `  ${name.padEnd(14)} ${BENCHES[name]!.about}`).join("\n")}

Times are in microseconds, measured through the client as users call it, on a private Redis over a Unix socket, the
sides of a comparison in turn. PING and bare are the p50 of a PING and of one script that makes the same writes (or, to
check, the same reads) and nothing else; for python, the same script through redis-py. "× empty" compares with the same operation in a namespace
that is empty or small (or, where senders are proven, asks for no proof), "× node" a whole process with \`node -e 0\`. Read the ratios: the times are this machine's.`;

async function main(): Promise<void> {
  const options = { json: { type: "boolean" }, help: { type: "boolean", short: "h" } } as const;
  let chosen;
  try {
    chosen = parseArgs({ options, allowPositionals: true });
    const unknown = chosen.positionals.find((name) => !(name in BENCHES));
    if (unknown !== undefined) throw new Error(`No bench is called ${JSON.stringify(unknown)}: ${NAMES.join(", ")}.`);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  const { values, positionals } = chosen;
  if (values.help) return console.log(HELP);
  const everything = positionals.length === 0;
  const measured: Record<string, Measured> = {};
  let redis = "";
  for (const name of everything ? NAMES : positionals) {
    console.error(`${name}: ${BENCHES[name]!.about} …`);
    try {
      const run = await runBench(name);
      redis ||= run.redis;
      measured[name] = run.measured;
    } catch (error) {
      // The others are still worth their minutes; the report says what was not measured.
      console.error(`${name} failed:`, error);
      process.exitCode = EXIT_FAILED;
    }
  }
  const machine = describeMachine(redis);
  const rows = Object.values(measured).flatMap((each) => each.rows);
  if (everything) console.error(`Written: ${(await writeDocument(machine, measured)).join(", ")}.`);
  if (values.json) return console.log(JSON.stringify({ machine, benches: measured }, undefined, 2));
  const { node, cores, processor } = machine;
  console.log(`\n${table(rows)}\n\nµs at p50/p95/p99; Node ${node}, Redis ${redis}, ${cores} × ${processor}`);
}

/** A server for each, so that none is slower for what an earlier one left in memory. */
async function runBench(name: string): Promise<{ redis: string; measured: Measured }> {
  await using world = await createWorld();
  return { redis: await redisVersion(world), measured: await BENCHES[name]!.run(world) };
}

async function redisVersion({ bare }: World): Promise<string> {
  return /^redis_version:(\S+)/m.exec(String(await bare.call("INFO", "server")))![1]!;
}

function describeMachine(redis: string): Machine {
  return {
    date: new Date().toISOString(),
    node: process.versions.node,
    redis,
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    commit: execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim(),
  };
}

await main();
