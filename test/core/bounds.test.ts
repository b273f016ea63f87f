/** [G12] What concerns many messages × many recipients is done in steps, and comes to the same as in one. */
import { beforeAll, expect, test } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import type { CoordinationClient } from "../../src/index.ts";
import { SCRIPTS } from "../../src/store/scripts.ts";
import { PREFIX, useRedis } from "../harness.ts";

const bench = useRedis();
beforeAll(() => bench.admitExports());
const ASK = { type: "GENERAL", subject: "s", description: "d", to: "all", ackWithin: 60 } as const;
const CROWD = 450;
const names = Array.from({ length: CROWD }, (_, n) => `i${String(n).padStart(3, "0")}`);

async function crowd(): Promise<CoordinationClient> {
  const [alice] = await bench.clients("alice");
  await bench.seen(Object.fromEntries(names.map((name) => [name, 0])));
  await alice.changeNamespaceSetting("ack_attempts", 0);
  return alice;
}

async function sweepAll(client: CoordinationClient): Promise<void> {
  while ((await client.sweep()).more);
}

/** Of so many broadcasts all receipts are dead. */
async function dead(alice: CoordinationClient, count: number): Promise<string[]> {
  const ids = [];
  for (let n = 0; n < count; n++) ids.push((await alice.publishMessage(ASK)).messageId);
  for (let n = 0; n < 2; n++) {
    await bench.passDeadlines();
    await sweepAll(alice);
  }
  return ids;
}

const histories = async (id: string): Promise<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const [field, value] of Object.entries(await bench.raw.hgetall(`${PREFIX}:msg:${id}`))) {
    if (!field.startsWith("history:")) continue;
    const letters = value.replaceAll(/\d+/g, "").replaceAll(" ", "");
    counts[letters] = (counts[letters] ?? 0) + 1;
  }
  return counts;
};

test("[G12] a deadline that passes for many is worked off in steps, each recipient once", async () => {
  const alice = await crowd();
  const { messageId } = await alice.publishMessage(ASK);
  await bench.passDeadlines();
  expect(await alice.sweep()).toMatchObject({ told: 1, more: true });
  expect(await histories(messageId)).toEqual({ t: 50 });
  await sweepAll(alice);
  expect(await histories(messageId)).toEqual({ t: CROWD });
  expect(await bench.raw.hget(`${PREFIX}:msg:${messageId}`, "looked")).toBeNull();
  expect(await bench.raw.zcard(`${PREFIX}:deadlines`)).toBe(CROWD);
});

test("[G12] dead broadcasts are listed, retried and dropped whole, however many steps that takes", async () => {
  const alice = await crowd();
  const ids = await dead(alice, 3);
  const totals = { recipients: CROWD, acknowledged: 0, dead: CROWD, dropped: 0 };
  const listed = await alice.listDead();
  expect(listed.messages.map(({ id, receipts, receiptTotals }) => [id, receipts?.length, receiptTotals])).toEqual(
    ids.map((id) => [id, 50, totals]),
  );
  const retried = await alice.retryDead(ids.slice(0, 2));
  expect(retried.messages.map(({ id, receiptTotals }) => [id, receiptTotals])).toEqual(
    ids.slice(0, 2).map((id) => [id, { ...totals, dead: 0 }]),
  );
  for (const id of ids.slice(0, 2)) expect(await histories(id)).toEqual({ tdr: CROWD });
  const dropped = await alice.dropDead([ids[2]!]);
  expect(dropped.messages.map(({ receiptTotals }) => receiptTotals)).toEqual([{ ...totals, dead: 0, dropped: CROWD }]);
  const { pending, dead: left } = await alice.getStats();
  expect([pending, left]).toEqual([2, 0]);
});

test("[G12] a retry that was interrupted leaves the rest dead, and is taken up by the next", async () => {
  const alice = await crowd();
  const [id] = await dead(alice, 1);
  const step = JSON.parse(
    (await bench.raw.eval(
      await SCRIPTS.dead.text(),
      1,
      `${PREFIX}:meta`,
      "alice",
      "",
      "retry",
      "0",
      "",
      "orchestrator",
      id!,
    )) as string,
  ) as object;
  expect(step).toMatchObject({ messages: [], cursor: "0 50" });
  expect(await histories(id!)).toEqual({ tdr: 50, td: CROWD - 50 });
  expect(await alice.getStats()).toMatchObject({ pending: 1, dead: 0 });
  await alice.retryDead([id!]);
  expect(await histories(id!)).toEqual({ tdr: CROWD });
});

