/** What went wrong with Redis, told once for every surface: where, why, and what to do next. */
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import type { ConnectionSettings } from "./connection.ts";

export function addressOf(settings: ConnectionSettings): string {
  if (settings.path !== undefined) return settings.path;
  const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;
  return `${settings.tls ? "rediss://" : ""}${host}:${settings.port}`;
}

/** No answer came in time; what a timer rejects with. */
export class NoAnswer extends Error {}

export function unavailable(settings: ConnectionSettings, cause: unknown, uncertain = false): CoordinationError {
  const [reason, hint] = explain(settings, cause instanceof Error ? cause : new Error(String(cause)));
  const suffix = uncertain ? " The connection was lost before the answer: the operation may have happened." : "";
  return new CoordinationError(ErrorCode.UNAVAILABLE, `Redis at ${addressOf(settings)}: ${reason}.${suffix}`, {
    hint: uncertain ? "Call again with the same content: a repeat is recognised and not stored twice." : hint,
    cause,
  });
}

const START = "Start one with `coord up`, or say where yours is with REDIS_URL or REDIS_HOST and REDIS_PORT.";
const WHERE = "Check REDIS_URL, or REDIS_HOST and REDIS_PORT.";
const WHO = "Check REDIS_USERNAME and REDIS_PASSWORD, or the ones in REDIS_URL.";

function explain(settings: ConnectionSettings, cause: Error): [reason: string, hint: string] {
  const code = "code" in cause ? String(cause.code) : "";
  const text = cause.message.split("\n", 1)[0] ?? "";
  if (cause instanceof NoAnswer || code === "ETIMEDOUT") return ["no answer in time", WHERE];
  if (code === "ECONNREFUSED") return ["nothing listens there", START];
  if (code === "ENOENT") return ["there is no such socket", START];
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return [`the host name ${settings.host} does not resolve`, WHERE];
  if (/^(WRONGPASS|NOAUTH)|AUTH/.test(text)) return [`the login was refused (${text})`, WHO];
  if (/^NOPERM/.test(text)) return [`the user may not do this (${text})`, WHO];
  if (/^LOADING/.test(text)) return ["it is still loading its data", "Try again in a moment."];
  if (/^OOM/.test(text)) {
    return [
      "it is out of memory, nothing was stored",
      "Raise its maxmemory, or remove data. Reading and acknowledging still work.",
    ];
  }
  if (/^(MISCONF|READONLY|MASTERDOWN|NOREPLICAS)/.test(text))
    return [`it takes no writes (${text})`, "Ask whoever runs it."];
  if (/DB index/.test(text)) return [`there is no database ${settings.db}`, "Check REDIS_DB."];
  if (cause.name === "ParserError" || /Protocol error|RESP type/.test(text))
    return ["what answers there is not Redis", WHERE];
  if (text === "the client is closed") return ["the client was closed", "Make a new one with getCoordinationClient."];
  if (/Stream isn't writeable|Connection is closed|ECONNRESET|EPIPE/.test(`${text} ${code}`)) {
    return ["the connection was closed by the other side", WHERE];
  }
  return [text, WHERE];
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
 * An error reply of a script call. Our own refusals are "CODE sentence<TAB>hint"; everything else comes from Redis.
 */
export function refusal(settings: ConnectionSettings, reply: Error): CoordinationError {
  const [, code = "", sentence = "", hint = ""] = /^(\w+) ([^\t]*)(?:\t(.*))?/s.exec(reply.message) ?? [];
  if (code in ErrorCode) return new CoordinationError(code as ErrorCode, sentence, { hint });
  if (code === "WRONGTYPE" || /user_script/.test(reply.message)) {
    return new CoordinationError(ErrorCode.INTERNAL, `Redis at ${addressOf(settings)}: ${reply.message}`, {
      hint: "A key of this namespace is damaged, or of another program: rename it, or set another COORD_KEY_PREFIX.",
      cause: reply,
    });
  }
  return unavailable(settings, reply);
}
