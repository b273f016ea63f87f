import { describe, expect, test } from "vitest";
import type { AckResult } from "../../src/index.ts";
import { PREFIX, refused, useRedis } from "../harness.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;

describe("one recipient", () => {
  test("[G5] an acknowledgement settles the message for its recipient and tells the sender, and changes no more", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    let received: AckResult | undefined;
    const changed = await bench.changes(async () => {
      received = await bob.ackMessage(messageId, { comment: "done\nwell" });
    });
    expect(await bench.plain(received)).toEqual({
      messageId: "m1",
      acknowledgedBy: "bob",
      timestamp: "<time>",
      already: false,
      comment: "done\nwell",
    });
    expect(changed).toEqual({
      "msg:m1": {
        id: "m1",
        type: "GENERAL",
        from: "alice",
        to: "bob",
        subject: "s",
        description: "d",
        timestamp: "<time>",
        requires_ack: "1",
        "receipt:bob": "<time> <time> done\nwell",
      },
      pending: undefined,
      "pending:bob": undefined,
      "unread:bob": undefined,
      "notifications:alice": [
        {
          event: "message_acknowledged",
          message_id: "m1",
          type: "GENERAL",
          from: "bob",
          to: "alice",
          subject: "s",
          requires_ack: false,
          timestamp: "<time>",
          comment: "done\nwell",
        },
      ],
    });
  });

  test("[G5] the first acknowledgement counts: a repeat returns its time and comment and changes nothing", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const first = await bob.ackMessage(messageId, { comment: "first" });
    const before = await bench.state();
    expect(await bob.ackMessage(messageId, { comment: "second" })).toEqual({ ...first, already: true });
    expect(await bob.ackMessage(messageId)).toEqual({ ...first, already: true });
    expect(await bench.state()).toEqual(before);
  });

  test("[G5] a repeat of an acknowledgement without comment has no comment either", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const first = await bob.ackMessage(messageId);
    expect(first).not.toHaveProperty("comment");
    expect(await bob.ackMessage(messageId, { comment: "late" })).toEqual({ ...first, already: true });
  });

  test("[G5] an unknown id is NOT_FOUND, somebody else's or one's own message NOT_RECIPIENT, and nothing changes", async () => {
    const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const { messageId: toAll } = await bob.publishMessage({ ...GENERAL, to: "all" });
    const before = await bench.state();
    for (const id of ["msg-0000000000", "nonsense", "y".repeat(128), "\u0000", "*", "a b"]) {
      expect(await refused(bob.ackMessage(id))).toMatchObject({ code: "NOT_FOUND", message: expect.any(String) });
    }
    for (const [client, id] of [
      [carol, messageId],
      [alice, messageId],
      [bob, toAll],
    ] as const) {
      const refusal = await refused(client.ackMessage(id, { comment: "mine" }));
      expect(refusal).toMatchObject({ code: "NOT_RECIPIENT", message: expect.stringContaining(id) });
      expect(refusal.hint).not.toBe("");
    }
    expect(await bench.state()).toEqual(before);
  });

  test("what asks for no acknowledgement may be acknowledged", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, type: "NOTIFICATION", to: "bob" });
    expect(await bob.ackMessage(messageId)).toMatchObject({ already: false });
    expect(await bob.ackMessage(messageId)).toMatchObject({ already: true });
    const { messages } = await alice.checkMessages({ from: "alice" });
    expect(messages).toMatchObject([{ requiresAck: false, acknowledged: true }]);
  });

  test("acknowledging what was presented keeps when that was", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    await bob.checkMessages();
    const key = `${PREFIX}:msg:${messageId}`;
    await bench.raw.hset(key, "receipt:bob", "1000000000000000");
    await bob.ackMessage(messageId);
    expect(await bench.raw.hget(key, "receipt:bob")).toMatch(/^1000000000000000 \d{16}$/);
    const [sent] = (await alice.showMessage(messageId)).messages;
    expect(sent?.receipts).toMatchObject([{ state: "acknowledged", presentedAt: "2001-09-09T01:46:40.000Z" }]);
  });

  test("several ids are settled each on its own, with the refusal in its place", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    const first = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const second = await alice.publishMessage({ ...GENERAL, to: "carol" });
    const third = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const ids = [first.messageId, "nothing", second.messageId, third.messageId, first.messageId];
    const results = await bob.ackMessage(ids, { comment: "c" });
    const settled = { acknowledgedBy: "bob", timestamp: "<time>", already: false, comment: "c" };
    const refusal = { error: expect.any(String) as string, hint: expect.any(String) as string };
    expect(await bench.plain(results)).toEqual([
      { messageId: "m1", ...settled },
      { messageId: "nothing", code: "NOT_FOUND", ...refusal },
      { messageId: "m2", code: "NOT_RECIPIENT", ...refusal },
      { messageId: "m3", ...settled },
      { messageId: "m1", ...settled, already: true },
    ]);
    const state = await bench.state();
    expect([state["pending"], state["pending:carol"], state["pending:bob"]]).toEqual([["m2"], ["m2"], undefined]);
    expect(state["notifications:alice"]).toMatchObject([{ message_id: "m1" }, { message_id: "m3" }]);
  });

  test.each([
    { what: "a comment over 4 KiB", id: "x", comment: "x".repeat(4097), sentence: /^comment has 4097 bytes.*4096/ },
    { what: "a comment whose UTF-8 is over 4 KiB", id: "x", comment: "😀".repeat(1025), sentence: /^comment has 4100/ },
    { what: "an unpaired surrogate", id: "x", comment: "\udfff", sentence: /^comment has an unpaired surrogate/ },
    { what: "an empty id", id: "", comment: "", sentence: /^message_id has 0 characters.*128/ },
    { what: "an id of 129 characters", id: "x".repeat(129), comment: "", sentence: /^message_id has 129.*128/ },
    { what: "no id in a list", id: [], comment: "", sentence: /^message_id names 0 messages/ },
    { what: "101 ids", id: Array<string>(101).fill("x"), comment: "", sentence: /^message_id names 101.*100/ },
  ])("$what is INVALID, naming field and limit, and changes nothing", async ({ id, comment, sentence }) => {
    const bob = await bench.client("bob");
    const refusal = await refused(bob.ackMessage(id as string, { comment }));
    expect(refusal).toMatchObject({ code: "INVALID", message: expect.stringMatching(sentence) });
    expect(await bench.state()).toEqual({});
  });

  test("a comment of exactly 4 KiB is kept", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    const comment = "😀".repeat(1024);
    expect(await bob.ackMessage(messageId, { comment })).toMatchObject({ comment });
    expect(await bob.ackMessage(messageId)).toMatchObject({ comment });
  });
});

