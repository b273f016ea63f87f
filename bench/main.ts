/** `npm run bench [-- name…]`: how fast the product is, every figure beside its floor in the same run. */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { BENCHES } from "./benches.ts";
import { type Row, table } from "./report.ts";
import { createWorld } from "./world.ts";

const EXIT_USAGE = 64;
const NAMES = Object.keys(BENCHES);

const HELP = `Usage: npm run bench [-- [name…] [--json]]

  npm run bench                      everything, about two minutes
  npm run bench -- publish check     some of it
  npm run bench -- --json            machine-readable

${NAMES.map((name) => `  ${name.padEnd(14)} ${BENCHES[name]!.about}`).join("\n")}

Times are in microseconds, measured through the client as users call it, on a private Redis over a Unix socket, the
sides of a comparison in turn. PING and bare are the p50 of a PING and of one script that does the same reads and writes
and nothing else; for python, the same script through redis-py. "× small" compares with the same operation at the smallest
size, "× node" a whole process with \`node -e 0\`. Read the ratios: the times are this machine's.`;

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
  const rows: Row[] = [];
  for (const name of positionals.length === 0 ? NAMES : positionals) {
    console.error(`${name}: ${BENCHES[name]!.about} …`);
    // A server for each, so that none is slower for what an earlier one left in memory.
    await using world = await createWorld();
    rows.push(...(await BENCHES[name]!.run(world)));
  }
  const machine = {
    node: process.version,
    cpu: cpus()[0]?.model.trim(),
    cpus: cpus().length,
    date: new Date().toISOString(),
  };
  if (values.json) return console.log(JSON.stringify({ machine, rows }, undefined, 2));
  console.log(`\n${table(rows)}\n\nµs at p50/p95/p99; Node ${machine.node}, ${machine.cpus} × ${machine.cpu}`);
}

await main();
