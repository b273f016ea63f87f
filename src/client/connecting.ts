/** Where Redis is and how to log in: taken whole from the first place that names any part of it. */
import { resolve } from "node:path";
import { LIMITS } from "../protocol/definition.ts";
import { CoordinationError } from "../protocol/errors.ts";
import { invalid, shown } from "../protocol/validation.ts";
import type { Address, ConnectionSettings, Discovery, Login, TlsCertificates } from "../store/connection-settings.ts";
import { checkPlain, checkWhole, variableFile, variableWhole, type Variables } from "./variables.ts";

/** Each of these says by itself where the server is, as a URL does. */
const DISCOVERIES = ["COORD_SENTINELS", "COORD_CLUSTER"] as const;

const PARTS = ["URL", "HOST", "PORT", "DB", "USERNAME", "PASSWORD", "PASSWORD_FILE"];
const CERTIFICATES = ["TLS_CA_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE"];
const SENTINEL_PARTS = ["MASTER", "USERNAME", "PASSWORD", "PASSWORD_FILE"].map((part) => `COORD_SENTINEL_${part}`);

/** Ours come before what the project was set up with, those of any application behind it. */
type Spelling = "COORD_REDIS" | "REDIS";

function variablesOf(spelling: Spelling): string[] {
  return [...PARTS, ...CERTIFICATES].map((part) => `${spelling}_${part}`);
}

/** All that may name a server. */
export const SERVER_VARIABLES: readonly string[] = [
  ...DISCOVERIES,
  ...SENTINEL_PARTS,
  ...variablesOf("COORD_REDIS"),
  ...variablesOf("REDIS"),
];

const SENTINEL_PORT = 26_379;
const REDIS_PORT = 6379;

/** What names a server. */
export interface NamedServer {
  readonly connection: ConnectionSettings;
  /** The same in our variables, for a run's record and the register. Empty for the default. */
  readonly variables: Variables;
  /** Where it stands; undefined is the default. */
  readonly source: string | undefined;
}

/** A record or the register that names a server; without variables it names the default one. */
export interface WrittenServer {
  readonly variables: Variables;
  readonly source: string;
}

export const DEFAULT_SERVER: NamedServer = {
  connection: { host: "localhost", port: REDIS_PORT, db: 0, tls: false },
  variables: {},
  source: undefined,
};

/** @throws CoordinationError INVALID */
export function serverOfOption(url: string): NamedServer {
  return { connection: parseRedisUrl(url, "redis"), variables: { COORD_REDIS_URL: url }, source: "redis" };
}

/** Named by our own variables, or undefined. @throws CoordinationError INVALID */
export function serverOfOwnVariables(env: Variables): NamedServer | undefined {
  if (variablesOf("COORD_REDIS").some((name) => env[name])) return serverOfVariables(env, "COORD_REDIS");
  return DISCOVERIES.some((name) => env[name]) ? serverOfVariables(env, "REDIS") : undefined;
}

/** Named by the variables of any application, or undefined. @throws CoordinationError INVALID */
export function serverOfPlainVariables(env: Variables): NamedServer | undefined {
  return variablesOf("REDIS").some((name) => env[name]) ? serverOfVariables(env, "REDIS") : undefined;
}

/** @throws CoordinationError INVALID, naming where it stands */
export function serverOfWritten({ variables, source }: WrittenServer): NamedServer {
  try {
    return { ...(serverOfOwnVariables(variables) ?? DEFAULT_SERVER), source };
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    throw invalid(`${source}: ${error.message}`, error.hint);
  }
}

/** Half of one server and half of another is nobody's wish: taken whole from variables of one spelling. */
function serverOfVariables(env: Variables, spelling: Spelling): NamedServer {
  const discovered = DISCOVERIES.some((name) => env[name]);
  const names = [...(discovered ? DISCOVERIES : []), ...variablesOf(spelling)].filter((name) => env[name]);
  const all = [...names, ...(discovered ? SENTINEL_PARTS.filter((name) => env[name]) : [])];
  return {
    connection: connectionFrom(env, spelling),
    variables: Object.fromEntries(
      all.map((name) => [name.replace(/^REDIS/, "COORD_REDIS"), written(name, env[name]!)]),
    ),
    source: names.join(", "),
  };
}

/** Who reads it works in another folder. */
function written(name: string, value: string): string {
  return name.endsWith("_FILE") ? resolve(value) : value;
}

