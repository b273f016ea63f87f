/** What happens when nobody answers. Time passes by moving deadlines into the past, and instances age in presence. */
import { describe, expect, test } from "vitest";
import * as fc from "fast-check";
import { Mailbox } from "../../src/client/mailbox.ts";
import { type CoordinationClient, type CoordinationEvent, MessageType, type PublishRequest } from "../../src/index.ts";
import { PREFIX, refused, until, useRedis } from "../harness.ts";

/** Seconds that passed while the test ran. */
const A_FEW = expect.any(Number) as number;
const bench = useRedis();
const REQUEST = { type: MessageType.GENERAL, subject: "tests", description: "run them", ackWithin: 60 };
const NOTHING = { announced: 0, told: 0, dead: 0, removed: 0, more: false };
const DAY_SECONDS = 86_400;

async function passAndSweep(client: CoordinationClient): Promise<object> {
  await bench.passDeadlines();
  return client.sweep();
}

async function eventsOf(client: CoordinationClient): Promise<CoordinationEvent[]> {
  return (await bench.plain(await client.getNotifications())).notifications;
}

/** The events told to a sender: of which message, and about whom. */
async function told(client: CoordinationClient): Promise<unknown[]> {
  return (await eventsOf(client)).map(({ event, messageId, instances }) => [event, messageId, instances?.toSorted()]);
}

const counts = async (client: CoordinationClient): Promise<object> => {
  const { total, settled, pending, dead } = await client.getStats();
  expect(settled + pending + dead).toBe(total);
  return { settled, pending, dead };
};

const receipts = async (client: CoordinationClient, id: string): Promise<unknown> =>
  (await bench.plain((await client.showMessage(id)).messages))[0]?.receipts;

const step = (name: string): object => ({ step: name, timestamp: "<time>" });

