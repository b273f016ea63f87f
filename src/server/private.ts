/** The Redis that `coord up` starts and `coord down` stops: one per port, durable, outliving its terminal. */
import type { ChildProcess } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { ErrorReply } from "../redis/errors.ts";
import type { Reply } from "../redis/resp.ts";
import { ask, type Place } from "./ask.ts";
import { dataFolder } from "./find.ts";
import { type EnsureOptions, ensureRedisServer } from "./install.ts";
import { launchServer, untilReady } from "./launch.ts";
import { isNamedBy, type Listening, readListening, writeListening } from "./listening.ts";

const ANSWER_WITHIN_MS = 1000;
/** A connection closed without an answer is how a server looks that ends this very moment: it is asked once more. */
const HANGUP_PAUSE_MS = 100;
/** What Redis and Valkey log of a file whose end was not written whole (`aof-load-truncated`). */
const CUT = /Truncating the AOF|AOF .* loaded anyway because aof-load-truncated/i;
/** Of the memory of the machine, and never more than that: messages are small and taken by retention. */
const MEMORY_PART = 0.25;
const MEMORY_BYTES_MAXIMUM = 1024 ** 3;
const NOT_REDIS = "a program that does not answer as Redis";
/** Loading a large append-only file takes its time; ours is bounded by retention to some hundred thousand messages. */
const READY_WITHIN_MS = 60_000;
/** Redis waits up to 10 s (`shutdown-timeout`) for replicas that lag behind. */
const SHUTDOWN_WITHIN_MS = 15_000;

export interface PrivateOptions extends EnsureOptions {
  port: number;
  /** What its clients log in with. */
  password: string;
  /** For other machines: with TLS, there and on loopback. */
  listening?: Listening | undefined;
}

interface PrivateServer {
  port: number;
  dataDir: string;
  /** The process that answers on the port, where it says so. */
  pid?: number;
  /** It was started before servers had passwords, or with another one: this one is not asked for. */
  open?: boolean;
  /** What answers on the port, to be put into a sentence: "Redis 7.0.15, process 4711". */
  description: string;
}

export interface StartedPrivate extends PrivateServer {
  /** `occupied`: something that we did not start answers on the port, and was left alone. */
  state: "started" | "already-running" | "occupied";
  /** Redis has cut the end of its file, which was not written whole: the last messages may be missing. */
  truncated?: boolean;
  /** How it runs, where other machines reach it; it may have been started otherwise than asked for. */
  listening?: Listening;
}

export interface StoppedPrivate extends PrivateServer {
  /** `foreign`: something that we did not start answers on the port, and was left alone. */
  state: "stopped" | "not-running" | "foreign";
}

/**
 * Starts the server of this port, with its data of last time. Throws UNAVAILABLE when there is no server program or it
 * does not start, TIMEOUT when it is not ready in time. Of two at once one starts it: whoever gets the port, and Redis
 * takes the port before it touches the data.
 */
export async function startPrivateRedis(options: PrivateOptions): Promise<StartedPrivate> {
  const { port, password, listening, env = process.env } = options;
  const dataDir = privateDataFolder(port, env);
  const earlier = await readListening(dataDir);
  const before = await whoAnswers(placeOf(port, earlier), dataDir, password);
  if (before.who !== "nobody") return startedAs(before, { port, dataDir, listening: earlier }, undefined);

  const program = await ensureRedisServer(options);
  await mkdir(dataDir, { recursive: true });
  await chmod(dataDir, 0o700);
  const place = placeOf(port, listening);
  await writeConfiguration(port, dataDir, password, listening);
  await writeListening(dataDir, listening);
  const log = join(dataDir, "redis.log");
  const logged = await stat(log).then(
    ({ size }) => size,
    () => 0,
  );
  const server = await launchServer(program, [configurationFile(dataDir)], log, env);
  const failure = await untilReady(server, { ...place, password }, log, READY_WITHIN_MS).catch(
    (error: unknown) => error,
  );
  // Ready or not, the one that answers may be another's, started at the same time, which took the port from ours.
  const after = await whoAnswers(place, dataDir, password);
  // Ours has touched no data without the port, but left alone it would take the port as soon as the other is stopped.
  if (after.pid !== server.pid) await end(server);
  if (after.who === "nobody" || (after.pid === server.pid && failure !== undefined)) {
    throw (
      failure ??
      new CoordinationError(ErrorCode.UNAVAILABLE, `Redis ended right after it had started.`, {
        hint: `Its log is ${log}.`,
      })
    );
  }
  const told = (await readFile(log).catch(() => Buffer.alloc(0))).subarray(logged).toString();
  const started = startedAs(after, { port, dataDir, listening }, server);
  if (!CUT.test(told)) return started;
  await writeAnew({ ...place, password });
  return { ...started, truncated: true };
}

