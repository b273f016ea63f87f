import { describe, expect, test } from "vitest";
import { SCRIPTS } from "../../src/store/scripts.ts";
import { PREFIX, refused, until, useRedis } from "../harness.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;
const PRESENCE = `${PREFIX}:presence`;

const heartbeatOf = async (name: string): Promise<string> =>
  (JSON.parse((await bench.raw.hget(PRESENCE, name))!) as { last_heartbeat: string }).last_heartbeat;

describe("status", () => {
  test("it follows from the age of the heartbeat; every instance is listed with what it has pending", async () => {
    await bench.seen({
      fresh: 20,
      almost: 280,
      stale: 320,
      older: 880,
      offline: 920,
      ancient: 9_000_000,
      future: -5000,
    });
    await bench.seen({ departed: 20 }, true);
    const alice = await bench.client("alice");
    await alice.publishMessage({ ...GENERAL, to: "stale" });
    await alice.publishMessage({ ...GENERAL, to: "stale", requiresAck: false });
    await alice.publishMessage({ ...GENERAL, to: "all" });
    const { instances } = await bench.command(undefined).getPresence();
    expect(Object.keys(instances)).toEqual(Object.keys(instances).sort());
    const rows = Object.values(instances).map(({ instanceId, status, pending }) => [instanceId, status, pending]);
    expect(rows).toEqual([
      ["alice", "active", 0],
      ["almost", "active", 1],
      ["ancient", "offline", 0],
      ["departed", "offline", 1],
      ["fresh", "active", 1],
      ["future", "active", 1],
      ["offline", "offline", 1],
      ["older", "stale", 1],
      ["stale", "stale", 2],
    ]);
    const seconds = (name: string): number => instances[name]!.secondsSinceHeartbeat!;
    expect([seconds("future"), Math.floor(seconds("fresh") / 20), Math.floor(seconds("stale") / 20)]).toEqual([
      0, 1, 16,
    ]);
    expect(await bench.plain(instances["fresh"])).toEqual({
      instanceId: "fresh",
      status: "active",
      doing: "away",
      lastHeartbeat: "<time>",
      secondsSinceHeartbeat: expect.any(Number),
      session: {},
      pending: 1,
      guests: 0,
    });
  });

  test("the timeout is the reader's setting: its third multiple is offline", async () => {
    await bench.seen({ a: 50, b: 150, c: 350 });
    const status = async (options: object): Promise<string[]> => {
      const { instances } = await bench.command(undefined, options).getPresence();
      return Object.values(instances).map((instance) => instance.status);
    };
    expect(await status({ presenceTimeoutSeconds: 100 })).toEqual(["active", "stale", "offline"]);
    expect(await status({ env: { COORD_PRESENCE_TIMEOUT_SECONDS: "200" } })).toEqual(["active", "active", "stale"]);
    expect(await status({})).toEqual(["active", "active", "stale"]);
  });

  test("facts of the session come along; the empty namespace has nobody", async () => {
    expect(await bench.command(undefined).getPresence()).toEqual({ instances: {} });
    const session = { id: "s1", host: "h", pid: 7, cwd: "/x" };
    const entry = { last_heartbeat: new Date().toISOString(), left: false, session, newer: 1 };
    await bench.raw.hset(PRESENCE, "bob", JSON.stringify(entry));
    const { instances } = await bench.command(undefined).getPresence();
    expect(instances["bob"]).toMatchObject({ status: "active", session });
  });

  test("a broken entry is reported while the rest is listed, and its instance still gets broadcasts", async () => {
    const broken = { b1: "{", b2: "null", b3: "[]", b4: "5", b5: '{"last_heartbeat":"soon"}', b6: "", b7: "{}" };
    await bench.raw.hset(PRESENCE, broken);
    await bench.raw.hset(PRESENCE, "b8", '{"last_heartbeat":"2020-01-01T00:00:00.000Z","left":"yes","session":[1]}');
    const [alice] = await bench.clients("alice");
    const { instances } = await alice.getPresence();
    for (const name of Object.keys(broken)) {
      expect(instances[name]).toEqual({
        instanceId: name,
        status: "unknown",
        doing: "away",
        guests: 0,
        lastHeartbeat: null,
        secondsSinceHeartbeat: null,
        session: {},
        pending: 0,
        unreadable: expect.any(String),
      });
    }
    expect(instances["b8"]).toMatchObject({ status: "offline", session: {} });
    expect(instances["alice"]).toMatchObject({ status: "active" });
    const { recipients } = await alice.publishMessage({ ...GENERAL, to: "all" });
    expect(recipients.map(({ instance }) => instance)).toEqual(Object.keys(broken));
  });

  test("whatever others wrote as a name, as an entry or in the place of pending messages, each instance keeps its own", async () => {
    const names = ["__proto__", "constructor", "7", "", 'a"b', "a\\b", "a\nb\0c", "a,b", "\u2028é😀", "];[", "\uFFFD"];
    const entry = (name: string): string =>
      JSON.stringify({ last_heartbeat: new Date().toISOString(), left: false, session: { id: name } });
    for (const name of names) await bench.raw.hset(PRESENCE, name, entry(name));
    // Together they would be valid JSON.
    await bench.raw.hset(PRESENCE, { whole1: '{"a":[1', whole2: '2]},{"a":1' });
    await bench.raw.hset(PRESENCE, Buffer.from([0x63, 0xe2, 0x82]), entry("cut")); // ends within a character
    await bench.raw.set(`${PREFIX}:pending:constructor`, "x");
    await bench.raw.zadd(`${PREFIX}:pending:a,b`, 1, "m1", 2, "m2");
    const { instances } = await bench.command(undefined).getPresence();
    expect(Object.getPrototypeOf(instances)).toBe(Object.prototype);
    const seen = Object.values(instances).map(({ instanceId, session, pending }) => [instanceId, session.id, pending]);
    const expected = names.map((name) => [name, name, name === "a,b" ? 2 : 0]);
    expected.push(["c\uFFFD", "cut", 0], ["whole1", undefined!, 0], ["whole2", undefined!, 0]);
    expect(new Map(seen.map((each) => [each[0], each]))).toEqual(new Map(expected.map((each) => [each[0], each])));
    expect(seen.length).toBe(expected.length);
    for (const name of [...names, "c\uFFFD"]) expect(Object.hasOwn(instances, name)).toBe(true);
  });
});

