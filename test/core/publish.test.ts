import { describe, expect, test } from "vitest";
import { CoordinationError, type PublishRequest, type PublishResult } from "../../src/index.ts";
import { MESSAGE_TYPES } from "../../src/protocol/definition.ts";
import { PREFIX, refused, until, useRedis } from "../harness.ts";

const bench = useRedis();

const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;
const PRESENT = { last_heartbeat: "<time>", left: false, session: {} };

/** The result of publishing to active recipients in the usual direction. */
function result(changed: Partial<PublishResult> & { recipients?: PublishResult["recipients"] }): PublishResult {
  return {
    messageId: "m1",
    type: "GENERAL",
    from: "alice",
    to: "orchestrator",
    timestamp: "<time>",
    requiresAck: true,
    recipients: [{ instance: "orchestrator", presence: "active" }],
    warnings: [],
    repeated: false,
    acknowledged: false,
    ...changed,
  };
}

describe("one recipient", () => {
  test("[G1] a publish that reports success has stored the message, its index entries and the event, and no more", async () => {
    const [alice] = await bench.clients("alice", "orchestrator");
    const request = {
      type: "READY_FOR_REVIEW",
      subject: "feature",
      description: "please",
      idempotencyKey: "k",
    } as const;
    const received = await alice.publishMessage(request);
    expect(await bench.plain(received)).toEqual(result({ type: "READY_FOR_REVIEW" }));
    expect(await bench.state()).toEqual({
      meta: {
        protocol: "2",
        stamp: "m1",
        retention_days: "30",
        max_messages: "100000",
        ack_attempts: "2",
        ack_interval_seconds: "300",
        presence_timeout_seconds: "300",
        loop_messages: "50",
        loop_seconds: "300",
        loop_replies: "6",
        "published:READY_FOR_REVIEW": "1",
      },
      "msg:m1": {
        id: "m1",
        type: "READY_FOR_REVIEW",
        from: "alice",
        to: "orchestrator",
        subject: "feature",
        description: "please",
        timestamp: "<time>",
        requires_ack: "1",
      },
      timeline: ["m1"],
      "outbox:alice": ["m1"],
      "type:READY_FOR_REVIEW": ["m1"],
      "inbox:orchestrator": ["m1"],
      "unread:orchestrator": ["m1"],
      "pending:orchestrator": ["m1"],
      pending: ["m1"],
      "notifications:orchestrator": [
        {
          event: "message_published",
          message_id: "m1",
          type: "READY_FOR_REVIEW",
          from: "alice",
          to: "orchestrator",
          subject: "feature",
          requires_ack: true,
          timestamp: "<time>",
        },
      ],
      "once:alice:k": { text: "m1", expires_hours: 24 },
      presence: { alice: PRESENT, orchestrator: PRESENT },
    });
  });

  test("[G1] every key says the prefix that was configured, and nothing is written elsewhere", async () => {
    const keyPrefix = "{coord}:x"; // on a cluster beside everything else
    await bench.admit(keyPrefix);
    const alice = await bench.client("alice", { keyPrefix });
    await alice.publishMessage(GENERAL);
    const names = ["inbox:orchestrator", "meta", "notifications:orchestrator", "outbox:alice", "pending"];
    const others = ["pending:orchestrator", "presence", "timeline", "type:GENERAL", "unread:orchestrator"];
    const keys = (await bench.raw.keys("*")).filter((key) => !/^\{coord\}:x:(msg:msg|once:alice:)/.test(key));
    expect(keys.sort()).toEqual([...names, ...others].map((name) => `${keyPrefix}:${name}`));
  });

  test("a message that asks for no acknowledgement is pending for nobody", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const changed = await bench.changes(() => alice.publishMessage({ ...GENERAL, to: "bob", requiresAck: false }));
    expect(Object.keys(changed).sort()).toEqual([
      "inbox:bob",
      "meta",
      "msg:m1",
      "notifications:bob",
      "once:alice:<uuid>",
      "outbox:alice",
      "timeline",
      "type:GENERAL",
      "unread:bob",
    ]);
    expect(changed["msg:m1"]).toMatchObject({ requires_ack: "0" });
    expect(changed["notifications:bob"]).toMatchObject([{ requires_ack: false }]);
  });

  test("listeners are told once each: the recipient on its channel, monitors on the common one", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    const heard: [string, unknown][] = [];
    let over = false;
    const stop = await bench.raw.watch(["PSUBSCRIBE", `${PREFIX}:*`], (message) => {
      const [, , channel, event] = message as [string, string, string, string];
      if (event === "over") over = true;
      else heard.push([channel, (JSON.parse(event) as { event: string }).event]);
    });
    await alice.publishMessage({ ...GENERAL, to: "bob" });
    const { messageId } = await bob.publishMessage({ ...GENERAL, to: "all" });
    await alice.ackMessage(messageId);
    await bench.raw.publish(`${PREFIX}:over`, "over");
    await until(async () => over);
    stop();
    expect(heard.slice(2, 4).sort(([a], [b]) => (a < b ? -1 : 1))).toEqual([
      [`${PREFIX}:notify:alice`, "message_published"],
      [`${PREFIX}:notify:carol`, "message_published"],
    ]);
    expect([...heard.slice(0, 2), ...heard.slice(4)]).toEqual([
      [`${PREFIX}:notify:bob`, "message_published"],
      [`${PREFIX}:events`, "message_published"],
      [`${PREFIX}:events`, "message_published"],
      [`${PREFIX}:notify:bob`, "message_acknowledged"],
      [`${PREFIX}:events`, "message_acknowledged"],
    ]);
  });

  test("[G1] a recipient nobody has ever seen gets its message, and the receipt says unknown with the nearest names", async () => {
    const [alice] = await bench.clients("alice", "backend", "frontend", "backend2", "x");
    const received = await alice.publishMessage({ ...GENERAL, to: "bakend" });
    expect(await bench.plain(received)).toEqual(
      result({
        to: "bakend",
        recipients: [{ instance: "bakend", presence: "unknown" }],
        warnings: [
          'No instance "bakend" has ever been seen: it gets the message when it starts. ' +
            "Known names like it: backend, backend2.",
        ],
      }),
    );
    const bakend = await bench.client("bakend");
    expect((await bakend.checkMessages()).messages.map(({ id }) => id)).toEqual([received.messageId]);
    expect((await bakend.getNotifications()).count).toBe(0);
  });

  test("an unknown recipient with no name like it is warned of without a suggestion", async () => {
    const [alice] = await bench.clients("alice");
    const { warnings } = await alice.publishMessage({ ...GENERAL, to: "zzzzzzzz" });
    expect(warnings).toEqual(['No instance "zzzzzzzz" has ever been seen: it gets the message when it starts.']);
  });

  test("COORD_UNKNOWN_RECIPIENT=reject refuses an unknown recipient and stores nothing", async () => {
    await bench.clients("alice", "bob");
    const alice = await bench.client("alice", { env: { COORD_UNKNOWN_RECIPIENT: "reject" } });
    const before = await bench.state();
    const refusal = await refused(alice.publishMessage({ ...GENERAL, to: "bobby" }));
    expect(refusal).toMatchObject({ code: "NOT_FOUND", message: expect.stringContaining('"bobby"') });
    expect(await bench.state()).toEqual(before);
    await alice.publishMessage({ ...GENERAL, to: "bob" });
  });

  test.each([
    { age: 0, presence: "active" },
    { age: 270, presence: "active" },
    { age: 330, presence: "stale" },
    { age: 870, presence: "stale" },
    { age: 930, presence: "offline" },
    { age: -3600, presence: "active" },
  ])("[G1] the receipt of a recipient heard of $age s ago says $presence", async ({ age, presence }) => {
    await bench.seen({ bob: age });
    const alice = await bench.client("alice");
    const { recipients } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(recipients).toEqual([{ instance: "bob", presence }]);
  });

  test("[G1] the receipt of a recipient that left says offline", async () => {
    await bench.seen({ bob: 1 }, true);
    const alice = await bench.client("alice");
    const { recipients } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(recipients).toEqual([{ instance: "bob", presence: "offline" }]);
  });
});