describe("broadcasts", () => {
  test("[G5] [G6] each recipient acknowledges a broadcast for itself, and the sender sees who is missing, those first", async () => {
    const [alice, bob, carol, dave] = await bench.clients("alice", "bob", "carol", "dave");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "all" });
    await dave.checkMessages();
    await bob.ackMessage(messageId, { comment: "ok" });
    const { messages } = await alice.checkMessages({ from: "alice" });
    const stored = { instance: "carol", state: "stored" };
    const presented = { instance: "dave", state: "presented", presentedAt: "<time>" };
    const times = { presentedAt: "<time>", acknowledgedAt: "<time>" };
    const acknowledged = { instance: "bob", state: "acknowledged", ...times, comment: "ok" };
    const sent = {
      id: "m1",
      type: "GENERAL",
      from: "alice",
      to: "all",
      timestamp: "<time>",
      requiresAck: true,
      acknowledged: false,
      subject: "s",
      description: "d",
    };
    expect(await bench.plain(messages)).toEqual([
      {
        ...sent,
        receipts: [stored, presented, acknowledged],
        receiptTotals: { recipients: 3, acknowledged: 1, dead: 0, dropped: 0 },
      },
    ]);
    // A recipient sees its own receipt only.
    expect(await bench.plain((await bob.checkMessages()).messages)).toEqual([{ ...sent, acknowledged: true }]);

    await carol.ackMessage(messageId);
    expect((await bench.state())["pending"]).toEqual(["m1"]);
    await dave.ackMessage(messageId);
    const state = await bench.state();
    expect([state["pending"], state["pending:dave"]]).toEqual([undefined, undefined]);
    expect(await alice.checkMessages({ from: "alice" })).toMatchObject({ messages: [{ acknowledged: true }] });
    expect(state["notifications:alice"]).toMatchObject(["bob", "carol", "dave"].map((from) => ({ from })));
  });

  test("[G5] 8 concurrent acknowledgements of a broadcast, two of each of 4 recipients, count 4 times", async () => {
    const names = ["r1", "r2", "r3", "r4"];
    const [alice] = await bench.clients("alice", ...names);
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "all" });
    const clients = await Promise.all([...names, ...names].map((name) => bench.client(name)));
    const results = await Promise.all(clients.map((client, i) => client.ackMessage(messageId, { comment: `c${i}` })));
    expect(results.filter(({ already }) => !already)).toHaveLength(4);
    for (const name of names) {
      const own = results.filter(({ acknowledgedBy }) => acknowledgedBy === name);
      expect(own.filter(({ already }) => already)).toHaveLength(1);
      expect(own[0]).toMatchObject({ comment: own[1]?.comment, timestamp: own[1]?.timestamp });
    }
    const state = await bench.state();
    expect(state["pending"]).toBeUndefined();
    expect(state["msg:m1"]).toMatchObject({ open: "0" });
    expect(state["notifications:alice"]).toHaveLength(4);
  });

  test("[G6] who was forgotten still has its message and acknowledges it", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "all" });
    expect(await alice.forgetInstance("bob")).toEqual({ instance: "bob", pending: 1 });
    expect((await alice.publishMessage({ ...GENERAL, to: "all" })).recipients).toEqual([]);
    expect((await bench.state())["pending"]).toBeUndefined();
    expect(await bob.ackMessage(messageId)).toMatchObject({ already: false });
    expect((await alice.showMessage(messageId)).messages).toMatchObject([{ receipts: [{ state: "acknowledged" }] }]);
  });
});
