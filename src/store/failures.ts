/** What went wrong with Redis, told once for every surface: where, why, and what to do next. */
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { BadReply, ConnectionLost, type ErrorReply, NeverSent, NoAnswer } from "../redis/errors.ts";
import type { ConnectionSettings } from "./connection-settings.ts";

export function addressOf(settings: ConnectionSettings): string {
  const { discovery } = settings;
  if (discovery !== undefined) {
    const listed = discovery.at
      .map((address) => addressOf({ ...settings, ...address, discovery: undefined }))
      .join(", ");
    return `${discovery.by === "sentinel" ? "the Sentinels" : "the cluster"} ${listed}`;
  }
  if (settings.path !== undefined) return settings.path;
  const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;
  return `${settings.tls ? "rediss://" : ""}${host}:${settings.port}`;
}

/** Nobody who was asked leads to a server that takes writes. */
export class NoPrimary extends Error {
  readonly hint: string;
  /** Somebody answered: a failover is probably under way, and asking again in a moment helps. */
  readonly passing: boolean;

  constructor(message: string, hint: string, passing: boolean) {
    super(message);
    this.hint = hint;
    this.passing = passing;
  }
}

/** A refusal by a server that does not take this write now, and soon will, or another one: nothing was executed. */
export function isPassing(reply: ErrorReply): boolean {
  return /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN|READONLY|MASTERDOWN|LOADING|BUSY)\b/.test(reply.message);
}

export function unavailable(settings: ConnectionSettings, cause: unknown, uncertain = false): CoordinationError {
  const [reason, hint] = explain(settings, cause);
  const suffix = uncertain ? " The connection was lost before the answer: the operation may have happened." : "";
  return new CoordinationError(ErrorCode.UNAVAILABLE, `Redis at ${addressOf(settings)}: ${reason}.${suffix}`, {
    hint: uncertain ? "Call again with the same content: a repeat is recognised and not stored twice." : hint,
    cause,
  });
}

const HINTS = {
  none: {
    start: "Start one with `coord up`, or say where yours is with REDIS_URL or REDIS_HOST and REDIS_PORT.",
    where: "Check REDIS_URL, or REDIS_HOST and REDIS_PORT.",
    who: "Check REDIS_USERNAME and REDIS_PASSWORD, or the ones in REDIS_URL.",
  },
  sentinel: {
    start: "Check COORD_SENTINELS, and start what is missing.",
    where: "Check COORD_SENTINELS and COORD_SENTINEL_MASTER.",
    who: "Check REDIS_USERNAME and REDIS_PASSWORD, and for the Sentinels COORD_SENTINEL_USERNAME and COORD_SENTINEL_PASSWORD.",
  },
  cluster: {
    start: "Check COORD_CLUSTER, and start what is missing.",
    where: "Check COORD_CLUSTER.",
    who: "Check REDIS_USERNAME and REDIS_PASSWORD.",
  },
} as const;

