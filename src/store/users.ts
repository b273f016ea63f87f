/** Redis users made from here, by who may. */
import { LIMITS } from "../protocol/definition.ts";
import { within } from "../redis/deadline.ts";
import { ErrorReply } from "../redis/errors.ts";
import type { AccessRule } from "./acl.ts";
import { Connection } from "./connection.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { unavailable } from "./failures.ts";

/**
 * Makes or replaces a user.
 *
 * @param password letters and digits
 * @returns whether it outlives the server: where that keeps its users in a file
 * @throws CoordinationError UNAVAILABLE
 */
export async function makeUser(
  settings: ConnectionSettings,
  prefix: string,
  { rule }: AccessRule,
  password: string,
): Promise<boolean> {
  const connection = new Connection(settings, prefix);
  try {
    const link = await connection.open();
    const deadline = performance.now() + LIMITS.operation_milliseconds;
    const [command, ...words] = rule.split(" ");
    try {
      await within(deadline, link.call(command!, ...words.map((word) => word.replace(/^>PASSWORD$/, `>${password}`))));
    } catch (error) {
      throw unavailable(settings, error);
    }
    return await within(deadline, link.call("ACL", "SAVE")).then(
      () => true,
      (error: unknown) => {
        if (error instanceof ErrorReply) return false;
        throw unavailable(settings, error);
      },
    );
  } finally {
    connection.close();
  }
}
