/** Every Redis of the tests lets our programs do what `coord acl` prints and nothing else, so each test proves the rule. */
import { accessRule, keyRights } from "../src/store/acl.ts";

/** Who the tests themselves are, where they look behind our programs. */
export const ADMINISTRATOR = { username: "admin", password: "admin" } as const;

/** Arguments of a redis-server: whoever does not log in is the user that `coord acl` describes for these namespaces. */
export function leastPrivilege(prefix: string, ...further: string[]): string[] {
  const [, , ...rule] = accessRule(prefix, "default").rule.replace(">PASSWORD", "nopass").split(" ");
  const user = ["--user", ...rule, ...further.flatMap(namespaceRights)];
  return [...user, "--user", ADMINISTRATOR.username, "on", `>${ADMINISTRATOR.password}`, "~*", "&*", "+@all"];
}

/** The namespaces that coord init chooses. */
export const PROJECTS = "coord-*";

/** What lets a user who has the commands use a further namespace. */
export function namespaceRights(prefix: string): string[] {
  return keyRights(accessRule(prefix, "default"));
}
