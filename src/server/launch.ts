/** Starting a server program and knowing when it answers. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { ErrorReply } from "../redis/errors.ts";
import { ask, type Place } from "./ask.ts";
import { tail } from "./run.ts";

/** A server is ready some 20 ms after its start; asking a Unix socket or the loopback costs well under 1 ms. */
const ASK_EVERY_MS = 3;
const ANSWER_WITHIN_MS = 1000;

/**
 * Starts the program in a session of its own: what a terminal sends to our process group (Ctrl-C, hangup) does not
 * reach it. Its output goes to `logFile`, not to a pipe, which would break when we end.
 */
export async function launchServer(
  program: string,
  args: readonly string[],
  logFile: string,
  env: NodeJS.ProcessEnv,
): Promise<ChildProcess> {
  const log = openSync(logFile, "a", 0o600);
  try {
    const server = spawn(program, args, { detached: true, stdio: ["ignore", log, log], env });
    await once(server, "spawn");
    server.unref();
    return server;
  } finally {
    closeSync(log);
  }
}

/** Throws UNAVAILABLE with the end of the log when the server ends first, TIMEOUT when it takes too long. */
export async function untilReady(server: ChildProcess, place: Place, logFile: string, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  const logTail = async (): Promise<string> => tail(await readFile(logFile, "utf8").catch(() => ""));
  while (!(await answers(place))) {
    if (server.exitCode !== null || server.signalCode !== null) {
      throw new CoordinationError(
        ErrorCode.UNAVAILABLE,
        `The Redis server ended while starting (${server.exitCode ?? server.signalCode}): ${await logTail()}`,
        { hint: "That is the end of its log: correct what it names, or set COORD_REDIS_SERVER to another server." },
      );
    }
    if (performance.now() > deadline) {
      throw new CoordinationError(
        ErrorCode.TIMEOUT,
        `The Redis server, process ${server.pid}, was not ready within ${withinMs / 1000} s: ${await logTail()}`,
        { hint: "That is the end of its log; while it still loads its data, waiting helps." },
      );
    }
    await sleep(ASK_EVERY_MS);
  }
}

/** A server that asks for another password is ready as well; one that still loads its data says so to who has logged in, and is not. */
async function answers(place: Place): Promise<boolean> {
  try {
    return (await ask(place, ["PING"], ANSWER_WITHIN_MS)) === "PONG";
  } catch (error) {
    return error instanceof ErrorReply && /^(NOAUTH|WRONGPASS)/.test(error.message);
  }
}
