import { ConnectionLost } from "../redis/errors.ts";
import { dial, type TlsCertificates } from "../redis/link.ts";
import type { Reply } from "../redis/resp.ts";

export type Place = ({ path: string } | { host: string; port: number }) & {
  password?: string;
  tls?: true;
  certificates?: TlsCertificates;
};

/**
 * One command on a link of its own. Resolves to undefined when the server closes it without a reply, as it does after
 * SHUTDOWN; rejects as `dial` and `Link.call` do, after `withinMs` at the latest.
 */
export async function ask(place: Place, command: readonly string[], withinMs: number): Promise<Reply | undefined> {
  const server = { host: "", port: 0, db: 0, tls: false, ...place };
  try {
    return await dial(
      server,
      { deadline: performance.now() + withinMs, silentMilliseconds: withinMs },
      async (link) => {
        const reply = await link.call(...command);
        link.close();
        return reply;
      },
    );
  } catch (error) {
    if (error instanceof ConnectionLost) return undefined;
    throw error;
  }
}