describe("a recipient that is there and does not answer", () => {
  test("[G1] the deadline is stored with the message, and gone with its acknowledgement", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    let id = "";
    const stored = await bench.changes(
      async () => ({ messageId: id } = await alice.publishMessage({ ...REQUEST, to: "bob" })),
    );
    expect(stored).toMatchObject({ deadlines: ["m1 scored <time>"], "msg:m1": { ack_within: "60" } });
    expect(await bench.changes(() => bob.ackMessage(id))).toMatchObject({ deadlines: undefined, pending: undefined });
  });

  test("none with 0, none for what asks for no acknowledgement", async () => {
    const [alice] = await bench.clients("alice", "bob");
    await alice.publishMessage({ ...REQUEST, to: "bob", ackWithin: 0 });
    await alice.publishMessage({ ...REQUEST, to: "bob", requiresAck: false });
    expect((await bench.state())["deadlines"]).toBeUndefined();
    expect(await passAndSweep(alice)).toEqual(NOTHING);
  });

  test("is reminded twice, then its sender and the orchestrator are told, then it is dead; a late answer settles it", async () => {
    const [alice, bob, orchestrator] = await bench.clients("alice", "bob", "orchestrator");
    const { messageId } = await alice.publishMessage({ ...REQUEST, to: "bob" });
    await bob.checkMessages();
    expect(await alice.sweep()).toEqual(NOTHING); // not before its time
    for (const attempt of [1, 2]) {
      expect(await passAndSweep(alice)).toEqual({ ...NOTHING, announced: 1 });
      // It is new once more, wherever the recipient looks first, and says for how long it has been waiting.
      const { messages } = await bob.checkMessages({ waitSeconds: 1 });
      expect(messages).toMatchObject([{ id: messageId, waitingSeconds: A_FEW }]);
      expect((await bob.checkMessages({ waitSeconds: 0.05 })).count).toBe(0);
      const history = Array.from({ length: attempt }, () => step("announced"));
      expect(await receipts(alice, messageId)).toEqual([
        { instance: "bob", state: "presented", presentedAt: "<time>", history },
      ]);
      expect(await alice.sweep()).toEqual(NOTHING);
    }
    expect(await eventsOf(alice)).toEqual([]);
    expect(await passAndSweep(bob)).toEqual({ ...NOTHING, told: 1 });
    const unanswered = {
      event: "message_unanswered",
      messageId: "m1",
      type: "GENERAL",
      from: "alice",
      to: "bob",
      subject: "tests",
      requiresAck: false,
      timestamp: "<time>",
      waitingSeconds: A_FEW,
      instances: ["bob"],
      instancesTotal: 1,
    };
    expect(await eventsOf(alice)).toEqual([unanswered]);
    expect(await eventsOf(orchestrator)).toEqual([unanswered]);
    expect(await counts(alice)).toEqual({ settled: 0, pending: 1, dead: 0 });

    expect(await passAndSweep(orchestrator)).toEqual({ ...NOTHING, dead: 1 });
    for (const client of [alice, orchestrator]) {
      expect(await eventsOf(client)).toEqual([{ ...unanswered, event: "message_dead" }]);
    }
    expect(await counts(alice)).toEqual({ settled: 0, pending: 0, dead: 1 });
    const history = ["announced", "announced", "unanswered", "dead"].map(step);
    const reason = expect.stringMatching(
      /^Not acknowledged in the \d+ seconds after it was sent, with 2 reminders\.$/,
    ) as string;
    const dead = { instance: "bob", state: "dead", presentedAt: "<time>", reason, history };
    const { messages } = await alice.listDead();
    expect(await bench.plain(messages)).toMatchObject([{ id: "m1", acknowledged: false, receipts: [dead] }]);
    // Its recipient still finds it among what it has to answer, and nobody is reminded any more.
    expect((await bob.checkMessages({ pendingOnly: true })).messages.map(({ id }) => id)).toEqual([messageId]);
    expect(await passAndSweep(alice)).toEqual(NOTHING);

    const settled = await bench.changes(() => bob.ackMessage(messageId, { comment: "at last" }));
    expect(settled).toMatchObject({ dead: undefined, "pending:bob": undefined, "msg:m1": { dead: "0" } });
    expect(await counts(alice)).toEqual({ settled: 1, pending: 0, dead: 0 });
    expect(await receipts(alice, messageId)).toMatchObject([{ state: "acknowledged", comment: "at last", history }]);
    expect((await eventsOf(alice)).map(({ event }) => event)).toEqual(["message_acknowledged"]);
  });

  test("what was announced again and presented since is not told once more", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    await alice.publishMessage({ ...REQUEST, to: "bob" });
    await passAndSweep(alice);
    expect((await eventsOf(bob)).map(({ event }) => event)).toEqual(["message_published", "message_overdue"]);
    await passAndSweep(alice);
    await bob.checkMessages();
    expect(await eventsOf(bob)).toEqual([]);
  });

  test("the interval, and how often, are settings of the namespace", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const changed = await alice.changeNamespaceSetting("ack_attempts", 0);
    expect(changed).toEqual({
      retentionDays: 30,
      maxMessages: 100_000,
      ackAttempts: 0,
      ackIntervalSeconds: 300,
      presenceTimeoutSeconds: 300,
      loopMessages: 50,
      loopSeconds: 300,
      loopReplies: 6,
      senders: "off",
    });
    expect(await alice.getNamespaceSettings()).toEqual(changed);
    await alice.publishMessage({ ...REQUEST, to: "bob" });
    expect(await passAndSweep(alice)).toEqual({ ...NOTHING, told: 1 });
    expect(await passAndSweep(alice)).toEqual({ ...NOTHING, dead: 1 });
  });

  test.each([
    ["max", 1, 'name is "max": no such setting.'],
    ["ack_attempts", 101, 'ack_attempts is "101": it must be a whole number from 0 to 100.'],
    ["retention_days", 0.5, 'retention_days is "0.5": it must be a whole number from 1 to 36500.'],
  ])("the setting %s=%s is refused and changes nothing", async (name, value, sentence) => {
    const [alice] = await bench.clients("alice");
    const changes = await bench.changes(async () => {
      const { code, message } = await refused(alice.changeNamespaceSetting(name, value));
      expect([code, message]).toEqual(["INVALID", sentence]);
    });
    expect(changes).toEqual({});
  });

  test.each([-1, 1.5, 2_592_001, "60", Number.NaN])("a deadline of %s is refused", async (ackWithin) => {
    const [alice] = await bench.clients("alice");
    const request = { ...REQUEST, to: "bob", ackWithin } as PublishRequest;
    const changes = await bench.changes(async () => {
      const { code, message } = await refused(alice.publishMessage(request));
      expect([code, message]).toEqual(["INVALID", expect.stringMatching(/^ack_within is .*from 0 to 2592000\.$/)]);
    });
    expect(changes).toEqual({});
  });
});