function connectionFrom(env: Variables, spelling: Spelling): ConnectionSettings {
  const part = (name: string): string => `${spelling}_${name}`;
  const places = [...DISCOVERIES, part("URL")];
  const [place, other] = places.filter((name) => env[name]);
  if (other !== undefined) {
    throw invalid(`${place} and ${other} are both set: each says where Redis is.`, "Unset one of them.");
  }
  const certificates = readCertificates(env, spelling);
  const login = readLogin(env, spelling);
  if (place === part("URL")) {
    const connection = parseRedisUrl(env[place], place);
    if (certificates !== undefined && !connection.tls) {
      throw invalid(`${place} is not a rediss:// URL, but certificates are named.`, "Write rediss://, or unset them.");
    }
    const named = connection.username !== undefined || connection.password !== undefined;
    return { ...connection, ...(named ? {} : login), certificates };
  }
  const db = variableWhole(env, part("DB"), 0, 0, 65_535);
  const rest = { db, tls: certificates !== undefined, ...login, certificates };
  if (place === undefined) {
    const port = variableWhole(env, part("PORT"), REDIS_PORT, 1, 65_535);
    return { host: checkHost(env[part("HOST")] || "localhost", part("HOST")), port, ...rest };
  }
  const single = [part("HOST"), part("PORT")].find((name) => env[name]);
  if (single !== undefined) {
    throw invalid(`${place} and ${single} are both set: each says where Redis is.`, "Unset one of them.");
  }
  if (place === "COORD_CLUSTER" && db !== 0) {
    throw invalid(
      `${part("DB")} is ${db}: a cluster has only database 0.`,
      "Unset it; use COORD_KEY_PREFIX to keep apart.",
    );
  }
  return { host: "", port: 0, ...rest, discovery: readDiscovery(env, place as (typeof DISCOVERIES)[number]) };
}

function readDiscovery(env: Variables, place: "COORD_SENTINELS" | "COORD_CLUSTER"): Discovery {
  if (place === "COORD_CLUSTER") return { by: "cluster", at: parseAddresses(env[place]!, place, REDIS_PORT) };
  return {
    by: "sentinel",
    at: parseAddresses(env[place]!, place, SENTINEL_PORT),
    master: checkPlain(env["COORD_SENTINEL_MASTER"] || "mymaster", "COORD_SENTINEL_MASTER")!,
    login: readLogin(env, "COORD_SENTINEL"),
  };
}

/** A password in a file ends before the line break that editors and `echo` leave there. */
function readLogin(env: Variables, prefix: Spelling | "COORD_SENTINEL"): Login {
  const [word, file] = [`${prefix}_PASSWORD`, `${prefix}_PASSWORD_FILE`];
  if (env[word] && env[file]) throw invalid(`${word} and ${file} are both set.`, "Unset one of them.");
  const user = `${prefix}_USERNAME`;
  const password = env[word]
    ? checkPlain(env[word], word)
    : checkPlain(variableFile(env, file)?.replace(/\r?\n$/, ""), file);
  return { username: checkPlain(env[user] || undefined, user), password };
}

function readCertificates(env: Variables, spelling: Spelling): TlsCertificates | undefined {
  const ca = variableFile(env, `${spelling}_TLS_CA_FILE`);
  const cert = variableFile(env, `${spelling}_TLS_CERT_FILE`);
  const key = variableFile(env, `${spelling}_TLS_KEY_FILE`);
  if ((cert === undefined) !== (key === undefined)) {
    const [given, missing] = cert === undefined ? ["KEY", "CERT"] : ["CERT", "KEY"];
    throw invalid(
      `${spelling}_TLS_${given}_FILE is set and ${spelling}_TLS_${missing}_FILE is not.`,
      "A client certificate needs both.",
    );
  }
  if (ca === undefined && cert === undefined) return undefined;
  return { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert, key: key! }) };
}

/** It is looked up, and shown: part of a password must not be. @throws CoordinationError INVALID */
function checkHost(host: string, source: string): string {
  checkPlain(host, source);
  if (host.includes("@")) {
    throw invalid(`${source} holds a login: it takes a server only.`, "Put it into REDIS_USERNAME and REDIS_PASSWORD.");
  }
  if (!/[\s/?#]/.test(host)) return host;
  throw invalid(`${source} is ${shown(host)}, which is no server.`, "Write the name or the address of a host.");
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
  const problem = problemOfUrl(value);
  if (problem !== undefined) return refuse(problem);
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

/** A character of a password that ends it for a URL would make the rest a host, which is looked up and shown. */
function problemOfUrl(value: string): string | undefined {
  // oxlint-disable-next-line no-control-regex
  if (/[\s\u0000-\u001f\u007f]/.test(value)) return "is not a URL";
  if (/%(?:[01][0-9a-f]|7f)/i.test(value)) return "holds a control character";
  const [, scheme = "", rest = ""] = /^([A-Za-z][A-Za-z0-9+.-]*):(?:\/\/)?(.*)$/.exec(value) ?? [];
  const behind = rest.slice(/^[^/?#]*/.exec(rest)![0].length);
  const known = scheme.toLowerCase() === "unix" ? /^[^?#]*(?:\?db=[^&#@]*)?$/ : /^[^?#@]*$/;
  if (known.test(behind)) return undefined;
  return "holds /, ? or # in its login, which are %2F, %3F and %23 there, or parameters, of which none but db of unix: is known";
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
