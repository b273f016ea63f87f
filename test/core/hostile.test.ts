/** Single values that stopped something for good, or half-way; test/fuzz/values.ts looks for more of their kind. */
import { expect, onTestFinished, test } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import { PREFIX, useRedis } from "../harness.ts";
import { openRedis } from "../raw-redis.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;
const BOUND = { bytes: 7_500, descriptionBytes: 6_000 };
const RUN = { host: "h", agentPid: 1 };

test("[G7] a deadline of nobody does not keep the others from passing", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  await alice.publishMessage({ ...GENERAL, ackWithin: 60 });
  await bench.passDeadlines();
  for (const member of ["", " ", "nobody", "  bob", "\0"]) await bench.raw.zadd(`${PREFIX}:deadlines`, "0", member);
  expect(await bob.sweep()).toMatchObject({ announced: 1 });
  expect(await bench.raw.zrange(`${PREFIX}:deadlines`, "0", "-1")).toHaveLength(1); // its next reminder
});

test.each(["nan", "inf", "-inf", "1e308", "0", "-5", "0x10", "9".repeat(20), "soon", ""])(
  "[G2] settings of %j are as good as none: nothing is refused, taken or hurried by them",
  async (value) => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const names = [
      "retention_days",
      "max_messages",
      "ack_attempts",
      "ack_interval_seconds",
      "presence_timeout_seconds",
    ];
    const usual = await alice.getNamespaceSettings();
    await alice.publishMessage({ ...GENERAL, type: "NOTIFICATION" });
    await bench.raw.hset(
      `${PREFIX}:meta`,
      Object.fromEntries(names.filter((name) => name !== "ack_attempts" || value !== "0").map((name) => [name, value])),
    );
    await alice.publishMessage({ ...GENERAL, ackWithin: 60 });
    await bench.passDeadlines();
    expect(await bob.sweep()).toMatchObject({ announced: 1, removed: 0 });
    const [, next] = await bench.raw.zrange(`${PREFIX}:deadlines`, "0", "0", "WITHSCORES");
    const seconds = Number(next) / 1e6 - Date.now() / 1000;
    // The default interval, and up to a tenth more.
    expect(seconds).toSatisfy((until: number) => until > 290 && until < 331);
    expect(await alice.getNamespaceSettings()).toEqual(usual);
    expect(await alice.getStats()).toMatchObject({ total: 2, pending: 1, settled: 1 });
  },
);

test("[G7] counters that are none stop neither sessions nor loans", async () => {
  const [alice] = await bench.clients("alice");
  for (const value of ["nan", "9223372036854775807", "-7", "x", "1e308"]) {
    await bench.raw.hset(`${PREFIX}:meta`, { sessions: value, loans: value });
    const bob = bench.command("bob");
    await bob.join({ ...RUN, agentPid: value.length });
    await bob.setActivity("at work"); // the number that it was given is its own
    await alice.publishMessage(GENERAL);
    const mail = await new Mailbox(bob).collect("tool", 10, BOUND);
    expect(mail.messages).toHaveLength(1);
    await new Mailbox(bob).confirm(mail);
    const { result, confirm } = await bob.takeNotifications();
    await confirm();
    expect([result.count, await bench.raw.exists(`${PREFIX}:loans:bob`)]).toEqual([0, 0]);
  }
});

test("[G7] what was lent until the year 9999 comes again", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  await alice.publishMessage(GENERAL);
  await new Mailbox(bob).collect("tool", 10, BOUND);
  const [id] = await bench.raw.zrange(`${PREFIX}:loaned:bob`, "0", "-1");
  await bench.raw.zadd(`${PREFIX}:loaned:bob`, "253402300799000000", id!);
  const [event] = await bench.raw.lrange(`${PREFIX}:notifications:bob`, 0, -1);
  await bench.raw.del(`${PREFIX}:notifications:bob`);
  await bench.raw.hset(`${PREFIX}:loans:bob`, {
    1: `253402300799000000 ${JSON.stringify([event, 5, {}])}`,
    2: '1 "x"',
    3: "1 5",
  });
  expect((await new Mailbox(bob).collect("tool", 10, BOUND)).messages).toHaveLength(1);
  expect(await bob.getNotifications()).toMatchObject({ count: 1, notifications: [{ messageId: id }] });
});

test("[G7] a hook shows what is new beside thousands of events that another program wrote", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  await bench.raw.rpush(
    `${PREFIX}:notifications:bob`,
    ...Array.from({ length: 20_000 }, (_, n) => `{"event":"x","n":${n}}`),
  );
  await alice.publishMessage(GENERAL);
  const mail = await new Mailbox(bob).collect("tool", 10, BOUND);
  expect([mail.messages.length, mail.events.length]).toEqual([1, 10]);
});