describe("a command keeps the presence of its caller", () => {
  test("every operation of a named instance makes it known, those without a name nobody", async () => {
    const { messageId } = await (await bench.client("alice")).publishMessage({ ...GENERAL, to: "bob" });
    const operations: [string, (name: string | undefined) => Promise<unknown>][] = [
      ["touch", (name) => bench.command(name).touch()],
      ["publish", (name) => bench.command(name).publishMessage({ ...GENERAL, to: "bob" })],
      ["check", (name) => bench.command(name).checkMessages()],
      ["show", (name) => bench.command(name).showMessage(messageId)],
      ["notifications", (name) => bench.command(name).getNotifications()],
      ["presence", (name) => bench.command(name).getPresence()],
      ["stats", (name) => bench.command(name).getStats()],
    ];
    for (const [name, run] of operations) {
      await bench.raw.del(PRESENCE);
      await run(name);
      const entry = { last_heartbeat: "<time>", left: false, session: {} };
      expect((await bench.state())["presence"]).toEqual({ [name]: entry });
    }
    await bench.raw.del(PRESENCE);
    await bench.command("bob").ackMessage(messageId);
    expect(Object.keys(await bench.raw.hgetall(PRESENCE))).toEqual(["bob"]);
    await bench.raw.del(PRESENCE);
    for (const name of ["show", "presence", "stats"]) {
      await operations.find(([operation]) => operation === name)![1](undefined);
    }
    expect(await bench.raw.exists(PRESENCE)).toBe(0);
  });

  test("without a name every operation that speaks or reads for an instance is refused and says how to set one", async () => {
    const nobody = bench.command(undefined);
    for (const call of [
      nobody.touch(),
      nobody.publishMessage({ ...GENERAL, to: "bob" }),
      nobody.checkMessages(),
      nobody.ackMessage("x"),
      nobody.getNotifications(),
      nobody.events().next(),
      nobody.waitForMessages(),
    ]) {
      const refusal = await refused(call);
      expect(refusal).toMatchObject({ code: "IDENTITY", hint: expect.stringContaining("CLAUDE_INSTANCE_ID") });
    }
    expect(await bench.state()).toEqual({});
  });

  test.each([
    { age: 0, written: false },
    { age: 30, written: true },
    { age: -30, written: true },
  ])("a heartbeat of $age s ago is written anew: $written", async ({ age, written }) => {
    await until(async () => Date.now() % 1000 < 500); // both in the same second
    await bench.seen({ bob: age });
    const before = await heartbeatOf("bob");
    await bench.command("bob").touch();
    expect((await heartbeatOf("bob")) !== before).toBe(written);
    expect(Math.abs(Date.now() - Date.parse(await heartbeatOf("bob")))).toBeLessThan(60_000);
  });

  test("facts of the session survive it, and what is of a newer version", async () => {
    const rest = '"left":false,"session":{"pid":7,"cwd":"/%1x"},"newer":[1]}';
    await bench.raw.hset(PRESENCE, "bob", `{"last_heartbeat":"2020-01-01T00:00:00.000Z",${rest}`);
    await bench.command("bob").touch();
    const entry = await bench.raw.hget(PRESENCE, "bob");
    expect(entry?.endsWith(rest)).toBe(true);
    expect(entry).not.toContain("2020-01-01");
  });

  test("[G8] who was registered and has no session is active with its first command", async () => {
    const bob = bench.command("bob");
    await bob.registerInstance();
    const alice = bench.command("alice");
    expect((await alice.getPresence()).instances["bob"]?.status).toBe("offline");
    await bob.touch();
    expect((await alice.getPresence()).instances["bob"]?.status).toBe("active");
  });

  test("who left is not revived by a command", async () => {
    await bench.seen({ bob: 100 }, true);
    const bob = bench.command("bob");
    const before = await bench.raw.hget(PRESENCE, "bob");
    await bob.touch();
    await bob.checkMessages();
    await bob.publishMessage({ ...GENERAL, to: "alice" });
    expect(await bench.raw.hget(PRESENCE, "bob")).toBe(before);
    expect((await bob.getPresence()).instances["bob"]).toMatchObject({ status: "offline" });
  });
});