describe("what is left out", () => {
  const fromFeature: Record<string, string> = {
    READY_FOR_REVIEW: "orchestrator",
    CONTRACT_CHANGE_PROPOSED: "orchestrator",
    CONTRACT_APPROVED: "all",
    META_CHANGE_REQUEST: "orchestrator",
    GENERAL: "orchestrator",
    NOTIFICATION: "orchestrator",
  };
  const fromOrchestrator: Record<string, string> = { CONTRACT_APPROVED: "all", GENERAL: "all", NOTIFICATION: "all" };

  test.each(MESSAGE_TYPES)(
    "%s goes to its default recipient and asks for its default acknowledgement",
    async (type) => {
      const [feature, orchestrator] = await bench.clients("feature", "orchestrator");
      for (const [sender, defaults] of [
        [feature, fromFeature],
        [orchestrator, fromOrchestrator],
      ] as const) {
        const publishing = sender.publishMessage({ type, subject: "s", description: "" });
        if (defaults[type] === undefined) {
          expect(await refused(publishing)).toMatchObject({
            code: "INVALID",
            message: expect.stringMatching(/^to is/),
          });
        } else {
          expect(await publishing).toMatchObject({ to: defaults[type], requiresAck: type !== "NOTIFICATION" });
        }
      }
      const total = Number(fromFeature[type] !== undefined) + Number(fromOrchestrator[type] !== undefined);
      expect((await feature.getStats()).total).toBe(total);
    },
  );

  test("the orchestrator is the instance that the setting names", async () => {
    const feature = await bench.client("feature", { orchestrator: "boss" });
    const boss = await bench.client("boss", { orchestrator: "boss" });
    expect(await feature.publishMessage(GENERAL)).toMatchObject({ to: "boss" });
    expect(await boss.publishMessage(GENERAL)).toMatchObject({ to: "all" });
  });

  test("requiresAck overrides the default of the type, both ways", async () => {
    const [alice] = await bench.clients("alice", "orchestrator");
    const request = { subject: "s", description: "" };
    expect(await alice.publishMessage({ ...request, type: "NOTIFICATION", requiresAck: true })).toMatchObject({
      requiresAck: true,
    });
    expect(await alice.publishMessage({ ...request, type: "GENERAL", requiresAck: false })).toMatchObject({
      requiresAck: false,
    });
  });
});

