/** `npm run test:faults [-- name…]`: kills, cuts and fills what can be, and writes what was found to docs/reliability.md. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs, promisify } from "node:util";
import { FAULTS } from "./faults.ts";
import packageJson from "../../package.json" with { type: "json" };
import { REPORT, withSections } from "../reliability.ts";
import { findRedisServer } from "../../src/server/find.ts";
import { type NotRun, report, summary } from "./report.ts";
import { type Outcome, runFault } from "./trial.ts";

const EXIT_USAGE = 64;
const TESTS_WITHIN_MILLISECONDS = 600_000;

const HELP = `Usage: npm run test:faults [-- [name…] [--trials n] [--seed n]]

  npm run test:faults                            all of them, and write ${REPORT}
  npm run test:faults -- network --trials 50     one of them, so often
  npm run test:faults -- network --seed 42       a scene that failed, from its seed

${FAULTS.map(({ name, title, trials }) => `  ${name.padEnd(10)} ${String(trials).padStart(4)} × ${title}`).join("\n")}`;

async function main(): Promise<void> {
  const options = {
    trials: { type: "string" },
    seed: { type: "string" },
    help: { type: "boolean", short: "h" },
  } as const;
  let parsed;
  try {
    parsed = parseArgs({ options, allowPositionals: true });
    for (const name of parsed.positionals) {
      if (!FAULTS.some((fault) => fault.name === name)) throw new Error(`No fault is called ${JSON.stringify(name)}.`);
    }
    for (const name of ["trials", "seed"] as const) {
      if (!/^[1-9]\d{0,8}$/.test(parsed.values[name] ?? "1")) throw new Error(`--${name} is a whole number from 1.`);
    }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  const { values, positionals } = parsed;
  if (values.help) return console.log(HELP);
  const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
  const chosen = FAULTS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const outcomes: (Outcome | NotRun)[] = [];
  for (const fault of chosen) {
    const missing = await fault.missing?.();
    console.log(`${fault.name}: ${fault.title}${missing === undefined ? "" : ` - not run: ${missing}`}`);
    if (missing !== undefined) {
      outcomes.push({ fault, missing });
      continue;
    }
    const trials = values.trials === undefined ? fault.trials : Number(values.trials);
    const onScene = (done: number, sceneSeed: number): void =>
      console.log(`  ${String(done).padStart(3)} of ${trials}, seed ${sceneSeed}`);
    const outcome = await runFault(fault, { trials, seed, onScene });
    outcomes.push(outcome);
    console.log(summary(outcome));
    for (const problem of outcome.balance.problems) console.log(`    ${problem}`);
    if (outcome.balance.problems.length > 0) process.exitCode = 1;
  }
  if (positionals.length > 0 || values.trials !== undefined) return;
  console.log("The client's tests on a cluster");
  const onCluster = await clientTestsOnCluster();
  if (onCluster.failed > 0) process.exitCode = 1;
  const redis = /v=(\S+)/.exec(
    (await promisify(execFile)((await findRedisServer(process.env))!, ["--version"])).stdout,
  );
  const facts = { redis: redis?.[1] ?? "of unknown version", version: packageJson.version, seed, onCluster };
  await writeFile(REPORT, withSections(report(outcomes, facts), await readFile(REPORT, "utf8").catch(() => "")));
  console.log(`${REPORT} is written.`);
}

/** All of test/core with every client on a cluster of three. */
async function clientTestsOnCluster(): Promise<{ passed: number; failed: number }> {
  const options = {
    env: { ...process.env, COORD_TEST_ENGINE: "cluster" },
    timeout: TESTS_WITHIN_MILLISECONDS,
    maxBuffer: 64 << 20,
  };
  const vitest = ["node_modules/vitest/vitest.mjs", "run", "test/core", "--reporter=json"];
  const { stdout } = await promisify(execFile)(process.execPath, vitest, options).catch(
    (error: Error & { stdout: string }) => error, // a test failed: the result says which
  );
  const result = JSON.parse(stdout) as { numPassedTests: number; numFailedTests: number };
  return { passed: result.numPassedTests, failed: result.numFailedTests };
}

// Everything that was started ends with this process; what was mounted goes at its exit.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
await main();
