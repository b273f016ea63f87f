/** The server against the guarantees: whether what is stored stays stored. */
import type { ServerFacts } from "../client/inspection.ts";
import { FAR_MILLISECONDS, QUIET_SECONDS } from "../client/recording.ts";
import type { Settings } from "../client/settings.ts";
import { LIMITS, PROTOCOL_VERSION, SENDERS, type Senders } from "../protocol/definition.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";

/** Of the limit, from where on there is reason to act before publishing is refused. */
const MEMORY_NEARLY_FULL = 0.9;
/** Times are read by people: what they do not notice is no difference. */
const CLOCK_MILLISECONDS = 1000;
const HOOK_ROUND_TRIPS = 4;
const MEBIBYTE = 1024 ** 2;
const ADMINISTRATOR = "Ask whoever runs this Redis.";

export function examineServer(
  facts: ServerFacts,
  {
    keyPrefix,
    replication,
    instanceId,
    namespace,
  }: Pick<Settings, "keyPrefix" | "replication" | "instanceId" | "namespace">,
): Finding[] {
  return [
    ok("Redis", `${facts.address} answers${facts.namedBy === undefined ? "" : `, named by ${facts.namedBy}`}`),
    distance(facts),
    version(facts),
    ...scripts(facts),
    ...role(facts),
    ...replicas(facts, replication.replicas),
    ...persistence(facts),
    ...memory(facts),
    clock(facts),
    protocol(facts, keyPrefix),
    ...senders(facts, instanceId, namespace.senders),
  ];
}

/** What hooks make of it, see src/surfaces/hook/main.ts: the connection, the first question, the mail, its confirmation. */
function distance({ roundTripMilliseconds: milliseconds }: ServerFacts): Finding {
  const nearer = "Use a Redis that is nearer to the agents.";
  if (milliseconds <= FAR_MILLISECONDS) return ok("distance", `an answer takes less than ${FAR_MILLISECONDS} ms`);
  const told = `an answer takes ${Math.round(milliseconds)} ms`;
  if (milliseconds >= LIMITS.silent_milliseconds)
    return problem("distance", `${told}: hooks give up and show no mail, only the tools do`, nearer);
  const wait = ((HOOK_ROUND_TRIPS * milliseconds) / 1000).toFixed(1);
  return warning("distance", `${told}: a prompt waits ${wait} s, a tool call at most every ${QUIET_SECONDS} s`, nearer);
}

function version({ name, version: number, redisVersion }: ServerFacts): Finding {
  if (number === undefined) return unseen("version", "the version", "INFO");
  const told = `${name} ${number}`;
  if (Number.parseInt(redisVersion ?? number, 10) >= 7) return ok("version", told);
  return problem(
    "version",
    `${told} is too old`,
    "Update it to Redis 7.0 or Valkey 7.2, or start one with coord up on another REDIS_PORT.",
  );
}

/** Where users share a server, its rules keep them apart only as long as their scripts are. */
function scripts({ scriptsMix, senders: stored = "off" }: ServerFacts): Finding[] {
  if (scriptsMix !== true) return [];
  const told =
    "any of its users can change what everybody's scripts do (CVE-2025-46818), so no rule of a user and no proof holds";
  const remedy =
    "Update it: Redis 7.2.11, 7.4.6, 8.2.2, Valkey 7.2.11, 8.0.6, 8.1.4 and later, or what your distribution has now.";
  return [stored === "off" ? warning("scripts", told, remedy) : problem("scripts", told, remedy)];
}

/** Which of the ways to run Redis this is, and whether publishing can work there. */
function role({ isReplica, isCluster, namedBy }: ServerFacts): Finding[] {
  if (isReplica === undefined) return [unseen("role", "whether it is a primary, and of a cluster", "INFO")];
  const findings: Finding[] = [];
  if (isReplica) findings.push(problem("role", "it is a replica, which takes no writes", "Connect to its primary."));
  else findings.push(ok("role", isCluster ? "the node of a cluster that holds the namespace" : "a primary"));
  if (isCluster && namedBy === undefined) {
    findings.push(
      problem(
        "role",
        "it is one node of a cluster, and another one may hold the namespace",
        "Name some of its nodes in COORD_CLUSTER, everywhere, instead of this one.",
      ),
    );
  }
  return findings;
}

function replicas({ isReplica, replicas: connected }: ServerFacts, asked: number): Finding[] {
  if (connected === undefined) return asked === 0 ? [] : [unseen("replicas", "how many there are", "INFO")];
  const told = `${connected} connected, ${asked} waited for`;
  if (isReplica || (connected === 0 && asked === 0)) return [];
  if (connected >= asked) return [ok("replicas", told)];
  return [
    problem(
      "replicas",
      `${told}: every publish reports NOT_REPLICATED`,
      "Start replicas, or lower COORD_WAIT_REPLICAS.",
    ),
  ];
}