/**
 * Redis 7.0 cuts within what a script had written, of which a first part stays in the file: with what is written behind it, the
 * next start would carry out half a publish, or lose all that came after. A file that is written anew holds what is in memory.
 */
async function writeAnew(place: Place): Promise<void> {
  await ask(place, ["BGREWRITEAOF"], ANSWER_WITHIN_MS);
  const deadline = performance.now() + READY_WITHIN_MS;
  const isWriting = async (): Promise<boolean> =>
    /^aof_rewrite_(in_progress|scheduled):1/m.test(String(await ask(place, ["INFO", "persistence"], ANSWER_WITHIN_MS)));
  while (performance.now() < deadline && (await isWriting())) await sleep(HANGUP_PAUSE_MS);
}

/**
 * Stops the server of this port and waits until it has ended, its data written and synced. Throws UNAVAILABLE when
 * the server refuses to, TIMEOUT when it takes too long.
 */
export async function stopPrivateRedis({
  port,
  password,
  env = process.env,
}: Pick<PrivateOptions, "port" | "env"> & { password?: string | undefined }): Promise<StoppedPrivate> {
  const dataDir = privateDataFolder(port, env);
  const place = placeOf(port, await readListening(dataDir));
  const { who, ...known } = await whoAnswers(place, dataDir, password);
  if (who === "nobody") return { state: "not-running", port, dataDir, ...known };
  if (who === "other") return { state: "foreign", port, dataDir, ...known };
  try {
    // Asked for over its own port, not by a signal to a pid that might belong to another process by now. The
    // connection closes when the process ends, after its data and its listening port.
    await ask({ ...place, ...(password === undefined ? {} : { password }) }, ["SHUTDOWN"], SHUTDOWN_WITHIN_MS);
  } catch (error) {
    const code = error instanceof ErrorReply ? ErrorCode.UNAVAILABLE : ErrorCode.TIMEOUT;
    throw new CoordinationError(code, `${known.description}, did not shut down: ${(error as Error).message}.`, {
      hint: `Its log, ${join(dataDir, "redis.log")}, says why.`,
      cause: error,
    });
  }
  return { state: "stopped", port, dataDir, ...known };
}

export function privateDataFolder(port: number, env: NodeJS.ProcessEnv): string {
  return join(dataFolder(env), `data-${port}`);
}

function configurationFile(dataDir: string): string {
  return join(dataDir, "redis.conf");
}

/** A certificate that was given need not name loopback: then it is asked where others ask it. */
function placeOf(port: number, listening: Listening | undefined): Place {
  const host = "127.0.0.1";
  if (listening === undefined) return { host, port };
  const { cert, ca } = listening.served;
  return { host: isNamedBy(cert, host) ? host : listening.address, port, tls: true, certificates: { ca } };
}

/** Byte by byte, as Redis reads quoted values: a path may hold anything. */
function quotedValue(text: string): string {
  return `"${[...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}"`;
}

/**
 * The users, which outlive the server: those that `coord acl` and `coord invite` have made, and the one of this user's own programs
 * with its present password. As a digest: a password may hold anything but stands between spaces there.
 */
async function writeUsers(dataDir: string, password: string): Promise<string> {
  const file = join(dataDir, "users.acl");
  const before = await readFile(file, "utf8").catch(() => "");
  const others = before.split("\n").filter((line) => line !== "" && !line.startsWith("user default "));
  const digest = createHash("sha256").update(password).digest("hex");
  await writeWhole(file, [`user default on #${digest} ~* &* +@all`, ...others]);
  return file;
}

/** By a rename: a second one that starts at the same time must not read half a file. */
async function writeWhole(file: string, lines: readonly string[]): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, `${lines.join("\n")}\n`, { mode: 0o600 });
  await rename(draft, file);
}

