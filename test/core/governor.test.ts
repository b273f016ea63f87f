/** The brake for agents: what is refused, for how long, and what never is. */
import { describe, expect, test } from "vitest";
import type { CoordinationClient } from "../../src/client/client.ts";
import type { PublishRequest } from "../../src/index.ts";
import { MessageType } from "../../src/protocol/definition.ts";
import { PREFIX, refused, useRedis } from "../harness.ts";

const bench = useRedis();
const NOTE = { type: MessageType.NOTIFICATION, subject: "s", description: "thanks" } as const;

/** As an agent has it: in its own session, through a surface of ours. */
async function agent(name: string): Promise<CoordinationClient> {
  const client = bench.command(name);
  await client.join({ agent: "claude-code", host: "here", agentPid: 1, cwd: "/", id: name });
  client.session.governed = true;
  return client;
}

async function send(from: CoordinationClient, request: Partial<PublishRequest>, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await from.publishMessage({ ...NOTE, ...request });
}

/** So much time passes for what is stored. */
async function age(seconds: number): Promise<void> {
  for (const key of await bench.raw.keys(`${PREFIX}:outbox:*`)) {
    for (const id of await bench.raw.zrange(key, "0", "-1"))
      await bench.raw.zadd(key, String(Number(await bench.raw.zscore(key, id)) - seconds * 1e6), id);
  }
}

describe("so many messages of one agent to another", () => {
  test("are refused with LOOP and the time to wait, store nothing and use no key; both are told once", async () => {
    const [alice] = [await agent("alice"), await agent("bob"), await agent("operator-like")];
    await bench.command("operator").registerInstance();
    await send(alice, { to: "bob" }, 50);
    const before = await bench.state();
    const request = { ...NOTE, to: "bob", idempotencyKey: "k" };
    const error = await refused(alice.publishMessage(request));
    expect(error).toMatchObject({
      code: "LOOP",
      message: "You have sent bob 50 messages in 300 seconds that nobody asked for or acknowledged.",
      hint: expect.stringMatching(/^Put what is left into one message, and send it in \d+ seconds or/) as string,
    });
    expect(error.retryAfterSeconds).toSatisfy((seconds: number) => seconds > 200 && seconds <= 300);
    await refused(alice.publishMessage(request));
    const after = await bench.state();
    const { "notifications:bob": told, "notifications:operator": seen, ...rest } = after;
    expect([(told as unknown[]).length, seen]).toEqual([
      51,
      [{ event: "sender_braked", from: "alice", to: "bob", timestamp: "<time>" }],
    ]);
    const { "notifications:bob": _, ...stored } = before;
    const { "braked:alice:bob": mark, ...others } = rest;
    expect([others, mark]).toEqual([stored, expect.anything()]);
    // Somebody else, all, and bob himself are not concerned.
    await send(alice, { to: "carol" }, 1);
    await send(alice, { to: "all" }, 1);
    await age(301);
    expect(await alice.publishMessage(request)).toMatchObject({ repeated: false });
  });

  test("do not count where they are acknowledged, answer what asked, or are repeated", async () => {
    const [alice, bob] = [await agent("alice"), await agent("bob")];
    const ids = [];
    for (let i = 0; i < 50; i++)
      ids.push(
        (await alice.publishMessage({ ...NOTE, to: "bob", requiresAck: true, idempotencyKey: `${i}` })).messageId,
      );
    expect(await alice.publishMessage({ ...NOTE, to: "bob", requiresAck: true, idempotencyKey: "7" })).toMatchObject({
      repeated: true,
    });
    await bob.ackMessage(ids[0]!);
    await send(alice, { to: "bob" }, 1);
    expect((await refused(send(alice, { to: "bob" }, 1))).code).toBe("LOOP");
    const asked = [];
    for (let i = 0; i < 10; i++)
      asked.push((await bob.publishMessage({ ...NOTE, to: "alice", requiresAck: true })).messageId);
    await age(301);
    for (let i = 0; i < 45; i++) await send(alice, { to: "bob" }, 1);
    for (const replyTo of asked) await alice.publishMessage({ ...NOTE, replyTo });
    await send(alice, { to: "bob" }, 5);
    expect((await refused(send(alice, { to: "bob" }, 1))).code).toBe("LOOP");
  });

  test("to all count once each, towards all", async () => {
    const alice = await agent("alice");
    await agent("bob");
    await alice.changeNamespaceSetting("loop_messages", 3);
    await send(alice, { to: "all" }, 3);
    await send(alice, { to: "bob" }, 3);
    for (const to of ["all", "bob"]) expect((await refused(send(alice, { to }, 1))).code).toBe("LOOP");
  });
});

