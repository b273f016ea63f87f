/** Where Redis is and how to log in: taken whole from the first place that names any part of it. */
import { LIMITS } from "../protocol/definition.ts";
import { invalid, shown } from "../protocol/validation.ts";
import type { Address, ConnectionSettings, Discovery, Login, TlsCertificates } from "../store/connection-settings.ts";
import { checkWhole, variableFile, variableWhole, type Variables } from "./variables.ts";

/** Each of these says by itself where the server is. */
const PLACES = ["COORD_SENTINELS", "COORD_CLUSTER", "REDIS_URL"] as const;

const CONNECTION_VARIABLES = [
  ...PLACES,
  "REDIS_HOST",
  "REDIS_PORT",
  "REDIS_DB",
  "REDIS_USERNAME",
  "REDIS_PASSWORD",
  "REDIS_PASSWORD_FILE",
  "REDIS_TLS_CA_FILE",
  "REDIS_TLS_CERT_FILE",
  "REDIS_TLS_KEY_FILE",
];

const SENTINEL_PORT = 26_379;
const REDIS_PORT = 6379;

/** A field of a project file, with where it stands. */
type Field = readonly [value: unknown, source: string];

/** Half of one server and half of another is nobody's wish. @throws CoordinationError INVALID */
export function resolveConnection(
  option: string | undefined,
  env: Variables,
  file: Field | undefined,
): ConnectionSettings {
  if (option !== undefined) return parseRedisUrl(option, "redis");
  if (CONNECTION_VARIABLES.some((name) => env[name])) return environmentConnection(env);
  if (file !== undefined) return parseRedisUrl(...file);
  return { host: "localhost", port: REDIS_PORT, db: 0, tls: false };
}

/** What names the connection; undefined is the default. */
export function connectionSource(
  option: string | undefined,
  env: Variables,
  file: Field | undefined,
): string | undefined {
  if (option !== undefined) return "redis";
  const variables = CONNECTION_VARIABLES.filter((name) => env[name]);
  return variables.length > 0 ? variables.join(", ") : file?.[1];
}

function environmentConnection(env: Variables): ConnectionSettings {
  const [place, other] = PLACES.filter((name) => env[name]);
  if (other !== undefined) {
    throw invalid(`${place} and ${other} are both set: each says where Redis is.`, "Unset one of them.");
  }
  const certificates = readCertificates(env);
  const login = readLogin(env, "REDIS");
  if (place === "REDIS_URL") {
    const connection = parseRedisUrl(env[place], place);
    if (certificates !== undefined && !connection.tls) {
      throw invalid(`REDIS_URL is not a rediss:// URL, but certificates are named.`, "Write rediss://, or unset them.");
    }
    const named = connection.username !== undefined || connection.password !== undefined;
    return { ...connection, ...(named ? {} : login), certificates };
  }
  const db = variableWhole(env, "REDIS_DB", 0, 0, 65_535);
  const rest = { db, tls: certificates !== undefined, ...login, certificates };
  if (place === undefined) {
    const port = variableWhole(env, "REDIS_PORT", REDIS_PORT, 1, 65_535);
    return { host: env["REDIS_HOST"] || "localhost", port, ...rest };
  }
  const single = ["REDIS_HOST", "REDIS_PORT"].find((name) => env[name]);
  if (single !== undefined) {
    throw invalid(`${place} and ${single} are both set: each says where Redis is.`, "Unset one of them.");
  }
  if (place === "COORD_CLUSTER" && db !== 0) {
    throw invalid(`REDIS_DB is ${db}: a cluster has only database 0.`, "Unset it; use COORD_KEY_PREFIX to keep apart.");
  }
  return { host: "", port: 0, ...rest, discovery: readDiscovery(env, place) };
}

function readDiscovery(env: Variables, place: "COORD_SENTINELS" | "COORD_CLUSTER"): Discovery {
  if (place === "COORD_CLUSTER") return { by: "cluster", at: parseAddresses(env[place]!, place, REDIS_PORT) };
  return {
    by: "sentinel",
    at: parseAddresses(env[place]!, place, SENTINEL_PORT),
    master: env["COORD_SENTINEL_MASTER"] || "mymaster",
    login: readLogin(env, "COORD_SENTINEL"),
  };
}

