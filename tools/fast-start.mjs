/**
 * What makes the programs start fast: plugins of esbuild that leave out of the packages, or leave to its first use, what
 * a command does not need, and V8's own cache of what remains. Figures in ARCHITECTURE.md.
 */
import { execFile } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { makeSchemasLater } from "./lazy-schemas.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** `const tls_1 = require("tls")`, as TypeScript writes an import, and two that were written by hand. */
const IMPORT = /^(?:const|var) (\w+_1|assert|calculateSlot|childProcess|process) = require\(["']([^"']+)["']\);?$/gm;

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
          text
            .replaceAll(IMPORT, "")
            // The one use at load time of a class that nobody needs then.
            .replace("Redis.Cluster = cluster_1.default;", "")
            // Copying each method of another class takes more memory than inheriting them.
            .replace(
              "(0, applyMixin_1.default)(Redis, events_1.EventEmitter);",
              "Object.setPrototypeOf(Commander_1.default.prototype, events_1.EventEmitter.prototype);",
            )
            // Every command a second time, with its reply as a buffer.
            .replace(/^ *Commander\.prototype\[commandName \+ "Buffer"\] = .*$/m, ""),
        );
        return { contents: (await transform(contents, { minifyIdentifiers: true })).code, loader: "js" };
      },
    );
  },
};

/** What is imported of packages in CommonJS: whole, each export of theirs would be copied at every start. */
const IMPORTED = {
  commander: `export const { Command } = require("./lib/command.js");
    export const { CommanderError } = require("./lib/error.js");
    export const { Option } = require("./lib/option.js");`,
  ioredis: 'export const Redis = require("./built/Redis.js").default;',
  // It makes its colours when it is loaded: not before something is printed.
  picocolors: 'export default { createColors: (...given) => require("./picocolors.js").createColors(...given) };',
};

const onlyImported = {
  name: "only-imported",
  setup({ onResolve, onLoad }) {
    const filter = new RegExp(`^(${Object.keys(IMPORTED).join("|")})$`);
    onResolve({ filter }, ({ path: name }) => ({ path: name, namespace: "only-imported" }));
    onLoad({ filter, namespace: "only-imported" }, ({ path: name }) => ({
      contents: IMPORTED[name],
      resolveDir: path.join(root, "node_modules", name),
    }));
  },
};

/** Modules of ioredis that this program never reaches, and what is asked of them when it loads and sends. */
const LEFT_OUT = {
  "./cluster": "",
  "./connectors/SentinelConnector": "",
  "./SentinelConnector": "",
  "../constants/TLSProfiles": "exports.default = {};",
  "./Pipeline": "",
  "./transaction": "exports.addTransactionSupport = () => {};",
  "./tracing": "exports.traceCommand = exports.traceConnect = (work) => work();",
  "./himport/HimportCoordinator": `exports.hasHimportCoordinator = Symbol("left out");
    exports.cloneHimportFieldsets = exports.getHimportBinding = exports.isInternalHimportCommand = () => undefined;`,
};
LEFT_OUT["../himport/HimportCoordinator"] = LEFT_OUT["./himport/HimportCoordinator"];

const leftOut = {
  name: "left-out",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\.?\// }, ({ path: imported, importer }) =>
      /[\\/]ioredis[\\/]built[\\/]/.test(importer) && Object.hasOwn(LEFT_OUT, imported)
        ? { path: imported, namespace: "ioredis" }
        : undefined,
    );
    onLoad({ filter: /^/, namespace: "ioredis" }, ({ path: name }) => ({ contents: LEFT_OUT[name] }));
  },
};

/** What ioredis sends by itself, to log in. */
const SENT_BY_IOREDIS = ["auth", "select"];

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
      const isUsed = ([name]) => SENT_BY_IOREDIS.includes(name) || store.includes(`redis.${name}(`);
      const commands = Object.entries(JSON.parse(await readFile(file.path, "utf8"))).filter(isUsed);
      return { contents: JSON.stringify(Object.fromEntries(commands)), loader: "json" };
    });
  },
};

/** Of package.json, which src/protocol/version.ts imports. */
const onlyVersion = {
  name: "only-version",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]package\.json$/ }, async (file) => {
      const { version } = JSON.parse(await readFile(file.path, "utf8"));
      return { contents: JSON.stringify({ version }), loader: "json" };
    });
  },
};

/** What every program of ours imports and a command does not call, by the modules of Node that it would load. */
const CALLED_LATER = { "node:os": ["homedir", "hostname", "tmpdir"], "node:timers/promises": ["setTimeout"] };

const lazyNode = {
  name: "lazy-node",
  setup({ onResolve, onLoad }) {
    const filter = new RegExp(`^(${Object.keys(CALLED_LATER).join("|")})$`);
    onResolve({ filter }, ({ kind, path: name }) =>
      kind === "import-statement" ? { path: name, namespace: "lazy-node" } : { path: name, external: true },
    );
    onLoad({ filter, namespace: "lazy-node" }, ({ path: name }) => ({
      contents: CALLED_LATER[name]
        .map((called) => `export const ${called} = (...given) => require("${name}").${called}(...given);`)
        .join("\n"),
    }));
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

/** The accessors that every class of zod gets: made once and not for each class, a thousand closures fewer, 2 ms of `coord mcp`. */
const MEMBERS = "export function members(proto, table) {";
const MEMBERS_ONCE = `const made = new Map();
export function members(proto, table) {
  if (!made.has(table)) {
    const members = {};
    makeMembers(members, table);
    made.set(table, Object.getOwnPropertyDescriptors(members));
  }
  Object.defineProperties(proto, made.get(table));
}
function makeMembers(proto, table) {`;

/**
 * The SDK checks messages with schemas of zod: each is made when it is needed, and none writes and compiles a function of
 * its own on its first use.
 */
const fewSchemas = {
  name: "few-schemas",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]node_modules[\\/](zod|@modelcontextprotocol)[\\/].*\.m?js$/ }, async (file) => {
      const text = await readFile(file.path, "utf8");
      const contents = /[\\/]@modelcontextprotocol[\\/]/.test(file.path)
        ? makeSchemasLater(text)
        : text
            .replace("__zod_globalConfig = {}", "__zod_globalConfig = { jitless: true }")
            .replace(MEMBERS, MEMBERS_ONCE);
      return { contents: (await transform(contents, { minifyIdentifiers: true })).code, loader: "js" };
    });
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

export const fastStart = [
  onlyImported,
  leftOut,
  lazyNode,
  lazyImports,
  usedCommands,
  onlyVersion,
  noDebug,
  fewSchemas,
  noElicitation,
];

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
 * lengths of both in 32 characters, the source, and what V8 has compiled of it: for tools/launcher.cjs.
 */
export async function compileAhead(folder) {
  const sources = new Map();
  for (const name of await readdir(folder)) {
    if (name.endsWith(".bundle")) sources.set(path.join(folder, name), await readFile(path.join(folder, name)));
  }
  for (const [file, source] of sources) await pack(file, source, "");
  const server = createServer((socket) => {
    socket.on("data", (data) => socket.write(/ping/i.test(data) ? "+PONG\r\n" : "-INTERNAL this is a build\t\r\n"));
    socket.on("error", () => undefined); // a run that has ended reads nothing any more
  });
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
  const head = `${source.length} ${compiled.length}`.padEnd(32);
  await writeFile(file, Buffer.concat([head, source, compiled].map((part) => Buffer.from(part))));
}