describe("a recipient that is not there", () => {
  test("offline: its sender is told once and nothing dies; its deadline begins anew when it is back", async () => {
    const [alice] = await bench.clients("alice", "orchestrator");
    await bench.seen({ bob: DAY_SECONDS });
    const { messageId } = await alice.publishMessage({ ...REQUEST, to: "bob" });
    expect(await passAndSweep(alice)).toEqual({ ...NOTHING, told: 1 });
    expect(await told(alice)).toEqual([["message_undelivered", "m1", ["bob"]]]);
    expect(await bench.state()).toMatchObject({ paused: ["bob scored <time>"], "paused:bob": ["m1"] });
    for (let i = 0; i < 4; i++) expect(await passAndSweep(alice)).toEqual(NOTHING);
    expect(await counts(alice)).toEqual({ settled: 0, pending: 1, dead: 0 });

    const bob = await bench.client("bob");
    await bob.touch();
    expect(await bob.sweep()).toEqual(NOTHING);
    const { paused, "paused:bob": ids, deadlines } = await bench.state();
    expect([paused, ids, deadlines]).toEqual([undefined, undefined, ["m1 bob scored <time>"]]);
    const due = Number(await bench.raw.zscore(`${PREFIX}:deadlines`, `${messageId} bob`));
    expect(due / 1000 - Date.now()).toBeGreaterThan(50_000); // all of the sixty seconds
    expect(await passAndSweep(alice)).toEqual({ ...NOTHING, announced: 1 });
  });

  test("never seen: likewise; forgotten: given up at once", async () => {
    const [alice] = await bench.clients("alice", "bob");
    await alice.publishMessage({ ...REQUEST, to: "nobody" });
    await alice.publishMessage({ ...REQUEST, to: "bob" });
    await alice.forgetInstance("bob");
    expect(await passAndSweep(alice)).toEqual({ ...NOTHING, told: 1 });
    expect(await passAndSweep(alice)).toEqual(NOTHING);
    expect(await told(alice)).toEqual([
      ["message_dead", "m2", ["bob"]],
      ["message_undelivered", "m1", ["nobody"]],
    ]);
  });

  test("stale: nothing happens until it is active or offline", async () => {
    const [alice] = await bench.clients("alice");
    await bench.seen({ bob: 400 });
    await alice.publishMessage({ ...REQUEST, to: "bob" });
    expect(await passAndSweep(alice)).toEqual(NOTHING);
    await bench.seen({ bob: 1000 });
    expect(await passAndSweep(alice)).toEqual({ ...NOTHING, told: 1 });
  });

  test("acknowledged while it was away, it is never announced", async () => {
    const [alice] = await bench.clients("alice");
    await bench.seen({ bob: DAY_SECONDS });
    const { messageId } = await alice.publishMessage({ ...REQUEST, to: "bob" });
    await passAndSweep(alice);
    const bob = await bench.client("bob");
    await bob.ackMessage(messageId);
    await bob.sweep();
    const { deadlines, paused, "paused:bob": ids } = await bench.state();
    expect([deadlines, paused, ids]).toEqual([undefined, undefined, undefined]);
  });
});

describe("a broadcast", () => {
  test("[G6] each recipient has its own deadline; the sender hears once about all of them", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    await bench.seen({ dave: DAY_SECONDS, erin: DAY_SECONDS });
    const { messageId } = await alice.publishMessage({ ...REQUEST, to: "all" });
    expect(await passAndSweep(alice)).toEqual({ ...NOTHING, announced: 1, told: 1 });
    expect(await told(alice)).toEqual([["message_undelivered", "m1", ["dave", "erin"]]]);
    await bob.ackMessage(messageId);
    await passAndSweep(alice);
    expect(await passAndSweep(alice)).toEqual({ ...NOTHING, told: 1 });
    expect((await told(alice)).at(-1)).toEqual(["message_unanswered", "m1", ["carol"]]);
    // Dead for carol, but the others may still answer: it stays pending.
    expect(await passAndSweep(alice)).toEqual({ ...NOTHING, dead: 1 });
    expect(await counts(alice)).toEqual({ settled: 0, pending: 1, dead: 0 });
    const states = (await receipts(alice, messageId)) as { instance: string; state: string }[];
    expect(states.map(({ instance, state }) => `${instance} ${state}`)).toEqual([
      "carol dead",
      "dave stored",
      "erin stored",
      "bob acknowledged",
    ]);
    for (const name of ["dave", "erin"]) await (await bench.client(name)).ackMessage(messageId);
    expect(await counts(alice)).toEqual({ settled: 0, pending: 0, dead: 1 });
    const [shown] = (await alice.listDead()).messages;
    expect(shown).toMatchObject({ id: messageId, acknowledged: false });
    await (await bench.client("carol")).ackMessage(messageId);
    expect(await counts(alice)).toEqual({ settled: 1, pending: 0, dead: 0 });
    expect((await alice.showMessage(messageId)).messages[0]?.acknowledged).toBe(true);
  });
});