/** A password in a file ends before the line break that editors and `echo` leave there. */
function readLogin(env: Variables, prefix: "REDIS" | "COORD_SENTINEL"): Login {
  const [word, file] = [`${prefix}_PASSWORD`, `${prefix}_PASSWORD_FILE`];
  if (env[word] && env[file]) throw invalid(`${word} and ${file} are both set.`, "Unset one of them.");
  const password = env[word] || variableFile(env, file)?.replace(/\r?\n$/, "");
  return { username: env[`${prefix}_USERNAME`] || undefined, password };
}

function readCertificates(env: Variables): TlsCertificates | undefined {
  const ca = variableFile(env, "REDIS_TLS_CA_FILE");
  const cert = variableFile(env, "REDIS_TLS_CERT_FILE");
  const key = variableFile(env, "REDIS_TLS_KEY_FILE");
  if ((cert === undefined) !== (key === undefined)) {
    const [given, missing] = cert === undefined ? ["KEY", "CERT"] : ["CERT", "KEY"];
    throw invalid(
      `REDIS_TLS_${given}_FILE is set and REDIS_TLS_${missing}_FILE is not.`,
      "A client certificate needs both.",
    );
  }
  if (ca === undefined && cert === undefined) return undefined;
  return { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert, key: key! }) };
}

/** `host`, `host:port` or `[IPv6]:port`, separated by commas. */
function parseAddresses(value: string, source: string, defaultPort: number): Address[] {
  // Not shown: a password never appears in a refusal.
  if (value.includes("@")) {
    throw invalid(`${source} holds a login: it takes servers only.`, "Put it into REDIS_USERNAME and REDIS_PASSWORD.");
  }
  const parts = value.split(",").map((part) => part.trim());
  const maximum = LIMITS.addresses_maximum;
  if (parts.length > maximum) {
    throw invalid(`${source} names ${parts.length} servers: it takes 1-${maximum}.`, "Name some of them.");
  }
  return parts.map((part) => {
    const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d+))?$/.exec(part);
    if (match === null) {
      throw invalid(
        `${source} names ${shown(part)}, which is no server.`,
        `Write host:${defaultPort},host:${defaultPort}.`,
      );
    }
    const port = match[3] === undefined ? defaultPort : checkWhole(match[3], `${source}: port`, 1, 65_535);
    return { host: (match[1] ?? match[2])!, port };
  });
}

/** A password in a URL never appears in the refusal. */
function parseRedisUrl(value: unknown, source: string): ConnectionSettings {
  const refuse = (problem: string): never => {
    throw invalid(
      `${source} ${problem}.`,
      "Write redis://host:6379/0, rediss://user:password@host:6379/0 or unix:/path/to/redis.sock.",
    );
  };
  if (typeof value !== "string" || value === "") return refuse("is not text");
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    return refuse("is not a URL");
  }
  const username = decoded(url.username);
  const password = decoded(url.password);
  const login = { ...(username ? { username } : {}), ...(password ? { password } : {}) };
  if (url.protocol === "unix:") {
    const path = decoded(url.pathname);
    if (!path.startsWith("/")) return refuse("names no absolute path");
    const db = url.searchParams.get("db") ?? "0";
    return { host: "", port: 0, db: checkWhole(db, `${source}: db`, 0, 65_535), tls: false, path, ...login };
  }
  if (url.protocol !== "redis:" && url.protocol !== "rediss:") return refuse(`has the scheme ${shown(url.protocol)}`);
  if (url.hostname === "") return refuse("names no host");
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? 6379 : checkWhole(url.port, `${source}: port`, 1, 65_535),
    db: checkWhole(url.pathname.slice(1) || "0", `${source}: database`, 0, 65_535),
    tls: url.protocol === "rediss:",
    ...login,
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
