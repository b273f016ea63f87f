/** What a program loads and runs before it does its work, counted; and that what was compiled ahead changes nothing else. */
import { cpSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { useRedis } from "../harness.ts";
import { environment, ROOT, run, temporaryFolder } from "./run.ts";

const bench = useRedis();
const DIST = path.join(ROOT, "dist");
const PROMPT = JSON.stringify({ hook_event_name: "PostToolUse", session_id: "s1", cwd: "/" });
/** Preloaded: says at the end which modules of Node were asked for, and whether V8 took what was compiled ahead. */
const PROBE = `
const vm = require("node:vm");
const Module = require("node:module");
const load = Module._load;
const asked = new Set();
Module._load = function (name) { asked.add(name.replace(/^node:/, "")); return load.apply(this, arguments); };
const { Script } = vm;
const bundles = [];
let schemas = 0;
globalThis.__zod_globalConfig = { jitless: true, postProcessor: () => void schemas++ };
vm.Script = class extends Script {
  constructor(source, options) {
    super(source, options);
    bundles.push([options.filename.split("/").pop(), this.cachedDataRejected === false]);
  }
};
process.on("exit", () => require("node:fs").writeFileSync(process.env.PROBED, JSON.stringify({ asked: [...asked].filter(Module.isBuiltin).sort(), bundles, schemas })));
`;

/** Where in a bundle begins what was compiled of it; see tools/fast-start.mjs. */
function endOfSource(file: string): number {
  return 32 + Number.parseInt(readFileSync(file).toString("latin1", 0, 32), 10);
}

interface Probed {
  code: number | null;
  stdout: string;
  stderr: string;
  asked: string[];
  /** The bundles that ran, and whether V8 had them compiled. */
  bundles: [name: string, compiled: boolean][];
  /** How many schemas zod has made. */
  schemas: number;
}

async function probe(argv: readonly string[], input = "", dist = DIST): Promise<Probed> {
  const folder = await temporaryFolder();
  const [preload, probed] = [path.join(folder, "probe.cjs"), path.join(folder, "probed.json")];
  writeFileSync(preload, PROBE);
  const [program, ...args] = argv;
  const env = environment({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: "me", PROBED: probed });
  const line = ["-r", preload, path.join(dist, program!), ...args];
  const { code, stdout, stderr } = await run(process.execPath, line, { env, input });
  return {
    code,
    stdout,
    stderr,
    ...(JSON.parse(readFileSync(probed, "utf8")) as Pick<Probed, "asked" | "bundles" | "schemas">),
  };
}

/** What a connection and standard input and output take; with crypto, tls, dns or child_process a start is a tenth longer. */
const FEW = ["events", "fs", "net", "path", "vm"];

describe("a program loads few modules of Node, and V8 has compiled the rest", () => {
  it.each<[argv: string[], bundle: string, more: string[]]>([
    [["coord.cjs", "publish", "GENERAL", "s", "d", "--to", "you"], "cli.bundle", []],
    [["coord.cjs", "check", "--pending"], "cli.bundle", []],
    [["coord.cjs", "ack", "msg-0000000000"], "cli.bundle", []],
    [["hook.cjs", "claude"], "hook.bundle", []],
    [["coord.cjs", "mcp"], "mcp.bundle", ["os", "process", "stream"]],
  ])("%j", async (argv, bundle, more) => {
    const { asked, bundles } = await probe(argv, PROMPT);
    expect({ asked, bundles }).toEqual({ asked: [...FEW, ...more].toSorted(), bundles: [[bundle, true]] });
  });
});

/** Of 1,800 that the SDK would make by then, with those that they are made of. */
const SCHEMAS_MAXIMUM = 300;

it("the MCP server makes only the schemas of the messages that it meets", async () => {
  const requests = [
    {
      id: 1,
      method: "initialize",
      params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } },
    },
    { method: "notifications/initialized" },
    { id: 2, method: "tools/list" },
    { id: 3, method: "tools/call", params: { name: "coord_check_messages", arguments: {} } },
  ];
  const input = requests.map((request) => `${JSON.stringify({ jsonrpc: "2.0", ...request })}\n`).join("");
  const { schemas, stdout } = await probe(["coord.cjs", "mcp"], input);
  expect(stdout.trimEnd().split("\n")).toHaveLength(3);
  expect(schemas).toBeGreaterThan(0);
  expect(schemas).toBeLessThan(SCHEMAS_MAXIMUM);
});

describe("without what was compiled ahead", () => {
  it.each<[string, (file: string) => void]>([
    ["cut off", (file) => truncateSync(file, readFileSync(file).length - 1000)],
    ["missing", (file) => truncateSync(file, endOfSource(file))],
    [
      "of another V8",
      (file) => {
        const bytes = readFileSync(file);
        // Its first word holds the version, behind a magic number of four bytes.
        const at = endOfSource(file) + 4;
        bytes.writeUInt32LE(bytes.readUInt32LE(at) ^ 1, at);
        writeFileSync(file, bytes);
      },
    ],
  ])("%s: it says and does the same", async (_, damage) => {
    const dist = path.join(await temporaryFolder(), "dist");
    cpSync(DIST, dist, { recursive: true });
    damage(path.join(dist, "cli.bundle"));
    const whole = await probe(["coord.cjs", "check", "--json"]);
    const damaged = await probe(["coord.cjs", "check", "--json"], "", dist);
    expect(damaged).toEqual({ ...whole, bundles: [["cli.bundle", false]] });
    expect(whole.code).toBe(0);
  });
});
