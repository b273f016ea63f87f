/** How long everybody else waits while one script runs (G12): the longest time of another process' PING, for each verb. */
import type { CoordinationClient } from "../src/client/client.ts";
import { Peer } from "./delivery.ts";
import type { LongestWait } from "./peer-messages.ts";
import { type Measured, type Row, row } from "./report.ts";
import { single } from "./measure.ts";
import type { TargetName } from "./targets.ts";
import { makeKnown, publishMany, progress, RECIPIENT, request, SENDER, type World } from "./world.ts";

const INSTANCES = 1000;
const MESSAGES = 100_000;
const PENDING = 20_000;
/** To all of them; of these the receipts are dead when what is dead is measured. */
const BROADCASTS = 20;
const PREFIX = "ours-waits";
/** More than any of these takes. */
const SWEEPS_MAXIMUM = 10_000;

export async function waits(world: World): Promise<Measured> {
  const sender = await world.client(PREFIX, SENDER);
  const recipient = await world.client(PREFIX, RECIPIENT);
  await recipient.touch();
  await sender.changeNamespaceSetting("ack_attempts", 0);
  await sender.changeNamespaceSetting("max_messages", 2 * MESSAGES);
  await publishMany(sender, MESSAGES - PENDING, { type: "NOTIFICATION" });
  await publishMany(sender, PENDING, { ackWithin: 0 });
  progress(`${MESSAGES.toLocaleString("en")} messages`);
  await makeKnown(world, PREFIX, INSTANCES - 1);
  using peer = new Peer({ do: "ping", url: world.url });
  await peer.answer();
  const rows: Row[] = [];
  const measure = async (verb: string, run: () => Promise<unknown>, target: TargetName = "waits"): Promise<void> => {
    peer.send("longest");
    await peer.answer();
    await run();
    peer.send("longest");
    const { microseconds } = await peer.answer<LongestWait>();
    rows.push(row(`PING while: ${verb}`, { ours: single(microseconds) }, { target }));
  };
  const casts: string[] = [];
  const broadcast = async (): Promise<unknown> =>
    casts.push((await sender.publishMessage(request({ to: "all", type: "GENERAL", ackWithin: 60 }))).messageId);
  await measure("publish", () => publishMany(sender, 100, { ackWithin: 0 }));
  await measure(`broadcast to ${INSTANCES}`, () => repeat(BROADCASTS, broadcast), "waitsBroadcast");
  await measure("check of 1,000 new", () => recipient.checkMessages({ pendingOnly: true, limit: 1000 }));
  await measure("check of 1,000", () => recipient.checkMessages({ limit: 1000 }));
  await measure("check of what was sent", () => sender.checkMessages({ from: SENDER }));
  await measure("check by type", () => recipient.checkMessages({ type: "META_CHANGE_REQUEST" }));
  await measure("check of everybody's pending", () => recipient.checkMessages({ all: true, pendingOnly: true }));
  await measure("show of a broadcast", () => sender.showMessage(casts[0]!));
  await measure("ack of 100", () => acknowledge(recipient));
  await measure("notifications of 1,000", () => recipient.getNotifications({ limit: 1000 }));
  await measure("presence", () => recipient.getPresence());
  await measure("stats", () => recipient.getStats());
  await measure("sweep", () => sweepDue(world, sender));
  await measure("sweep to dead", () => sweepDue(world, sender));
  await measure("dead list", () => sender.listDead());
  await measure("dead retry", () => sender.retryDead(casts));
  await measure("export", () => readExport(sender));
  await sender.changeNamespaceSetting("max_messages", MESSAGES);
  await measure("publish that makes room", () => publishMany(sender, 100, { ackWithin: 0 }));
  await measure("forget", () => sender.forgetInstance("instance-1"));
  return { rows };
}

async function repeat(times: number, run: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < times; i++) await run();
}

async function acknowledge(recipient: CoordinationClient): Promise<void> {
  const { messages } = await recipient.checkMessages({ pendingOnly: true, limit: 100 });
  await recipient.ackMessage(messages.map(({ id }) => id));
}

/** Every deadline passes, and is worked off. */
async function sweepDue({ bare }: World, client: CoordinationClient): Promise<void> {
  const key = `${PREFIX}:deadlines`;
  const due = (await bare.call("ZRANGE", key, "0", "-1")) as string[];
  for (const member of due) await bare.call("ZADD", key, "XX", "1", member);
  for (let i = 0; i < SWEEPS_MAXIMUM && (await client.sweep()).more; i++);
}

async function readExport(client: CoordinationClient): Promise<void> {
  for await (const line of client.exportLines()) if (line === "") break;
}
