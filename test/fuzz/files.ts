/**
 * What lies in files that somebody else may have written: the settings of agents, `.coord.json`, the register, records of
 * runs, passwords and archives, valid ones with parts changed, cut off, doubled and mixed with bytes. Each is read, or refused
 * with a sentence of ours; what was there stays, and no archive makes a namespace unusable.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as fc from "fast-check";
import { CoordinationClient } from "../../src/client/client.ts";
import { findLocalLogin } from "../../src/client/local-password.ts";
import { lives } from "../../src/client/process.ts";
import { parseRunRecord } from "../../src/client/run-record.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { CoordinationError } from "../../src/protocol/errors.ts";
import { AGENTS, filesOf } from "../../src/setup/agents.ts";
import { addEntries, linesIn, removeEntries } from "../../src/setup/entries.ts";
import { planChange } from "../../src/setup/files.ts";
import { describeLegacy, readLegacy } from "../../src/setup/legacy.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { openRedis, type Redis } from "../raw-redis.ts";
import { mutated } from "./replies.ts";
import { stage } from "./scene.ts";

export interface FileFigures {
  /** By the kind of file, how many were read. */
  cases: Record<string, number>;
  taken: number;
  refused: number;
  problems: string[];
}

type Roll = (limit: number) => number;

const PROBLEMS_MAXIMUM = 20;
const GENERAL = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;
const PROGRAMS = {
  coord: ["coord"],
  hook: ["coord-hook"],
  portable: true,
  fleeting: false,
  dist: path.resolve("dist"),
};