/** The second is said of what a script calls, by Redis 7.0 as a plain ERR. */
const NO_RIGHT = /^NOPERM|^ERR (ACL failure in script|The user executing the script can't)/;

/** What went wrong and what to do next. */
export function explain(settings: ConnectionSettings, thrown: unknown): [reason: string, hint: string] {
  const { start, where, who } = HINTS[settings.discovery?.by ?? "none"];
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (cause instanceof NoPrimary) {
    if (!cause.passing) return [cause.message, cause.hint];
    return [`no primary at the moment (${cause.message})`, "A failover takes a few seconds: try again."];
  }
  const code = "code" in cause ? String(cause.code) : "";
  // Where a name has several addresses, all of which fail, the system gives a code alone.
  const text = (cause.message || code).split("\n", 1)[0] ?? "";
  if (cause instanceof NoAnswer || code === "ETIMEDOUT") {
    // A server without TLS takes our greeting for the beginning of a command, and waits for its end.
    return ["no answer in time", settings.tls ? `${where} Does it speak TLS there?` : where];
  }
  if (code === "ECONNREFUSED") return ["nothing listens there", start];
  if (code === "ENOENT") return ["there is no such socket", start];
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return [`the host name ${settings.host} does not resolve`, where];
  if (/^(WRONGPASS|NOAUTH)|AUTH/.test(text)) return [`the login was refused (${text})`, who];
  if (NO_RIGHT.test(text)) {
    return [
      `the user may not do this (${text})`,
      `${who} \`coord acl\` prints a user's rights; for exports, \`coord acl --export\`.`,
    ];
  }
  if (/^LOADING/.test(text)) return ["it is still loading its data", "Try again in a moment."];
  if (/^BUSY\b/.test(text)) return ["it is busy with a script that runs for too long", "Try again in a moment."];
  if (/^OOM/.test(text)) {
    return [
      "it is out of memory, nothing was stored",
      "Raise its maxmemory, or remove data. Reading and acknowledging still work.",
    ];
  }
  if (/^(MISCONF|READONLY|MASTERDOWN|NOREPLICAS)/.test(text))
    return [`it takes no writes (${text})`, "Ask whoever runs it."];
  if (/^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b|non local key|CROSSSLOT/.test(text)) {
    return settings.discovery === undefined
      ? [`it is one node of a cluster (${text})`, "Name some of its nodes in COORD_CLUSTER instead."]
      : [`the cluster cannot serve this namespace now (${text})`, "Look at CLUSTER INFO, and try again."];
  }
  if (/CERT|SIGNED|SSL|TLS|unable to (verify|get)/.test(`${code} ${text}`)) {
    return [
      `no secure connection (${text})`,
      "Check REDIS_TLS_CA_FILE, REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE, the host name, and whether it speaks TLS.",
    ];
  }
  if (/DB index/.test(text)) return [`there is no database ${settings.db}`, "Check REDIS_DB."];
  if (/Protocol error/.test(text)) return ["what answers there is not Redis", where];
  if (cause instanceof BadReply) return [text, where];
  if (text === "the client is closed") return ["the client was closed", "Make a new one with getCoordinationClient."];
  if (cause instanceof ConnectionLost || cause instanceof NeverSent || code === "ECONNRESET" || code === "EPIPE") {
    const hint = settings.tls
      ? "Where it asks for a client certificate, set REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE."
      : "Where it speaks only TLS, write rediss:// or set REDIS_TLS_CA_FILE.";
    return ["the connection was closed by the other side", `${where} ${hint}`];
  }
  return [text, where];
}

export function tooOld(settings: ConnectionSettings, version: string): CoordinationError {
  return new CoordinationError(
    ErrorCode.UNAVAILABLE,
    `Redis at ${addressOf(settings)}: it is version ${version}, 7.0 is needed.`,
    {
      hint: "Update it to Redis 7.0 or Valkey 7.2, or start one with `coord up` on another REDIS_PORT.",
    },
  );
}

export function timedOut(settings: ConnectionSettings, seconds: number): CoordinationError {
  const message = `Redis at ${addressOf(settings)}: no answer within ${seconds} seconds; the operation may have happened.`;
  return new CoordinationError(ErrorCode.TIMEOUT, message, {
    hint: "Call again with the same content: a repeat is recognised and not stored twice.",
  });
}

/**
 * An error reply of a script call. Our own refusals are "CODE sentence<TAB>hint", and with
 * `LOOP` "<TAB>seconds"; everything else comes from Redis.
 */
export function refusal(settings: ConnectionSettings, reply: ErrorReply): CoordinationError {
  const [, code = "", sentence = "", hint = "", seconds] =
    /^(\w+) ([^\t]*)(?:\t([^\t]*)(?:\t(\d{1,9}))?)?/s.exec(reply.message) ?? [];
  if (Object.hasOwn(ErrorCode, code)) {
    const retry = seconds === undefined ? {} : { retryAfterSeconds: Number(seconds) };
    return new CoordinationError(code as ErrorCode, sentence, { hint, ...retry });
  }
  if (code === "WRONGTYPE" || (!NO_RIGHT.test(reply.message) && /user_script/.test(reply.message))) {
    return new CoordinationError(ErrorCode.INTERNAL, `Redis at ${addressOf(settings)}: ${reply.message}`, {
      hint: "A key of this namespace is damaged, or of another program: rename it, or set another COORD_KEY_PREFIX.",
      cause: reply,
    });
  }
  return unavailable(settings, reply);
}
