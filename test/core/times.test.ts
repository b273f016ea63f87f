/** How long messages take, from what the namespace holds: p50 and p95 of seeded data, by hour, type and instance. */
import { expect, test } from "vitest";
import { prometheusText } from "../../src/client/metrics.ts";
import { measureTimes } from "../../src/client/times.ts";
import { ON_CLUSTER, PREFIX, useRedis } from "../harness.ts";

const bench = useRedis();
const HOUR_MS = 3_600_000;

/** So many messages from alice, each an hour-part apart; of each recipient after how many seconds it saw and answered it. */
async function seed(
  messages: readonly { to: string; type?: string; minutesAgo: number; receipts: Record<string, [number, number?]> }[],
): Promise<void> {
  const writes = messages.flatMap(({ to, type = "GENERAL", minutesAgo, receipts }, i) => {
    const stamp = (Date.now() - minutesAgo * 60_000) * 1000;
    const id = `msg-${String(i).padStart(10, "0")}`;
    const at = (seconds: number): string => String(stamp + seconds * 1_000_000);
    const fields = Object.entries(receipts).flatMap(([name, [presented, acknowledged]]) => [
      `receipt:${name}`,
      acknowledged === undefined ? at(presented) : `${at(presented)} ${at(acknowledged)}`,
    ]);
    const names = to === "all" ? ["recipients", Object.keys(receipts).join(" ")] : [];
    return [
      ["HSET", `${PREFIX}:msg:${id}`, "id", id, "type", type, "from", "alice", "to", to, "subject", "s"],
      ["HSET", `${PREFIX}:msg:${id}`, "description", "d", "requires_ack", "1", ...names, ...fields],
      ["ZADD", `${PREFIX}:timeline`, String(stamp), id],
    ];
  });
  await Promise.all(writes.map(([command, ...args]) => bench.raw.call(command!, ...args)));
}

test("p50 and p95 are those of the data, by nearest rank, together and by recipient", async () => {
  // Shown after 1 to 100 seconds; every second one is answered after twice as long.
  await seed(
    Array.from({ length: 100 }, (_, i) => ({
      to: i < 50 ? "bob" : "carol",
      minutesAgo: 5,
      receipts: { [i < 50 ? "bob" : "carol"]: i % 2 === 0 ? [i + 1, 2 * (i + 1)] : ([i + 1] as [number]) },
    })),
  );
  const client = bench.command("operator");
  const times = await bench.changes(async () => {
    expect(await measureTimes(client)).toMatchObject({
      messages: 100,
      more: false,
      presented: { count: 100, p50: 50, p95: 95 },
      acknowledged: { count: 50, p50: 98, p95: 190 },
      instances: {
        bob: { presented: { count: 50, p50: 25, p95: 48 }, acknowledged: { count: 25, p50: 50, p95: 94 } },
        carol: { presented: { count: 50, p50: 75, p95: 98 }, acknowledged: { count: 25, p50: 150, p95: 194 } },
      },
    });
  });
  expect(times).toEqual({});
});

test("a broadcast counts for each recipient; what nobody has seen counts as no time; by hour and type", async () => {
  await seed([
    { to: "all", type: "NOTIFICATION", minutesAgo: 200, receipts: { bob: [10], carol: [30] } },
    { to: "bob", minutesAgo: 100, receipts: {} },
    { to: "bob", minutesAgo: 100, receipts: { bob: [20, 40] } },
    { to: "bob", minutesAgo: 60 * 30, receipts: { bob: [1000, 1000] } }, // before the hours that are asked for
  ]);
  const hourOf = (minutes: number): string =>
    new Date(Math.floor((Date.now() - minutes * 60_000) / HOUR_MS) * HOUR_MS).toISOString();
  const { since: _since, ...times } = await measureTimes(bench.command("operator"), 24);
  expect(times).toEqual({
    messages: 3,
    more: false,
    hours: [
      { hour: hourOf(200), byType: { NOTIFICATION: 1 } },
      { hour: hourOf(100), byType: { GENERAL: 2 } },
    ],
    presented: { count: 3, p50: 20, p95: 30 },
    acknowledged: { count: 1, p50: 40, p95: 40 },
    instances: {
      bob: { presented: { count: 2, p50: 10, p95: 20 }, acknowledged: { count: 1, p50: 40, p95: 40 } },
      carol: { presented: { count: 1, p50: 30, p95: 30 }, acknowledged: { count: 0, p50: null, p95: null } },
    },
  });
});

