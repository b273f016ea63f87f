import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import { type CoordinationClient, CoordinationError, getCoordinationClient } from "../../src/index.ts";
import { coord, environment } from "../surfaces/run.ts";
import { inStep, startCluster, startWatched, type Topology } from "../topologies.ts";

const REQUEST = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;

describe.each([
  { by: "the Sentinels", start: () => startWatched("coord"), prefix: "coord" },
  { by: "the cluster", start: () => startCluster("{coord}"), prefix: "{coord}" },
])("$by", ({ by, start, prefix }) => {
  let world: Topology;
  let env: Record<string, string>;
  const clients: CoordinationClient[] = [];
  beforeAll(async () => {
    world = await start();
    env = { ...world.env, COORD_WAIT_REPLICAS: "1" };
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await world.stop();
  });

  async function connect(instanceId: string, more: Record<string, string> = {}): Promise<CoordinationClient> {
    const made = await getCoordinationClient({ instanceId, env: { ...env, ...more }, cwd: "/" });
    clients.push(made);
    return made;
  }

  /** The same content until it is done: that is what the hints say. */
  async function publish(from: CoordinationClient, subject: string): Promise<string> {
    for (;;) {
      try {
        return (await from.publishMessage({ ...REQUEST, subject })).messageId;
      } catch (error) {
        if (!CoordinationError.is(error) || !["UNAVAILABLE", "TIMEOUT", "NOT_REPLICATED"].includes(error.code))
          throw error;
      }
    }
  }

  test("[G1] [G7] what was waited for survives the death of the primary, and so do those who wait and listen", async () => {
    const alice = await connect("alice");
    // The one replica of the cluster becomes the primary, and then there is none to wait for.
    const [after, bob] = [await connect("alice", { COORD_WAIT_REPLICAS: "0" }), await connect("bob")];
    const before = await alice.publishMessage(REQUEST);
    expect(before.replicas).toBeGreaterThanOrEqual(1);
    expect((await bob.checkMessages()).count).toBe(1);
    const waiting = bob.waitForMessages();
    const heard: (string | undefined)[] = [];
    const stop = await new Mailbox(bob).listenToAll((event) => heard.push(event));
    await sleep(200); // the wait has looked: one that has not may be refused

    const killed = await world.primary();
    await inStep(killed); // of two replicas one was waited for, and the other may be promoted
    await killed.stop();
    const during = await publish(after, "during");
    await world.replaced(killed);
    expect((await waiting).messages.map(({ id }) => id)).toEqual([during]);
    const later = await publish(after, "after");

    const { messages, unreadable } = await bob.checkMessages({ since: "msg-0000000000" });
    expect([messages.map(({ id }) => id), unreadable]).toEqual([[before.messageId, during, later], []]);
    // A gap rings, since what was published in it is heard by nobody.
    expect(heard).toContain(undefined);
    expect(heard.at(-1)).toContain(later);
    await stop();
    const { raw } = await world.primary();
    expect((await raw.keys("*")).filter((key) => !key.startsWith(`${prefix}:`))).toEqual([]);
  });

  test("commands and doctor find the present primary and say so", async () => {
    const { port } = await world.primary();
    const settings = { env: environment({ ...world.env, CLAUDE_INSTANCE_ID: "bob" }) };
    const [line, doctor] = await Promise.all([coord(["statusline"], settings), coord(["doctor", "--json"], settings)]);
    expect(line.stdout).toContain("3 pending");
    const told = JSON.parse(doctor.stdout) as { findings: Finding[] };
    const findings = new Map(told.findings.map(({ about, message }) => [about, message]));
    const servers = world.env[by === "the cluster" ? "COORD_CLUSTER" : "COORD_SENTINELS"]!.replaceAll(",", ", ");
    expect(findings.get("Redis")).toBe(`127.0.0.1:${port} answers, named by ${by} ${servers}`);
    expect(findings.get("namespace")).toContain(prefix);
    expect(findings.get("protocol")).toBe("version 2");
  });
});

interface Finding {
  about: string;
  message: string;
}
