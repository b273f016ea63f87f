import { describe, expect, test } from "vitest";
import type { PublishRequest } from "../../src/index.ts";
import { PREFIX, type ProxyRules, refused, startProxy, useRedis } from "../harness.ts";

const bench = useRedis();
const REQUEST = { type: "GENERAL", subject: "s", description: "d", to: "bob", idempotencyKey: "key" } as const;

describe("one key", () => {
  test("[G4] a repeat with its key returns the first receipt and changes nothing", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const first = await alice.publishMessage(REQUEST);
    const before = await bench.state();
    expect(await alice.publishMessage(REQUEST)).toEqual({ ...first, repeated: true });
    expect(await (await bench.client("alice")).publishMessage(REQUEST)).toEqual({ ...first, repeated: true });
    expect(await bench.state()).toEqual(before);
  });

  test("[G4] a repeated broadcast names its first recipients, whoever came or went since", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    const first = await alice.publishMessage({ ...REQUEST, to: "all" });
    await bob.forgetInstance("bob");
    await bench.clients("dave");
    const repeat = await alice.publishMessage({ ...REQUEST, to: "all" });
    const recipients = [
      { instance: "bob", presence: "unknown" },
      { instance: "carol", presence: "active" },
    ];
    expect(repeat).toEqual({ ...first, recipients, repeated: true });
  });

  test("[G4] a repeated reply says that it acknowledged, and acknowledges only once", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const asked = await bob.publishMessage({ ...REQUEST, to: "alice" });
    const reply = { ...REQUEST, to: undefined, replyTo: asked.messageId };
    const first = await alice.publishMessage(reply);
    const before = await bench.state();
    expect(await alice.publishMessage(reply)).toEqual({ ...first, repeated: true });
    expect(first.acknowledged).toBe(true);
    expect(await bench.state()).toEqual(before);
  });

  test("[G4] a repeat after the message is gone still stores nothing", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage(REQUEST);
    await bench.raw.del(`${PREFIX}:msg:${messageId}`);
    const before = await bench.state();
    expect(await alice.publishMessage(REQUEST)).toMatchObject({ messageId, repeated: true });
    expect(await bench.state()).toEqual(before);
  });

  const changes: [string, Partial<PublishRequest>][] = [
    ["type", { type: "META_CHANGE_REQUEST" }],
    ["subject", { subject: "S" }],
    ["description", { description: "d " }],
    ["recipient", { to: "carol" }],
    ["recipient all", { to: "all" }],
    ["requiresAck", { requiresAck: false }],
    ["replyTo", { replyTo: "msg-0000000000" }],
  ];
  test.each(changes)("[G4] the same key with another %s is INVALID and changes nothing", async (_what, change) => {
    const [alice] = await bench.clients("alice", "bob", "carol");
    const { messageId } = await alice.publishMessage(REQUEST);
    const before = await bench.state();
    const refusal = await refused(alice.publishMessage({ ...REQUEST, ...change }));
    expect(refusal).toMatchObject({ code: "INVALID", message: expect.stringMatching(/^The idempotency_key .*other/) });
    expect(refusal.message).toContain(messageId);
    expect(await bench.state()).toEqual(before);
  });

  test("[G4] the same key on a reply to somebody else, then to its default recipient, is other content", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    const { messageId: replyTo } = await bob.publishMessage({ ...REQUEST, to: "alice" });
    await alice.publishMessage({ ...REQUEST, to: "carol", replyTo });
    const refusal = await refused(alice.publishMessage({ ...REQUEST, to: undefined, replyTo }));
    expect(refusal).toMatchObject({ code: "INVALID", message: expect.stringContaining("idempotency_key") });
  });

  test("[G4] keys are per sender, and count for 24 hours", async () => {
    const [alice, bob] = await bench.clients("alice", "bob", "carol");
    const sent = [await alice.publishMessage(REQUEST), await bob.publishMessage({ ...REQUEST, to: "carol" })];
    expect(sent.map(({ repeated }) => repeated)).toEqual([false, false]);
    for (const name of ["alice", "bob"]) {
      const seconds = await bench.raw.ttl(`${PREFIX}:once:${name}:key`);
      expect(seconds).toBeGreaterThan(86_400 - 100);
      expect(seconds).toBeLessThanOrEqual(86_400);
    }
    await bench.raw.del(`${PREFIX}:once:alice:key`); // as when they are over
    expect(await alice.publishMessage(REQUEST)).toMatchObject({ repeated: false });
  });

  test("[G4] 8 concurrent publishes with one key store one message, and all get its receipt", async () => {
    await bench.clients("alice", "bob");
    const senders = await Promise.all(Array.from({ length: 8 }, () => bench.client("alice")));
    const received = await Promise.all(senders.map((sender) => sender.publishMessage(REQUEST)));
    const ids = new Set(received.map(({ messageId }) => messageId));
    expect(ids.size).toBe(1);
    expect(received.filter(({ repeated }) => !repeated)).toHaveLength(1);
    const state = await bench.state();
    expect([state["timeline"], state["inbox:bob"], state["pending"]]).toEqual([["m1"], ["m1"], ["m1"]]);
    expect(state["notifications:bob"]).toHaveLength(1);
  });

  test("[G4] without a key the same content sent twice is two messages", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const request = { ...REQUEST, idempotencyKey: undefined };
    await alice.publishMessage(request);
    expect(await alice.publishMessage(request)).toMatchObject({ repeated: false });
    expect((await bench.state())["timeline"]).toEqual(["m1", "m2"]);
  });
});