describe("short messages in turn of the same two", () => {
  async function thank(turns: number): Promise<[CoordinationClient, CoordinationClient, string]> {
    const both = [await agent("alice"), await agent("bob")] as const;
    let replyTo = (await both[0].publishMessage({ ...NOTE, to: "bob" })).messageId;
    for (let turn = 1; turn < turns; turn++)
      replyTo = (await both[turn % 2]!.publishMessage({ ...NOTE, replyTo })).messageId;
    return [both[turns % 2]!, both[(turns + 1) % 2]!, replyTo];
  }

  test("end with the seventh, which an acknowledgement replaces; one who says more goes on", async () => {
    const [next, other, replyTo] = await thank(6);
    const error = await refused(next.publishMessage({ ...NOTE, replyTo }));
    expect(error).toMatchObject({
      code: "LOOP",
      message: "You and bob have exchanged 6 short messages in turn, and this would be the next.",
    });
    expect(error.hint).toMatch(/coord_ack_message settles without an answer/);
    await next.ackMessage(replyTo);
    await next.publishMessage({ ...NOTE, replyTo, description: "é".repeat(200) });
    await other.publishMessage({ ...NOTE, replyTo, to: "alice" });
  });

  test("are no loop where one of them asks for work, or one speaks twice", async () => {
    const [next, , replyTo] = await thank(6);
    await next.publishMessage({ ...NOTE, type: MessageType.READY_FOR_REVIEW, replyTo, to: "bob" });
    const [other, , second] = await thank(5);
    const again = await other.publishMessage({ ...NOTE, replyTo: second });
    expect(again.messageId).toMatch(/^msg-/);
  });

  test("[G3] a program that publishes 10,000 messages never meets the brake, nor does a plain shell", async () => {
    const library = await bench.client("alice");
    await bench.seen({ bob: 0 });
    for (let sent = 0; sent < 10_000; sent += 100) {
      await Promise.all(Array.from({ length: 100 }, () => library.publishMessage({ ...NOTE, to: "bob" })));
    }
    const shell = bench.command("shell");
    shell.session.governed = true;
    await send(shell, { to: "bob" }, 51);
    expect((await library.getStats()).total).toBe(10_051);
  });
});

test("[G2] one sender holds at most half of a namespace with what nobody acknowledges, and drop makes room", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  await alice.publishMessage({ ...NOTE, to: "bob" });
  await alice.changeNamespaceSetting("max_messages", 10);
  const asking = { ...NOTE, to: "mistyped", requiresAck: true };
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await alice.publishMessage(asking)).messageId);
  expect(await refused(alice.publishMessage(asking))).toMatchObject({
    code: "FULL",
    message:
      "alice has sent 5 messages that nobody has acknowledged, half of the 10 that the namespace holds; most of all are for mistyped (5).",
  });
  await alice.publishMessage({ ...NOTE, to: "bob" }); // which asks for nothing
  await bob.publishMessage({ ...asking, to: "alice" });
  const { messages } = await alice.dropMessages(ids);
  expect(messages.map(({ id, receipts }) => [id, receipts?.[0]?.state])).toEqual(ids.map((id) => [id, "dropped"]));
  await alice.publishMessage(asking);
  expect(await alice.getStats()).toMatchObject({ pending: 2, dead: 0 });
});

describe("drop", () => {
  test("settles for all as the sender, the orchestrator or the operator, for oneself as a recipient", async () => {
    const [alice, bob, carol, orchestrator, operator] = await bench.clients(
      "alice",
      "bob",
      "carol",
      "orchestrator",
      "operator",
    );
    const ask = async (to: string): Promise<string> =>
      (await alice.publishMessage({ ...NOTE, to, requiresAck: true, ackWithin: 60 })).messageId;
    const states = async (id: string): Promise<unknown> =>
      Object.fromEntries((await alice.showMessage(id)).messages[0]!.receipts!.map((one) => [one.instance, one.state]));
    const toAll = await ask("all");
    await carol.ackMessage(toAll);
    await bob.dropMessages([toAll]);
    const expected = { bob: "dropped", carol: "acknowledged", orchestrator: "stored" };
    expect(await states(toAll)).toEqual(expected);
    expect((await refused(carol.dropMessages([await ask("bob")]))).code).toBe("NOT_RECIPIENT");
    await operator.dropMessages([toAll]);
    expect(await states(toAll)).toEqual({ bob: "dropped", orchestrator: "dropped", carol: "acknowledged" });
    expect((await refused(alice.dropMessages([toAll]))).code).toBe("NOT_FOUND");
    const toBob = await ask("bob");
    await orchestrator.dropMessages([toBob]);
    await bench.passDeadlines();
    expect(await alice.sweep()).toMatchObject({ announced: 1, dead: 0 }); // carol's refusal left the other one open
    expect((await bob.checkMessages({ pendingOnly: true })).messages.map(({ id }) => id)).not.toContain(toBob);
  });

  test("of one that is unknown refuses them all", async () => {
    const [alice] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...NOTE, to: "bob", requiresAck: true });
    const before = await bench.state();
    expect((await refused(alice.dropMessages([messageId, "msg-0000000000"]))).code).toBe("NOT_FOUND");
    expect(await bench.state()).toEqual(before);
  });
});