export async function fuzzFiles({ seed, cases }: { seed: number; cases: number }): Promise<FileFigures> {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), "coord-files-")));
  const figures: FileFigures = { cases: {}, taken: 0, refused: 0, problems: [] };
  await using archives = await openArchives();
  const kinds: Record<string, (roll: Roll) => unknown> = {
    settings: (roll) => editSettings(folder, roll),
    ".coord.json": (roll) => takeOver(folder, roll),
    register: (roll) => readRegister(folder, roll),
    records: (roll) => readRecord(folder, roll),
    passwords: (roll) => readPassword(folder, roll),
    archives: async (roll) => archives.import(roll),
  };
  try {
    for (const [kind, read] of Object.entries(kinds)) {
      figures.cases[kind] = 0;
      for (const [number, random] of fc
        .sample(fc.infiniteStream(fc.nat(2 ** 30)), { seed, numRuns: cases })
        .entries()) {
        try {
          await read((limit) => (random.next().value as number) % limit);
          figures.taken++;
        } catch (error) {
          if (CoordinationError.is(error) && /^[A-Z_]+$/.test(error.code) && error.message !== "") figures.refused++;
          else figures.problems.push(`${kind}, seed ${seed}, case ${number}: ${stackOf(error)}`);
        }
        figures.cases[kind]++;
        if (figures.problems.length === PROBLEMS_MAXIMUM) return figures;
      }
    }
    return figures;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

const PIECES = [
  "\0",
  "\r\n",
  "\uFEFF",
  "{",
  "}",
  "[[[[",
  '"',
  "'",
  "/*",
  "//",
  "#",
  "=",
  "\n\n",
  "\u202E",
  "💥",
  "coord-hook",
  "__proto__",
];

/** A valid text with a few changes; of JSON also of its values. */
function changed(template: string, roll: Roll): Buffer {
  let text = template;
  for (let times = roll(4); times > 0; times--) {
    const at = roll(text.length + 1);
    const what = roll(8);
    if (what === 0) text = text.slice(0, at);
    else if (what === 1) text = text.slice(at);
    else if (what === 2) text = text.slice(0, at) + PIECES[roll(PIECES.length)]! + text.slice(at);
    else if (what === 3) text = text + text.slice(at);
    else if (what === 4) text = text.slice(0, at) + text.slice(at + roll(20));
    else if (what === 5 && roll(20) === 0) text = text.slice(0, at) + "[".repeat(20_000) + text.slice(at);
    else text = mutatedText(text, roll);
  }
  const bytes = Buffer.from(text);
  if (roll(8) === 0 && bytes.length > 0) bytes[roll(bytes.length)] = roll(256);
  return bytes;
}

function mutatedText(text: string, roll: Roll): string {
  try {
    const value = mutated(JSON.parse(text), roll, true);
    return roll(2) === 0 ? JSON.stringify(value) : JSON.stringify(value, undefined, 2);
  } catch {
    return text; // not JSON, or too deep to be written
  }
}

/** In the place of a file, or of a folder on the way, something else. */
function put(file: string, content: Buffer, roll: Roll): void {
  rmSync(file, { recursive: true, force: true });
  mkdirSync(path.dirname(file), { recursive: true });
  const what = roll(60);
  if (what === 0) mkdirSync(file);
  else if (what === 1) symlinkSync("/dev/zero", file);
  else if (what === 2) symlinkSync(path.basename(file), file);
  else if (what === 3) symlinkSync("nowhere", file);
  else if (what === 4 && roll(20) === 0) execFileSync("mkfifo", [file]);
  else if (what === 5 && roll(20) === 0) writeFileSync(file, Buffer.alloc(5 * 1024 * 1024, " "));
  else writeFileSync(file, content, { mode: 0o600 });
}

const OTHERS_SETTINGS = [
  "",
  "{}",
  "  \n",
  '{\n  // mine\n  "model": "opus",\n  "hooks": { "Stop": [{ "hooks": [{ "type": "command", "command": "lint" }] }] }\n}\n',
  '{"mcpServers":{"other":{"command":"x","args":["y"]},"coord":{"command":"node","args":["/x/dist/coord.cjs","mcp"]}},"permissions":{"allow":["Bash"]}}',
  '{ "hooks": { "SessionStart": [ { "hooks": [] }, null ], "stop": [ { "command": "coord-hook cursor" } ] }, "version": 1 }',
  '# mine\nmodel = "x"\n[mcp_servers.other]\ncommand = "x"\n[features]\nhooks = true\n',
  '[mcp_servers.coord]\ncommand = "coord"\nargs = ["mcp"]\n',
];

/** Ours are added once, found, and go again; what was there stays. */
function editSettings(folder: string, roll: Roll): void {
  const agent = AGENTS[roll(AGENTS.length)]!;
  const files = filesOf(agent, { root: folder, main: folder }, PROGRAMS);
  const file = files[roll(files.length)]!;
  const own = addEntries(undefined, file, () => undefined)!;
  put(file.path, changed(roll(3) === 0 ? own : OTHERS_SETTINGS[roll(OTHERS_SETTINGS.length)]!, roll), roll);
  const { before, after } = planChange(file.path, (text) => addEntries(text, file, () => undefined), [folder]);
  const mark = after!.startsWith("\uFEFF") ? 1 : 0;
  const added = after!.slice(mark);
  if (addEntries(added, file, () => undefined) !== added) throw new Error(`added twice to ${JSON.stringify(before)}`);
  const rest = removeEntries(added, file, () => undefined);
  const kept = before === undefined ? undefined : removeEntries(before.slice(mark), file, () => undefined);
  if (!isDeepStrictEqual(foreign(rest), foreign(kept)))
    throw new Error(`${JSON.stringify(before)} became ${JSON.stringify(rest)}`);
  const left = linesIn(rest, file);
  // A server that somebody has changed by hand stays.
  if (left.some((line) => line.at(-1) !== "mcp")) throw new Error(`${JSON.stringify(left)} is left in ${rest}`);
}

/** What nothing of ours stands in; an empty container is as good as none. */
function foreign(text: string | undefined): unknown {
  if (text === undefined || text.trim() === "") return {};
  try {
    const value = JSON.parse(text) as Record<string, unknown>;
    // Ours where it was changed by hand, and what a new file begins with.
    for (const servers of [value["mcpServers"], value["mcp"]])
      if (typeof servers === "object" && servers !== null) Reflect.deleteProperty(servers, "coord");
    for (const name of ["$schema", "version"]) Reflect.deleteProperty(value, name);
    return withoutEmpty(value) ?? {};
  } catch {
    return text.includes("coord") ? {} : text.replaceAll(/\s/g, ""); // with comments, or TOML: what is ours is looked at by its lines
  }
}

function withoutEmpty(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const parts = Object.entries(value).map(([key, part]) => [key, withoutEmpty(part)] as const);
  const full = parts.filter(([, part]) => part !== undefined);
  if (full.length === 0) return undefined;
  return Array.isArray(value) ? full.map(([, part]) => part) : Object.fromEntries(full);
}

const LEGACY =
  '{"instanceId":"alice","keyPrefix":"coord","redis":"redis://:secret@host:6379","orchestrator":"orchestrator"}';

function takeOver(folder: string, roll: Roll): void {
  put(path.join(folder, ".coord.json"), changed(LEGACY, roll), roll);
  const legacy = readLegacy(folder);
  if (legacy !== undefined && describeLegacy(legacy).includes("secret@")) throw new Error("a password is shown");
}

function readRegister(folder: string, roll: Roll): void {
  const projects = {
    [folder]: { keyPrefix: "p", server: { COORD_REDIS_URL: "redis://:w@h" }, worktrees: { ".": "alice" } },
  };
  const file = path.join(folder, "register/cli-coordination/projects.json");
  put(file, changed(JSON.stringify({ version: 1, projects }), roll), roll);
  resolveSettings({ env: { HOME: folder, XDG_CONFIG_HOME: path.join(folder, "register") }, cwd: folder, run: null });
}

const RECORD = `by=hook\nstanding=speaker\nagent=claude-code\npid=${process.pid}\nstarted=1\nmachine=m\nsession=a\nsession=b\ninstance=alice\nprefix=coord\ntree=/w\nlocal_password=p\nquiet_until=1\nCOORD_REDIS_URL=redis://h\n`;

function readRecord(folder: string, roll: Roll): void {
  const record = parseRunRecord(changed(RECORD, roll).toString());
  if (record === undefined) return;
  if (record.process !== undefined) lives(record.process);
  resolveSettings({ env: { HOME: folder }, cwd: folder, run: record });
}

function readPassword(folder: string, roll: Roll): void {
  const file = path.join(folder, "secrets/cli-coordination/password-6379");
  // A pipe that nobody writes is waited for where a variable of the user names one, as a shell's `<(…)` is.
  put(file, changed("secret\n", roll), (limit) => (limit === 60 ? Math.max(roll(limit), 5) % 60 : roll(limit)));
  const env = { HOME: folder, XDG_CONFIG_HOME: path.join(folder, "secrets") };
  const connection = { host: "localhost", port: 6379, db: 0, tls: false };
  const local = findLocalLogin(connection, env)?.password;
  const { connection: named } = resolveSettings({ env: { ...env, REDIS_PASSWORD_FILE: file }, cwd: folder, run: null });
  for (const password of [local ?? "", named.password ?? ""])
    if (password.length > 4 * 1024 * 1024) throw new Error(`${password.length} characters`);
}

interface Archives extends AsyncDisposable {
  import(roll: Roll): Promise<void>;
}

/** What was imported, or refused half-way, leaves a namespace in which everybody can go on. */
async function openArchives(): Promise<Archives> {
  const redis = await startThrowawayRedis();
  const raw = openRedis({ path: redis.socketPath });
  const clients: CoordinationClient[] = [];
  const open = (instanceId: string): CoordinationClient => {
    const env = { REDIS_URL: redis.url, COORD_ACK_TIMEOUT_SECONDS: "0" };
    clients.push(new CoordinationClient(resolveSettings({ instanceId, env, cwd: "/" })));
    return clients.at(-1)!;
  };
  const { alice, bob } = await stage(raw, open);
  const lines: string[] = [];
  for await (const line of alice.exportLines()) lines.push(line);
  return {
    import: async (roll) => importChanged({ raw, alice, bob, lines }, roll),
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) client.close();
      raw.disconnect();
      await redis.stop();
    },
  };
}

