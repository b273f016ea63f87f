/**
 * Identity and configuration, resolved the same way on every surface: option, environment, the record of the run, the
 * register, default. Every value is checked here, and a malformed one is refused by the name of where it stands.
 */
import { resolve } from "node:path";
import { LIMITS, NAMESPACE_SETTINGS, type NamespaceSettingName, SENDERS } from "../protocol/definition.ts";
import type { NamespaceSettings } from "../protocol/results.ts";
import { checkInstance, checkKeyPrefix, invalid, missingIdentity, shown } from "../protocol/validation.ts";
import type { ConnectionSettings } from "../store/connection-settings.ts";
import { oneSlot } from "../store/keys.ts";
import type { Replication } from "../store/store.ts";
import * as connecting from "./connecting.ts";
import { findName, type FoundName } from "./identity.ts";
import { findLocalLogin, type LocalLogin } from "./local-password.ts";
import type { SettingsOptions } from "./options.ts";
import { type Surroundings, surroundingsOf } from "./register.ts";
import { ownRunRecord, type RunRecord } from "./run-record.ts";
import { checkPlain, checkWhole, variableChoice, variableWhole, type Variables } from "./variables.ts";

export interface ResolveOptions extends SettingsOptions {
  /**
   * For hooks and servers: the record of their run, null where it has none. One that a hook has written comes before
   * environment and register. Any other, and what by default is found among the processes above, says what the environment
   * does not: a host may have stripped the variables of the server that wrote it.
   */
  run?: RunRecord | null | undefined;
}

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
  /** Why there is no name. */
  readonly nameless: Pick<FoundName, "reason" | "remedy">;
  readonly surroundings: Surroundings;
  readonly run: RunRecord | undefined;
  /** The variables that name the server, for a record or the register. */
  readonly server: Variables;
  /** That of the server of `coord up`, where nothing else says how to log in. */
  readonly localLogin: LocalLogin | undefined;
}

/** @throws CoordinationError IDENTITY for a malformed name, INVALID for any other malformed value */
export function resolveSettings(options: ResolveOptions = {}): Settings {
  const env = options.env ?? process.env;
  const folder = resolve(options.cwd ?? workingFolder());
  const surroundings = surroundingsOf(folder, env);
  const { project, file } = surroundings;
  // A hook's or server's run is what it is; a command in a shell of the run may be told otherwise.
  const run = options.run === undefined ? ownRunRecord(env, surroundings.tree.root) : (options.run ?? undefined);
  const bound = options.run?.by === "hook" ? options.run : undefined;
  type Found = readonly [value: unknown, source: string] | undefined;
  /** An empty variable counts as unset, since `${NAME:-}` in a configuration makes one. */
  const variable = (name: string): Found => (env[name] ? [env[name], name] : undefined);
  const option = (name: keyof ResolveOptions): Found =>
    options[name] === undefined ? undefined : [options[name], name];
  const written = (value: unknown, field: string): Found =>
    value === undefined ? undefined : [value, `${field} in ${file}`];
  const recorded = (record: RunRecord | undefined, value: unknown): Found =>
    record === undefined || value === undefined ? undefined : [value, RUN_SOURCE];

  const name = findName({ option: options.instanceId, env, run, bound: bound !== undefined, surroundings });
  const prefix =
    option("keyPrefix") ??
    recorded(bound, bound?.prefix) ??
    variable("COORD_KEY_PREFIX") ??
    recorded(run, run?.prefix) ??
    written(project?.keyPrefix, "keyPrefix");
  const orchestrator =
    option("orchestrator") ?? variable("COORD_ORCHESTRATOR") ?? written(project?.orchestrator, "orchestrator");
  const timeout = option("presenceTimeoutSeconds") ?? variable("COORD_PRESENCE_TIMEOUT_SECONDS");
  const setting = (field: NamespaceSettingName): number => {
    const rule = NAMESPACE_SETTINGS[field];
    return variableWhole(env, rule.variable, rule.default, rule.minimum, rule.maximum);
  };
  const { default: usual, minimum, maximum } = NAMESPACE_SETTINGS.presence_timeout_seconds;
  const presenceTimeoutSeconds = timeout === undefined ? usual : checkWhole(...timeout, minimum, maximum);
  const server = findServer(options.redis, env, { bound, run, surroundings });
  const localLogin = findLocalLogin(server.connection, env);
  const connection = localLogin === undefined ? server.connection : loggedIn(server.connection, localLogin);
  const keyPrefix = prefix === undefined ? "coord" : checkKeyPrefix(...prefix);
  return {
    instanceId: name.instance,
    agentSessionId: checkPlain(env["CLAUDE_CODE_SESSION_ID"] || undefined, "CLAUDE_CODE_SESSION_ID"),
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
      loopMessages: setting("loop_messages"),
      loopSeconds: setting("loop_seconds"),
      loopReplies: setting("loop_replies"),
      senders: variableChoice(env, "COORD_SENDERS", SENDERS),
    },
    unknownRecipient: variableChoice(env, "COORD_UNKNOWN_RECIPIENT", ["warn", "reject"]),
    direction: variableChoice(env, "COORD_DIRECTION", ["warn", "strict"]),
    sources: {
      instanceId: name.source,
      connection: server.source,
      keyPrefix: prefix?.[1],
      nameless: name,
      surroundings,
      run,
      server: server.variables,
      localLogin,
    },
  };
}

function loggedIn(connection: ConnectionSettings, { password, ca }: LocalLogin): ConnectionSettings {
  return { ...connection, password, ...(ca === undefined ? {} : { tls: true, certificates: { ca } }) };
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
  if (settings.instanceId === undefined) throw missingIdentity(settings.sources.nameless);
  return settings.instanceId;
}

/** Where a value of a run's record is said to come from. */
const RUN_SOURCE = "this run";

interface Places {
  bound: RunRecord | undefined;
  run: RunRecord | undefined;
  surroundings: Surroundings;
}

/** Taken whole from the first place that names any part of it. @throws CoordinationError INVALID */
function findServer(
  option: string | undefined,
  env: Variables,
  { bound, run, surroundings: { project, file } }: Places,
): connecting.NamedServer {
  if (option !== undefined) return connecting.serverOfOption(option);
  const ofRun = (record: RunRecord | undefined): connecting.NamedServer | undefined =>
    record && connecting.serverOfWritten({ variables: record.server, source: RUN_SOURCE });
  const ofProject =
    project === undefined || Object.keys(project.server).length === 0
      ? undefined
      : { variables: project.server, source: `server in ${file}` };
  return (
    ofRun(bound) ??
    connecting.serverOfOwnVariables(env) ??
    // In a project that was set up, these are its application's.
    (project === undefined ? connecting.serverOfPlainVariables(env) : undefined) ??
    ofRun(run) ??
    (ofProject && connecting.serverOfWritten(ofProject)) ??
    connecting.serverOfPlainVariables(env) ??
    connecting.DEFAULT_SERVER
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
