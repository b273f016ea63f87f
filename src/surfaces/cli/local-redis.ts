/** `coord up` and `coord down`: a Redis of one's own, for people who have none. */
import { resolveSettings } from "../../client/settings.ts";
import { invalid } from "../../protocol/validation.ts";
import { successToWire } from "../../protocol/wire.ts";
import { startPrivateRedis, stopPrivateRedis } from "../../server/private.ts";
import { EXIT, print, printJson, printProgress, printWarnings } from "./outcome.ts";

const LOOPBACK = new Set(["localhost", "127.0.0.1", "::1"]);

function privatePort(): number {
  const { connection, sources } = resolveSettings();
  if (connection.discovery !== undefined) {
    throw invalid(
      `${sources.connection} names several servers: coord up and down serve one, on loopback.`,
      "Unset it, or start those servers where they belong.",
    );
  }
  if (connection.path === undefined && LOOPBACK.has(connection.host)) return connection.port;
  throw invalid(
    `The configured Redis is ${connection.path ?? connection.host}: coord up and down serve loopback ports only.`,
    "Unset REDIS_URL and REDIS_HOST, or start that server where it belongs.",
  );
}

/** @returns the exit code */
export async function startRedis(json: boolean): Promise<number> {
  const result = await startPrivateRedis({ port: privatePort(), onProgress: printProgress });
  const { state, port, dataDir, description } = result;
  if (state === "occupied") {
    return refused(
      json,
      result,
      `Port ${port} is taken by ${description}; it was left alone. If it is your Redis, use it as it is; else choose another REDIS_PORT.`,
    );
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
  const result = await stopPrivateRedis({ port: privatePort() });
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
