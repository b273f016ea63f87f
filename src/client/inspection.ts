/** The server behind the settings, as `coord doctor` and `coord acl` need it. */
import { checkInstance } from "../protocol/validation.ts";
import { accessRule as ruleOf, type AccessRule } from "../store/acl.ts";
import { inspectServer as inspect, type ServerFacts } from "../store/inspect.ts";
import type { Settings } from "./settings.ts";

export type { ServerFacts };

/** What can be seen of the server itself; nothing is changed. @throws CoordinationError UNAVAILABLE */
export async function inspectServer({ connection, keyPrefix }: Settings): Promise<ServerFacts> {
  return inspect(connection, keyPrefix);
}

/** The Redis user that this namespace needs, and no more. Needs no Redis. @throws CoordinationError INVALID */
export function accessRule({ keyPrefix }: Settings, user: string): AccessRule {
  return ruleOf(keyPrefix, checkInstance(user, "user"));
}
