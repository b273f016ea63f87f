#!/usr/bin/env node
/**
 * Writes what hosts and registries install: the plugins of Claude Code and Codex, the extension of Gemini CLI, the entry in the MCP
 * registry, and the version of the Python module. Name, version and texts come from package.json, servers and hooks from
 * `filesOf`, so that they are those of `coord init`. `npm run packages` runs it, and so does `npm version`, with --release.
 */
import { realpathSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { bundleModule } from "./build.mjs";
import { captured } from "./system.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
/** By name, so that they stay right when the package is updated. */
const PROGRAMS = { coord: ["coord"], hook: ["coord-hook"] };
/** Of `filesOf`, which gives paths below it; nothing is looked up there. */
const ANYWHERE = { root: "/", main: "/" };
const FORMAT_WITHIN_MS = 30_000;

const SERVER_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";
const SERVER_VARIABLES = [
  { name: "CLAUDE_INSTANCE_ID", description: "Name of the agent, where no `coord init` gave it one" },
  { name: "REDIS_URL", description: "Where Redis is; redis://localhost:6379 where it is not set", isSecret: true },
  { name: "COORD_KEY_PREFIX", description: "Namespace, where no `coord init` gave the project one" },
];

/** Resolves with what each file is to hold, by its path from the top: text, or the value of a JSON file. */
export async function packages() {
  const text = (file) => readFile(path.join(root, file), "utf8");
  const manifest = JSON.parse(await text("package.json"));
  const { name, version, description, license, keywords } = manifest;
  const author = { name };
  const plugin = { name: "coord", version, description, author, license, keywords };
  const module = path.join(root, "node_modules/.cache/agents.mjs");
  await bundleModule("src/setup/agents.ts", module);
  const { filesOf } = await import(module);
  const [claude, codex, gemini] = ["claude", "codex", "gemini"].map((agent) =>
    partsOf(filesOf(agent, ANYWHERE, PROGRAMS)),
  );
  const skill = await text("plugin/claude/skills/coordination/SKILL.md");

  return {
    ".claude-plugin/marketplace.json": {
      name,
      owner: author,
      description,
      plugins: [{ name: plugin.name, source: "./plugin/claude", description }],
    },
    "plugin/claude/.claude-plugin/plugin.json": plugin,
    "plugin/claude/.mcp.json": { mcpServers: { coord: claude.server } },
    "plugin/claude/hooks/hooks.json": { description, hooks: claude.hooks },

    ".agents/plugins/marketplace.json": {
      name,
      owner: author,
      plugins: [
        {
          name: plugin.name,
          source: { source: "local", path: "./plugin/codex" },
          policy: { installation: "AVAILABLE", authentication: "ON_INSTALL" },
          category: "Productivity",
          description,
        },
      ],
    },
    "plugin/codex/.codex-plugin/plugin.json": {
      ...plugin,
      skills: "./skills/",
      mcpServers: "./.mcp.json",
      hooks: "./hooks/hooks.json",
    },
    "plugin/codex/.mcp.json": { mcpServers: { coord: codex.server } },
    "plugin/codex/hooks/hooks.json": { hooks: codex.hooks },
    "plugin/codex/skills/coordination/SKILL.md": skill,

    // An extension may not say that it is to be trusted: its user does.
    "plugin/gemini/gemini-extension.json": {
      name: plugin.name,
      version,
      description,
      mcpServers: { coord: { ...gemini.server, trust: undefined } },
    },
    "plugin/gemini/hooks/hooks.json": { hooks: gemini.hooks },
    "plugin/gemini/skills/coordination/SKILL.md": skill,

    "server.json": {
      $schema: SERVER_SCHEMA,
      name: manifest.mcpName,
      title: "CLI Coordination",
      description,
      version,
      packages: [
        {
          registryType: "npm",
          registryBaseUrl: "https://registry.npmjs.org",
          identifier: name,
          version,
          runtimeHint: "npx",
          transport: { type: "stdio" },
          packageArguments: [{ type: "positional", value: "mcp" }],
          environmentVariables: SERVER_VARIABLES,
        },
      ],
    },
    "python/pyproject.toml": (await text("python/pyproject.toml"))
      .replace(/^version = .*$/m, `version = ${JSON.stringify(version)}`)
      .replace(/^description = .*$/m, `description = ${JSON.stringify(description)}`),
  };
}

/** The server of an agent's files, and the hooks as they stand in one of them. */
function partsOf(files) {
  const { events } = files.find(({ hooks }) => hooks !== undefined).hooks;
  const groups = Object.entries(events).map(([event, { handlers, ...group }]) => [
    event,
    [{ ...group, hooks: handlers }],
  ]);
  return {
    server: files.find(({ server }) => server !== undefined).server.entry,
    hooks: Object.fromEntries(groups),
  };
}

/** @param today the date of the release that the changes so far become, if they do */
async function write(today) {
  const files = await packages();
  const { version } = JSON.parse(await readFile(path.join(root, "package.json"), "utf8"));
  if (today !== undefined) {
    const changes = await readFile(path.join(root, "CHANGELOG.md"), "utf8");
    files["CHANGELOG.md"] = changes.replace(/^## \[Unreleased\]$/m, `$&\n\n## [${version}] - ${today}`);
  }
  for (const [file, content] of Object.entries(files)) {
    const target = path.join(root, file);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`);
  }
  const formatted = Object.keys(files).filter((file) => file.endsWith(".json"));
  await captured([path.join(root, "node_modules/.bin/oxfmt"), ...formatted], { withinMs: FORMAT_WITHIN_MS, cwd: root });
}

if (process.argv[1] !== undefined && fileURLToPath(import.meta.url) === realpathSync(process.argv[1])) {
  await write(process.argv.includes("--release") ? new Date().toISOString().slice(0, "2026-01-01".length) : undefined);
}