test("[G12] one's own broadcasts are listed with numbers and with who is missing", async () => {
  const alice = await crowd();
  const ids = [];
  for (let n = 0; n < 30; n++) ids.push((await alice.publishMessage({ ...ASK, requiresAck: true })).messageId);
  const last = ids.at(-1)!;
  for (const name of names.slice(0, CROWD - 1)) await bench.command(name).ackMessage(last);
  const { messages, more } = await alice.checkMessages({ from: "alice" });
  expect([messages.map(({ id }) => id), more]).toEqual([ids.toReversed(), false]);
  expect(messages[0]?.receipts?.map(({ instance }) => instance)).toHaveLength(1);
  expect(messages[0]?.receiptTotals).toEqual({ recipients: CROWD, acknowledged: CROWD - 1, dead: 0, dropped: 0 });
  expect(messages[1]?.receipts).toHaveLength(50);
});

test("[G12] a list of 1,000 new messages comes whole, in steps, each marked once", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  const request = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;
  const sent = await Promise.all(Array.from({ length: 1000 }, () => alice.publishMessage(request)));
  const ids = sent.map(({ messageId }) => messageId).sort();
  const result = await bob.checkMessages({ pendingOnly: true, limit: 1000 });
  expect([result.messages.map(({ id }) => id), result.more]).toEqual([ids, false]);
  expect(await bench.raw.exists(`${PREFIX}:unread:bob`)).toBe(0);
  const back = await bob.checkMessages({ limit: 1000 });
  expect([back.messages.map(({ id }) => id), back.nextSince]).toEqual([ids.toReversed(), ids.at(-1)]);
});

test("[G12] a broadcast to many is exported and imported whole, also after an interruption", async () => {
  const alice = await crowd();
  const { messageId } = await alice.publishMessage(ASK);
  for (const name of names.slice(0, 10)) await bench.command(name).ackMessage(messageId, { comment: "done" });
  await bench.command(names[20]).checkMessages();
  const before = await bench.state();
  const lines: string[] = [];
  for await (const line of alice.exportLines()) lines.push(line);
  await bench.raw.flushall();
  const importing = await bench.client("alice");
  // The first step of the message only, as of an import that ended there.
  const message = JSON.parse(lines.find((line) => line.includes('"kind":"message"'))!) as {
    id: string;
    fields: Record<string, string>;
    new_for: string[];
  };
  const first = Object.entries(message.fields).filter(([name]) => !/^(receipt|history):i[1-4]/.test(name));
  const args = ["alice", "", "message", message.id, message.new_for.join(" "), "0", ...first.flat()];
  expect(await bench.raw.eval(await SCRIPTS.restore.text(), 1, `${PREFIX}:meta`, ...args)).toBe("100");
  async function* streamed(): AsyncGenerator<string> {
    yield* lines;
  }
  expect(await importing.importLines(streamed())).toEqual({
    messages: 1,
    restored: 1,
    present: 0,
    settings: { ack_attempts: 0 },
  });
  const after = await bench.state();
  for (const name of Object.keys(before)) {
    if (name === "deadlines" || name === "imported") continue;
    expect([name, after[name]]).toEqual([name, before[name]]);
  }
  expect(await bench.raw.zcard(`${PREFIX}:deadlines`)).toBe(CROWD - 10);
});

test("[G12] presence and figures of thousands come in pages, each instance once", async () => {
  const [alice] = await bench.clients("alice");
  const entry = JSON.stringify({ last_heartbeat: new Date().toISOString(), left: false, session: {} });
  const many = Array.from({ length: 5000 }, (_, n) => `i${n}`);
  await bench.raw.hset(`${PREFIX}:presence`, Object.fromEntries(many.map((name) => [name, entry])));
  const expected = [...many, "alice"].sort();
  expect(Object.keys((await alice.getPresence()).instances)).toEqual(expected);
  expect(Object.keys((await alice.getStats()).instances)).toEqual(expected);
});

const event = (n: number): string => JSON.stringify({ event: "note", count: n });
const counts = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n);
const inQueue = async (): Promise<(number | string)[]> =>
  (await bench.raw.lrange(`${PREFIX}:notifications:bob`, 0, -1)).map((text) => {
    const { event: name, count } = JSON.parse(text) as { event: string; count: number };
    return name === "note" ? count : `${name} ${count}`;
  });

