/** What Redis keeps of a message that is settled: published to one, shown, acknowledged, and every event of it taken. */
import type { CoordinationClient } from "../src/client/client.ts";
import { single } from "./measure.ts";
import { type Measured, type Part, row } from "./report.ts";
import { DESCRIPTION, drain, publishMany, RECIPIENT, SENDER, SUBJECT, type Caller, type World } from "./world.ts";

const PREFIX = "ours-memory";
const MESSAGES = 20_000;
/** First, so that what a server and a namespace take once does not count. */
const WARM_UP_MESSAGES = 1000;
const BATCH = 100;
const SCANNED_AT_ONCE = 1000;

export async function memory(world: World): Promise<Measured> {
  const [sender, recipient] = [await world.client(PREFIX, SENDER), await world.client(PREFIX, RECIPIENT)];
  await recipient.touch();
  const { lasting, firstDay } = await bytesPerMessage(world.bare, sender, recipient, MESSAGES);
  const breakdown = await whereBytesGo(world.bare, lasting);
  const what = "a settled message, beyond its text";
  return {
    rows: [
      row(what, { ours: single(lasting) }, { unit: "bytes", target: "messageMemory", breakdown }),
      row(`${what}, with the idempotency key of its first day`, { ours: single(firstDay) }, { unit: "bytes" }),
    ],
  };
}

/** Beyond its text: what stays, and what its first day takes. */
export async function bytesPerMessage(
  redis: Caller,
  sender: CoordinationClient,
  recipient: CoordinationClient,
  messages: number,
): Promise<Record<"lasting" | "firstDay", number>> {
  const settle = async (count: number): Promise<void> => {
    for (let settled = 0; settled < count; settled += BATCH) {
      const ids = await publishMany(sender, BATCH);
      await recipient.checkMessages({ pendingOnly: true, limit: BATCH });
      await recipient.ackMessage(ids);
      await Promise.all([drain(recipient), drain(sender)]);
    }
  };
  const prefix = sender.session.settings.keyPrefix;
  await settle(WARM_UP_MESSAGES);
  await forgetIdempotencyKeys(redis, prefix);
  const before = await usedBytes(redis);
  await settle(messages);
  const firstDay = await usedBytes(redis);
  await forgetIdempotencyKeys(redis, prefix);
  const lasting = await usedBytes(redis);
  const text = Buffer.byteLength(SUBJECT) + Buffer.byteLength(DESCRIPTION);
  const beyondText = (bytes: number): number => (bytes - before) / messages - text;
  return { lasting: beyondText(lasting), firstDay: beyondText(firstDay) };
}

/** Of the message itself, and its share of each set that it is in. */
async function whereBytesGo(redis: Caller, total: number): Promise<Part[]> {
  const key = (name: string): string => `${PREFIX}:${name}`;
  const usage = async (name: string): Promise<number> =>
    Number(await redis.call("MEMORY", "USAGE", key(name), "SAMPLES", "0"));
  const text = Buffer.byteLength(SUBJECT) + Buffer.byteLength(DESCRIPTION);
  const [newest] = (await redis.call("ZRANGE", key("timeline"), "-1", "-1")) as string[];
  const parts = [{ what: "the hash of the message, without its text", amount: (await usage(`msg:${newest}`)) - text }];
  for (const set of ["timeline", `inbox:${RECIPIENT}`, `outbox:${SENDER}`]) {
    const amount = (await usage(set)) / Number(await redis.call("ZCARD", key(set)));
    if (amount > 0) parts.push({ what: `an entry in ${set}`, amount });
  }
  const rest = total - parts.reduce((sum, part) => sum + part.amount, 0);
  return [...parts, { what: "what is left: its place among all keys, and what the allocator rounds up", amount: rest }];
}

/** As their time does after 24 hours. */
async function forgetIdempotencyKeys(redis: Caller, prefix: string): Promise<void> {
  const found = ["MATCH", `${prefix}:once:*`, "COUNT", String(SCANNED_AT_ONCE)];
  for (let cursor: string | undefined; cursor !== "0";) {
    const [next, keys] = (await redis.call("SCAN", cursor ?? "0", ...found)) as [string, string[]];
    if (keys.length > 0) await redis.call("DEL", ...keys);
    cursor = next;
  }
}

/** Without the buffers of connections, which come and go. */
async function usedBytes(redis: Caller): Promise<number> {
  const info = String(await redis.call("INFO", "memory"));
  const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? NaN);
  return field("used_memory") - field("mem_clients_normal");
}