describe("replies", () => {
  test("a reply goes to the sender, joins the thread and acknowledges, in one step and with one event for both", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const asked = await alice.publishMessage({ ...GENERAL, to: "bob", subject: "question" });
    let answered: PublishResult | undefined;
    const changed = await bench.changes(async () => {
      answered = await bob.publishMessage({
        type: "NOTIFICATION",
        subject: "answer",
        description: "",
        replyTo: asked.messageId,
        idempotencyKey: "k",
      });
    });
    expect(await bench.plain(answered)).toEqual(
      result({
        messageId: "m2",
        type: "NOTIFICATION",
        from: "bob",
        to: "alice",
        requiresAck: false,
        recipients: [{ instance: "alice", presence: "active" }],
        acknowledged: true,
      }),
    );
    expect(changed).toEqual({
      meta: expect.objectContaining({ stamp: "m2", "published:NOTIFICATION": "1" }),
      "msg:m1": expect.objectContaining({ subject: "question", "receipt:bob": "<time> <time>" }),
      "msg:m2": {
        id: "m2",
        type: "NOTIFICATION",
        from: "bob",
        to: "alice",
        subject: "answer",
        description: "",
        timestamp: "<time>",
        requires_ack: "0",
        reply_to: "m1",
        thread: "m1",
      },
      timeline: ["m1", "m2"],
      "thread:m1": ["m1", "m2"],
      "outbox:bob": ["m2"],
      "type:NOTIFICATION": ["m2"],
      "inbox:alice": ["m2"],
      "unread:alice": ["m2"],
      "unread:bob": undefined,
      "pending:bob": undefined,
      pending: undefined,
      "notifications:alice": [
        {
          event: "message_published",
          message_id: "m2",
          type: "NOTIFICATION",
          from: "bob",
          to: "alice",
          subject: "answer",
          requires_ack: false,
          timestamp: "<time>",
          reply_to: "m1",
          acknowledged: true,
        },
      ],
      "once:bob:k": { text: "m2", expires_hours: 24 },
    });
  });

  test("a reply to somebody else acknowledges as well and tells the original sender by an event of its own", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    const asked = await alice.publishMessage({ ...GENERAL, to: "bob", subject: "question" });
    const changed = await bench.changes(() =>
      bob.publishMessage({ ...GENERAL, to: "carol", replyTo: asked.messageId, requiresAck: true, idempotencyKey: "k" }),
    );
    expect(Object.keys(changed).sort()).toEqual([
      "inbox:carol",
      "meta",
      "msg:m1",
      "msg:m2",
      "notifications:alice",
      "notifications:carol",
      "once:bob:k",
      "outbox:bob",
      "pending",
      "pending:bob",
      "pending:carol",
      "thread:m1",
      "timeline",
      "type:GENERAL",
      "unread:bob",
      "unread:carol",
    ]);
    expect(changed["pending"]).toEqual(["m2"]);
    expect(changed["notifications:carol"]).toMatchObject([{ message_id: "m2", reply_to: "m1", acknowledged: true }]);
    expect(changed["notifications:alice"]).toEqual([
      {
        event: "message_acknowledged",
        message_id: "m1",
        type: "GENERAL",
        from: "bob",
        to: "alice",
        subject: "question",
        requires_ack: false,
        timestamp: "<time>",
      },
    ]);
  });

  test("a reply to all that the original sender gets tells it of both with one event", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    const asked = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const changed = await bench.changes(() =>
      bob.publishMessage({ ...GENERAL, to: "all", replyTo: asked.messageId, idempotencyKey: "k" }),
    );
    const event = { event: "message_published", message_id: "m2", to: "all", acknowledged: true };
    expect(changed["notifications:alice"]).toMatchObject([event]);
    expect(changed["notifications:carol"]).toMatchObject([event]);
  });

  test("a reply to all tells the original sender by its own event when the broadcast does not reach it", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const asked = await alice.publishMessage({ ...GENERAL, to: "bob" });
    await bob.forgetInstance("alice");
    const changed = await bench.changes(() => bob.publishMessage({ ...GENERAL, to: "all", replyTo: asked.messageId }));
    expect(changed["notifications:alice"]).toMatchObject([{ event: "message_acknowledged", message_id: "m1" }]);
  });

  test("a question back moves the obligation to the other side", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const asked = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const back = await bob.publishMessage({ ...GENERAL, replyTo: asked.messageId, requiresAck: true });
    const state = await bench.state();
    expect([state["pending"], state["pending:bob"], state["pending:alice"]]).toEqual([["m2"], undefined, ["m2"]]);
    const last = await alice.publishMessage({ ...GENERAL, replyTo: back.messageId, requiresAck: true });
    expect(await bench.plain(last)).toMatchObject({ messageId: "m3", to: "bob", acknowledged: true });
    expect(await bench.state()).toMatchObject({
      "thread:m1": ["m1", "m2", "m3"],
      "msg:m3": { reply_to: "m2", thread: "m1" },
      pending: ["m3"],
      "pending:bob": ["m3"],
    });
  });

  test("a second reply is another message and changes nothing about the first acknowledgement", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    const { messageId: replyTo } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    await bob.ackMessage(replyTo, { comment: "first" });
    const before = await bench.state();
    expect(await bob.publishMessage({ ...GENERAL, replyTo })).toMatchObject({ to: "alice", acknowledged: true });
    expect(await bob.publishMessage({ ...GENERAL, replyTo, to: "carol" })).toMatchObject({ acknowledged: true });
    const after = await bench.state();
    expect(after["msg:m1"]).toEqual(before["msg:m1"]);
    // The acknowledgement, the first reply, and nothing about the second.
    expect(after["notifications:alice"]).toMatchObject([{ comment: "first" }, { message_id: "m2" }]);
  });

  test("whoever is no recipient replies without acknowledging", async () => {
    const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
    const { messageId: replyTo } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    expect(await carol.publishMessage({ ...GENERAL, replyTo })).toMatchObject({ to: "alice", acknowledged: false });
    const state = await bench.state();
    expect(state["pending:bob"]).toEqual(["m1"]);
    expect(state["notifications:alice"]).toEqual([expect.not.objectContaining({ acknowledged: true })]);
    expect(await bob.checkMessages()).toMatchObject({ messages: [{ acknowledged: false }] });
  });

  test("a reply to one's own message must say to whom, and then joins the thread without acknowledging", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const { messageId: replyTo } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const before = await bench.state();
    const refusal = await refused(alice.publishMessage({ ...GENERAL, replyTo }));
    expect(refusal).toMatchObject({ code: "INVALID", message: 'to is "alice": that is yourself.' });
    expect(await bench.state()).toEqual(before);
    expect(await alice.publishMessage({ ...GENERAL, replyTo, to: "bob", requiresAck: true })).toMatchObject({
      acknowledged: false,
    });
    expect(await bench.state()).toMatchObject({ "thread:m1": ["m1", "m2"], "pending:bob": ["m1", "m2"] });
  });

  test("CONTRACT_APPROVED goes to all also as a reply; every other type to whom it answers", async () => {
    for (const type of MESSAGE_TYPES) {
      const [orchestrator, feature] = await bench.clients("orchestrator", "feature");
      const { messageId: replyTo } = await feature.publishMessage({ ...GENERAL, to: "orchestrator" });
      const received = await orchestrator.publishMessage({ type, subject: "s", description: "", replyTo });
      expect(received).toMatchObject({ to: type === "CONTRACT_APPROVED" ? "all" : "feature", acknowledged: true });
    }
  });

  test("a reply to an unknown id, or to a message that is gone, is NOT_FOUND and stores nothing", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    await bench.raw.del(`${PREFIX}:msg:${messageId}`);
    const before = await bench.state();
    for (const replyTo of [messageId, "msg-0000000000", "nonsense", "x".repeat(128), "a b\nc\u0000"]) {
      const refusal = await refused(alice.publishMessage({ ...GENERAL, to: "bob", replyTo }));
      expect(refusal).toMatchObject({ code: "NOT_FOUND", message: expect.stringMatching(/^reply_to is "/) });
    }
    expect(await bench.state()).toEqual(before);
  });
});

