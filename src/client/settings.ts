/**
 * Identity and configuration, resolved the same way on every surface: option, environment, the nearest `.coord.json`,
 * default. Every value is checked here, and a malformed one is refused by the name of where it stands.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { KEY_PREFIX_PATTERN, LIMITS, NAMESPACE_SETTINGS, type NamespaceSettingName } from "../protocol/definition.ts";
import type { NamespaceSettings } from "../protocol/results.ts";
import { checkIdentity, checkInstance, invalid, missingIdentity, shown } from "../protocol/validation.ts";
import type { ConnectionSettings } from "../store/connection-settings.ts";
import { oneSlot } from "../store/keys.ts";
import type { Replication } from "../store/store.ts";
import { connectionSource, resolveConnection } from "./connecting.ts";
import type { SettingsOptions } from "./options.ts";
import { checkWhole, variableChoice, variableWhole } from "./variables.ts";

export interface Settings {
  readonly instanceId: string | undefined;
  /** The agent's own id of the session this process was started in; fences a single command. */
  readonly agentSessionId: string | undefined;
  readonly connection: ConnectionSettings;
  /** As it stands in Redis: on a cluster with a hash tag. */
  readonly keyPrefix: string;
  readonly orchestrator: string;
  /** What a publish waits for before it reports success. */
  readonly replication: Replication;
  readonly presenceTimeoutSeconds: number;
  readonly loanSeconds: number;
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

export const PROJECT_FILE = ".coord.json";

/** @throws CoordinationError IDENTITY for a malformed name, INVALID for any other malformed value */
export function resolveSettings(options: SettingsOptions = {}): Settings {
  const env = options.env ?? process.env;
  const project = readProjectFile(resolve(options.cwd ?? workingFolder()));
  const file =
    project?.values.redis === undefined ? undefined : ([project.values.redis, `redis in ${project.path}`] as const);
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
    const rule = NAMESPACE_SETTINGS[name];
    return variableWhole(env, rule.variable, rule.default, rule.minimum, rule.maximum);
  };
  const { default: usual, minimum, maximum } = NAMESPACE_SETTINGS.presence_timeout_seconds;
  const presenceTimeoutSeconds = timeout === undefined ? usual : checkWhole(...timeout, minimum, maximum);
  const connection = resolveConnection(options.redis, env, file);
  const keyPrefix = prefix === undefined ? "coord" : checkKeyPrefix(...prefix);
  return {
    instanceId: identity === undefined ? undefined : checkIdentity(...identity),
    agentSessionId: env["CLAUDE_CODE_SESSION_ID"] || undefined,
    connection,
    keyPrefix: connection.discovery?.by === "cluster" ? checkOneSlot(keyPrefix, prefix?.[1]) : keyPrefix,
    orchestrator: orchestrator === undefined ? "orchestrator" : checkInstance(...orchestrator),
    replication: {
      replicas: variableWhole(env, "COORD_WAIT_REPLICAS", 0, 0, LIMITS.replicas_maximum),
      milliseconds: variableWhole(
        env,
        "COORD_WAIT_REPLICAS_MILLISECONDS",
        LIMITS.replicas_milliseconds_default,
        1,
        LIMITS.replicas_milliseconds_maximum,
      ),
    },
    presenceTimeoutSeconds,
    loanSeconds:
      options.loanSeconds === undefined
        ? LIMITS.loan_seconds
        : checkWhole(options.loanSeconds, "loanSeconds", 0, LIMITS.loan_seconds_maximum),
    ackTimeoutSeconds: variableWhole(
      env,
      "COORD_ACK_TIMEOUT_SECONDS",
      LIMITS.ack_within_seconds_default,
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
      connection: connectionSource(options.redis, env, file),
      keyPrefix: prefix?.[1],
      projectFile: project?.path,
    },
  };
}

/** @throws CoordinationError INVALID where it was deleted, with another worktree for example */
export function workingFolder(): string {
  try {
    return process.cwd();
  } catch {
    throw invalid("The working directory does not exist any more.", "Change into one that does, for example: cd ~");
  }
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

/** A repository may bring anything under this name, a link to /dev/zero included; a hook that reads it has to end. */
function readIfThere(path: string): string | undefined {
  let problem: string;
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    if (stat.isFile() && stat.size <= LIMITS.project_file_bytes) return readFileSync(path, "utf8");
    problem = stat.isFile()
      ? `it has ${stat.size} bytes, at most ${LIMITS.project_file_bytes} are read`
      : "it is no file";
  } catch (error) {
    problem = (error as Error).message;
  }
  throw invalid(`${path} cannot be read: ${problem}.`, "Make it readable, or remove it.");
}

function parseProject(path: string, text: string): Project {
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch (error) {
    // Without the piece of the file that V8 quotes: it may be that of a password.
    const problem = (error as Error).message.replace(/, (?:\.{3})?".*$/s, "");
    throw invalid(`${path} is not JSON: ${problem}.`, 'It holds, for example, {"instanceId": "backend"}.');
  }
  if (typeof values === "object" && values !== null && !Array.isArray(values)) return values;
  throw invalid(`${path} is not a JSON object.`, 'It holds, for example, {"instanceId": "backend"}.');
}

function checkKeyPrefix(value: unknown, source: string): string {
  if (typeof value === "string" && KEY_PREFIX_PATTERN.test(value)) return value;
  throw invalid(
    `${source} is ${shown(value)}: a prefix has 1-64 letters, digits and . _ : { } -`,
    "The default is coord.",
  );
}

/** All keys of a namespace are changed together, which a cluster allows within one slot only. */
function checkOneSlot(keyPrefix: string, source: string | undefined): string {
  const prefix = oneSlot(keyPrefix);
  if (prefix !== undefined) return prefix;
  throw invalid(
    `${source} is ${shown(keyPrefix)}: on a cluster a prefix without a hash tag must not begin with "}".`,
    "Choose another prefix, or write a hash tag: {team}:coord.",
  );
}