/** How often Redis ran each of these commands meanwhile, those of scripts included. */
async function calls(commands: readonly string[], work: () => Promise<unknown>): Promise<Record<string, number>> {
  await bench.raw.config("RESETSTAT");
  await work();
  const stats = await bench.raw.info("commandstats");
  const count = (name: string): number =>
    Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, "m").exec(stats)?.[1] ?? 0);
  return Object.fromEntries(commands.map((name) => [name, count(name)]));
}

test("[G7] [G12] no more is out on loan than a queue holds; what comes back keeps the queue at its bound, and says so", async () => {
  const [bob] = await bench.clients("bob");
  const queue = `${PREFIX}:notifications:bob`;
  await bench.raw.rpush(queue, ...counts(0, 1000).map(event));
  const first = await bob.takeNotifications({ limit: 600 });
  const second = await bob.takeNotifications({ limit: 300 });
  await bench.raw.rpush(queue, ...counts(1000, 1800).map(event));
  const third = await bob.takeNotifications({ limit: 1000 });
  const fourth = await bob.takeNotifications({ limit: 1000 });
  expect([first, second, third, fourth].map(({ result }) => [result.count, result.remaining])).toEqual([
    [600, 400],
    [300, 100],
    [100, 800],
    [0, 800],
  ]);
  expect((await new Mailbox(bob).collect("turn", 10, { bytes: 0, descriptionBytes: 0 })).events).toEqual([]);
  await second.confirm();
  const join = async (): Promise<unknown> => bench.command("bob").join({ id: "newer", agent: "a", host: "h" });
  // All loans come back, with one write each of the queue and of the loans.
  expect(await calls(["lpush", "hdel", "lpop"], join)).toEqual({ lpush: 2, hdel: 1, lpop: 1 });
  expect(await inQueue()).toEqual(["events_skipped 501", ...counts(501, 600), ...counts(900, 1800)]);
  expect(await bench.raw.exists(`${PREFIX}:loans:bob`)).toBe(0);
});

test("[G12] of a full queue an agent that did not ask is shown the first, and the rest keeps its order", async () => {
  const [bob] = await bench.clients("bob");
  await bench.raw.rpush(`${PREFIX}:notifications:bob`, ...counts(0, 1000).map(event));
  const mail = await new Mailbox(bob).collect("turn", 10, { bytes: 0, descriptionBytes: 0 });
  expect(mail.events.map(({ count }) => count)).toEqual(counts(0, 10));
  expect(await inQueue()).toEqual(counts(10, 1000));
});

test("[G12] what stands behind a thousand messages that wait is shown before them, with two writes of the queue", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  const mailbox = new Mailbox(bob);
  for (let n = 0; n < 4; n++) await alice.publishMessage({ ...ASK, to: "bob" });
  const published = await bench.raw.lrange(`${PREFIX}:notifications:bob`, 0, -1);
  const many = Array.from({ length: 249 }, () => published).flat();
  await bench.raw.del(`${PREFIX}:notifications:bob`);
  await bench.raw.rpush(`${PREFIX}:notifications:bob`, ...many, event(1), event(2));
  const collect = async (): Promise<unknown> => {
    const mail = await mailbox.collect("turn", 1, { bytes: 0, descriptionBytes: 0 });
    expect(mail.events.map(({ count }) => count)).toEqual([1]);
    return mailbox.confirm(mail, 0);
  };
  expect(await calls(["lpush", "ltrim", "rpush", "lrem"], collect)).toEqual({ lpush: 1, ltrim: 1, rpush: 0, lrem: 0 });
  expect(await bench.raw.lrange(`${PREFIX}:notifications:bob`, 0, -1)).toEqual([...many, event(2)]);
});

test("[G12] a queue longer than any that was exported is refused, and nothing of it put back", async () => {
  const [bob] = await bench.clients("bob");
  const before = await bench.state();
  const args = ["bob", "", "queue", "bob", "export", ...counts(0, 2001).map(event)];
  await expect(bench.raw.eval(await SCRIPTS.restore.text(), 1, `${PREFIX}:meta`, ...args)).rejects.toThrow(
    "INVALID The queue of bob has 2001 events, more than the 2000 that export writes.",
  );
  expect(await bench.state()).toEqual(before);
  await bob.touch();
});