describe("broadcasts", () => {
  test("[G6] a broadcast reaches active, stale, offline and departed instances alike, and never its sender", async () => {
    await bench.seen({ active: 0, stale: 400, offline: 5000, old: 29 * 86_400 });
    await bench.seen({ departed: 10 }, true);
    await bench.seen({ beyond: 31 * 86_400 });
    const alice = await bench.client("alice");
    await alice.touch();
    let received: PublishResult | undefined;
    const changed = await bench.changes(async () => {
      received = await alice.publishMessage({ ...GENERAL, to: "all", idempotencyKey: "k" });
    });
    expect(await bench.plain(received)).toEqual(
      result({
        to: "all",
        recipients: [
          { instance: "active", presence: "active" },
          { instance: "departed", presence: "offline" },
          { instance: "offline", presence: "offline" },
          { instance: "old", presence: "offline" },
          { instance: "stale", presence: "stale" },
        ],
      }),
    );
    const recipients = ["active", "departed", "offline", "old", "stale"];
    const of = (kind: string, value: unknown): [string, unknown][] =>
      recipients.map((name) => [`${kind}:${name}`, value]);
    const event = {
      event: "message_published",
      message_id: "m1",
      type: "GENERAL",
      from: "alice",
      to: "all",
      subject: "s",
      requires_ack: true,
      timestamp: "<time>",
    };
    const { recipients: frozen, ...message } = changed["msg:m1"] as Record<string, string>;
    expect(frozen?.split(" ").sort()).toEqual(recipients);
    expect({ ...changed, "msg:m1": message }).toEqual({
      meta: expect.objectContaining({ stamp: "m1" }),
      "msg:m1": {
        id: "m1",
        type: "GENERAL",
        from: "alice",
        to: "all",
        subject: "s",
        description: "d",
        timestamp: "<time>",
        requires_ack: "1",
        open: "5",
        total: "5",
      },
      timeline: ["m1"],
      "outbox:alice": ["m1"],
      "type:GENERAL": ["m1"],
      pending: ["m1"],
      "once:alice:k": { text: "m1", expires_hours: 24 },
      ...Object.fromEntries([...of("inbox", ["m1"]), ...of("unread", ["m1"]), ...of("pending", ["m1"])]),
      ...Object.fromEntries(of("notifications", [event])),
    });
  });

  test("[G6] the recipients of a broadcast are frozen: who comes later is none of them", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "all" });
    const [late] = await bench.clients("late");
    expect(await late.checkMessages()).toEqual({ count: 0, messages: [], more: false, unreadable: [] });
    expect(await refused(late.ackMessage(messageId))).toMatchObject({ code: "NOT_RECIPIENT" });
    await late.publishMessage({ ...GENERAL, to: "all" });
    const { messages } = await alice.showMessage(messageId);
    expect(messages[0]?.receipts).toEqual([{ instance: "bob", state: "stored" }]);
  });

  test("the retention time that the namespace was created with decides, not that of the sender", async () => {
    const days = async (value: string): Promise<{ instance: string }[]> => {
      const alice = await bench.client("alice", { env: { COORD_RETENTION_DAYS: value } });
      return (await alice.publishMessage({ ...GENERAL, to: "all" })).recipients;
    };
    await bench.seen({ bob: 5 * 86_400 });
    expect(await days("4")).toEqual([]);
    expect(await days("6")).toEqual([]);
    expect(await bench.raw.hget(`${PREFIX}:meta`, "retention_days")).toBe("4");
    await bench.clear();
    await bench.seen({ bob: 5 * 86_400 });
    expect(await days("6")).toMatchObject([{ instance: "bob" }]);
  });

  test("a broadcast that finds nobody is stored, pending for nobody, and says so", async () => {
    const [alice] = await bench.clients("alice");
    const received = await alice.publishMessage({ ...GENERAL, to: "all", idempotencyKey: "k" });
    expect(await bench.plain(received)).toEqual(
      result({
        to: "all",
        recipients: [],
        warnings: ["Nobody else has been seen here: no instance gets this message."],
      }),
    );
    expect(Object.keys(await bench.state()).sort()).toEqual(
      ["meta", "msg:m1", "once:alice:k", "outbox:alice", "presence", "timeline", "type:GENERAL"].sort(),
    );
  });
});

