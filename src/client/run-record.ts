/**
 * What a run of an agent is, written down by its start hook (by its server where there are no hooks), so that all its hooks,
 * servers and shell commands are the same one, whatever their folder and however their host has stripped their environment.
 *
 * A private file for each run, of lines `field=value`, which bash reads as well (src/surfaces/hook/coord-hook.bash); Python
 * has the same rules (python/coordination/run_record.py). It lies where no variable can point: a repository that sets
 * variables must not choose who an agent is.
 */
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { isAgentProgram } from "./agent-run.ts";
import { readOwnFile } from "./own-file.ts";
import { ancestors, type KnownProcess, lives, machine } from "./process.ts";
import type { Variables } from "./variables.ts";

export interface RunRecord {
  /** Who wrote it: the hook's wins over the server's, which knows less. */
  readonly by: "hook" | "server";
  /** `out`: the run takes no part, which is worth knowing as well. */
  readonly standing: "speaker" | "guest" | "out";
  /** As presence shows it: `claude-code`, `codex`, `gemini-cli`, `opencode`, `cursor`. */
  readonly agent?: string;
  readonly process?: KnownProcess;
  /** The host's own ids of the session, the newest last; `/clear` makes another. */
  readonly sessions: readonly string[];
  /** Absent only where the run takes no part. */
  readonly instance?: string;
  readonly prefix: string;
  /** The variables that name the server: COORD_REDIS_*, COORD_SENTINELS, COORD_CLUSTER; none for the default. */
  readonly server: Variables;
  /** For bash, which reads nothing else; everybody else looks where it is kept (src/client/local-password.ts). */
  readonly localPassword?: string | undefined;
  /** The top of its work tree. */
  readonly tree: string;
  /** Redis is far away: until then, in seconds since 1970, a hook between tools does not ask. */
  readonly quietUntil?: number;
  /** Why the session cannot be woken: the words of the command that should have. */
  readonly unwoken?: string;
}

/** One process of these may hold several sessions. */
const SEVERAL_SESSIONS = new Set(["codex", "opencode"]);
/** Where the environment of a shell command carries the session's id, by agent. */
const SESSION_VARIABLES: Readonly<Record<string, string>> = {
  "claude-code": "CLAUDE_CODE_SESSION_ID",
  codex: "CODEX_THREAD_ID",
  "gemini-cli": "GEMINI_SESSION_ID",
  opencode: "OPENCODE_SESSION_ID",
};
const RECORD_BYTES = 65_536;
/** More lie there only where something is wrong; what is beyond is not looked at. */
const RECORDS_MAXIMUM = 1_000;
const SESSIONS_MAXIMUM = 8;
/** Without a process nothing tells that a run has ended: a day after it was written it has, else its next hook writes it anew. */
const FORGOTTEN_MILLISECONDS = 24 * 3600 * 1000;

/** Nothing where the run has neither a process nor an id of its own, or where there is no private place that takes it. */
export function writeRunRecord(record: RunRecord): boolean {
  const name = fileOf(record);
  const folder = name === undefined ? undefined : recordFolder(true);
  const text = serialize(record);
  if (folder === undefined || text === undefined) return false;
  const temporary = join(folder, `.${process.pid}.${process.hrtime.bigint()}`);
  try {
    sweep(folder);
    writeFileSync(temporary, text, { mode: 0o600, flag: "wx" });
    renameSync(temporary, join(folder, name!));
    return true;
  } catch {
    // A disk that is full or read-only must not silence hooks and servers.
    rmSync(temporary, { force: true });
    return false;
  }
}

export function removeRunRecord(record: RunRecord): void {
  const [folder, name] = [recordFolder(), fileOf(record)];
  if (folder !== undefined && name !== undefined) rmSync(join(folder, name), { force: true });
}

/** Every run that is known and not over. */
export function listRunRecords(): RunRecord[] {
  const folder = recordFolder();
  if (folder === undefined) return [];
  sweep(folder);
  return namesIn(folder).flatMap((name) => read(folder, name) ?? []);
}

export interface RunHints {
  /** Of the agent's process, where that is known. */
  pid?: number | undefined;
  /** The host's id of the session. */
  sessionId?: string | undefined;
  /** Where the surface works. */
  folder: string;
}

/**
 * The record of the run with this process or session id, for a surface that knows them.
 *
 * @throws CoordinationError IDENTITY where several are as good as each other
 */
export function findRunRecord({ pid, sessionId, folder }: RunHints): RunRecord | undefined {
  const place = recordFolder();
  if (place === undefined) return undefined;
  const names = namesIn(place);
  if (pid === undefined) return ofSession(place, names, sessionId, folder);
  const found = ofProcess(place, names, pid);
  return choose(found, () => sessionId, folder);
}

