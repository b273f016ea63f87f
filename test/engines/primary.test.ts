import { describe, expect, onTestFinished, test } from "vitest";
import { CoordinationClient } from "../../src/client/client.ts";
import { getCoordinationClient } from "../../src/index.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { refused, startFake, startProxy, useRedis } from "../harness.ts";
import { freePort } from "../surfaces/run.ts";

const bench = useRedis();
const REQUEST = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;

const bulk = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
const portOf = (url: string): string => url.split(":").at(-1)!;
const real = async (): Promise<string> => portOf(await startProxy(bench.redis.socketPath, {}));

/** A Sentinel that names these ports, one an answer, the last for ever. */
async function startSentinel(...ports: string[]): Promise<string> {
  return portOf(
    await startFake(([word]) => {
      if (word !== "SENTINEL") return "+OK\r\n";
      return bulk("127.0.0.1", ports.length > 1 ? ports.shift()! : ports[0]!);
    }),
  );
}

const silent = async (): Promise<string> => portOf(await startFake(() => undefined));

function client(variable: "COORD_SENTINELS" | "COORD_CLUSTER", ...ports: string[]): CoordinationClient {
  const env = { [variable]: ports.map((port) => `127.0.0.1:${port}`).join(","), COORD_KEY_PREFIX: "{coord}" };
  const made = new CoordinationClient(resolveSettings({ instanceId: "alice", env, cwd: "/" }));
  onTestFinished(() => made.close());
  return made;
}

describe("Sentinels", () => {
  test("the first that answers is believed: one that is away and one that is silent are passed over", async () => {
    await bench.admit("{coord}");
    const ports = [String(await freePort()), await silent(), await startSentinel(await real())];
    const { messageId } = await client("COORD_SENTINELS", ...ports).publishMessage(REQUEST);
    expect(await bench.raw.zrange("{coord}:timeline", "0", "-1")).toEqual([messageId]);
  });

  test("[G9] while the one they name is away or no primary any more, a call waits, and then goes on", async () => {
    await bench.admit("{coord}");
    const demoted = portOf(await startFake(([word]) => (word === "ROLE" ? bulk("slave") : "+OK\r\n")));
    const sentinel = await startSentinel(String(await freePort()), demoted, demoted, await real());
    const { messageId } = await client("COORD_SENTINELS", sentinel).publishMessage(REQUEST);
    expect(await bench.raw.zrange("{coord}:timeline", "0", "-1")).toEqual([messageId]);
  });

  test("[G9] when no Sentinel answers, it is UNAVAILABLE within a second", async () => {
    const ports = [await silent(), await silent(), String(await freePort())];
    const refusal = await refused(client("COORD_SENTINELS", ...ports).publishMessage(REQUEST));
    const listed = ports.map((port) => `127.0.0.1:${port}`).join(", ");
    expect(refusal).toMatchObject({
      code: "UNAVAILABLE",
      message: `Redis at the Sentinels ${listed}: 127.0.0.1:${ports[2]}: nothing listens there.`,
      hint: "Check COORD_SENTINELS, and start what is missing.",
    });
  });

  test.each([
    { reply: "*-1\r\n", cause: "it watches no mymaster", hint: "Check COORD_SENTINELS and COORD_SENTINEL_MASTER." },
    { reply: "-NOAUTH Authentication required.\r\n", cause: "the login was refused", hint: "COORD_SENTINEL_PASSWORD" },
  ])("[G9] one that answers $reply ends it at once", async ({ reply, cause, hint }) => {
    const port = portOf(await startFake(([word]) => (word === "SENTINEL" ? reply : "+OK\r\n")));
    const refusal = await refused(client("COORD_SENTINELS", port).publishMessage(REQUEST));
    expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining(cause) });
    expect(refusal.hint).toContain(hint);
  });
});

describe("a cluster", () => {
  test("a node that does not hold the namespace names the one that does", async () => {
    await bench.admit("{coord}");
    const holder = await real();
    // It does not know its own name, and leaves out the host.
    const node = portOf(await startFake(() => `-MOVED 7 :${holder}\r\n`));
    const { messageId } = await client("COORD_CLUSTER", String(await freePort()), node).publishMessage(REQUEST);
    expect(await bench.raw.zrange("{coord}:timeline", "0", "-1")).toEqual([messageId]);
  });

  test.each([
    "MOVED 7 127.0.0.1:1",
    "ASK 7 127.0.0.1:1",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN The cluster is down",
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
  ])(
    "[G1] [G4] a script that was answered with %s was not executed: it is sent again, and stored once",
    async (reply) => {
      await bench.admit("{coord}");
      const holder = await real();
      // Answers the probe, refuses the first script, and is no holder from then on.
      let refusing = false;
      const node = portOf(
        await startFake(([word]) => {
          if (refusing) return `-MOVED 7 127.0.0.1:${holder}\r\n`;
          if (word?.toUpperCase() !== "EVALSHA") return ":0\r\n";
          refusing = true;
          return `-${reply}\r\n`;
        }),
      );
      const { messageId, repeated } = await client("COORD_CLUSTER", node).publishMessage(REQUEST);
      expect(repeated).toBe(false);
      expect(await bench.raw.zrange("{coord}:timeline", "0", "-1")).toEqual([messageId]);
    },
  );

  test("a single node that was configured as if it were all says what to do", async () => {
    const url = await startFake(([word]) => (word === "PING" ? "+PONG\r\n" : "-MOVED 7 127.0.0.1:1\r\n"));
    const alice = await getCoordinationClient({ instanceId: "alice", redis: url, env: {}, cwd: "/" });
    onTestFinished(() => alice.close());
    expect(await refused(alice.publishMessage(REQUEST))).toMatchObject({
      code: "UNAVAILABLE",
      hint: "Name some of its nodes in COORD_CLUSTER instead.",
    });
  });
});

test("[G9] a failover that takes longer than an operation may: UNAVAILABLE, after asking now and then", async () => {
  const gone = String(await freePort());
  const sentinel = await startSentinel(gone);
  let hops = 0;
  const node: string = portOf(
    await startFake(() => {
      hops++;
      return `-MOVED 7 127.0.0.1:${node}\r\n`;
    }),
  );
  let scripts = 0;
  const loser = portOf(
    await startFake(([word]) => {
      if (scripts > 0) return "-CLUSTERDOWN The cluster is down\r\n";
      return word === "EVALSHA" && scripts++ === 0 ? "no Redis says so\r\n" : ":0\r\n";
    }),
  );
  const [named, circle, lost] = await Promise.all([
    refused(client("COORD_SENTINELS", sentinel).publishMessage(REQUEST)),
    refused(client("COORD_CLUSTER", node).publishMessage(REQUEST)),
    refused(client("COORD_CLUSTER", loser).publishMessage(REQUEST)),
  ]);
  expect(named).toMatchObject({
    code: "UNAVAILABLE",
    message: `Redis at the Sentinels 127.0.0.1:${sentinel}: no primary at the moment (127.0.0.1:${gone}: nothing listens there).`,
    hint: "A failover takes a few seconds: try again.",
  });
  expect(circle).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("its nodes disagree") });
  // It was sent once, and that answer nobody got.
  expect([scripts, lost.code, lost.message]).toEqual([1, "UNAVAILABLE", expect.stringContaining("may have happened")]);
  // Four redirects a time, at most ten times a second.
  expect(hops).toBeLessThanOrEqual(4 * 50);
});
