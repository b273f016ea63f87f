/**
 * What makes the programs start fast: plugins of esbuild that leave out of the packages, or leave to its first use, what
 * a command does not need, and V8's own cache of what remains. Figures in ARCHITECTURE.md.
 */
import { execFile } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** `const tls_1 = require("tls")`, as TypeScript writes an import, and two that were written by hand. */
const IMPORT = /^(?:const|var) (\w+_1|assert|childProcess) = require\(["']([^"']+)["']\);?$/gm;

/**
 * A module of ioredis is loaded where it is first used and not where it is imported: a command uses neither Cluster nor
 * Sentinel nor TLS, whose Node modules (tls, crypto, dns, assert, util) cost most.
 */
const lazyImports = {
  name: "lazy-imports",
  setup({ onLoad }) {
    onLoad(
      { filter: /[\\/]node_modules[\\/](ioredis[\\/]built|redis-errors|commander[\\/]lib)[\\/].*\.js$/ },
      async (file) => {
        const text = await readFile(file.path, "utf8");
        const imports = [...text.matchAll(IMPORT)];
        const contents = imports.reduce(
          // In parentheses, or `new x_1.default()` would become `new require("x")`.
          (code, [, name, module]) =>
            code.replaceAll(new RegExp(String.raw`\b${name}\b`, "g"), `(require("${module}"))`),
          // The one use at load time of a class that nobody needs then.
          text.replaceAll(IMPORT, "").replace("Redis.Cluster = cluster_1.default;", ""),
        );
        return { contents, loader: "js" };
      },
    );
  },
};

/** What ioredis itself sends: its handshake, and subscriptions that it restores. */
// prettier-ignore
const SENT_BY_IOREDIS = ["auth", "client", "hello", "info", "ping", "psubscribe", "quit", "readonly", "select", "ssubscribe",
  "subscribe"];

/**
 * Of the 301 commands that ioredis knows only those that src/store calls: it makes the methods of each anew at every
 * start, which took a fifth of it.
 */
const usedCommands = {
  name: "used-commands",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]@ioredis[\\/]commands[\\/]built[\\/]commands\.json$/ }, async (file) => {
      const folder = path.join(root, "src/store");
      const sources = (await readdir(folder)).map((name) => readFile(path.join(folder, name), "utf8"));
      const store = (await Promise.all(sources)).join("\n");
      const isUsed = ([name]) => SENT_BY_IOREDIS.includes(name) || store.includes(`.${name}(`);
      const commands = Object.entries(JSON.parse(await readFile(file.path, "utf8"))).filter(isUsed);
      return { contents: JSON.stringify(Object.fromEntries(commands)), loader: "json" };
    });
  },
};

/** The `DEBUG` output of ioredis: its package looks for the colours of the terminal at every start. */
const noDebug = {
  name: "no-debug",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^debug$/ }, () => ({ path: "debug", namespace: "left-out" }));
    onLoad({ filter: /^debug$/, namespace: "left-out" }, () => ({
      contents: "exports.default = () => Object.assign(() => {}, { enabled: false });",
    }));
  },
};

/** The SDK's validator of schemas checks only what users fill in when a server asks them, and we ask nobody. */
const noElicitation = {
  name: "no-elicitation",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@modelcontextprotocol\/server\/_shims$/ }, () => ({ path: "_shims", namespace: "left-out" }));
    onLoad({ filter: /^_shims$/, namespace: "left-out" }, () => ({
      contents: 'export class DefaultJsonSchemaValidator {}; export { default as process } from "node:process";',
    }));
  },
};

export const fastStart = [lazyImports, usedCommands, noDebug, noElicitation];

const MCP_REQUESTS = [
  {
    id: 1,
    method: "initialize",
    params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "build", version: "1" } },
  },
  { method: "notifications/initialized" },
  { id: 2, method: "tools/list" },
  { id: 3, method: "tools/call", params: { name: "coord_check_messages", arguments: {} } },
];

/** Runs that call what users' runs call. What each adds is kept with what the runs before it have compiled. */
const RUNS = [
  { argv: ["coord.cjs", "publish", "GENERAL", "subject", "description"] },
  { argv: ["coord.cjs", "check", "--pending"] },
  { argv: ["coord.cjs", "ack", "msg-0000000000"] },
  { argv: ["coord.cjs", "mcp"], input: MCP_REQUESTS.map((request) => JSON.stringify({ jsonrpc: "2.0", ...request })) },
  {
    argv: ["hook.cjs", "claude"],
    input: [JSON.stringify({ hook_event_name: "UserPromptSubmit", session_id: "build" })],
  },
];
const RUN_MILLISECONDS = 30_000;

/**
 * Has V8 compile the bundles in `folder` as far as such runs do, on a server that refuses everything. A bundle is then the
 * length of its source in 16 characters, the source, and what V8 has compiled of it: for tools/launcher.cjs.
 */
export async function compileAhead(folder) {
  const sources = new Map();
  for (const name of await readdir(folder)) {
    if (name.endsWith(".bundle")) sources.set(path.join(folder, name), await readFile(path.join(folder, name)));
  }
  for (const [file, source] of sources) await pack(file, source, "");
  const server = createServer((socket) =>
    socket.on("data", (data) => socket.write(/ping/i.test(data) ? "+PONG\r\n" : "-INTERNAL this is a build\t\r\n")),
  );
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { CLAUDE_PROJECT_DIR: _, ...rest } = process.env;
  const env = { ...rest, REDIS_URL: `redis://127.0.0.1:${server.address().port}`, CLAUDE_INSTANCE_ID: "build" };
  try {
    for (const { argv, input = [] } of RUNS) {
      const args = ["-r", path.join(root, "tools/compile-ahead.cjs"), ...argv];
      await new Promise((resolve) => {
        // How it ends says nothing: it was refused.
        const run = execFile(process.execPath, args, { cwd: folder, env, timeout: RUN_MILLISECONDS }, resolve);
        run.stdin.end(input.join("\n") + "\n");
      });
      for (const [file, source] of sources) {
        const compiled = await readFile(`${file}.v8`).catch(() => undefined);
        if (compiled !== undefined) await pack(file, source, compiled);
        await rm(`${file}.v8`, { force: true });
      }
    }
  } finally {
    server.close();
  }
}

async function pack(file, source, compiled) {
  await writeFile(
    file,
    Buffer.concat([String(source.length).padEnd(16), source, compiled].map((part) => Buffer.from(part))),
  );
}