describe("directions", () => {
  const against = [
    { type: "READY_FOR_REVIEW", from: "orchestrator", to: "alice" },
    { type: "READY_FOR_REVIEW", from: "alice", to: "bob" },
    { type: "REVIEW_COMPLETE", from: "alice", to: "bob" },
    { type: "REVIEW_FAILED", from: "orchestrator", to: "all" },
    { type: "CONTRACT_APPROVED", from: "alice", to: "all" },
    { type: "CONTRACT_APPROVED", from: "orchestrator", to: "alice" },
    { type: "META_CHANGE_REQUEST", from: "alice", to: "all" },
  ] as const;
  const along = [
    { type: "READY_FOR_REVIEW", from: "alice", to: "orchestrator" },
    { type: "REVIEW_COMPLETE", from: "orchestrator", to: "alice" },
    { type: "REVIEW_FAILED", from: "orchestrator", to: "bob" },
    { type: "CONTRACT_APPROVED", from: "orchestrator", to: "all" },
    { type: "GENERAL", from: "alice", to: "all" },
    { type: "NOTIFICATION", from: "bob", to: "alice" },
  ] as const;
  const strict = { env: { COORD_DIRECTION: "strict" } };

  test.each(against)("$type from $from to $to is warned of, and refused where directions are strict", async (one) => {
    const [sender] = await bench.clients(one.from, "alice", "bob");
    const request: PublishRequest = { type: one.type, to: one.to, subject: "s", description: "" };
    const { warnings } = await sender.publishMessage(request);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(new RegExp(`^Unusual direction: ${one.type} goes from .*, not from ${one.from} to`));
    const before = await bench.state();
    const refusal = await refused((await bench.client(one.from, strict)).publishMessage(request));
    expect(refusal).toMatchObject({ code: "INVALID", message: expect.stringContaining(one.type) });
    expect(await bench.state()).toEqual(before);
  });

  test.each(along)(
    "$type from $from to $to passes without a warning, also where directions are strict",
    async (one) => {
      await bench.clients("alice", "bob", "orchestrator");
      for (const sender of [await bench.client(one.from), await bench.client(one.from, strict)]) {
        const received = await sender.publishMessage({ type: one.type, to: one.to, subject: "s", description: "" });
        expect(received.warnings).toEqual([]);
      }
    },
  );

  test("a reply whose recipient only the store knows is judged as well", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "orchestrator");
    const { messageId: replyTo } = await alice.publishMessage({ ...GENERAL, to: "all" });
    const request = { type: "READY_FOR_REVIEW", subject: "s", description: "", replyTo } as const;
    const before = await bench.state();
    const refusal = await refused((await bench.client("bob", strict)).publishMessage(request));
    expect(refusal).toMatchObject({ code: "INVALID", message: expect.stringContaining("READY_FOR_REVIEW") });
    expect(await bench.state()).toEqual(before);
    expect((await bob.publishMessage(request)).warnings).toHaveLength(1);
  });
});