describe("lost answers", () => {
  const request = { ...REQUEST, idempotencyKey: undefined };
  const isScript = (bytes: string): boolean => /evalsha|eval/i.test(bytes);

  /** A proxy that forwards as many script calls as `network.losing` says and loses their answers. */
  async function lossy(verdict: "cut" | "drop"): Promise<{ url: string; network: { losing: number } }> {
    const network = { losing: 0 };
    const silent = new Set<unknown>();
    const rules: ProxyRules = {
      request: (bytes, connection) => {
        if (isScript(bytes) && network.losing > 0) {
          network.losing--;
          silent.add(connection);
        }
        return "pass";
      },
      reply: (_bytes, connection) => (silent.has(connection) ? verdict : "pass"),
    };
    return { url: await startProxy(bench.redis.socketPath, rules), network };
  }

  test("[G4] one lost answer is had by asking again, and one message is stored", async () => {
    await bench.clients("alice", "bob");
    const { url, network } = await lossy("cut");
    const alice = await bench.client("alice", { redis: url });
    await alice.touch();
    network.losing = 1;
    const { messageId } = await alice.publishMessage(request);
    expect(await bench.raw.zrange(`${PREFIX}:timeline`, "0", "-1")).toEqual([messageId]);
    expect(network.losing).toBe(0);
  });

  test("[G4] when no answer can be had the error says so, and the same content sent again is the same message", async () => {
    await bench.clients("alice", "bob");
    const { url, network } = await lossy("cut");
    const alice = await bench.client("alice", { redis: url });
    network.losing = 100;
    const refusal = await refused(alice.publishMessage(request));
    network.losing = 0;
    expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("may have happened") });
    const [stored] = await bench.raw.zrange(`${PREFIX}:timeline`, "0", "-1");
    const other = await alice.publishMessage({ ...request, subject: "other" });
    expect(other).toMatchObject({ repeated: false });
    const again = await alice.publishMessage(request);
    expect(again).toMatchObject({ messageId: stored, repeated: true });
    // Now its outcome is known: sent once more it is meant as another message.
    expect(await alice.publishMessage(request)).toMatchObject({ repeated: false });
    expect((await bench.state())["timeline"]).toEqual(["m1", "m2", "m3"]);
  });

  test("[G4] after 5 seconds of silence the error is TIMEOUT, says so, and the same content is the same message", async () => {
    await bench.clients("alice", "bob");
    const { url, network } = await lossy("drop");
    const alice = await bench.client("alice", { redis: url });
    await alice.touch();
    network.losing = 1;
    const refusal = await refused(alice.publishMessage(request));
    expect(refusal).toMatchObject({ code: "TIMEOUT", message: expect.stringContaining("may have happened") });
    expect(refusal.message).toContain(url.replace("redis://", ""));
    expect(await alice.publishMessage(request)).toMatchObject({ repeated: true });
    expect((await bench.state())["timeline"]).toEqual(["m1"]);
  });

  test("a lost answer to a call that must not be repeated is told, not asked for again", async () => {
    const [, bob] = await bench.clients("alice", "bob");
    await (await bench.client("alice")).publishMessage(request);
    const { url, network } = await lossy("cut");
    const through = await bench.client("bob", { redis: url });
    network.losing = 1;
    const refusal = await refused(through.getNotifications());
    expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("may have happened") });
    expect((await bob.checkMessages()).count).toBe(1); // the inbox is the truth
  });

  test("an acknowledgement whose answer was lost has happened once", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage(request);
    const { url, network } = await lossy("cut");
    const bob = await bench.client("bob", { redis: url });
    network.losing = 1;
    expect(await bob.ackMessage(messageId, { comment: "c" })).toMatchObject({ messageId, comment: "c" });
    expect((await alice.getNotifications()).notifications).toMatchObject([{ event: "message_acknowledged" }]);
  });
});
