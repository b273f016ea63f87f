/**
 * The one error class of the product. Every refusal, on every surface, is one of these: a `code` to act on, a sentence
 * that says what happened with which value, and a `hint` that says what to do next.
 */

import type { PublishResult } from "./results.ts";

/** What a caller can act on differently; surfaces map these to exit codes and MCP refusals. */
export const ErrorCode = {
  /** A value breaks a rule of the protocol; the sentence names the field and the limit. Nothing was changed. */
  INVALID: "INVALID",
  /** No usable instance name: none given, malformed, or reserved. */
  IDENTITY: "IDENTITY",
  /** No such message or instance. */
  NOT_FOUND: "NOT_FOUND",
  /** The message exists, but is not addressed to the caller. */
  NOT_RECIPIENT: "NOT_RECIPIENT",
  /** The namespace holds as many messages that nobody has acknowledged as it may; the sentence names who holds it up. */
  FULL: "FULL",
  /** An agent would go on in a loop; `retryAfterSeconds` says when it may send this. Nothing was stored. */
  LOOP: "LOOP",
  /** The namespace was emptied, replaced or set back since this client last saw it. Said once; nothing was changed. */
  LOST: "LOST",
  /** A newer session speaks for this instance now. */
  SUPERSEDED: "SUPERSEDED",
  /** Another session speaks for this instance, and this one has never done so: it is a guest. */
  TAKEN: "TAKEN",
  /** The namespace was written by a newer, incompatible version. */
  PROTOCOL: "PROTOCOL",
  /** Redis cannot be reached or used. Nothing was changed, unless the sentence says otherwise. */
  UNAVAILABLE: "UNAVAILABLE",
  /** The message is stored, but fewer replicas than asked for have it; `receipt` is what was stored. */
  NOT_REPLICATED: "NOT_REPLICATED",
  /** Redis did not answer in time: the operation may have happened. */
  TIMEOUT: "TIMEOUT",
  /** Stored data or this program is broken; the sentence names the key. */
  INTERNAL: "INTERNAL",
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** Of one message among several; an error of its own would take away what the others got. */
export interface AckRefusal {
  messageId: string;
  code: ErrorCode;
  error: string;
  hint: string;
}

export interface CoordinationErrorDetails {
  /** What to do next, one sentence. */
  hint: string;
  /** The valid message types, where a type was wrong. */
  validTypes?: readonly string[];
  /** When a message that is braked may be sent. */
  retryAfterSeconds?: number;
  /** Of the message that was stored, where not enough replicas have it. */
  receipt?: PublishResult;
  cause?: unknown;
}

export class CoordinationError extends Error {
  override readonly name = "CoordinationError";
  readonly code: ErrorCode;
  readonly hint: string;
  readonly validTypes: readonly string[] | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly receipt: PublishResult | undefined;

  /** Instead of `instanceof`: each bundled program has a copy of this class of its own. */
  static is(error: unknown): error is CoordinationError {
    return error instanceof Error && error.name === "CoordinationError";
  }

  constructor(code: ErrorCode, message: string, details: CoordinationErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.validTypes = details.validTypes;
    this.retryAfterSeconds = details.retryAfterSeconds;
    this.receipt = details.receipt;
  }
}
