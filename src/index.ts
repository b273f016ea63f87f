/** The library. */
export { type CoordinationClient, getCoordinationClient } from "./client/client.ts";
export type { ClientOptions } from "./client/options.ts";
export { MessageType } from "./protocol/definition.ts";
export { type AckRefusal, CoordinationError, ErrorCode } from "./protocol/errors.ts";
export type * from "./protocol/results.ts";
