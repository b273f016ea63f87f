/** `coord demo`: plays the main job, checks every step, and leaves nothing behind, however it ends. */
import { spawn } from "node:child_process";
import { cpSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { ensureRedisServer } from "../../src/server/install.ts";
import { SCRIPTS } from "../../src/store/scripts.ts";
import { until } from "../harness.ts";
import { COORD, type Environment, ROOT, coord, environment, run, temporaryFolder } from "./run.ts";

const ALL_RIGHT = /\nAll as promised: (\d+) of \1 checks passed in [\d.]+ s\.\n$/;

/** A temporary folder of its own, in which and around which nothing may be left. */
async function stage(): Promise<{ env: Environment; folder: string }> {
  const folder = await temporaryFolder();
  return { folder, env: environment({ TMPDIR: folder, COORD_REDIS_SERVER: await ensureRedisServer() }) };
}

/** What is left: files in its temporary folder, and processes that name the folder in their arguments or settings. */
async function leftovers(folder: string): Promise<string[]> {
  return [...readdirSync(folder), ...(await processesOf(folder))];
}

async function processesOf(folder: string): Promise<string[]> {
  if (process.platform !== "linux") {
    const { stdout } = await run("ps", ["axeww", "-o", "pid=,command="]);
    return stdout.split("\n").filter((line) => line.includes(folder) && !line.includes("ps axeww"));
  }
  const read = (file: string): string => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      return ""; // it has ended meanwhile, or is not ours
    }
  };
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => ["cmdline", "environ"].some((file) => read(`/proc/${pid}/${file}`).includes(folder)));
}

/** The transcript without its times. The first three start at once, in an order of their own. */
function transcript(stdout: string): string {
  const [title, ...rest] = stdout
    .trimStart()
    .replaceAll(/^ *[\d.]+ ms/gm, "   <n> ms")
    .replace(/in [\d.]+ s\.\n$/, "in <n> s.\n")
    .split("\n");
  return [title, ...rest.slice(0, 3).toSorted(), ...rest.slice(3)].join("\n");
}

/** What a reader of docs/demo.svg sees, without the command above it. */
function pictured(): string {
  const svg = readFileSync(path.join(ROOT, "docs/demo.svg"), "utf8");
  const lines = [...svg.matchAll(/<text[^>]*>(.*)<\/text>/g)].map(([, line]) =>
    line!
      .replaceAll(/<[^>]*>/g, "")
      .replaceAll("\u00a0", " ")
      .replaceAll("&lt;", "<")
      .replaceAll("&amp;", "&"),
  );
  expect(lines[0]).toBe("$ npm run demo");
  return `${lines.slice(1).join("\n")}\n`;
}

it("exits 0 with a summary, from any directory, through a link", async () => {
  const { env, folder } = await stage();
  const place = await temporaryFolder();
  symlinkSync(COORD, path.join(place, "coord"));
  writeFileSync(path.join(place, ".coord.json"), '{"instanceId": "somebody", "redis": "redis://127.0.0.1:1"}');
  const ended = await run(path.join(place, "coord"), ["demo"], { env, cwd: place });
  expect({ code: ended.code, stderr: ended.stderr }, ended.stdout).toEqual({ code: 0, stderr: "" });
  expect(ended.stdout).toMatch(ALL_RIGHT);
  expect(transcript(ended.stdout)).toMatchSnapshot();
  // node tools/picture.mjs draws it again.
  expect(transcript(pictured())).toBe(transcript(ended.stdout));
  expect(await leftovers(folder)).toEqual([]);
});

it("no setting of the person who watches changes the play", async () => {
  const { env, folder } = await stage();
  const names = { CLAUDE_INSTANCE_ID: "me", COORD_KEY_PREFIX: "mine", COORD_ORCHESTRATOR: "boss" };
  const rules = { COORD_DIRECTION: "strict", COORD_UNKNOWN_RECIPIENT: "reject", COORD_MAX_MESSAGES: "many" };
  const ended = await coord(["demo"], { env: { ...env, ...names, ...rules, REDIS_URL: "redis://127.0.0.1:1" } });
  expect({ code: ended.code, stderr: ended.stderr }, ended.stdout).toEqual({ code: 0, stderr: "" });
  expect(ended.stdout).toMatch(ALL_RIGHT);
  expect(await leftovers(folder)).toEqual([]);
});

it("exits 1 when a step differs, says which, and leaves nothing behind", async () => {
  const { env, folder } = await stage();
  const copy = await temporaryFolder();
  for (const part of ["dist", "scripts"]) cpSync(path.join(ROOT, part), path.join(copy, part), { recursive: true });
  // The server that is demonstrated forgets to acknowledge what a reply answers.
  const rewrite = (from: string, to: string, changes: [string, string][]): void => {
    const code = readFileSync(path.join(copy, "dist", from), "utf8");
    for (const [before] of changes) expect(code).toContain(before);
    const changed = changes.reduce((text, [before, after]) => text.replaceAll(before, after), code);
    writeFileSync(path.join(copy, "dist", to), changed);
  };
  rewrite("lua-texts.cjs", "broken-texts.cjs", [["if answers then time, already", "if false then time, already"]]);
  // Under its own sum Redis would run the script as the other programs have it.
  rewrite("mcp.cjs", "mcp.cjs", [
    ["./lua-texts.cjs", "./broken-texts.cjs"],
    [SCRIPTS.publish.sha, "0".repeat(40)],
  ]);
  const ended = await run(process.execPath, [path.join(copy, "dist/coord.cjs"), "demo"], { env });
  expect(ended.code).toBe(1);
  expect(ended.stdout).toContain("✗");
  expect(ended.stdout).toMatch(/\n\d+ not as promised: \d+ of \d+ checks passed in [\d.]+ s\.\n$/);
  expect(await leftovers(folder)).toEqual([]);
});

it("exits with a sentence, not a stack, when it cannot go on, and leaves nothing behind", async () => {
  const { env, folder } = await stage();
  const ended = await run(process.execPath, [COORD, "demo"], { env: { ...env, PATH: await temporaryFolder() } });
  expect(ended.code).not.toBe(0);
  expect(ended.stderr).toContain("The scripts need node on the PATH.");
  expect(ended.stderr).not.toMatch(/^ {4}at /m);
  expect(await leftovers(folder)).toEqual([]);
});

it("without a Redis server program says so, exit 69", async () => {
  const { env, folder } = await stage();
  const ended = await coord(["demo"], { env: { ...env, COORD_REDIS_SERVER: "/no/such/redis-server" } });
  expect({ code: ended.code, stderr: ended.stderr }).toEqual({
    code: 69,
    stderr:
      'error: COORD_REDIS_SERVER is "/no/such/redis-server", which is not an executable file.\n' +
      "Set it to the path of a redis-server 7.0 or valkey-server 7.2 or newer, or unset it to have one found.\n",
  });
  expect(await leftovers(folder)).toEqual([]);
});

it.each(["SIGINT", "SIGKILL"] as const)("interrupted by %s it leaves nothing behind", async (signal) => {
  const { env, folder } = await stage();
  const child = spawn(process.execPath, [COORD, "demo"], { env, cwd: "/", stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await until(async () => said.includes("A review, asked for by script") || child.exitCode !== null);
  child.kill(signal);
  await until(async () => child.exitCode !== null || child.signalCode !== null);
  expect(child.exitCode).not.toBe(0);
  await until(async () => (await leftovers(folder)).length === 0);
});