describe("forget", () => {
  test("it takes an instance out of presence and broadcasts, keeps its messages, and lets it come back", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    const changed = await bench.changes(async () => {
      expect(await alice.forgetInstance("bob")).toEqual({ instance: "bob", pending: 1 });
    });
    const dead = { event: "message_dead", message_id: "m1", type: "GENERAL", from: "alice", to: "bob", subject: "s" };
    expect(changed).toEqual({
      forgotten: ["bob scored <time>"],
      "msg:m1": expect.objectContaining({ dead: "0", dropped: "1", "history:bob": "f<time>" }),
      "notifications:alice": [
        {
          ...dead,
          requires_ack: false,
          timestamp: "<time>",
          waiting_seconds: 0,
          instances: ["bob"],
          instances_total: 1,
        },
      ],
      pending: undefined,
      "pending:bob": undefined,
      presence: { alice: { last_heartbeat: "<time>", left: false, session: {} } },
    });
    expect((await alice.publishMessage({ ...GENERAL, to: "all" })).recipients).toEqual([]);
    expect(await refused(alice.publishMessage({ ...GENERAL, to: "bob" }))).toMatchObject({
      code: "NOT_FOUND",
      message: 'to is "bob": that instance was forgotten.',
    });
    const [shown] = (await alice.checkMessages({ from: "alice" })).messages.slice(-1);
    expect(await bench.plain(shown?.receipts)).toEqual([
      {
        instance: "bob",
        state: "dead",
        reason: "bob was forgotten.",
        history: [{ step: "forgotten", timestamp: "<time>" }],
      },
    ]);
    expect((await bob.checkMessages()).count).toBe(1);
    const { recipients } = await alice.publishMessage({ ...GENERAL, to: "all" });
    expect(recipients).toEqual([{ instance: "bob", presence: "active" }]);
  });

  test("[G12] it goes in steps of 100 messages, and goes on where it was interrupted", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const publish = async (): Promise<string> => (await alice.publishMessage({ ...GENERAL, to: "bob" })).messageId;
    const ids = await Promise.all(Array.from({ length: 450 }, publish));
    const meta = `${PREFIX}:meta`;
    const step = (await bench.raw.eval(await SCRIPTS.forget.text(), 1, meta, "bob", "")) as string;
    expect(JSON.parse(step)).toEqual({ pending: 100, more: true, seen: false });
    expect(await refused(alice.publishMessage({ ...GENERAL, to: "bob" }))).toMatchObject({ code: "NOT_FOUND" });
    expect(await alice.forgetInstance("bob")).toEqual({ instance: "bob", pending: 350 });
    expect(await bench.raw.exists(`${PREFIX}:pending`, `${PREFIX}:pending:bob`, `${PREFIX}:dead`)).toBe(0);
    expect(await bob.ackMessage(ids[0]!)).toMatchObject({ already: false });
  });

  test("--unseen: all that were not seen for so long, and nobody else", async () => {
    const [alice] = await bench.clients("alice");
    await bench.seen({ bob: 100, carol: 1000, dave: 2000 });
    await alice.publishMessage({ ...GENERAL, to: "carol" });
    expect(await alice.forgetUnseen(500)).toEqual({
      forgotten: [
        { instance: "carol", pending: 1 },
        { instance: "dave", pending: 0 },
      ],
    });
    expect(Object.keys((await alice.getPresence()).instances)).toEqual(["alice", "bob"]);
    expect(await refused(alice.forgetUnseen(0))).toMatchObject({ code: "INVALID" });
  });

  test("who was never seen is NOT_FOUND, what is no name INVALID, and nothing changes", async () => {
    const [alice] = await bench.clients("alice");
    const before = await bench.state();
    expect(await refused(alice.forgetInstance("ghost"))).toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringContaining("ghost"),
    });
    expect(await refused(alice.forgetInstance("a b"))).toMatchObject({ code: "INVALID" });
    expect(await bench.state()).toEqual(before);
  });
});

