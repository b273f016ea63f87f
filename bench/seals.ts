/** What proofs cost: the same operations where senders are proven, by Redis users of their own, and where nobody asks. */
import { type CoordinationClient, getCoordinationClient } from "../src/client/client.ts";
import { instanceRule } from "../src/store/acl.ts";
import { interleave, type Side } from "./measure.ts";
import { type Measured, row } from "./report.ts";
import { drain, publishMany, RECIPIENT, request, SENDER, type World } from "./world.ts";

const CHECKED = 20;
const PASSWORD = "bench";

interface Pair {
  sender: CoordinationClient;
  recipient: CoordinationClient;
  /** Of a message that the recipient has acknowledged. */
  id: string;
}

/** Two instances with a user each, and as many pending messages as a check reads. */
async function pairOf(world: World, senders: "off" | "proven"): Promise<Pair> {
  const keyPrefix = `seals-${senders}`;
  const client = async (instanceId: string): Promise<CoordinationClient> => {
    const { user, rule } = instanceRule(keyPrefix, `${instanceId}@${keyPrefix}`, instanceId);
    const [command, ...words] = rule.replace(">PASSWORD", `>${PASSWORD}`).split(" ");
    await world.bare.call(command!, ...words);
    const env = { REDIS_URL: world.url, REDIS_USERNAME: user, REDIS_PASSWORD: PASSWORD };
    return getCoordinationClient({ instanceId, keyPrefix, cwd: "/", env });
  };
  const [sender, recipient] = [await client(SENDER), await client(RECIPIENT)];
  await recipient.touch();
  await recipient.changeNamespaceSetting("senders", senders);
  const [id] = (await publishMany(sender, 1)) as [string];
  await recipient.ackMessage(id);
  await publishMany(sender, CHECKED);
  return { sender, recipient, id };
}

export async function seals(world: World): Promise<Measured> {
  const [proven, off] = [await pairOf(world, "proven"), await pairOf(world, "off")];
  const against = async (operation: string, side: (pair: Pair) => Side): Promise<Measured["rows"][number]> => {
    const ping = { run: () => world.bare.call("PING") };
    return row(operation, await interleave({ ping, ours: side(proven), base: side(off) }));
  };
  try {
    return {
      rows: [
        await against(`check of ${CHECKED} pending, senders proven (empty: off)`, ({ recipient }) => ({
          run: () => recipient.checkMessages({ pendingOnly: true, limit: CHECKED }),
        })),
        await against("show of an acknowledged message, senders proven (empty: off)", ({ recipient, id }) => ({
          run: () => recipient.showMessage(id),
        })),
        await against("publish, senders proven (empty: off)", ({ sender, recipient }) => ({
          prepare: () => drain(recipient),
          run: () => sender.publishMessage(request()),
        })),
      ],
    };
  } finally {
    for (const { sender, recipient } of [proven, off]) {
      sender.close();
      recipient.close();
    }
  }
}