describe("what is dead", () => {
  async function die(client: CoordinationClient, ...recipients: string[]): Promise<string[]> {
    await client.changeNamespaceSetting("ack_attempts", 0);
    const ids = [];
    for (const to of recipients) ids.push((await client.publishMessage({ ...REQUEST, to })).messageId);
    for (let i = 0; i < 2; i++) await passAndSweep(client);
    await client.getNotifications();
    return ids;
  }

  test("retried, it is announced anew and pending again", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const [id] = await die(alice, "bob");
    await bob.checkMessages();
    const { messages } = await alice.retryDead([id!]);
    const history = ["unanswered", "dead", "retried"].map(step);
    expect(await bench.plain(messages)).toMatchObject([{ id: "m1", receipts: [{ state: "presented", history }] }]);
    expect(await counts(alice)).toEqual({ settled: 0, pending: 1, dead: 0 });
    expect((await bob.checkMessages({ waitSeconds: 1 })).messages).toMatchObject([{ id, waitingSeconds: A_FEW }]);
    for (let i = 0; i < 2; i++) await passAndSweep(alice);
    const again = (await alice.listDead()).messages[0]?.receipts?.[0];
    expect(again?.reason).toMatch(/^Not acknowledged in the \d+ seconds after it was retried, with 0 reminders\.$/);
  });

  test("retried, everybody who listens to the namespace hears of it once", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const [id] = await die(alice, "bob");
    const heard: (string | undefined)[] = [];
    const stop = await new Mailbox(alice).listenToAll((event) => heard.push(event));
    await alice.retryDead([id!]);
    await until(async () => heard.length > 0);
    await bob.ackMessage(id!);
    await until(async () => heard.length > 1);
    await stop();
    expect(heard.map((event) => (JSON.parse(event!) as { event: string }).event)).toEqual([
      "message_overdue",
      "message_acknowledged",
    ]);
  });

  test("dropped, it is settled without being acknowledged, and asks for nothing; a late answer still counts", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const [id] = await die(alice, "bob");
    const { messages } = await alice.dropDead([id!]);
    expect(await bench.plain(messages)).toMatchObject([
      { id: "m1", acknowledged: false, receipts: [{ state: "dropped" }] },
    ]);
    expect(await counts(alice)).toEqual({ settled: 1, pending: 0, dead: 0 });
    expect((await bob.checkMessages({ pendingOnly: true })).count).toBe(0);
    expect((await bob.checkMessages({ waitSeconds: 0.05 })).count).toBe(0);
    expect(await bob.ackMessage(id!)).toMatchObject({ already: false });
    expect(await receipts(alice, id!)).toMatchObject([{ state: "acknowledged" }]);
    expect(await counts(alice)).toEqual({ settled: 1, pending: 0, dead: 0 });
  });

  test("is listed oldest first, up to a limit; one that is not listed is refused, and then none is touched", async () => {
    const [alice] = await bench.clients("alice", "bob", "carol");
    const [first, second] = await die(alice, "bob", "carol");
    const listed = await alice.listDead({ limit: 1 });
    expect([listed.messages.map(({ id }) => id), listed.more]).toEqual([[first], true]);
    const changes = await bench.changes(async () => {
      for (const action of [alice.retryDead([second!, "msg-nothing"]), alice.dropDead([second!, "msg-nothing"])]) {
        const { code, message } = await refused(action);
        expect([code, message]).toEqual(["NOT_FOUND", 'message_id is "msg-nothing": it is not listed as dead.']);
      }
    });
    expect(changes).toEqual({});
  });
});

