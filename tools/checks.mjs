/** Everything that `npm test` checks: one line each, what a check printed only when it failed, the tests last. */
import { spawn } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { bundleModule } from "./build.mjs";
import { ensurePython } from "./python.mjs";
import { NEEDS, captured, ensure } from "./system.mjs";

/** As many checks at a time as the smallest machine that we care about has cores. */
const AT_A_TIME = 2;
const CHECK_WITHIN_MS = 300_000;
/** Where the tests say what they left out (test/not-checked.ts). */
const NOT_CHECKED = path.resolve("node_modules/.cache/not-checked.json");

const env = {
  ...process.env,
  COORD_TEST_NOT_CHECKED: NOT_CHECKED,
  PATH: [path.resolve("node_modules/.bin"), process.env.PATH].join(path.delimiter),
  // dist/ is built: the packaging checks, which pack the package, need not build it again through prepack.
  npm_config_ignore_scripts: "true",
};
const coloured = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code, text) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text);

/** `python`: arguments for the Python that has what the Python module needs, in its folder. */
const CHECKS = [
  { name: "types", command: ["tsc", "--noEmit"] },
  { name: "types of the page", command: ["tsc", "--noEmit", "-p", "ui"] },
  { name: "lint", command: ["oxlint", "--type-aware", "--deny-warnings"] },
  { name: "format", command: ["oxfmt", "--check"] },
  { name: "dead code", command: ["knip"] },
  { name: "Lua", command: ["luacheck", "lua"], needs: NEEDS.luacheck },
  { name: "shell", command: ["shellcheck", ...(await shellScripts())], needs: NEEDS.shellcheck },
  { name: "Python types", python: ["-m", "mypy"] },
  { name: "Python tests", python: ["-m", "unittest", "discover", "--top-level-directory", "."], needs: NEEDS.openssl },
  { name: "package", command: ["publint", "--strict"] },
  { name: "package types", command: ["attw", "--pack", "--profile", "esm-only"] },
];
/** Where one of them is not to be had, the tests that need it are skipped and say so. */
const TESTS_NEED = [NEEDS.openssl, NEEDS.zsh, NEEDS.fish, NEEDS.clock, NEEDS.chromium];

/** Resolves with the exit code. With arguments, which go to vitest, only the tests run. */
export async function runChecks(args) {
  const results = [await timed("Redis server", ensureRedis)];
  if (args.length === 0) {
    await install();
    const waiting = [...CHECKS];
    const worker = async () => {
      for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) results.push(await run(check));
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  }
  await rm(NOT_CHECKED, { force: true });
  results.push(await timed("tests", () => inherited(["vitest", "run", ...args])));
  results.push(...(await leftOutByTests()));
  return summarise(results);
}

/** One after the other: two package managers at once would wait for each other's lock. A check that cannot be made is told why. */
async function install() {
  const say = (sentence) => console.log(sentence);
  for (const check of CHECKS.filter(({ needs }) => needs !== undefined)) {
    await ensure(check.needs, say).catch((error) => (check.missing = error.message));
  }
  for (const need of TESTS_NEED) await ensure(need, say).catch((error) => say(error.message));
  const python = await ensurePython({ onProgress: say }).catch((error) => error);
  for (const check of CHECKS.filter((each) => each.python !== undefined)) {
    if (python instanceof Error) check.missing = python.message;
    else Object.assign(check, { command: [python, ...check.python], cwd: "python" });
  }
  // Named to the tests, which would look for it again.
  if (!(python instanceof Error)) env.COORD_PYTHON = python;
}

async function leftOutByTests() {
  const unknown = [{ name: "what the tests left out", reason: "they ended without saying it" }];
  const tests = await readFile(NOT_CHECKED, "utf8").then(JSON.parse, () => unknown);
  return tests.map((test) => ({ ...test, status: "not checked" }));
}

function summarise(results) {
  const [passed, failed, notChecked] = ["passed", "failed", "not checked"].map((status) =>
    results.filter((result) => result.status === status),
  );
  if (failed.length > 0) console.log(`failed: ${failed.map(({ name }) => name).join(", ")}`);
  if (notChecked.length > 0) console.log(`${notChecked.length} not checked:`);
  for (const { name, reason } of notChecked) console.log(`  ${name}: ${reason}`);
  // A person can go on without; a CI that silently checks less is worth nothing.
  const failures = failed.length + (process.env.CI === "true" ? notChecked.length : 0);
  console.log(`${passed.length} passed, ${failures} failed`);
  return failures === 0 ? 0 : 1;
}

async function run({ name, command, cwd, missing }) {
  if (missing === undefined) return timed(name, () => captured(command, { withinMs: CHECK_WITHIN_MS, cwd, env }));
  console.log(`${paint(33, "-")} ${name} not checked`);
  return { name, status: "not checked", reason: missing };
}

/** `work` rejects to fail; the message of its error is what the check printed. */
async function timed(name, work) {
  const begun = performance.now();
  const error = await work().then(
    () => undefined,
    (reason) => reason,
  );
  const took = `${((performance.now() - begun) / 1000).toFixed(1)} s`;
  console.log(`${error === undefined ? paint(32, "✓") : paint(31, "✗")} ${name} ${paint(2, took)}`);
  if (error?.message) console.log(error.message.trim().replace(/^/gm, "    "));
  return { name, status: error === undefined ? "passed" : "failed" };
}

function inherited([program, ...args]) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit", env: { ...env, npm_config_ignore_scripts: undefined } });
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(""))));
  });
}

async function ensureRedis() {
  const module = path.resolve("node_modules/.cache/install-redis.mjs");
  await bundleModule("src/server/install.ts", module);
  const { ensureRedisServer } = await import(module);
  // Named to the tests: those that give a program a data folder of its own would hide from it what we installed.
  env.COORD_REDIS_SERVER = await ensureRedisServer({ onProgress: (sentence) => console.log(sentence) });
}

/** Those of the folders that hold scripts, and two others. */
async function shellScripts() {
  const folders = await Promise.all(
    ["scripts/coordination", "tools"].map(async (folder) =>
      (await readdir(folder)).filter((name) => name.endsWith(".sh")).map((name) => path.join(folder, name)),
    ),
  );
  return [...folders.flat(), "src/surfaces/hook/coord-hook.bash", ".ci/run"];
}