/**
 * The record of the run that this process belongs to: of the nearest ancestor that has one, unless an agent without one is
 * nearer, whose run is another. Where no agent is to be seen, the session's id in the environment says it.
 *
 * @throws CoordinationError IDENTITY where several are as good as each other
 */
export function ownRunRecord(env: Variables, folder: string): RunRecord | undefined {
  const place = recordFolder();
  const names = place === undefined ? [] : namesIn(place);
  if (names.length === 0) return undefined;
  for (const { pid, command } of ancestors()) {
    const found = ofProcess(place!, names, pid);
    if (found.length > 0) return choose(found, ({ agent }) => env[SESSION_VARIABLES[agent ?? ""] ?? ""], folder);
    if (isAgentProgram(command)) return undefined;
  }
  const ids = new Set(Object.values(SESSION_VARIABLES).flatMap((name) => env[name] || []));
  for (const id of ids) {
    const record = ofSession(place!, names, id, folder);
    if (record !== undefined) return record;
  }
  return undefined;
}

/**
 * The runs that this process is nested in, its own excluded, the nearest first: the name that one of them holds must not
 * come down to this one by a variable.
 */
export function outerRunRecords(own: number | undefined): RunRecord[] {
  const place = recordFolder();
  const names = place === undefined ? [] : namesIn(place);
  if (names.length === 0) return [];
  const outer = [...ancestors()].filter(({ pid }) => pid !== own).map(({ pid }) => ofProcess(place!, names, pid));
  return outer.flatMap((records) => {
    const hooks = records.filter(({ by }) => by === "hook"); // a server does not learn that another speaks
    return hooks.length > 0 ? hooks : records;
  });
}

function ofProcess(folder: string, names: readonly string[], pid: number): RunRecord[] {
  const found = names.filter((name) => name.startsWith(`${pid}.`)).flatMap((name) => read(folder, name) ?? []);
  // Its number alone may be another's by now.
  return found.length === 0 ? found : found.filter(({ process: known }) => known !== undefined && lives(known));
}

function ofSession(
  place: string,
  names: readonly string[],
  sessionId: string | undefined,
  folder: string,
): RunRecord | undefined {
  if (!sessionId) return undefined;
  const all = names.flatMap((name) => read(place, name) ?? []);
  return choose(
    all.filter(({ sessions }) => sessions.includes(sessionId)),
    () => sessionId,
    folder,
  );
}

function choose(
  records: readonly RunRecord[],
  sessionOf: (record: RunRecord) => string | undefined,
  folder: string,
): RunRecord | undefined {
  // A second session of the process, whose record is not written yet, is not the first one.
  const possible = records.filter((record) => {
    const session = sessionOf(record);
    const own = session === undefined || record.sessions.length === 0 || record.sessions.includes(session);
    return own || !SEVERAL_SESSIONS.has(record.agent ?? "");
  });
  const [first, second] = possible;
  if (second === undefined) return first;
  const rules: ((record: RunRecord) => boolean)[] = [
    ({ by }) => by === "hook",
    (record) => record.sessions.includes(sessionOf(record) ?? ""),
    ({ tree }) => folder === tree || folder.startsWith(tree.endsWith(sep) ? tree : tree + sep),
  ];
  let left = possible;
  for (const rule of rules) {
    const matching = left.filter(rule);
    if (matching.length > 0) left = matching;
    if (left.length === 1) return left[0];
  }
  const names = left.map(({ instance, tree }) => `${instance ?? "one without a name"} in ${JSON.stringify(tree)}`);
  throw new CoordinationError(
    ErrorCode.IDENTITY,
    `This process belongs to one of several sessions of its agent, and nothing tells which: ${names.join(", ")}.`,
    { hint: "Give --instance <name>, or work in the folder of one of them." },
  );
}

/** @returns undefined where there is none that is ours alone */
function recordFolder(make = false): string | undefined {
  const uid = process.getuid?.();
  if (uid === undefined) return undefined;
  const [own, other] = [`/run/user/${uid}`, `/tmp/cli-coordination-${uid}`];
  const folder = isOurs(own, uid, 0o022) ? `${own}/cli-coordination` : other;
  if (make) {
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") return undefined;
    }
  }
  // In /tmp anybody may have made it before us, or a link in its place.
  return isOurs(folder, uid, 0o077) ? folder : undefined;
}

function isOurs(folder: string, uid: number, closed: number): boolean {
  const stat = lstatSync(folder, { throwIfNoEntry: false });
  return stat?.isDirectory() === true && stat.uid === uid && (stat.mode & closed) === 0;
}

