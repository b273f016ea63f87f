/**
 * Finds the server that takes the writes of a namespace, where Sentinels or the nodes of a cluster know it. A namespace
 * lies in one slot, so that one link is all a client needs.
 */
import { BadReply, ErrorReply } from "../redis/errors.ts";
import { dial, Link, type Patience } from "../redis/link.ts";
import type { Address, ConnectionSettings, Discovery } from "./connection-settings.ts";
import type { Reply } from "../redis/resp.ts";
import { addressOf, explain, isPassing, NoPrimary } from "./failures.ts";
import { metaKey } from "./keys.ts";

/** A node that is asked first may know another one, which may have just handed the slot on. */
const REDIRECTS_MAXIMUM = 3;

/** @throws NoPrimary when patience has ended at the latest */
export async function dialPrimary(
  settings: ConnectionSettings,
  discovery: Discovery,
  prefix: string,
  patience: Patience,
): Promise<Link> {
  let trouble: NoPrimary | undefined;
  for (const address of discovery.at) {
    try {
      return discovery.by === "sentinel"
        ? await askSentinel(settings, discovery, address, patience)
        : await askNode(settings, prefix, address, patience);
    } catch (error) {
      if (!(error instanceof NoPrimary)) throw error;
      // What somebody who answers says is worth more than that another one is away.
      if (error.passing || trouble?.passing !== true) trouble = error;
    }
  }
  throw trouble!;
}

async function askSentinel(
  settings: ConnectionSettings,
  { master, login }: Discovery & { by: "sentinel" },
  sentinel: Address,
  patience: Patience,
): Promise<Link> {
  const asSentinel = { ...settings, username: login.username, password: login.password, db: 0 };
  const server = await ask(asSentinel, sentinel, patience, false, async (link) => {
    const answer = await link.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master);
    link.close();
    if (!Array.isArray(answer)) throw new Error(`it watches no ${master}`);
    return addressIn(answer[0], answer[1]);
  });
  return ask(settings, server, patience, true, async (link) => {
    const answer = await link.call("ROLE");
    // Sentinels name the old primary until the new one has been promoted; it may be a replica already.
    if (!Array.isArray(answer) || answer[0] !== "master") throw new Error("it is no primary any more");
    return link;
  });
}

async function askNode(settings: ConnectionSettings, prefix: string, seed: Address, patience: Patience): Promise<Link> {
  let node = seed;
  for (let redirects = 0; redirects <= REDIRECTS_MAXIMUM; redirects++) {
    const { host } = node;
    const found = await ask(settings, node, patience, redirects > 0, async (link) => {
      // Any question about a key is answered by the node that holds its slot, and by every other one with who does.
      const answer = await link.call("EXISTS", metaKey(prefix)).catch((error: Error) => error);
      if (!(answer instanceof Error)) return link;
      const moved = /^MOVED \d+ (.*):(\d+)$/.exec(answer.message);
      if (moved === null) throw answer;
      link.close();
      // A node that does not know its own name leaves it out.
      return addressIn(moved[1] || host, moved[2]);
    });
    if (found instanceof Link) return found;
    node = found;
  }
  throw new NoPrimary("its nodes disagree about who holds the namespace", "Look at CLUSTER NODES.", true);
}

/** As a server names another one. @throws BadReply */
function addressIn(host: Reply | undefined, text: Reply | undefined): Address {
  const port = typeof text === "string" && /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (typeof host !== "string" || host === "" || port < 1 || port > 65_535) throw new BadReply();
  return { host, port };
}

/**
 * The answer of one server.
 * @param led whether somebody else has named it: then it is away for as long as a failover takes
 * @throws NoPrimary
 */
async function ask<T>(
  settings: ConnectionSettings,
  { host, port }: Address,
  patience: Patience,
  led: boolean,
  question: (link: Link) => Promise<T>,
): Promise<T> {
  const server = { ...settings, host, port, discovery: undefined };
  try {
    return await dial(server, patience, question);
  } catch (error) {
    const [reason, hint] = explain({ ...settings, host, port }, error);
    const passing = error instanceof ErrorReply ? isPassing(error) : led;
    throw new NoPrimary(`${addressOf(server)}: ${reason}`, hint, passing);
  }
}