test("an empty namespace has no times, and hours have limits", async () => {
  const client = bench.command("operator");
  const none = { count: 0, p50: null, p95: null };
  expect(await measureTimes(client)).toEqual({
    since: null,
    messages: 0,
    more: false,
    hours: [],
    presented: none,
    acknowledged: none,
    instances: {},
  });
  for (const hours of [0, 169, 1.5])
    await expect(measureTimes(client, hours)).rejects.toMatchObject({ code: "INVALID" });
});

test("what other programs have written into it is passed over", async () => {
  await bench.raw.zadd(`${PREFIX}:timeline`, String(Date.now() * 1000), "msg-gone000000");
  await bench.raw.call("SET", `${PREFIX}:msg:msg-text000000`, "x");
  await bench.raw.zadd(`${PREFIX}:timeline`, String(Date.now() * 1000 + 1), "msg-text000000");
  await seed([{ to: "bob", type: "OTHER", minutesAgo: 1, receipts: { bob: [-5] } }]);
  expect(await measureTimes(bench.command("operator"))).toMatchObject({
    messages: 1,
    presented: { count: 1, p50: 0, p95: 0 },
  });
});

test("[G12] of many messages the newest 20,000 with their recipients are looked at, in short steps, and it is said", async () => {
  if (ON_CLUSTER) return;
  const fill = `for i = 1, 12000 do
    local stamp = string.format('%.0f', ARGV[1] - i)
    local id = 'msg-' .. string.format('%010d', i)
    redis.call('HSET', KEYS[1] .. ':msg:' .. id, 'type', 'GENERAL', 'to', 'bob', 'requires_ack', '0', 'receipt:bob', stamp)
    redis.call('ZADD', KEYS[1] .. ':timeline', stamp, id)
  end`;
  await bench.raw.call("EVAL", fill, "1", PREFIX, String(Date.now() * 1000));
  const times = await measureTimes(bench.command("operator"));
  expect(times).toMatchObject({ messages: 10_000, more: true, presented: { count: 10_000, p50: 0 } });
});

test("Prometheus reads counts, presence, needs and times; its labels are names and words, and no text of a message", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  const request = { type: "GENERAL", subject: 'a "secret" subject', description: "d" } as const;
  const { messageId } = await alice.publishMessage({ ...request, to: "bob" });
  await alice.publishMessage({ ...request, to: "operator" });
  await bob.checkMessages();
  await bob.ackMessage(messageId);
  const text = await prometheusText(alice.session.settings);
  expect(text).not.toContain("secret");
  const lines = text.split("\n").filter((line) => /^\w/.test(line));
  const values = Object.fromEntries(lines.map((line) => line.split(/ (?=[^ ]+$)/)));
  expect(values).toMatchObject({
    'coord_messages{state="pending"}': "1",
    'coord_messages{state="dead"}': "0",
    'coord_messages{state="settled"}': "1",
    'coord_published_total{type="GENERAL"}': "2",
    'coord_published_total{type="META_CHANGE_REQUEST"}': "0",
    'coord_instances{status="active"}': "2",
    'coord_instance_pending{instance="bob"}': "0",
    'coord_needs{kind="addressed"}': "1",
  });
  expect(Number(values['coord_presented_seconds{quantile="0.95"}'])).toBeGreaterThanOrEqual(0);
  expect(text).toMatch(
    /^(?:# HELP \w+ .+\n# TYPE \w+ (?:gauge|counter)\n(?:\w+(?:\{\w+="[^"\\]*"\})? [\d.e+-]+\n)*)+$/,
  );
});
