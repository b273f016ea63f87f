/** What version 0.1.0 has exported, of protocol 1, is taken over whole. */
import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import type { CoordinationClient } from "../../src/index.ts";
import { PREFIX, useRedis } from "../harness.ts";

const bench = useRedis();
beforeAll(() => bench.admitExports());

/** Written by that version: settled, pending, dead, retried and dropped messages, broadcasts, a conversation, comments, events. */
const EXPORT = readFileSync(new URL("../fixtures/export-0.1.0.jsonl", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "");

type Line = Record<string, unknown> & { kind: string };
interface ExportedMessage extends Line {
  id: string;
  fields: Record<string, string>;
  new_for: string[];
}
const lines = EXPORT.map((line) => JSON.parse(line) as Line);
const messages = lines.filter((line): line is ExportedMessage => line.kind === "message");
const head = lines[0] as Line & { meta: Record<string, string> };

async function* streamed(): AsyncGenerator<string> {
  yield* EXPORT;
}

async function imported(): Promise<CoordinationClient> {
  const client = await bench.client("somebody");
  expect(await client.importLines(streamed())).toEqual({
    messages: messages.length,
    restored: messages.length,
    present: 0,
    settings: { ack_attempts: 0, max_messages: 5000, retention_days: 365 },
  });
  return client;
}

test("[G2] every message, receipt, index entry, event and key of an export of 0.1.0 is there after its import", async () => {
  await imported();
  const expected: Record<string, string[]> = { timeline: [], pending: [], dead: [] };
  const add = (name: string, id: string): void => void (expected[name] ??= []).push(id);
  for (const { id, fields, new_for: newFor } of messages) {
    const { to, from, type, thread, requires_ack: asks, recipients = "" } = fields;
    const names = to === "all" ? recipients.split(" ") : [to!];
    const state = (name: string): string =>
      /^\d+ \d/.test(fields[`receipt:${name}`] ?? "") ? "acknowledged" : (fields[`history:${name}`]?.at(-17) ?? "open");
    const open = asks === "1" ? names.filter((name) => !["acknowledged", "x"].includes(state(name))) : [];
    add("timeline", id);
    add(`outbox:${from}`, id);
    add(`type:${type}`, id);
    for (const name of names) add(`inbox:${name}`, id);
    for (const name of newFor) add(`unread:${name}`, id);
    for (const name of open) add(`pending:${name}`, id);
    if (open.some((name) => state(name) !== "d")) add("pending", id);
    else if (open.length > 0) add("dead", id);
    if (thread !== undefined) {
      if (expected[`thread:${thread}`] === undefined) add(`thread:${thread}`, thread);
      add(`thread:${thread}`, id);
    }
    const stored = await bench.raw.hgetall(`${PREFIX}:msg:${id}`);
    expect(stored).toEqual({ ...fields, ...(to === "all" ? { total: String(names.length) } : {}) });
  }
  const held: Record<string, string[]> = {};
  for (const key of await bench.raw.keys(`${PREFIX}:*`)) {
    const name = key.slice(PREFIX.length + 1);
    if (name in expected || /^(timeline$|pending|dead$|inbox|outbox|type|unread|thread)/.test(name)) {
      const ids = await bench.raw.zrange(key, "0", "-1");
      held[name] = name === "dead" ? ids.sort() : ids;
    }
  }
  expect(held).toEqual(expected);
  for (const line of lines) {
    const { kind, instance, key, entry, events } = line as unknown as Record<string, string> & { events: string[] };
    if (kind === "instance") expect(await bench.raw.hget(`${PREFIX}:presence`, instance!)).toBe(entry);
    if (kind === "queue") expect(await bench.raw.lrange(`${PREFIX}:notifications:${instance}`, 0, -1)).toEqual(events);
    if (kind === "key") expect(await bench.raw.get(`${PREFIX}:once:${instance}:${key}`)).toBe(line["message_id"]);
  }
  const meta = await bench.raw.hgetall(`${PREFIX}:meta`);
  expect(meta).toEqual({ ...head.meta, protocol: "2" });
});

test("[G2] what the import brought is read, acknowledged, retried and exported as what was published here", async () => {
  const client = await imported();
  const pending = await client.checkMessages({ all: true, pendingOnly: true });
  expect(pending.messages.map(({ subject }) => subject)).toEqual(
    expect.arrayContaining(["retried", "contract", "pending", "never seen"]),
  );
  const { messages: dead } = await client.listDead();
  const [one, all] = [dead.find(({ subject }) => subject === "dead")!, dead.find(({ to }) => to === "all")!];
  expect([dead.length, one.receipts?.[0]?.state, all.receiptTotals]).toEqual([
    2,
    "dead",
    { recipients: 4, acknowledged: 1, dead: 3, dropped: 0 },
  ]);
  expect((await client.retryDead([one.id])).messages[0]?.receipts?.[0]?.state).toBe("stored");
  const carol = await bench.client("carol");
  expect(await carol.ackMessage(one.id)).toMatchObject({ already: false });
  const again = [];
  for await (const line of client.exportLines()) again.push(JSON.parse(line) as Line);
  const kept = again.filter((line) => line.kind === "message").map((line) => line["id"]);
  expect(kept).toEqual(messages.map(({ id }) => id));
  expect((await client.getStats()).byType).toMatchObject({ NOTIFICATION: 41 });
});
