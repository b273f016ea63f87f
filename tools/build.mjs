#!/usr/bin/env node
/**
 * Builds dist/ from src/: bundled CommonJS programs, which start in a fraction of the time of the unbundled ones, and
 * the library as an ES module with its declarations. `npm run build`, `npm install` in a clone and `npm pack` run it:
 * through preprepare and prepack, since npm warns of a packed package that has a prepare.
 */
import { execFile } from "node:child_process";
import { realpathSync } from "node:fs";
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { luaScripts, SCRIPT_MODULE, scriptSums } from "./lua.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = path.join(root, "dist");
/** Its time is the start of the build that filled dist/. */
const STAMP = ".built";

/** What they import lazily is a program of its own, so that a command does not load the MCP SDK, nor the server commander. */
const PROGRAMS = {
  "src/main.ts": "coord",
  "src/hook.ts": "hook",
  "src/surfaces/cli/main.ts": "cli",
  "src/surfaces/hook/main.ts": "agent-hook",
  "src/surfaces/mcp/main.ts": "mcp",
  "src/surfaces/cli/demo.ts": "demo",
  "src/surfaces/cli/overview.ts": "overview",
  "src/surfaces/cli/figures.ts": "figures",
  "src/surfaces/cli/watch.ts": "watch",
  "src/surfaces/cli/notify.ts": "notify",
  "src/surfaces/cli/setup.ts": "setup",
  "src/surfaces/cli/local-redis.ts": "local-redis",
  "src/surfaces/cli/inviting.ts": "inviting",
  "src/surfaces/ui/main.ts": "ui",
  "lua:texts": "lua-texts",
};

const INPUTS = ["src", "ui", "lua", "tools", "protocol.json", "package.json", "package-lock.json"];
const INPUTS_TSCONFIG = /^tsconfig.*\.json$/;

/** Whether an input is newer than dist/. Folders count as well: a removed file changes the time of its folder only. */
export async function isBuildStale() {
  const stamp = await stat(path.join(dist, STAMP)).catch(() => undefined);
  if (stamp === undefined) return true;
  const tsconfigs = (await readdir(root)).filter((name) => INPUTS_TSCONFIG.test(name));
  for (const input of [...INPUTS, ...tsconfigs]) {
    const whole = path.join(root, input);
    const below = (await stat(whole)).isDirectory() ? await readdir(whole, { recursive: true }) : [];
    for (const name of ["", ...below]) {
      if ((await lstat(path.join(whole, name))).mtimeMs > stamp.mtimeMs) return true;
    }
  }
  return false;
}

/** One source file and what of ours it imports, as an ES module that runs on every supported Node. */
export async function bundleModule(entry, outfile) {
  await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    packages: "external",
    plugins: [luaScripts],
    logLevel: "error",
  });
}

async function buildAll() {
  // Beside dist/ and moved file by file: neither a second build at the same time nor a running coord sees half a file.
  const work = await mkdtemp(`${dist}.`);
  try {
    await writeFile(path.join(work, STAMP), "");
    // All settled, not all: what still writes would bring back the folder that a failure removes.
    const parts = await Promise.allSettled([
      bundlePrograms(work),
      bundleModule("src/index.ts", path.join(work, "index.js")),
      emitDeclarations(path.join(work, "types")),
    ]);
    for (const part of parts) if (part.status === "rejected") throw part.reason;
    await moveInto(dist, work);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function bundlePrograms(outdir) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: Object.entries(PROGRAMS).map(([entry, name]) => ({ in: entry, out: name })),
    outdir,
    outExtension: { ".js": ".cjs" },
    metafile: true,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    // Not the identifiers: they make a stack trace worth reading.
    minifyWhitespace: true,
    minifySyntax: true,
    alias: {
      // Its CommonJS form requires its own parts in a way that no bundler sees.
      "jsonc-parser": "jsonc-parser/lib/esm/main.js",
      // The smaller of the two validators that the MCP SDK has, for a question that we never ask. The other one is a third of
      // what `coord mcp` would load.
      "@modelcontextprotocol/server/_shims": "./node_modules/@modelcontextprotocol/server/dist/shimsBrowser.mjs",
    },
    // A lazy import becomes a lazy require, which starts faster than Node's loader of ES modules.
    supported: { "dynamic-import": false },
    plugins: [programsStaySeparate, commanderStartsNothing, luaScripts],
    inject: ["tools/clock.mjs"],
    logLevel: "error",
  });
  const hook = await readFile(path.join(root, "src/surfaces/hook/coord-hook.bash"), "utf8");
  await writeFile(path.join(outdir, "coord-hook"), hook.replace("@glance@", (await scriptSums()).glance));
  await copyFile(path.join(root, "src/surfaces/hook/opencode-plugin.js"), path.join(outdir, "opencode-plugin.js"));
  await Promise.all(["coord.cjs", "coord-hook", "hook.cjs"].map((file) => chmod(path.join(outdir, file), 0o755)));
  const page = await bundlePage(path.join(outdir, "ui"));
  await writeLicences(outdir, { inputs: { ...metafile.inputs, ...page.inputs } });
}

