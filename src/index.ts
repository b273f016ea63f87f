/** The library. */
export { CoordinationClient, getCoordinationClient, type ClientOptions } from "./client/client.ts";
export type { Settings, SettingsOptions } from "./client/settings.ts";
export { MessageType } from "./protocol/definition.ts";
export { CoordinationError, ErrorCode } from "./protocol/errors.ts";
export type * from "./protocol/results.ts";