/** Redis listens with and without TLS on the same addresses: one that others reach speaks nothing else. */
function listeningSettings(port: number, listening: Listening | undefined): string[] {
  // The minus: a machine without IPv6 is no reason not to start.
  const loopback = ["127.0.0.1", "-::1"];
  if (listening === undefined) return [`port ${port}`, `bind ${loopback.join(" ")}`];
  const { cert, key, ca } = listening.certificates;
  const others = loopback.filter((address) => address.replace("-", "") !== listening.address);
  return [
    "port 0",
    `tls-port ${port}`,
    `bind ${[listening.address, ...others].join(" ")}`,
    `tls-cert-file ${quotedValue(cert)}`,
    `tls-key-file ${quotedValue(key)}`,
    `tls-ca-cert-file ${quotedValue(ca)}`,
    "tls-auth-clients no",
  ];
}

async function writeConfiguration(
  port: number,
  dataDir: string,
  password: string,
  listening: Listening | undefined,
): Promise<void> {
  const settings = [
    "# Written by coord up each time it starts this server; changes made here are lost.",
    ...listeningSettings(port, listening),
    "protected-mode yes",
    `dir ${JSON.stringify(dataDir)}`,
    // "Sent means stored" holds through a power cut only if every write is synced before it is answered.
    "appendonly yes",
    "appendfsync always",
    'save ""',
    // What is full refuses a publish; without it the machine would run out, and take down what else runs there.
    `maxmemory ${Math.floor(Math.min(totalmem() * MEMORY_PART, MEMORY_BYTES_MAXIMUM))}`,
    "maxmemory-policy noeviction",
    `aclfile ${quotedValue(await writeUsers(dataDir, password))}`,
  ];
  await writeWhole(configurationFile(dataDir), settings);
}

interface Answerer {
  who: "nobody" | "ours" | "other";
  pid?: number;
  open?: boolean;
  description: string;
}

/** Ours is the server that itself names our configuration file; what lies in files may be long out of date. */
async function whoAnswers(place: Place, dataDir: string, password?: string): Promise<Answerer> {
  const askInfo = (login?: string): Promise<Reply | undefined> =>
    ask({ ...place, ...(login === undefined ? {} : { password: login }) }, ["INFO", "server"], ANSWER_WITHIN_MS);
  let info: string;
  let open = true;
  try {
    // First without: a server that asks for none would let in every password.
    let reply = await askInfo().catch((error: unknown) => {
      if (password === undefined || !(error instanceof ErrorReply) || !error.message.startsWith("NOAUTH")) throw error;
      open = false;
      return askInfo(password);
    });
    if (reply === undefined) {
      await sleep(HANGUP_PAUSE_MS);
      reply = await askInfo(open ? undefined : password);
    }
    info = String(reply);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") return { who: "nobody", description: "nothing" };
    if (!(error instanceof ErrorReply)) return { who: "other", description: NOT_REDIS };
    const wantsPassword = /^(NOAUTH|WRONGPASS)/.test(error.message);
    return { who: "other", description: wantsPassword ? "a Redis with a password" : `a Redis (${error.message})` };
  }
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1];
  const version = field("redis_version");
  if (version === undefined) return { who: "other", description: NOT_REDIS };
  const valkey = field("valkey_version");
  const pid = Number(field("process_id"));
  return {
    who: field("config_file") === configurationFile(dataDir) ? "ours" : "other",
    pid,
    ...(open && password !== undefined ? { open } : {}),
    description: `${valkey === undefined ? `Redis ${version}` : `Valkey ${valkey}`}, process ${pid}`,
  };
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  server.ref();
  server.kill("SIGKILL");
  await once(server, "exit");
}

function startedAs(
  { who, ...known }: Answerer,
  { port, dataDir, listening }: { port: number; dataDir: string; listening: Listening | undefined },
  launched: ChildProcess | undefined,
): StartedPrivate {
  if (who !== "ours") return { state: "occupied", port, dataDir, ...known };
  const state = known.pid === launched?.pid ? "started" : "already-running";
  return { state, port, dataDir, ...known, ...(listening === undefined ? {} : { listening }) };
}
