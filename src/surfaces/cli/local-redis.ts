/** `coord up` and `coord down`: a Redis of one's own, for people who have none. */
import { randomBytes } from "node:crypto";
import { isLoopback, keepLocalPassword } from "../../client/local-password.ts";
import { resolveSettings, type Settings } from "../../client/settings.ts";
import { invalid } from "../../protocol/validation.ts";
import { successToWire } from "../../protocol/wire.ts";
import { startPrivateRedis, stopPrivateRedis } from "../../server/private.ts";
import { EXIT, print, printJson, printProgress, printWarnings } from "./outcome.ts";

/** As hard to guess as a key of AES. */
const PASSWORD_BYTES = 24;

function privateServer(): Settings {
  const settings = resolveSettings();
  const { connection, sources } = settings;
  if (connection.discovery !== undefined) {
    throw invalid(
      `${sources.connection} names several servers: coord up and down serve one, on loopback.`,
      "Unset it, or start those servers where they belong.",
    );
  }
  if (isLoopback(connection)) return settings;
  throw invalid(
    `The configured Redis is ${connection.path ?? connection.host}: coord up and down serve loopback ports only.`,
    "Unset REDIS_URL and REDIS_HOST, or start that server where it belongs.",
  );
}

/** What it has to log in with, which is applied and never passed over. @throws CoordinationError INVALID */
function passwordFor({ connection }: Settings): string {
  if (connection.tls) throw refusedSetting("TLS is set", "coord up speaks none on loopback");
  if (connection.username !== undefined && connection.username !== "default") {
    throw refusedSetting("REDIS_USERNAME is set", "a server of coord up knows its default user only");
  }
  const password = connection.password ?? randomBytes(PASSWORD_BYTES).toString("hex");
  return connection.password ?? keepLocalPassword(process.env, connection.port, password);
}

function refusedSetting(what: string, why: string): Error {
  return invalid(`${what}: ${why}.`, "Unset it, or start that server where it belongs.");
}

/** @returns the exit code */
export async function startRedis(json: boolean): Promise<number> {
  const settings = privateServer();
  const password = passwordFor(settings);
  const result = await startPrivateRedis({ port: settings.connection.port, password, onProgress: printProgress });
  const { state, port, dataDir, description, open, truncated } = result;
  if (state === "occupied") {
    return refused(
      json,
      result,
      `Port ${port} is taken by ${description}; it was left alone. If it is your Redis, use it as it is; else choose another REDIS_PORT.`,
    );
  }
  if (open === true) {
    return refused(
      json,
      result,
      `${description}, port ${port}, runs without a password: an earlier version has started it. Give it one with: coord down && coord up`,
    );
  }
  if (truncated === true) {
    printWarnings([
      `Redis has cut the end of its file, which was not written whole: the last messages may be missing. Its log is in ${dataDir}.`,
    ]);
  }
  if (json) printJson(successToWire(result));
  else
    print(
      `${state === "started" ? "Started" : "Already running"}: ${description}, port ${port}\nData: ${dataDir}\nStop it with: coord down`,
    );
  return EXIT.done;
}

/** @returns the exit code */
export async function stopRedis(json: boolean): Promise<number> {
  const { port: asked, password: login } = privateServer().connection;
  const result = await stopPrivateRedis({ port: asked, password: login });
  const { state, port, dataDir, description } = result;
  if (state === "foreign") {
    return refused(
      json,
      result,
      `Port ${port} is taken by ${description}, which coord up did not start; it was left alone.`,
    );
  }
  if (json) printJson(successToWire(result));
  else
    print(state === "stopped" ? `Stopped: ${description}\nData stay in ${dataDir}` : `Nothing runs on port ${port}.`);
  return EXIT.done;
}

function refused(json: boolean, result: object, sentence: string): number {
  if (json) printJson({ ...successToWire(result), success: false });
  printWarnings([sentence]);
  return EXIT.refused;
}
