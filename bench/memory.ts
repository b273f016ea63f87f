/** What Redis keeps of a message that is settled: published to one, shown, acknowledged, and every event of it taken. */
import type { Redis } from "ioredis";
import { inFlight, single } from "./measure.ts";
import { type Measured, row } from "./report.ts";
import { DESCRIPTION, drain, publishMany, RECIPIENT, SENDER, SUBJECT, type World } from "./world.ts";

const PREFIX = "ours-memory";
const MESSAGES = 20_000;
/** First, so that what a server and a namespace take once does not count. */
const WARM_UP_MESSAGES = 1000;
const BATCH = 100;
const SCANNED_AT_ONCE = 1000;

export async function memory(world: World): Promise<Measured> {
  const sender = await world.client(PREFIX, SENDER);
  const recipient = await world.client(PREFIX, RECIPIENT);
  await recipient.touch();
  const settle = async (count: number): Promise<void> => {
    await inFlight(count / BATCH, 1, async () => {
      const ids = await publishMany(sender, BATCH);
      await recipient.checkMessages({ pendingOnly: true, limit: BATCH });
      await recipient.ackMessage(ids);
      await Promise.all([drain(recipient), drain(sender)]);
    });
  };
  await settle(WARM_UP_MESSAGES);
  await forgetIdempotencyKeys(world.bare);
  const before = await usedBytes(world.bare);
  await settle(MESSAGES);
  const withKeys = await usedBytes(world.bare);
  await forgetIdempotencyKeys(world.bare);
  const settled = await usedBytes(world.bare);
  const text = Buffer.byteLength(SUBJECT) + Buffer.byteLength(DESCRIPTION);
  const beyondText = (bytes: number): number => (bytes - before) / MESSAGES - text;
  const what = "a settled message, beyond its text";
  return {
    rows: [
      row(what, { ours: single(beyondText(settled)) }, { unit: "bytes", target: "messageMemory" }),
      row(
        `${what}, with the idempotency key of its first day`,
        { ours: single(beyondText(withKeys)) },
        { unit: "bytes" },
      ),
    ],
  };
}

/** As their time does after 24 hours. */
async function forgetIdempotencyKeys(redis: Redis): Promise<void> {
  for await (const keys of redis.scanStream({ match: `${PREFIX}:once:*`, count: SCANNED_AT_ONCE })) {
    if ((keys as string[]).length > 0) await redis.del(...(keys as string[]));
  }
}

/** Without the buffers of connections, which come and go. */
async function usedBytes(redis: Redis): Promise<number> {
  const info = await redis.info("memory");
  const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? NaN);
  return field("used_memory") - field("mem_clients_normal");
}
