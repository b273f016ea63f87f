#!/usr/bin/env node
/**
 * `npm run demo`, `test`, `bench` and the long tests on a fresh clone: checks Node, installs packages, builds, then runs the
 * step. This file must parse on old Nodes, or the sentence about Node would never be read: no top-level await, and
 * nothing imported by name that they lack.
 */
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const OLDEST_NODE = [20, 19];
const PREPARE_WITHIN_MS = 600000;

const steps = {
  demo: (args) => pass([process.execPath, "dist/coord.cjs", "demo", ...args]),
  bench: async (args) => {
    const program = await bundled("bench/main.ts", "bench.mjs");
    await bundled("bench/peer.ts", "bench-peer.mjs"); // the other process of a delivery
    const names = args.filter((arg) => !arg.startsWith("-"));
    if (names.length === 0 || names.includes("python")) {
      const { ensurePython } = await import("./python.mjs");
      await ensurePython({ onProgress: note }).then(
        (python) => (process.env.COORD_PYTHON = python),
        () => undefined, // the bench says so
      );
    }
    return pass([process.execPath, program, ...args]);
  },
  faults: async (args) => {
    const { NEEDS, ensure } = await import("./system.mjs");
    await ensure(NEEDS.clock, note).catch((error) => note(error.message)); // the report says so
    return pass([process.execPath, await bundled("test/faults/main.ts", "faults.mjs"), ...args]);
  },
  fuzz: async (args) => pass([process.execPath, await bundled("test/fuzz/main.ts", "fuzz.mjs"), ...args]),
  soak: async (args) => pass([process.execPath, await bundled("test/soak/main.ts", "soak.mjs"), ...args]),
  test: async (args) => (await import("./checks.mjs")).runChecks(args),
};

async function main() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
    return fail(`cli-coordination needs Node ${OLDEST_NODE.join(".")} or newer; this is ${process.versions.node}.`);
  }
  const [name, ...args] = process.argv.slice(2);
  if (!Object.keys(steps).includes(name))
    return fail(`usage: node tools/bootstrap.mjs ${Object.keys(steps).join("|")}`);
  process.chdir(root);
  if (packagesAreStale()) {
    note("Installing packages (npm ci) …");
    // Dev dependencies are what builds and tests; NODE_ENV=production would leave them out.
    if (!quietly(["npm", "ci", "--include=dev", "--no-audit", "--no-fund"])) return fail("npm ci failed.");
  }
  // npm ci has built already, through preprepare, unless the user's npm ignores scripts.
  const { isBuildStale } = await import("./build.mjs");
  if (await isBuildStale()) {
    note("Building …");
    if (!quietly([process.execPath, "tools/build.mjs"])) return fail("The build failed.");
  }
  process.exitCode = await steps[name](args);
}

/** Bundled, because Node 20 runs no TypeScript; inside node_modules, so that it finds the packages. */
async function bundled(entry, name) {
  const program = path.join(root, "node_modules/.cache", name);
  await (await import("./build.mjs")).bundleModule(entry, program);
  return program;
}

/** npm writes node_modules/.package-lock.json last, so it is older than the lock file only when that has changed. */
function packagesAreStale() {
  const time = (file) => (fs.existsSync(file) ? fs.statSync(file).mtimeMs : 0);
  return time("node_modules/.package-lock.json") < time("package-lock.json");
}

/** Runs to the end; what it printed is shown only when it failed. */
function quietly([program, ...args]) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", timeout: PREPARE_WITHIN_MS });
  if (status !== 0) note([stdout, stderr, error && error.message].filter(Boolean).join("\n"));
  return status === 0;
}

/** Runs in our place: its terminal is ours, signals reach it, and its exit code becomes ours. */
function pass([program, ...args]) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit" });
    // Ctrl-C reaches the child from the terminal; we only have to stay until it has cleaned up.
    process.on("SIGINT", () => {});
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    child.on("error", reject);
    child.on("exit", (code) => resolve(code === null ? 1 : code));
  });
}

function note(text) {
  process.stderr.write(`${text}\n`);
}

function fail(sentence) {
  note(sentence);
  process.exitCode = 1;
}

main().catch((error) => fail(error.stack));