describe("refusals of input", () => {
  const text = (size: number, piece = "x"): string => piece.repeat(size);
  const refusals: [name: string, request: Record<string, unknown>, sentence: RegExp][] = [
    ["an unknown type", { type: "SHOUT" }, /^type is "SHOUT"/],
    ["no type", { type: undefined }, /^type is/],
    ["a type in lower case", { type: "general" }, /^type is "general"/],
    ["an empty recipient", { to: "" }, /^to is "".*1/],
    ["a recipient with a space", { to: "a b" }, /^to is "a b"/],
    ["a recipient with a line break", { to: "a\nb" }, /^to is "a\\nb"/],
    ["a recipient of 65 characters", { to: text(65) }, /^to is .*64/],
    ["a recipient that is no text", { to: 5 }, /^to is "5"/],
    ["ALL in upper case", { to: "ALL" }, /^to is "ALL".*reserved/],
    ["the name unknown", { to: "unknown" }, /^to is "unknown".*reserved/],
    ["oneself", { to: "alice" }, /^to is "alice"/],
    ["an empty subject", { subject: "" }, /^subject is empty.*200/],
    ["a subject that is no text", { subject: null }, /^subject is/],
    ["a subject of 201 characters", { subject: text(201) }, /^subject has 201 characters.*200/],
    ["a subject of 201 emoji", { subject: text(201, "😀") }, /^subject has 201 characters.*200/],
    ...[..."\n\r\v\f\u0085\u2028\u2029"].map((mark): [string, Record<string, unknown>, RegExp] => [
      `a subject with the line break U+${mark.codePointAt(0)!.toString(16)}`,
      { subject: `a${mark}b` },
      /^subject has a line break/,
    ]),
    ["a description of 64 KiB and one byte", { description: text(65_537) }, /^description has 65537 bytes.*65536/],
    [
      "a description whose UTF-8 is too long",
      { description: text(40_000, "ü") },
      /^description has 80000 bytes.*65536/,
    ],
    ["no description", { description: undefined }, /^description is/],
    ["an unpaired surrogate in the subject", { subject: "\ud800" }, /^subject has an unpaired surrogate/],
    ["an unpaired surrogate in the description", { description: "a\udc00b" }, /^description has an unpaired/],
    ["requiresAck that is no boolean", { requiresAck: "yes" }, /^requires_ack is "yes"/],
    ["an empty replyTo", { replyTo: "" }, /^reply_to has 0 characters.*128/],
    ["a replyTo of 129 characters", { replyTo: text(129) }, /^reply_to has 129 characters.*128/],
    ["an empty idempotency key", { idempotencyKey: "" }, /^idempotency_key has 0 characters.*128/],
    ["an idempotency key of 129 characters", { idempotencyKey: text(129) }, /^idempotency_key has 129.*128/],
  ];

  test.each(refusals)("%s is INVALID, naming field and limit, and stores nothing", async (_name, request, sentence) => {
    const alice = await bench.client("alice");
    const refusal = await refused(alice.publishMessage({ ...GENERAL, ...request }));
    expect(refusal).toBeInstanceOf(CoordinationError);
    expect(refusal).toMatchObject({ code: "INVALID", message: expect.stringMatching(sentence) });
    expect(refusal.hint).not.toBe("");
    expect(await bench.state()).toEqual({});
  });

  test("an unknown type is answered with the eight valid ones", async () => {
    const alice = await bench.client("alice");
    const { validTypes, hint } = await refused(alice.publishMessage({ ...GENERAL, type: "SHOUT" as "GENERAL" }));
    expect(validTypes).toEqual([...MESSAGE_TYPES]);
    expect(MESSAGE_TYPES).toHaveLength(8);
    for (const type of MESSAGE_TYPES) expect(hint).toContain(type);
  });

  test("what is just within the limits is stored", async () => {
    const [alice] = await bench.clients("alice", "orchestrator");
    const subject = text(200, "😀");
    const description = text(32_768, "ü");
    const { messageId } = await alice.publishMessage({ ...GENERAL, subject, description, idempotencyKey: text(128) });
    const to = text(64);
    await alice.publishMessage({ ...GENERAL, to, description: "" });
    const { messages } = await alice.checkMessages({ from: "alice" });
    expect(messages.map((message) => [message.to, message.subject, message.description])).toEqual([
      [to, "s", ""],
      ["orchestrator", subject, description],
    ]);
    expect(messages[1]?.id).toBe(messageId);
  });
});

