/** A namespace that was emptied, replaced or set back: who knew it is told once, and nothing goes on as if nothing were. */
import { describe, expect, test } from "vitest";
import { PREFIX, refused, useRedis } from "../harness.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;

async function empty(): Promise<void> {
  await bench.raw.del(...(await bench.raw.keys(`${PREFIX}:*`)));
}

/** Everything that is held now, to be put back later as from a backup. */
async function backup(): Promise<() => Promise<void>> {
  const keys = await bench.raw.keys(`${PREFIX}:*`);
  for (const key of keys) await bench.raw.call("COPY", key, `backup:${key}`);
  return async () => {
    await empty();
    for (const key of keys) await bench.raw.call("RENAME", `backup:${key}`, key);
  };
}

const EMPTIED = `The namespace ${PREFIX} was emptied or replaced: it is not the one that was here before.`;

describe("[G2] the first operation after the loss is refused with LOST, once, and changes nothing", () => {
  test("of a sender and a reader, where the namespace is gone", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    for (let i = 0; i < 2; i++) await alice.publishMessage(GENERAL);
    for (let i = 0; i < 2; i++) await bob.checkMessages();
    await bob.touch();
    await empty();
    expect(await refused(alice.publishMessage(GENERAL))).toMatchObject({ code: "LOST", message: EMPTIED });
    expect(await refused(bob.checkMessages())).toMatchObject({ code: "LOST", message: EMPTIED });
    expect(await bench.state()).toEqual({});
    expect(await alice.publishMessage(GENERAL)).toMatchObject({ repeated: false });
    expect((await bob.checkMessages()).count).toBe(1);
  });

  test("of a sender, where another namespace has taken its place", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    for (let i = 0; i < 2; i++) await alice.publishMessage(GENERAL);
    await alice.touch();
    await empty();
    await (await bench.client("carol")).publishMessage(GENERAL);
    expect(await refused(alice.publishMessage(GENERAL))).toMatchObject({ code: "LOST", message: EMPTIED });
    expect((await bob.checkMessages()).count).toBe(1);
  });

  test("of a sender whose last messages are gone, as after a failover or from a backup", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    for (let i = 0; i < 2; i++) await alice.publishMessage(GENERAL);
    await alice.touch();
    const restore = await backup();
    const { messageId } = await alice.publishMessage(GENERAL);
    await restore();
    expect(await refused(alice.publishMessage(GENERAL))).toMatchObject({
      code: "LOST",
      message: `The namespace ${PREFIX} has lost its newest messages: ${messageId} came after all that is stored.`,
    });
    await alice.publishMessage(GENERAL);
    expect((await bob.checkMessages()).count).toBe(3);
  });

  test("of who waits, and a cursor that is newer than the namespace is not found", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    for (let i = 0; i < 2; i++) await alice.publishMessage(GENERAL);
    for (let i = 0; i < 2; i++) await bob.checkMessages();
    await bob.touch();
    const waiting = refused(bob.checkMessages({ waitSeconds: 20 }));
    await empty();
    await (await bench.client("carol")).publishMessage(GENERAL);
    expect(await waiting).toMatchObject({ code: "LOST" });
    expect(await refused(bob.checkMessages({ since: "msg-zzzzzzzzzz" }))).toMatchObject({ code: "NOT_FOUND" });
    const fresh = bench.command("bob");
    await bench.raw.flushall();
    expect(await refused(fresh.checkMessages({ since: "msg-zzzzzzzzzz" }))).toMatchObject({ code: "NOT_FOUND" });
  });
});

test("who has known nothing is told of no loss, nor is who saw the namespace begin", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  for (let i = 0; i < 3; i++) await bob.checkMessages();
  for (let i = 0; i < 3; i++) await alice.publishMessage(GENERAL);
  expect((await bob.checkMessages()).count).toBe(3);
});
