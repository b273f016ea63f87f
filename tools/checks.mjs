/** Everything that `npm test` checks: one line each, what a check printed only when it failed, the tests last. */
import { execFile, spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { bundleModule } from "./build.mjs";
import { ensurePython } from "./python.mjs";

/** As many checks at a time as the smallest machine that we care about has cores. */
const AT_A_TIME = 2;
const CHECK_WITHIN_MS = 300_000;
const INSTALL_WITHIN_MS = 180_000;

const env = {
  ...process.env,
  PATH: [path.resolve("node_modules/.bin"), process.env.PATH].join(path.delimiter),
  // dist/ is built: the packaging checks, which pack the package, need not build it again through prepare.
  npm_config_ignore_scripts: "true",
};
const coloured = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code, text) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text);

/**
 * `needs`: a program that no npm package brings, by its name and its names at Debian and Homebrew. `python`: arguments for
 * the Python that has what the Python module needs, in its folder.
 */
const CHECKS = [
  { name: "types", command: ["tsc", "--noEmit"] },
  { name: "lint", command: ["oxlint", "--type-aware", "--deny-warnings"] },
  { name: "format", command: ["oxfmt", "--check"] },
  { name: "dead code", command: ["knip"] },
  { name: "Lua", command: ["luacheck", "lua"], needs: { debian: "lua-check", brew: "luacheck" } },
  {
    name: "shell",
    command: ["shellcheck", ...(await shellScripts()), ".ci/run"],
    needs: { debian: "shellcheck", brew: "shellcheck" },
  },
  { name: "Python types", python: ["-m", "mypy"] },
  { name: "Python tests", python: ["-m", "unittest", "discover", "--top-level-directory", "."] },
  { name: "package", command: ["publint", "--strict"] },
  { name: "package types", command: ["attw", "--pack", "--profile", "esm-only"] },
];

/** Resolves with the exit code. With arguments, which go to vitest, only the tests run. */
export async function runChecks(args) {
  const results = [await timed("Redis server", ensureRedis)];
  if (args.length === 0) {
    const waiting = [...CHECKS];
    // One after the other: two package managers at once would wait for each other's lock and give up.
    for (const check of waiting.filter(({ needs }) => needs !== undefined)) {
      check.missing = await ensureProgram(check.command[0], check.needs);
    }
    const python = await ensurePython({ onProgress: (sentence) => console.log(sentence) }).catch((error) => error);
    for (const check of waiting.filter((each) => each.python !== undefined)) {
      if (python instanceof Error) check.missing = python.message;
      else Object.assign(check, { command: [python, ...check.python], cwd: "python" });
    }
    const worker = async () => {
      for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) results.push(await run(check));
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  }
  results.push(await timed("tests", () => inherited(["vitest", "run", ...args])));
  return summarise(results);
}

function summarise(results) {
  const names = (status) => results.filter((result) => result.status === status).map(({ name }) => name);
  const [passed, failed, missing] = ["passed", "failed", "missing"].map(names);
  if (failed.length > 0) console.log(`failed: ${failed.join(", ")}`);
  for (const { name, reason } of results.filter(({ status }) => status === "missing")) {
    console.log(`${name} was not checked: ${reason}`);
  }
  // A person can go on without; a CI that silently checks less is worth nothing.
  const failures = failed.length + (process.env.CI === "true" ? missing.length : 0);
  console.log(`${passed.length} passed, ${failures} failed`);
  return failures === 0 ? 0 : 1;
}

async function run({ name, command, cwd, missing }) {
  if (missing === undefined) return timed(name, () => captured(command, CHECK_WITHIN_MS, cwd));
  console.log(`${paint(33, "-")} ${name} not checked`);
  return { name, status: "missing", reason: missing };
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

function captured([program, ...args], withinMs, cwd) {
  const options = { env, cwd, timeout: withinMs, killSignal: "SIGKILL", maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve();
      const printed = `${stdout}${stderr}`.trim();
      if (error.killed) return reject(new Error(`${printed}\nstopped after ${withinMs / 1000} s`));
      reject(new Error(printed || error.message));
    });
  });
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

/** Undefined when the program is here or could be installed, else why not. */
async function ensureProgram(program, { debian, brew }) {
  const problem = (command) =>
    captured(command, INSTALL_WITHIN_MS).then(
      () => undefined,
      (error) => error.message,
    );
  const absent = () => problem([program, "--version"]);
  if ((await absent()) === undefined) return undefined;
  console.log(`Installing ${program} …`);
  if (process.platform === "darwin") return (await problem(["brew", "install", brew])) ?? absent();
  const asRoot = process.getuid() === 0 ? [] : ["sudo", "-n"];
  const apt = (...args) => problem([...asRoot, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", ...args]);
  const install = () => apt("install", "-y", "--no-install-recommends", debian);
  // A package index that is missing or out of date is the common reason for a first failure.
  if ((await install()) !== undefined) return (await apt("update")) ?? (await install()) ?? absent();
  return absent();
}

async function shellScripts() {
  const folder = "scripts/coordination";
  const scripts = (await readdir(folder)).filter((name) => name.endsWith(".sh")).map((name) => path.join(folder, name));
  return [...scripts, "src/surfaces/hook/coord-hook.bash"];
}