test("[G2] counts of a message that are none leave no acknowledgement half-way", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  for (const value of ["abc", "nan", "-3", "1e308", "9".repeat(30)]) {
    const { messageId } = await alice.publishMessage({ ...GENERAL, ackWithin: 60 });
    await bench.raw.hset(`${PREFIX}:msg:${messageId}`, {
      dead: value,
      dropped: value,
      "history:bob": "d1700000000000000",
    });
    expect(await bob.ackMessage(messageId)).toMatchObject({ already: false });
    expect(await alice.getStats()).toMatchObject({ pending: 0, dead: 0 });
    expect((await bob.checkMessages({ pendingOnly: true })).count).toBe(0);
  }
});

test("[G2] a dead message that is gone can be dropped, and is pending nowhere after that", async () => {
  const [alice] = await bench.clients("alice", "bob");
  await bench.raw.zadd(`${PREFIX}:dead`, 1, "msg-0000000001");
  expect(await alice.dropDead(["msg-0000000001"])).toMatchObject({ count: 0, unreadable: [{ id: "msg-0000000001" }] });
  expect(await alice.getStats()).toMatchObject({ total: 0, pending: 0, dead: 0 });
  expect(await bench.raw.exists(`${PREFIX}:msg:msg-0000000001`)).toBe(0);
});

test("[G2] retention goes on where its place is lost", async () => {
  const [alice] = await bench.clients("alice", "bob");
  await alice.changeNamespaceSetting("max_messages", 3);
  for (const place of ["msg-zzzzzzzzzz", "nonsense", ""]) {
    await bench.raw.hset(`${PREFIX}:meta`, "retained", place);
    for (let n = 0; n < 6; n++) await alice.publishMessage({ ...GENERAL, type: "NOTIFICATION" });
    expect(await bench.raw.zcard(`${PREFIX}:timeline`)).toBe(3);
  }
});

test("[G6] what is no name in presence is no recipient, and does not hold up the others", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  await bench.raw.hset(`${PREFIX}:presence`, { "a b": "{}", "": "{}", "x\ny": "{}", ["n".repeat(65)]: "{}" });
  const { messageId, recipients } = await alice.publishMessage({ ...GENERAL, to: "all" });
  expect(recipients.map(({ instance }) => instance)).toEqual(["bob"]);
  await bob.ackMessage(messageId);
  expect(await alice.getStats()).toMatchObject({ pending: 0 });
});

test("[G8] a session whose facts are none is superseded and renewed like any other", async () => {
  const facts = [
    '"number":1e308',
    '"number":-1',
    '"number":3,"ids":[1,{}]',
    '"number":3,"agent":[],"host":null,"cwd":{}',
    '"number":3,"pid":1e999',
  ];
  for (const session of facts) {
    await bench.raw.hset(
      `${PREFIX}:presence`,
      "bob",
      `{"last_heartbeat":"${new Date().toISOString()}","left":false,"session":{${session}}}`,
    );
    const [older, newer] = [bench.command("bob"), bench.command("bob")];
    await older.join(RUN);
    await older.setActivity("at work");
    expect(await newer.join({ ...RUN, agentPid: 2 })).toMatchObject({ superseded: { host: "h" } });
    await expect(older.checkMessages()).rejects.toMatchObject({ code: "SUPERSEDED" });
  }
});

test("[G1] [G8] [G11] how a user of another namespace has all scripts write and read JSON changes nothing here", async () => {
  await bench.raw.call("ACL", "SETUSER", "other", "reset", "on", ">x", "~payroll:*", "+eval");
  const other = openRedis({ path: bench.redis.socketPath, username: "other", password: "x" });
  onTestFinished(() => other.disconnect());
  const spoil = (): Promise<unknown> =>
    other.call("EVAL", "cjson.encode_max_depth(1) cjson.decode_max_depth(1) cjson.encode_number_precision(1)", "0");
  const [alice, bob] = [bench.command("alice"), bench.command("bob")];
  await spoil();
  await bob.join({ ...RUN, agentPid: 1234567 });
  await spoil();
  const { messageId } = await alice.publishMessage(GENERAL);
  await spoil();
  const { result, confirm } = await bob.takeNotifications();
  await spoil();
  await confirm();
  expect(result.notifications.map((event) => event.event)).toEqual(["message_published"]);
  await spoil();
  await bob.setActivity("at work");
  await spoil();
  expect((await alice.getPresence()).instances["bob"]!.session).toMatchObject({
    agentPid: 1234567,
    activity: "at work",
  });
  await spoil();
  expect(await alice.getStats()).toMatchObject({ total: 1, pending: 1 });
  await spoil();
  expect((await bob.showMessage(messageId)).messages[0]!.receipts).toMatchObject([
    { instance: "bob", state: "stored" },
  ]);
});
