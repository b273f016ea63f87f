/** What a program loads before it does its work, counted: a start is over in the time that this takes. */
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import module from "node:module";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listRunRecords, removeRunRecord } from "../../src/client/run-record.ts";
import { SCRIPTS } from "../../src/store/scripts.ts";
import { useRedis } from "../harness.ts";
import { type Environment, environment, ROOT, run, temporaryFolder } from "./run.ts";

const bench = useRedis();
beforeEach(async () => {
  for (const { text } of Object.values(SCRIPTS)) await bench.raw.script("LOAD", await text());
});

const DIST = path.join(ROOT, "dist");
const SESSION = randomUUID();
const PROMPT = JSON.stringify({ hook_event_name: "PostToolUse", session_id: SESSION, cwd: "/" });
afterEach(() => {
  for (const record of listRunRecords()) if (record.sessions.includes(SESSION)) removeRunRecord(record);
});
/** Preloaded: says at the end which modules of Node were asked for, and which files of ours were loaded. */
const PROBE = `
const Module = require("node:module");
const load = Module._load;
const node = new Set();
Module._load = function (name) {
  if (Module.isBuiltin(name)) node.add(name.replace(/^node:/, ""));
  return load.apply(this, arguments);
};
process.on("exit", () => {
  const ours = Object.keys(require.cache).filter((file) => file !== __filename).map((file) => file.split("/").pop());
  require("node:fs").writeFileSync(process.env.PROBED, JSON.stringify({ node: [...node].sort(), ours }));
});
`;

interface Loaded {
  node: string[];
  ours: string[];
}

async function loaded(argv: readonly string[], further: Environment = {}): Promise<Loaded> {
  const folder = await temporaryFolder();
  const [preload, probed] = [path.join(folder, "probe.cjs"), path.join(folder, "probed.json")];
  writeFileSync(preload, PROBE);
  const [program, ...args] = argv;
  const env = environment({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: "me", PROBED: probed, ...further });
  const line = ["-r", preload, path.join(DIST, program!), ...args];
  await run(process.execPath, line, { env, input: PROMPT });
  return JSON.parse(readFileSync(probed, "utf8")) as Loaded;
}

/** With child_process, crypto, tls or dns a start is a tenth longer. */
const COMMAND = {
  node: ["events", "fs", "net", "os", "path", "process"],
  ours: ["coord.cjs", "cli.cjs"],
};

describe("a program loads little", () => {
  it.each<[argv: string[], Loaded]>([
    [["coord.cjs", "publish", "GENERAL", "s", "d", "--to", "you"], COMMAND],
    [["coord.cjs", "check", "--pending"], COMMAND],
    [["coord.cjs", "ack", "msg-0000000000"], COMMAND],
    [["hook.cjs", "claude"], { node: ["events", "fs", "net", "os", "path"], ours: ["hook.cjs", "agent-hook.cjs"] }],
    [["coord.cjs", "mcp"], { node: ["events", "fs", "net", "os", "path", "stream"], ours: ["coord.cjs", "mcp.cjs"] }],
  ])("%j", async (argv, expected) => {
    expect(await loaded(argv)).toEqual(expected);
  });

  it("and the texts of the scripts where Redis lacks one", async () => {
    await bench.raw.script("FLUSH");
    expect((await loaded(["coord.cjs", "check"])).ours).toEqual([...COMMAND.ours, "lua-texts.cjs"]);
  });
});

it("what V8 has compiled is kept for the next start in a folder of the user, where Node can", async () => {
  const folder = await temporaryFolder();
  for (const argv of [
    ["coord.cjs", "check"],
    ["hook.cjs", "claude"],
  ]) {
    await loaded(argv, { XDG_CACHE_HOME: path.join(folder, argv[0]!) });
    const kept = existsSync(path.join(folder, argv[0]!, "cli-coordination/compiled"));
    expect(kept).toBe("enableCompileCache" in module);
  }
});