test("[G7] when everybody waits for everybody, the deadline that passes wakes whom it concerns", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  await alice.publishMessage({ ...REQUEST, to: "bob", ackWithin: 1 });
  await bob.checkMessages(); // seen, and forgotten
  const [fromAlice, fromBob] = await Promise.all([
    alice.checkMessages({ waitSeconds: 1.5 }),
    bob.checkMessages({ waitSeconds: 20 }),
  ]);
  expect([fromAlice.count, fromBob.count]).toEqual([0, 1]);
});

test("[G2] whatever happens in whatever order: stored = settled + pending + dead, each where its receipts say", async () => {
  const NAMES = ["alice", "bob", "carol"] as const;
  const name = fc.constantFrom(...NAMES);
  const which = fc.nat(30);
  const action = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ what: fc.constant("publish"), name, to: fc.constantFrom(...NAMES, "all"), which }),
    },
    { weight: 3, arbitrary: fc.record({ what: fc.constantFrom("pass", "sweep"), name }) },
    { weight: 2, arbitrary: fc.record({ what: fc.constantFrom("ack", "retry", "drop"), name, which }) },
    {
      weight: 1,
      arbitrary: fc.record({ what: fc.constant("age"), name, which: fc.constantFrom(0, 400, DAY_SECONDS) }),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 40 }), async (actions) => {
      await bench.clear();
      const clients = Object.fromEntries(
        await Promise.all(NAMES.map(async (n) => [n, await bench.client(n)] as const)),
      );
      for (const client of Object.values(clients)) await client.touch();
      await clients["alice"]!.changeNamespaceSetting("ack_attempts", 1);
      await clients["alice"]!.changeNamespaceSetting("max_messages", 8);
      const unsettled = new Set<string>();
      const ids: string[] = [];
      for (const { what, name: who, ...rest } of actions) {
        const client = clients[who]!;
        const { to = "", which: number = 0 } = rest as { to?: string; which?: number };
        const id = ids[number % (ids.length || 1)] ?? "msg-none";
        const attempt = {
          publish: async () => {
            const { messageId, recipients } = await client.publishMessage({
              ...REQUEST,
              to,
              requiresAck: number % 4 > 0,
            });
            ids.push(messageId);
            if (number % 4 > 0 && recipients.length > 0) unsettled.add(messageId);
          },
          pass: () => bench.passDeadlines(),
          sweep: () => client.sweep(),
          ack: () => client.ackMessage(id),
          retry: () => client.retryDead([id]),
          drop: () => client.dropDead([id]),
          age: () => bench.seen({ [who]: number }),
        }[what];
        await attempt?.().catch((error: { code?: string }) => {
          if (!["INVALID", "NOT_FOUND", "NOT_RECIPIENT", "FULL"].includes(error.code ?? "")) throw error;
        });
        const pending = new Set(await bench.raw.zrange(`${PREFIX}:pending`, "0", "-1"));
        const dead = new Set(await bench.raw.zrange(`${PREFIX}:dead`, "0", "-1"));
        const stored = new Set(await bench.raw.zrange(`${PREFIX}:timeline`, "0", "-1"));
        for (const other of unsettled) {
          const message = await bench.raw.hgetall(`${PREFIX}:msg:${other}`);
          const names = message["to"] === "all" ? (message["recipients"] ?? "").split(" ") : [message["to"]!];
          const states = names.map((one) => {
            const last = message[`history:${one}`]?.split(" ").at(-1)?.at(0);
            if (/^\d+ \d/.test(message[`receipt:${one}`] ?? "")) return "acknowledged";
            return last === "d" ? "dead" : last === "x" ? "dropped" : "open";
          });
          const open = states.includes("open");
          const place = [pending.has(other), dead.has(other)];
          expect(place).toEqual([open, !open && states.includes("dead")]);
          if (place.includes(true)) expect(stored.has(other)).toBe(true);
          else unsettled.delete(other); // may go at any time
        }
        expect([...pending, ...dead].filter((other) => !stored.has(other))).toEqual([]);
      }
    }),
    { numRuns: 25 },
  );
});
