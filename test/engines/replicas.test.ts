import { afterAll, beforeAll, expect, test } from "vitest";
import { type CoordinationClient, getCoordinationClient } from "../../src/index.ts";
import { refused, until } from "../harness.ts";
import { Agent, coord, environment } from "../surfaces/run.ts";
import { startWatched, type Topology } from "../topologies.ts";

const REQUEST = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;
let world: Topology;
let url: string;

beforeAll(async () => {
  world = await startWatched("coord", { replicas: 1, sentinels: 0 });
  url = world.servers[0]!.url;
});
afterAll(() => world.stop());

function client(replicas: number, milliseconds = 200): Promise<CoordinationClient> {
  const env = { COORD_WAIT_REPLICAS: String(replicas), COORD_WAIT_REPLICAS_MILLISECONDS: String(milliseconds) };
  return getCoordinationClient({ instanceId: "alice", env: { ...env, REDIS_URL: url }, cwd: "/" });
}

test("[G1] a publish that waits for replicas says how many have it; one that does not says nothing", async () => {
  await using waiting = await client(1, 4000);
  const first = await waiting.publishMessage({ ...REQUEST, idempotencyKey: "k" });
  expect(first).toMatchObject({ replicas: 1, repeated: false });
  expect(await world.servers[1]!.raw.exists(`coord:msg:${first.messageId}`)).toBe(1);
  await using plain = await client(0);
  expect(await plain.publishMessage({ ...REQUEST, idempotencyKey: "k" })).not.toHaveProperty("replicas");
});

test("[G1] [G4] with fewer replicas it is refused with its receipt, and the same content again is the same message", async () => {
  await using alice = await client(2);
  const refusal = await refused(alice.publishMessage(REQUEST));
  const { receipt } = refusal;
  expect(receipt).toMatchObject({ type: "GENERAL", to: "bob", replicas: 1, repeated: false });
  const id = receipt!.messageId;
  expect([refusal.code, refusal.message]).toEqual([
    "NOT_REPLICATED",
    `${id} is stored, but after 200 ms 1 of 2 replicas have it.`,
  ]);
  const again = await refused(alice.publishMessage(REQUEST));
  expect([again.code, again.receipt]).toEqual(["NOT_REPLICATED", { ...receipt, repeated: true }]);
  expect(await world.servers[0]!.raw.zscore("coord:inbox:bob", id)).not.toBe(null);
});

test("[G4] a repeat writes: since Redis 7.2, WAIT is about the last write of the connection, and it may have had none", async () => {
  await using alice = await client(0); // to wait would write as well
  const offset = async (): Promise<number> => Number(((await world.servers[0]!.raw.call("ROLE")) as string[])[1]);
  const request = { ...REQUEST, idempotencyKey: "written" };
  await alice.publishMessage(request);
  const before = await offset();
  expect(await alice.publishMessage(request)).toMatchObject({ repeated: true });
  expect(await offset()).toBeGreaterThan(before);
});

test("[G1] [G4] a repeat claims no replica that does not have it, and succeeds once one does", async () => {
  const replica = world.servers[1]!;
  await using alice = await client(1);
  process.kill(replica.pid, "SIGSTOP");
  try {
    const { messageId } = (await refused(alice.publishMessage(REQUEST))).receipt!;
    // On a connection of its own, on which nothing but the repeat has written.
    await using other = await client(1);
    const repeat = { ...REQUEST, subject: "again", idempotencyKey: "k2" };
    const first = await refused(alice.publishMessage(repeat));
    const second = await refused(other.publishMessage(repeat));
    expect(second.receipt).toEqual({ ...first.receipt, repeated: true, replicas: 0 });
    process.kill(replica.pid, "SIGCONT");
    await until(() => world.servers[0]!.raw.wait(1, 1000));
    expect(await alice.publishMessage(REQUEST)).toMatchObject({ messageId, repeated: true, replicas: 1 });
  } finally {
    process.kill(replica.pid, "SIGCONT");
  }
});

test("[G1] commands and tools say NOT_REPLICATED, with the receipt", async () => {
  const settings = { REDIS_URL: url, CLAUDE_INSTANCE_ID: "alice", COORD_WAIT_REPLICAS: "2" };
  const env = { ...settings, COORD_WAIT_REPLICAS_MILLISECONDS: "50" };
  const ended = await coord(["publish", "GENERAL", "s", "d", "--to", "bob", "--json"], { env: environment(env) });
  const receipt = { message_id: expect.any(String) as string, to: "bob", replicas: 1 };
  expect(ended).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error: msg-\w+ is stored, but after 50 ms/) });
  expect(JSON.parse(ended.stdout)).toMatchObject({ success: false, code: "NOT_REPLICATED", receipt });
  await using agent = await new Agent(env).start();
  const args = { msg_type: "GENERAL", subject: "s", description: "d", to_instance: "bob" };
  const { isError, value } = await agent.call("coord_publish_message", args);
  expect([isError, value]).toMatchObject([true, { code: "NOT_REPLICATED", receipt }]);
  const enough = { env: environment({ ...env, COORD_WAIT_REPLICAS: "1", COORD_WAIT_REPLICAS_MILLISECONDS: "4000" }) };
  expect((await coord(["publish", "GENERAL", "s", "d", "--to", "bob"], enough)).stdout).toContain(
    "Replicas that have it: 1",
  );
});