/** The page of `coord ui`: for browsers of the last two years. */
async function bundlePage(outdir) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [
      { in: "ui/main.tsx", out: "app" },
      { in: "ui/app.css", out: "app" },
    ],
    outdir,
    metafile: true,
    bundle: true,
    minify: true,
    platform: "browser",
    target: ["chrome123", "firefox120", "safari17.5"],
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "preact",
    logLevel: "error",
  });
  for (const file of ["index.html", "icon.svg"]) await copyFile(path.join(root, "ui", file), path.join(outdir, file));
  return metafile;
}

/** What is bundled in comes under its own licence, which has to come along. */
async function writeLicences(outdir, metafile) {
  const folders = Object.keys(metafile.inputs).map((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]);
  const texts = [];
  for (const folder of [...new Set(folders)].filter((found) => found !== undefined).toSorted()) {
    const { name, version, license } = JSON.parse(await readFile(path.join(root, folder, "package.json"), "utf8"));
    const file = (await readdir(path.join(root, folder))).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    const text = file === undefined ? "" : await readFile(path.join(root, folder, file), "utf8");
    texts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  await writeFile(path.join(outdir, "THIRD-PARTY-LICENSES.txt"), texts.join(`\n${"-".repeat(80)}\n\n`));
}

/** Commander loads it at each start, for the commands of others that it can run; ours never does. It costs as much as all of commander. */
const commanderStartsNothing = {
  name: "commander-starts-nothing",
  setup({ onResolve, onLoad }) {
    const name = "child-process-when-called";
    onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
      importer.includes("/node_modules/commander/") ? { path: name, namespace: name } : undefined,
    );
    onLoad({ filter: /./, namespace: name }, () => ({
      contents: `exports.spawn = (...of) => process.getBuiltinModule("node:child_process").spawn(...of);`,
    }));
  },
};

/** A lazy import of one program by another stays one, instead of being bundled in. */
const programsStaySeparate = {
  name: "programs-stay-separate",
  setup({ onResolve }) {
    onResolve({ filter: /\.ts$|^lua:/ }, ({ kind, path: imported, resolveDir }) => {
      if (kind !== "dynamic-import") return undefined;
      const file = path.relative(root, path.join(resolveDir, imported)).split(path.sep).join("/");
      const name = PROGRAMS[SCRIPT_MODULE.test(imported) ? imported : file];
      return name === undefined ? undefined : { path: `./${name}.cjs`, external: true };
    });
  },
};

async function emitDeclarations(outDir) {
  const tsc = path.join(root, "node_modules/typescript/bin/tsc");
  try {
    await promisify(execFile)(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", outDir], { cwd: root });
  } catch (error) {
    throw new Error(`tsc found errors:\n${error.stdout}${error.stderr}`, { cause: error });
  }
  // tsc leaves `.ts` in the declarations' imports, which names files that we do not ship.
  for (const name of await readdir(outDir, { recursive: true })) {
    const file = path.join(outDir, name);
    if (!name.endsWith(".d.ts")) continue;
    const text = await readFile(file, "utf8");
    await writeFile(file, text.replace(/(\bfrom |\bimport\()("\.\.?\/[^"]+)\.ts"/g, '$1$2.js"'));
  }
}

/** Moves every file, the stamp last, and removes what an earlier build left there. */
async function moveInto(target, source) {
  const files = async (folder) => {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
  };
  await mkdir(target, { recursive: true });
  const built = await files(source);
  for (const name of [...built.filter((file) => file !== STAMP), STAMP]) {
    await mkdir(path.dirname(path.join(target, name)), { recursive: true });
    await rename(path.join(source, name), path.join(target, name));
  }
  const stale = (await files(target)).filter((name) => !built.includes(name));
  await Promise.all(stale.map((name) => rm(path.join(target, name), { force: true })));
}

if (process.argv[1] !== undefined && fileURLToPath(import.meta.url) === realpathSync(process.argv[1])) {
  await buildAll().catch((error) => {
    // esbuild has printed its own errors, with the lines they are about.
    if (error.errors === undefined) console.error(error.message);
    process.exitCode = 1;
  });
}
