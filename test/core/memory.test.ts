import { expect, test } from "vitest";
import { refused, useRedis } from "../harness.ts";

const bench = useRedis();
const GENERAL = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;

test("[G1] out of memory a publish is refused clearly with nothing stored, and all that drains still works", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  const { messageId } = await alice.publishMessage(GENERAL);
  await alice.publishMessage(GENERAL);
  await alice.publishMessage({ ...GENERAL, to: "all" });
  const before = await bench.state();
  await bench.raw.config("SET", "maxmemory-policy", "noeviction");
  await bench.raw.config("SET", "maxmemory", "1");
  for (const request of [GENERAL, { ...GENERAL, to: "all" }, { ...GENERAL, description: "x".repeat(65_536) }]) {
    const refusal = await refused(alice.publishMessage(request));
    expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("out of memory") });
    expect(refusal.message).toContain(bench.address);
    expect(refusal.hint).toContain("maxmemory");
  }
  expect(await bench.state()).toEqual(before);
  // Scripts that are not cached are no obstacle either.
  await bench.raw.script("FLUSH");
  expect(await bob.checkMessages()).toMatchObject({ count: 3 });
  expect(await bob.checkMessages({ pendingOnly: true })).toMatchObject({ count: 3 });
  expect(await bob.ackMessage(messageId, { comment: "done" })).toMatchObject({ already: false });
  expect(await alice.getNotifications()).toMatchObject({ count: 1 });
  expect(await bob.getNotifications()).toMatchObject({ count: 0 }); // all were presented
  expect(await bob.getPresence()).toMatchObject({ instances: { alice: { status: "active" } } });
  expect(await bob.showMessage(messageId, { thread: true })).toMatchObject({ count: 1 });
  expect(await bob.getStats()).toMatchObject({ total: 3, pending: 2 });
  expect(await bob.forgetInstance("alice")).toMatchObject({ pending: 0 });
  await bob.touch();
  expect(await bob.checkMessages({ waitSeconds: 0.05 })).toMatchObject({ count: 0 });
  await bench.raw.config("SET", "maxmemory", "0");
  expect(await alice.publishMessage(GENERAL)).toMatchObject({ repeated: false });
});