describe("stats", () => {
  test("totals, types and instances are counted", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    await alice.publishMessage({ ...GENERAL, to: "all" });
    await bob.publishMessage({ ...GENERAL, type: "NOTIFICATION", to: "alice" });
    await bob.ackMessage(messageId);
    expect(await bench.plain(await bench.command(undefined).getStats())).toEqual({
      total: 3,
      pending: 1,
      dead: 0,
      settled: 2,
      byType: { GENERAL: 2, NOTIFICATION: 1 },
      oldestPending: { id: "m2", timestamp: "<time>" },
      instances: {
        alice: { inbox: 1, outbox: 2, pending: 0, unread: 1, notifications: 2 },
        bob: { inbox: 2, outbox: 1, pending: 1, unread: 1, notifications: 2, oldestPending: "<time>" },
      },
    });
  });

  test("the empty namespace has zeroes", async () => {
    const empty = { total: 0, pending: 0, dead: 0, settled: 0, byType: {}, oldestPending: null, instances: {} };
    expect(await bench.command(undefined).getStats()).toEqual(empty);
  });
});

test("[G8] who is days ahead of the clock is nobody: it may be superseded and forgotten, and is not waited for", async () => {
  const entry = `{"last_heartbeat":"2099-01-01T00:00:00.000Z","left":false,"session":{"number":1,"doing":"idle","doing_at":"2020-01-01T00:00:00.000Z"}}`;
  await bench.raw.hset(`${PREFIX}:presence`, "bob", entry);
  const [alice, bob] = [bench.command("alice"), bench.command("bob")];
  const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob", ackWithin: 1 });
  await bench.raw.zadd(`${PREFIX}:deadlines`, "XX", "1", messageId);
  const { messages } = await alice.showMessage(messageId);
  expect(messages[0]!.receipts).toEqual([{ instance: "bob", state: "stored" }]); // asleep is who is there
  expect(await alice.sweep()).toMatchObject({ announced: 0, told: 1 }); // as of one that is offline
  expect(await bob.join({ id: "b", agent: "test", host: "h" }, { unlessTaken: true })).toEqual({ first: false });
  await bench.raw.hset(`${PREFIX}:presence`, "bob", entry);
  expect(await alice.forgetUnseen(60)).toEqual({ forgotten: [] }); // what cannot be read is forgotten by its name
  expect(await alice.forgetInstance("bob")).toMatchObject({ instance: "bob" });
});
