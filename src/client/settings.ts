/**
 * Identity and configuration, resolved the same way on every surface: option, environment, the nearest `.coord.json`,
 * default. Every value is checked here, and a malformed one is refused by the name of where it stands.
 */
import { readFileSync, existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { KEY_PREFIX_PATTERN, LIMITS, NAMESPACE_SETTINGS, type NamespaceSettingName } from "../protocol/definition.ts";
import type { NamespaceSettings } from "../protocol/results.ts";
import { checkIdentity, checkInstance, invalid, missingIdentity, shown } from "../protocol/validation.ts";
import type { ConnectionSettings } from "../store/connection.ts";

export interface SettingsOptions {
  /** Who speaks. */
  instanceId?: string | undefined;
  /** `redis://`, `rediss://` or `unix:`; the connection is then taken whole from here. */
  redis?: string | undefined;
  keyPrefix?: string | undefined;
  orchestrator?: string | undefined;
  presenceTimeoutSeconds?: number | undefined;
  /** How long events that were handed out wait for their confirmation, 0 to 86,400; default 10. */
  leaseSeconds?: number | undefined;
  /** Where the search for `.coord.json` begins; default the working directory. */
  cwd?: string | undefined;
  /** Default `process.env`. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
}

export interface Settings {
  readonly instanceId: string | undefined;
  /** The agent's own id of the session this process was started in; fences a single command. */
  readonly agentSessionId: string | undefined;
  readonly connection: ConnectionSettings;
  readonly keyPrefix: string;
  readonly orchestrator: string;
  readonly presenceTimeoutSeconds: number;
  readonly leaseSeconds: number;
  /** The deadline of messages that are published without one; 0 for none. */
  readonly ackTimeoutSeconds: number;
  /** What this client would give a new namespace. */
  readonly namespace: NamespaceSettings;
  readonly unknownRecipient: "warn" | "reject";
  readonly direction: "warn" | "strict";
  readonly sources: SettingsSources;
}

/** Where a value was found: the name of an option or variables, or a field of a file. Undefined is the default. */
export interface SettingsSources {
  readonly instanceId: string | undefined;
  readonly connection: string | undefined;
  readonly keyPrefix: string | undefined;
  /** The `.coord.json` that was read. */
  readonly projectFile: string | undefined;
}

/** The deadline for an acknowledgement where nobody sets one. */
const ACK_TIMEOUT_SECONDS = 900;

export const PROJECT_FILE = ".coord.json";

/** @throws CoordinationError IDENTITY for a malformed name, INVALID for any other malformed value */
export function resolveSettings(options: SettingsOptions = {}): Settings {
  const env = options.env ?? process.env;
  const project = readProjectFile(resolve(options.cwd ?? process.cwd()));
  /** The first that is given; an empty variable counts as unset, since `${NAME:-}` in a configuration makes one. */
  const first = (
    option: keyof SettingsOptions,
    variable: string | undefined,
    field?: keyof Project,
  ): [value: unknown, source: string] | undefined => {
    if (options[option] !== undefined) return [options[option], option];
    if (variable !== undefined && env[variable]) return [env[variable], variable];
    if (field !== undefined && project?.values[field] !== undefined)
      return [project.values[field], `${field} in ${project.path}`];
    return undefined;
  };
  const identity = first("instanceId", "CLAUDE_INSTANCE_ID", "instanceId");
  const prefix = first("keyPrefix", "COORD_KEY_PREFIX", "keyPrefix");
  const orchestrator = first("orchestrator", "COORD_ORCHESTRATOR", "orchestrator");
  const timeout = first("presenceTimeoutSeconds", "COORD_PRESENCE_TIMEOUT_SECONDS");
  const setting = (name: NamespaceSettingName): number => {
    const { variable, default: usual, minimum, maximum } = NAMESPACE_SETTINGS[name];
    return variableWhole(env, variable, usual, minimum, maximum);
  };
  const presenceTimeoutSeconds =
    timeout === undefined ? setting("presence_timeout_seconds") : checkWhole(...timeout, 1, 31_536_000);
  return {
    instanceId: identity === undefined ? undefined : checkIdentity(...identity),
    agentSessionId: env["CLAUDE_CODE_SESSION_ID"] || undefined,
    connection: resolveConnection(options.redis, env, project),
    keyPrefix: prefix === undefined ? "coord" : checkKeyPrefix(...prefix),
    orchestrator: orchestrator === undefined ? "orchestrator" : checkInstance(...orchestrator),
    presenceTimeoutSeconds,
    leaseSeconds:
      options.leaseSeconds === undefined
        ? LIMITS.lease_seconds
        : checkWhole(options.leaseSeconds, "leaseSeconds", 0, LIMITS.lease_seconds_maximum),
    ackTimeoutSeconds: variableWhole(
      env,
      "COORD_ACK_TIMEOUT_SECONDS",
      ACK_TIMEOUT_SECONDS,
      0,
      LIMITS.ack_within_seconds_maximum,
    ),
    namespace: {
      retentionDays: setting("retention_days"),
      maxMessages: setting("max_messages"),
      ackAttempts: setting("ack_attempts"),
      ackIntervalSeconds: setting("ack_interval_seconds"),
      presenceTimeoutSeconds,
    },
    unknownRecipient: variableChoice(env, "COORD_UNKNOWN_RECIPIENT", ["warn", "reject"]),
    direction: variableChoice(env, "COORD_DIRECTION", ["warn", "strict"]),
    sources: {
      instanceId: identity?.[1],
      connection: connectionSource(options.redis, env, project),
      keyPrefix: prefix?.[1],
      projectFile: project?.path,
    },
  };
}

/** @throws CoordinationError IDENTITY */
export function requireIdentity(settings: Settings): string {
  if (settings.instanceId === undefined) throw missingIdentity();
  return settings.instanceId;
}

interface Project {
  instanceId?: unknown;
  keyPrefix?: unknown;
  redis?: unknown;
  orchestrator?: unknown;
}

/** The nearest file upwards, as far as the folder that holds `.git`: a worktree never takes its parent's identity. */
function readProjectFile(start: string): { path: string; values: Project } | undefined {
  for (let folder = start; ; folder = dirname(folder)) {
    const path = join(folder, PROJECT_FILE);
    const text = readIfThere(path);
    if (text !== undefined) return { path, values: parseProject(path, text) };
    if (existsSync(join(folder, ".git")) || folder === dirname(folder)) return undefined;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw invalid(`${path} cannot be read: ${(error as Error).message}.`, "Make it readable, or remove it.");
  }
}

function parseProject(path: string, text: string): Project {
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch (error) {
    throw invalid(
      `${path} is not JSON: ${(error as Error).message}.`,
      'It holds, for example, {"instanceId": "backend"}.',
    );
  }
  if (typeof values === "object" && values !== null && !Array.isArray(values)) return values;
  throw invalid(`${path} is not a JSON object.`, 'It holds, for example, {"instanceId": "backend"}.');
}

const CONNECTION_VARIABLES = ["REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_PASSWORD"];

/** Taken whole from the first that names any part of it: half of one server and half of another is nobody's wish. */
function resolveConnection(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  project: { path: string; values: Project } | undefined,
): ConnectionSettings {
  if (option !== undefined) return parseRedisUrl(option, "redis");
  if (CONNECTION_VARIABLES.some((name) => env[name])) return environmentConnection(env);
  if (project?.values.redis !== undefined) return parseRedisUrl(project.values.redis, `redis in ${project.path}`);
  return { host: "localhost", port: 6379, db: 0, tls: false };
}

function connectionSource(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  project: { path: string; values: Project } | undefined,
): string | undefined {
  if (option !== undefined) return "redis";
  const variables = CONNECTION_VARIABLES.filter((name) => env[name]);
  if (variables.length > 0) return variables.join(", ");
  return project?.values.redis === undefined ? undefined : `redis in ${project.path}`;
}

function environmentConnection(env: Readonly<Record<string, string | undefined>>): ConnectionSettings {
  const login = { username: env["REDIS_USERNAME"] || undefined, password: env["REDIS_PASSWORD"] || undefined };
  if (env["REDIS_URL"]) {
    const connection = parseRedisUrl(env["REDIS_URL"], "REDIS_URL");
    const named = connection.username !== undefined || connection.password !== undefined;
    return named ? connection : { ...connection, ...login };
  }
  return {
    host: env["REDIS_HOST"] || "localhost",
    port: variableWhole(env, "REDIS_PORT", 6379, 1, 65_535),
    db: variableWhole(env, "REDIS_DB", 0, 0, 65_535),
    tls: false,
    ...login,
  };
}

/** A password in a URL never appears in the refusal. */
export function parseRedisUrl(value: unknown, source: string): ConnectionSettings {
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

function checkKeyPrefix(value: unknown, source: string): string {
  if (typeof value === "string" && KEY_PREFIX_PATTERN.test(value)) return value;
  throw invalid(
    `${source} is ${shown(value)}: a prefix has 1-64 letters, digits and . _ : { } -`,
    "The default is coord.",
  );
}

function checkWhole(value: unknown, source: string, least: number, most: number): number {
  const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= least && number <= most) return number;
  throw invalid(
    `${source} is ${shown(value)}: it must be a whole number from ${least} to ${most}.`,
    "Correct the value, or unset it for the default.",
  );
}

function variableWhole(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
  otherwise: number,
  least: number,
  most: number,
): number {
  return env[name] ? checkWhole(env[name], name, least, most) : otherwise;
}

/** The first choice is the default. */
function variableChoice<const C extends readonly [string, ...string[]]>(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
  choices: C,
): C[number] {
  const value = env[name];
  if (!value) return choices[0];
  if (choices.includes(value)) return value;
  throw invalid(`${name} is ${shown(value)}: it must be ${choices.join(" or ")}.`, `Unset it for ${choices[0]}.`);
}