/** For a process its number, so that a surface finds it without reading the others. */
function fileOf({ by, agent, process: known, sessions }: RunRecord): string | undefined {
  const session = sessions.at(-1);
  if (known === undefined && session === undefined) return undefined;
  const several = known === undefined || SEVERAL_SESSIONS.has(agent ?? "");
  return `${known?.pid ?? 0}.${by}.${several && session !== undefined ? wordOf(session) : ""}`;
}

function wordOf(session: string): string {
  if (/^[A-Za-z0-9_-]{1,128}$/.test(session)) return session;
  // Loaded only here: with crypto each start is a tenth longer.
  return process.getBuiltinModule("node:crypto").createHash("sha256").update(session).digest("hex");
}

function namesIn(folder: string): string[] {
  return allNamesIn(folder).filter((name) => !name.startsWith("."));
}

function allNamesIn(folder: string): string[] {
  try {
    return readdirSync(folder).slice(0, RECORDS_MAXIMUM);
  } catch {
    return []; // gone meanwhile
  }
}

/** @returns undefined for what lines cannot hold */
function serialize({ process: known, sessions, server, ...record }: RunRecord): string | undefined {
  const fields: [string, string | undefined][] = [
    ["by", record.by],
    ["standing", record.standing],
    ["agent", record.agent],
    ["pid", known?.pid.toString()],
    ["started", known?.started],
    ["machine", known === undefined ? undefined : machine()],
    ...sessions.slice(-SESSIONS_MAXIMUM).map((id): [string, string] => ["session", id]),
    ["instance", record.instance],
    ["prefix", record.prefix],
    ["tree", record.tree],
    ["local_password", record.localPassword],
    ["quiet_until", record.quietUntil?.toString()],
    ["unwoken", record.unwoken],
    ...Object.entries(server),
  ];
  const text = fields.map(([name, value]) => (value ? `${name}=${value}\n` : "")).join("");
  const whole = fields.every(([, value]) => value === undefined || !/[\0\n]/.test(value));
  return whole && Buffer.byteLength(text) <= RECORD_BYTES ? text : undefined;
}

/** @returns undefined for what is gone by now, and for what we have not written so */
function read(folder: string, name: string): RunRecord | undefined {
  return parseRunRecord(readOwnFile(join(folder, name), RECORD_BYTES) ?? "");
}

/** @returns undefined for what we have not written so */
export function parseRunRecord(text: string): RunRecord | undefined {
  return recordOf(fieldsIn(text));
}

function recordOf(fields: ReadonlyMap<string, string[]>): RunRecord | undefined {
  const [by, standing, prefix, tree] = ["by", "standing", "prefix", "tree"].map((field) => fields.get(field)?.[0]);
  const [agent, pid, started, instance] = ["agent", "pid", "started", "instance"].map(
    (field) => fields.get(field)?.[0],
  );
  const [quietUntil, unwoken] = ["quiet_until", "unwoken"].map((field) => fields.get(field)?.[0]);
  if ((by !== "hook" && by !== "server") || prefix === undefined || tree === undefined) return undefined;
  if (standing !== "speaker" && standing !== "guest" && standing !== "out") return undefined;
  if (standing !== "out" && instance === undefined) return undefined;
  const server = [...fields].filter(([field]) => field.startsWith("COORD_")).map(([field, [value]]) => [field, value]);
  return {
    by,
    standing,
    ...(agent === undefined ? {} : { agent }),
    ...(pid === undefined ? {} : { process: { pid: Number(pid), started } }),
    sessions: fields.get("session") ?? [],
    ...(instance === undefined ? {} : { instance }),
    prefix,
    server: Object.fromEntries(server) as Variables,
    tree,
    ...(quietUntil === undefined ? {} : { quietUntil: Number(quietUntil) }),
    ...(unwoken === undefined ? {} : { unwoken }),
  };
}

function fieldsIn(text: string): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const at = line.indexOf("=");
    const name = line.slice(0, at);
    if (at > 0) fields.set(name, [...(fields.get(name) ?? []), line.slice(at + 1)]);
  }
  return fields;
}

function sweep(folder: string): void {
  const here = machine();
  for (const name of allNamesIn(folder)) {
    const path = join(folder, name);
    const age = Date.now() - (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    const fields = fieldsIn(readOwnFile(path, RECORD_BYTES) ?? ""); // swept meanwhile, or no record of ours
    const known = recordOf(fields)?.process;
    // Of another container's processes, which share the folder, nothing is known here.
    const over =
      known !== undefined && fields.get("machine")?.[0] === here ? !lives(known) : age > FORGOTTEN_MILLISECONDS;
    if (!over) continue;
    try {
      unlinkSync(path);
    } catch {
      // Swept by another meanwhile, or a folder, which is not ours to empty.
    }
  }
}
