/** `coord up` and `coord down`: a Redis of one's own, for people who have none. */
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { isLoopback, keepLocalAuthority, keepLocalPassword, localPasswordFile } from "../../client/local-password.ts";
import { resolveSettings, type Settings } from "../../client/settings.ts";
import { invalid } from "../../protocol/validation.ts";
import { successToWire } from "../../protocol/wire.ts";
import {
  checkCertificates,
  checkListenAddress,
  isNamedBy,
  type Listening,
  makeCertificates,
  readServed,
} from "../../server/listening.ts";
import { privateDataFolder, startPrivateRedis, stopPrivateRedis } from "../../server/private.ts";
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
function passwordFor({ connection, sources }: Settings): string {
  if (connection.tls && sources.localLogin === undefined) {
    throw refusedSetting("TLS is set", "coord up --listen brings certificates of its own, and without it speaks none");
  }
  if (connection.username !== undefined && connection.username !== "default") {
    throw refusedSetting("REDIS_USERNAME is set", "a server of coord up knows its default user only");
  }
  const password = connection.password ?? randomBytes(PASSWORD_BYTES).toString("hex");
  return connection.password ?? keepLocalPassword(process.env, connection.port, password);
}

function refusedSetting(what: string, why: string): Error {
  return invalid(`${what}: ${why}.`, "Unset it, or start that server where it belongs.");
}

/** Where other machines are to reach it, and with which certificate: given whole, or made. */
export interface UpCommand {
  json?: true | undefined;
  listen?: string | undefined;
  tlsCert?: string | undefined;
  tlsKey?: string | undefined;
  tlsCa?: string | undefined;
}

/** @throws CoordinationError INVALID, UNAVAILABLE: there is no listening without TLS */
async function listeningFor(
  port: number,
  { listen, tlsCert, tlsKey, tlsCa }: UpCommand,
): Promise<Listening | undefined> {
  const given = [tlsCert, tlsKey, tlsCa].filter((file) => file !== undefined);
  if (given.length > 0 && (listen === undefined || given.length < 3)) {
    throw invalid(
      "--tls-cert, --tls-key and --tls-ca go together, and with --listen.",
      "Give all, or --listen alone: openssl then makes them.",
    );
  }
  if (listen === undefined) return undefined;
  const address = checkListenAddress(listen);
  const certificates =
    tlsCert === undefined
      ? await makeCertificates(privateDataFolder(port, process.env), address, process.env)
      : await checkCertificates({ cert: resolve(tlsCert), key: resolve(tlsKey!), ca: resolve(tlsCa!) }, address);
  return { address, certificates, served: await readServed(certificates) };
}

/** Our programs on this machine find the authority by themselves, where its certificate names loopback. */
function rememberAuthority(port: number, listening: Listening | undefined): void {
  const known = listening !== undefined && isNamedBy(listening.served.cert, "localhost");
  keepLocalAuthority(process.env, port, known ? listening.served.ca : undefined);
}

/** @returns the exit code */
export async function startRedis(options: UpCommand): Promise<number> {
  const json = options.json === true;
  const settings = privateServer();
  const password = passwordFor(settings);
  const asked = await listeningFor(settings.connection.port, options);
  const { listening, ...started } = await startPrivateRedis({
    port: settings.connection.port,
    password,
    listening: asked,
    onProgress: printProgress,
  });
  const { state, port, dataDir, description, open, truncated } = started;
  const where = listening && { listening: { address: listening.address, certificates: listening.certificates } };
  const result = { ...started, ...where };
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
  if (asked !== undefined && listening?.address !== asked.address) {
    const there = listening === undefined ? "on loopback only" : `on ${listening.address}`;
    return refused(
      json,
      result,
      `${description}, port ${port}, listens ${there} already. Restart it: coord down, then this.`,
    );
  }
  if (state === "started") rememberAuthority(port, listening);
  if (truncated === true) {
    printWarnings([
      `Redis has cut the end of its file, which was not written whole: the last messages may be missing. Its log is in ${dataDir}.`,
    ]);
  }
  if (json) printJson(successToWire(result));
  else
    print(
      [
        `${state === "started" ? "Started" : "Already running"}: ${description}, port ${port}`,
        ...(listening === undefined ? [] : listeningLines(port, listening)),
        `Data: ${dataDir}`,
        "Stop it with: coord down",
      ].join("\n"),
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

function listeningLines(port: number, { address, certificates, served }: Listening): string[] {
  const passwordFile = localPasswordFile(process.env, port);
  const local = isNamedBy(served.cert, "localhost");
  return [
    `Listens with TLS on ${address}; its authority: ${certificates.ca}`,
    "Another machine joins with what this prints: coord invite <name>",
    ...(local ? [] : [`The certificate does not name localhost. On this machine set:`]),
    ...(local
      ? []
      : [
          `  COORD_REDIS_HOST=${address} COORD_REDIS_PORT=${port} COORD_REDIS_TLS_CA_FILE=${certificates.ca} COORD_REDIS_PASSWORD_FILE=${passwordFile}`,
        ]),
  ];
}

function refused(json: boolean, result: object, sentence: string): number {
  if (json) printJson({ ...successToWire(result), success: false });
  printWarnings([sentence]);
  return EXIT.refused;
}
