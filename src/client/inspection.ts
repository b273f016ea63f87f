/** The server behind the settings, as `coord init`, `coord doctor` and `coord acl` need it. */
import { checkInstance } from "../protocol/validation.ts";
import { accessRule as ruleOf, type AccessRule, instanceRule as ruleOfInstance } from "../store/acl.ts";
import { addressOf } from "../store/failures.ts";
import { inspectServer as inspect, similarNamespaces as similar, type ServerFacts } from "../store/inspect.ts";
import type { Settings } from "./settings.ts";

export type { ServerFacts };

/** What can be seen of the server itself; nothing is changed. @throws CoordinationError UNAVAILABLE */
export async function inspectServer({
  connection,
  keyPrefix,
  instanceId,
}: Pick<Settings, "connection" | "keyPrefix" | "instanceId">): Promise<ServerFacts> {
  return inspect(connection, keyPrefix, instanceId);
}

/** Where the server is, as sentences name it: without login. */
export function serverAddress({ connection }: Settings): string {
  return addressOf(connection);
}

/**
 * Other namespaces that the server holds and that may be of the same repository: those whose last word is the same. None
 * where this user may not look. @throws CoordinationError UNAVAILABLE
 */
export async function similarNamespaces({ connection, keyPrefix }: Settings): Promise<string[]> {
  return similar(connection, keyPrefix);
}

/** The Redis user that this namespace needs, and no more. Needs no Redis. @throws CoordinationError INVALID */
export function accessRule({ keyPrefix }: Settings, user: string, exports = false): AccessRule {
  return ruleOf(keyPrefix, checkInstance(user, "user"), exports);
}

/**
 * That of one instance; by default NAME@PREFIX, since one server may hold an instance of that name in each namespace.
 * @throws CoordinationError INVALID, IDENTITY
 */
export function instanceRule({ keyPrefix }: Settings, instance: string, user: string | undefined): AccessRule {
  const name = checkInstance(instance, "instance");
  return ruleOfInstance(keyPrefix, user === undefined ? `${name}@${keyPrefix}` : checkInstance(user, "user"), name);
}