describe("[G1] all or nothing", () => {
  test("a broadcast that meets a foreign key changes nothing, also where a queue is full", async () => {
    const [alice] = await bench.clients("alice", "bob", "carol");
    await bench.raw.rpush(`${PREFIX}:notifications:bob`, ...Array.from({ length: 1000 }, (_, n) => `event ${n}`));
    await bench.raw.set(`${PREFIX}:inbox:carol`, "foreign");
    const changes = await bench.changes(async () => {
      const { code, message } = await refused(alice.publishMessage({ ...GENERAL, to: "all" }));
      expect([code, message]).toEqual(["INTERNAL", `${PREFIX}:inbox:carol holds a string where a zset belongs.`]);
    });
    expect(changes).toEqual({});
  });

  test("[G12] a broadcast to 2,000 is stored for all of them, one to more for nobody", async () => {
    const [alice] = await bench.clients("alice");
    const entry = JSON.stringify({ last_heartbeat: new Date().toISOString(), left: false, session: {} });
    const know = (from: number, to: number): Promise<unknown> =>
      bench.raw.hset(
        `${PREFIX}:presence`,
        Object.fromEntries(Array.from({ length: to - from }, (_, n) => [`i${from + n}`, entry])),
      );
    await know(0, 2000);
    const { messageId, recipients } = await alice.publishMessage({ ...GENERAL, to: "all" });
    expect(recipients).toHaveLength(2000);
    expect((await alice.showMessage(messageId)).messages[0]?.receipts).toHaveLength(2000);
    const [listed] = (await alice.checkMessages({ from: "alice" })).messages;
    expect([listed?.receipts?.length, listed?.receiptTotals]).toEqual([
      50,
      { recipients: 2000, acknowledged: 0, dead: 0, dropped: 0 },
    ]);
    await know(2000, 2001);
    const before = await bench.raw.dbsize();
    expect(await refused(alice.publishMessage({ ...GENERAL, to: "all" }))).toMatchObject({
      code: "FULL",
      message: 'to is "all": that is 2001 instances, and a message may have 2000 recipients.',
      hint: "Forget those that are gone: coord forget --unseen 7d.",
    });
    expect(await bench.raw.dbsize()).toBe(before);
  });
});