function persistence({ appendOnly, appendFsync, lastAppendFailed }: ServerFacts): Finding[] {
  const about = "persistence";
  if (appendOnly === undefined) return [unseen(about, "whether it survives a restart", "INFO")];
  if (!appendOnly) {
    const remedy =
      "Run CONFIG SET appendonly yes and CONFIG SET appendfsync always, and write both into its redis.conf.";
    return [problem(about, "appendonly is off: a restart loses messages that were sent", remedy)];
  }
  if (lastAppendFailed)
    return [problem(about, "the last write to its append-only file failed", "Look at its disk and its log.")];
  if (appendFsync === undefined) return [unseen(about, "appendonly is on; appendfsync", "CONFIG")];
  if (appendFsync === "always") return [ok(about, "appendonly yes, appendfsync always")];
  const lost = appendFsync === "everysec" ? "the last second" : "what the system had not written yet";
  return [
    warning(
      about,
      `appendfsync is ${appendFsync}: a power failure loses ${lost}`,
      "Run CONFIG SET appendfsync always.",
    ),
  ];
}

function memory({ evictionPolicy, memoryLimit, memoryUsed }: ServerFacts): Finding[] {
  if (evictionPolicy === undefined || memoryLimit === undefined || memoryUsed === undefined) {
    return [unseen("memory", "whether it evicts messages", "INFO")];
  }
  const findings: Finding[] = [];
  const remedy = "Run CONFIG SET maxmemory-policy noeviction, and write it into its redis.conf.";
  if (evictionPolicy === "noeviction") findings.push(ok("eviction", "maxmemory-policy noeviction"));
  else if (memoryLimit === 0) {
    findings.push(
      warning("eviction", `maxmemory-policy is ${evictionPolicy}: with a memory limit it would drop messages`, remedy),
    );
  } else
    findings.push(
      problem("eviction", `maxmemory-policy is ${evictionPolicy}: when memory is full, it drops messages`, remedy),
    );
  const used = `${(memoryUsed / MEBIBYTE).toFixed(1)} MiB used`;
  if (memoryLimit === 0) return [...findings, ok("memory", `${used}, no limit`)];
  const share = memoryUsed / memoryLimit;
  const told = `${used} of ${(memoryLimit / MEBIBYTE).toFixed(1)} MiB`;
  const more = "Raise its maxmemory, or remove data.";
  if (share >= 1) findings.push(problem("memory", `${told}: full, publishing is refused`, more));
  else if (share >= MEMORY_NEARLY_FULL) findings.push(warning("memory", `${told}: nearly full`, more));
  else findings.push(ok("memory", told));
  return findings;
}

function clock({ clockAheadMilliseconds: ahead }: ServerFacts): Finding {
  if (ahead === undefined) return unseen("clock", "its clock", "TIME");
  if (Math.abs(ahead) <= CLOCK_MILLISECONDS) return ok("clock", "the same as here, within a second");
  const how = `${(Math.abs(ahead) / 1000).toFixed(1)} s ${ahead > 0 ? "ahead of" : "behind"} this machine's`;
  return warning("clock", `${how}; the order of messages is not affected, times look wrong`, "Set both by NTP.");
}

function protocol({ protocolVersion }: ServerFacts, prefix: string): Finding {
  if (protocolVersion === undefined) return unseen("protocol", `the namespace ${prefix}`, `HGET ${prefix}:meta`);
  if (protocolVersion === null) return ok("protocol", `nothing has been published in ${prefix} yet`);
  if (protocolVersion === PROTOCOL_VERSION) return ok("protocol", `version ${protocolVersion}`);
  const remedy =
    protocolVersion > PROTOCOL_VERSION
      ? "Update cli-coordination here, or use another COORD_KEY_PREFIX."
      : "Take it over: coord export with the version that wrote it, coord import with this one into another COORD_KEY_PREFIX.";
  return problem(
    "protocol",
    `the namespace uses version ${protocolVersion}, this program knows ${PROTOCOL_VERSION}`,
    remedy,
  );
}

/** Whether this user can prove who it is, and be shown proofs; silent where nobody asks for any. */
function senders(
  { senders: stored = "off", forges, seals, protocolVersion, scriptsMix }: ServerFacts,
  instance = "NAME",
  asked: Senders,
): Finding[] {
  const about = "senders";
  const own = `Log in as the user that coord acl --instance ${instance} prints.`;
  const findings: Finding[] = [];
  if (protocolVersion !== null && SENDERS.indexOf(stored as Senders) < SENDERS.indexOf(asked)) {
    const remedy = `Set it for everyone: coord settings senders ${asked}.`;
    findings.push(warning(about, `COORD_SENDERS is ${asked} here, and ${stored} in the namespace`, remedy));
  }
  if (stored === "off") return findings;
  if (forges === true) {
    const told =
      "this Redis user could write a proof of anybody, so nothing is called proven to it, and nothing is hidden";
    return [...findings, warning(about, told, own)];
  }
  if (seals === false) {
    return [
      ...findings,
      problem(about, `this Redis user may not speak for ${instance}: its messages are refused`, own),
    ];
  }
  if (scriptsMix === true) return findings;
  return [...findings, ok(about, `${stored}: each message says whether its sender is proven`)];
}

/** A managed Redis hides some of itself; that is no fault, but nothing was checked either. */
function unseen(about: string, what: string, command: string): Finding {
  return warning(about, `${what} could not be seen: ${command} is not allowed here`, ADMINISTRATOR);
}
