/** A Redis for one test file or one demo: ready in some 50 ms, reached by a Unix socket, gone with its owner. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { type EnsureOptions, ensureRedisServer } from "./install.ts";
import { launchServer, untilReady } from "./launch.ts";

const READY_WITHIN_MS = 10_000;
const STOP_WITHIN_MS = 5000;
/** macOS allows 103 bytes for the path of a Unix socket, Linux 107; what we append to the temporary folder takes 30. */
const LONGEST_TEMPORARY_FOLDER = 70;

/**
 * Outlives us to clean up after us, however we end, kill -9 included: only we hold the other end of its input, so that
 * the end of input means that we are gone. It learns the server's pid there, and that the server ended before us: after
 * that the pid may be somebody else's.
 */
const WATCHDOG = 'read -r server; read -r gone; [ "$gone" ] || kill -KILL "$server"; rm -rf "$1"';

export interface ThrowawayOptions extends EnsureOptions {
  /** Appended to the command line; the last mention of a setting wins. */
  args?: readonly string[];
}

export interface ThrowawayRedis extends AsyncDisposable {
  readonly socketPath: string;
  /** `unix:` and the path, as `REDIS_URL` takes it. */
  readonly url: string;
  readonly pid: number;
  /** The server's working folder and log; readable by this user only, removed when the server ends. */
  readonly dir: string;
  /** Ends the server and removes its folder. May be called again. */
  stop(): Promise<void>;
}

/** Keeps nothing on disk, opens no TCP port. Throws UNAVAILABLE without a server program, or when it does not start. */
export async function startThrowawayRedis(options: ThrowawayOptions = {}): Promise<ThrowawayRedis> {
  const { args = [], env = process.env } = options;
  const program = await ensureRedisServer(options);
  const parent = Buffer.byteLength(tmpdir()) <= LONGEST_TEMPORARY_FOLDER ? tmpdir() : "/tmp";
  const dir = await mkdtemp(join(parent, "coord-redis-"));
  const socketPath = join(dir, "redis.sock");
  const log = join(dir, "log");

  // Before the server, so that at no moment a server runs unwatched.
  const watchdog = spawn("/bin/sh", ["-c", WATCHDOG, "watchdog", dir], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watchdog.unref();
  // A watchdog that was killed cannot be told anything; the server is still ended by stop().
  watchdog.stdin.on("error", () => {});

  const listen = ["--port", "0", "--unixsocket", socketPath, "--unixsocketperm", "700"];
  const keepNothing = ["--save", "", "--appendonly", "no", "--dir", dir];
  let server: ChildProcess;
  try {
    server = await launchServer(program, [...listen, ...keepNothing, ...args], log, env);
  } catch (error) {
    watchdog.stdin.end("\ngone\n");
    throw error;
  }
  watchdog.stdin.write(`${server.pid}\n`);
  const serverEnded = once(server, "exit");
  const watchdogEnded = once(watchdog, "exit");
  const dismissWatchdog = (): void => {
    if (!watchdog.stdin.writableEnded) watchdog.stdin.end("gone\n");
  };

  const end = async (): Promise<void> => {
    // We let the process end while a server runs, but not in the middle of this.
    server.ref();
    watchdog.ref();
    // Nothing in it is worth saving, and on SIGTERM Redis takes up to 100 ms to notice. Harmless when it has ended.
    server.kill("SIGKILL");
    await serverEnded;
    dismissWatchdog();
    await watchdogEnded;
    // In case somebody killed the watchdog.
    await rm(dir, { recursive: true, force: true });
  };
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= within(STOP_WITHIN_MS, end(), `Redis, process ${server.pid}`));
  try {
    await untilReady(server, { path: socketPath }, log, READY_WITHIN_MS);
  } catch (error) {
    await stop();
    throw error;
  }
  // Not before it was ready: the watchdog removes the log, from which untilReady tells why a server ended.
  void serverEnded.then(dismissWatchdog);
  return { socketPath, url: `unix:${socketPath}`, pid: server.pid as number, dir, stop, [Symbol.asyncDispose]: stop };
}

async function within(ms: number, work: Promise<void>, what: string): Promise<void> {
  const timer = new AbortController();
  const tooLate = sleep(ms, undefined, { signal: timer.signal }).then(() => {
    throw new CoordinationError(ErrorCode.TIMEOUT, `${what}, did not end within ${ms / 1000} s.`, {
      hint: "End that process by hand.",
    });
  });
  try {
    await Promise.race([work, tooLate]);
  } finally {
    tooLate.catch(() => {});
    timer.abort();
  }
}