interface Importing {
  raw: Redis;
  alice: CoordinationClient;
  bob: CoordinationClient;
  lines: readonly string[];
}

async function importChanged({ raw, alice, bob, lines }: Importing, roll: Roll): Promise<void> {
  await raw.flushall();
  for (const { session } of [alice, bob]) session.known.forget();
  const file = [...lines];
  for (let times = 1 + roll(4); times > 0; times--) {
    const at = roll(4) === 0 ? 0 : roll(file.length);
    const what = roll(8);
    if (what === 0) file.splice(at, 1);
    else if (what === 1) file.splice(roll(file.length), 0, file[at]!);
    else if (what === 2) file.length = at;
    else file[at] = changed(file[at] ?? "", roll).toString();
    if (file.length === 0) break;
  }
  let refusal: unknown;
  try {
    await alice.importLines(streamed(file));
  } catch (error) {
    refusal = error;
  }
  try {
    const { messageId } = await alice.publishMessage(GENERAL);
    await alice.sweep();
    await bob.checkMessages({ messageId });
    await alice.getStats();
    for (const { lastHeartbeat, status } of Object.values((await alice.getPresence()).instances))
      if (status === "active" && Date.parse(lastHeartbeat!) > Date.now() + 60_000) throw new Error("active for ever");
  } catch (error) {
    // Settings within their bounds, as a namespace of one message, or a brake, are what an archive may bring.
    if (!CoordinationError.is(error) || !["FULL", "LOOP", "NOT_FOUND"].includes(error.code))
      throw new Error(`afterwards: ${stackOf(error)}\n${file.join("\n").slice(0, 3000)}`, { cause: error });
  }
  if (refusal !== undefined) throw refusal;
}

async function* streamed(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}
