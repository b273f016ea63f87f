import { mkdtemp, rm, symlink } from "node:fs/promises";
import { createServer, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openRedis } from "../raw-redis.ts";
import type { CoordinationError } from "../../src/index.ts";
import { type CoordinationClient, getCoordinationClient } from "../../src/index.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { refused, startFake, startProxy, startServer, until, useRedis } from "../harness.ts";

const bench = useRedis();
const REQUEST = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;
/** What "within a second" may take on a machine that is busy with other tests. */
const SOON = 2500;

/** Every operation there is. */
function calls(client: CoordinationClient): Promise<unknown>[] {
  return [
    client.session.store.open(),
    client.touch(),
    client.publishMessage(REQUEST),
    client.checkMessages(),
    client.checkMessages({ waitSeconds: 30 }),
    client.showMessage("msg-0000000000"),
    client.ackMessage("msg-0000000000"),
    client.getPresence(),
    client.getNotifications(),
    client.getStats(),
    client.forgetInstance("bob"),
  ];
}

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "coord-test-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A Redis of its own for one test. */
async function another(args: readonly string[] = []): Promise<ThrowawayRedis> {
  const redis = await startThrowawayRedis({ args });
  onTestFinished(() => redis.stop());
  return redis;
}

/** Refused with UNAVAILABLE, by a short-lived and by a long-lived client, soon, naming address and cause. */
async function unreachable(url: string, address: string, cause: RegExp): Promise<CoordinationError> {
  const refusal = await refused(bench.command("alice", { redis: url }).checkMessages(), SOON);
  expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(cause) });
  expect(refusal.message.startsWith(`Redis at ${address}: `)).toBe(true);
  expect(refusal.hint).not.toBe("");
  const connecting = getCoordinationClient({ ...bench.options("alice"), redis: url });
  expect(await refused(connecting, SOON)).toMatchObject({ code: "UNAVAILABLE", message: refusal.message });
  return refusal;
}

describe("no usable Redis", () => {
  test("[G9] on a closed port every operation is refused soon, naming the address and what to do", async () => {
    const port = await closedPort();
    const url = `redis://127.0.0.1:${port}`;
    const { hint } = await unreachable(url, `127.0.0.1:${port}`, /nothing listens there/);
    expect(hint).toMatch(/coord up.*REDIS_URL/);
    for (const client of [bench.command("alice", { redis: url })]) {
      for (const refusal of await Promise.all(calls(client).map((call) => refused(call, SOON)))) {
        expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining(`127.0.0.1:${port}`) });
      }
    }
  });

  test("[G9] a socket that does not exist", async () => {
    const path = join(await temporaryFolder(), "no.sock");
    await unreachable(`unix:${path}`, path, /no such socket/);
  });

  test("[G9] a host name that does not resolve", async () => {
    await unreachable("redis://no-such-host.invalid:6379", "no-such-host.invalid:6379", /resolve|no answer in time/);
  });

  test("[G9] a server that accepts and never answers", async () => {
    const { port } = await startServer(() => undefined);
    const url = `redis://127.0.0.1:${port}`;
    await unreachable(url, `127.0.0.1:${port}`, /no answer in time/);
    const client = bench.command("alice", { redis: url });
    for (const refusal of await Promise.all(calls(client).map((call) => refused(call, SOON)))) {
      expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("no answer in time") });
    }
    // Not only the first call: a connection that was accepted is no reason to wait for the long time limit.
    expect(await refused(client.checkMessages(), SOON)).toMatchObject({ code: "UNAVAILABLE" });
  });

  test("[G9] a server that closes every connection", async () => {
    const { port } = await startServer((socket) => socket.end());
    await unreachable(`redis://127.0.0.1:${port}`, `127.0.0.1:${port}`, /closed|no answer in time/);
  });

  test("[G9] a server that is not Redis", async () => {
    const { port } = await startServer((socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
    });
    await unreachable(`redis://127.0.0.1:${port}`, `127.0.0.1:${port}`, /is not Redis/);
  });

  test("[G9] a server that greets first and is not Redis", async () => {
    const { port } = await startServer((socket) => socket.write("SSH-2.0-OpenSSH_9.6\r\n"));
    await unreachable(`redis://127.0.0.1:${port}`, `127.0.0.1:${port}`, /is not Redis/);
  });

  test("[G9] TLS to a server without it", async () => {
    const { port } = await startServer((socket) => socket.once("data", () => socket.end("-ERR Protocol error\r\n")));
    await unreachable(`rediss://127.0.0.1:${port}`, `rediss://127.0.0.1:${port}`, /./);
  });

  test("[G9] a wrong password, none, a wrong user: the login was refused, and no password is in the sentence", async () => {
    const locked = await another(["--requirepass", "right"]);
    const url = await startProxy(locked.socketPath, {});
    const address = url.replace("redis://", "");
    for (const login of [":wr0ngsecret@", "", "nobody:wr0ngsecret@"]) {
      const { message, hint } = await unreachable(`redis://${login}${address}`, address, /login was refused/);
      expect(message).not.toContain("wr0ngsecret");
      expect(hint).toContain("REDIS_PASSWORD");
    }
    for (const login of [":right@", "default:right@"]) {
      await bench.command("alice", { redis: `redis://${login}${address}` }).checkMessages();
    }
    const env = { REDIS_HOST: "127.0.0.1", REDIS_PORT: address.split(":")[1], REDIS_PASSWORD: "right" };
    await bench.command("alice", { redis: undefined, env }).checkMessages();
  });

  test("[G9] a user that may not do this", async () => {
    const limited = await another(["--user", "weak", "on", ">pw", "~*", "&*", "+ping"]);
    const url = await startProxy(limited.socketPath, {});
    const refusal = await refused(
      bench.command("alice", { redis: url.replace("//", "//weak:pw@") }).checkMessages(),
      SOON,
    );
    expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(/may not do this.*NOPERM/) });
  });

  test("[G9] a database that does not exist: nothing is stored in another one instead", async () => {
    const { url, socketPath } = await another(); // a cluster has but one
    await unreachable(`${url}?db=99`, socketPath, /no database 99/);
    expect(
      await refused(bench.command("alice", { redis: `${url}?db=99` }).publishMessage(REQUEST), SOON),
    ).toMatchObject({
      code: "UNAVAILABLE",
    });
    const raw = openRedis({ path: socketPath });
    expect(await raw.dbsize()).toBe(0);
    await bench.command("alice", { redis: `${url}?db=3` }).publishMessage(REQUEST);
    expect(await raw.dbsize()).toBe(0);
    expect(await raw.info("keyspace")).toMatch(/^db3:/m);
    raw.disconnect();
  });

  test("[G9] a Redis before 7.0", async () => {
    const url = await startFake(([name = "", channel = ""]) => {
      const info = "# Server\r\nredis_version:6.2.0\r\nredis_mode:standalone\r\n";
      const where = "user_script:1: unexpected symbol near '#'";
      const replies: Record<string, string> = {
        ping: "+PONG",
        evalsha: "-NOSCRIPT No matching script. Please use EVAL.",
        eval: `-ERR Error compiling script (new function): ${where} `,
        info: `$${info.length}\r\n${info}`,
      };
      const kind = name.toLowerCase();
      if (/^(un)?subscribe$/.test(kind)) {
        return `*3\r\n$${kind.length}\r\n${kind}\r\n$${channel.length}\r\n${channel}\r\n:1\r\n`;
      }
      return `${replies[kind] ?? "-ERR unknown command"}\r\n`;
    });
    const [opening, ...others] = calls(bench.command("alice", { redis: url }));
    await opening;
    for (const refusal of await Promise.all(others.map((call) => refused(call, SOON)))) {
      expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("version 6.2.0, 7.0 is") });
      expect(refusal.message).toContain(url.replace("redis://", ""));
    }
  });

  test.each([
    { reply: "-LOADING Redis is loading the dataset in memory", cause: /still loading/ },
    { reply: "-BUSY Redis is busy running a script. You can only call SCRIPT KILL.", cause: /busy with a script/ },
    { reply: "-MISCONF Redis is configured to save RDB snapshots", cause: /takes no writes/ },
    { reply: "-NOAUTH Authentication required.", cause: /login was refused/ },
    { reply: "-ERR max number of clients reached", cause: /max number of clients/ },
  ])("[G9] a Redis that answers $reply", async ({ reply, cause }) => {
    const url = await startFake(() => `${reply}\r\n`);
    await unreachable(url, url.replace("redis://", ""), cause);
  });

  test("[G9] a replica that takes no writes", async () => {
    const replica = await another();
    const raw = openRedis({ path: replica.socketPath });
    await raw.replicaof("127.0.0.1", String(await closedPort()));
    const alice = bench.command("alice", { redis: replica.url });
    const refusal = await refused(alice.publishMessage(REQUEST), SOON);
    expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("takes no writes") });
    raw.disconnect();
  });
});

describe("a Redis that comes and goes", () => {
  /** An address behind which one Redis after the other can stand. */
  async function address(): Promise<{ url: string; up: () => Promise<void>; down: () => Promise<void> }> {
    const path = join(await temporaryFolder(), "redis.sock");
    let redis: ThrowawayRedis | undefined;
    const down = async (): Promise<void> => {
      await rm(path, { force: true });
      await redis?.stop();
    };
    const up = async (): Promise<void> => {
      redis = await startThrowawayRedis();
      await symlink(redis.socketPath, path);
    };
    onTestFinished(down);
    return { url: `unix:${path}`, up, down };
  }

  test("[G9] a long-lived client says so while it is away and works again by itself", async () => {
    const { url, up, down } = await address();
    await up();
    const alice = await bench.client("alice", { redis: url });
    await alice.publishMessage(REQUEST);
    await down();
    for (let n = 0; n < 2; n++) {
      expect(await refused(alice.publishMessage(REQUEST), SOON)).toMatchObject({ code: "UNAVAILABLE" });
    }
    await up();
    await until(() =>
      alice.touch().then(
        () => true,
        () => false,
      ),
    );
    // The new server knows no script: it is loaded, and only what was called after the outage is stored.
    const { messageId } = await alice.publishMessage({ ...REQUEST, subject: "new" });
    const { messages } = await alice.checkMessages({ all: true });
    expect(messages.map(({ id }) => id)).toEqual([messageId]);
  });

  test("a call made once Redis is back works, also after a longer outage", async () => {
    const { url, up, down } = await address();
    await up();
    const alice = await bench.client("alice", { redis: url });
    await down();
    // By now the pauses between its attempts have grown.
    await new Promise((resolve) => setTimeout(resolve, 1700));
    await up();
    await alice.touch();
  });

  test("[G9] what a caller was told is not done is not done later either", async () => {
    const { url, up, down } = await address();
    await up();
    const alice = await bench.client("alice", { redis: url });
    await down();
    const refusals = await Promise.all(Array.from({ length: 20 }, () => refused(alice.publishMessage(REQUEST), SOON)));
    for (const refusal of refusals) expect(refusal.message).not.toContain("may have happened");
    await up();
    await until(() =>
      alice.touch().then(
        () => true,
        () => false,
      ),
    );
    expect((await alice.getStats()).total).toBe(0);
  });

  test("[G9] what was refused since nobody answered is not sent when the line is free again", async () => {
    const held: (() => void)[] = [];
    let holding = true;
    const { port } = await startServer((near) => {
      const far = new Socket();
      far.on("error", () => near.destroy()).connect(bench.redis.socketPath);
      near.on("data", (bytes) => (holding ? held.push(() => far.write(bytes)) : far.write(bytes)));
      far.on("data", (bytes) => near.writable && near.write(bytes));
      near.on("close", () => setTimeout(() => far.destroy(), 300));
    });
    const alice = bench.command("alice", { redis: `redis://127.0.0.1:${port}` });
    expect(await refused(alice.publishMessage(REQUEST), SOON)).toMatchObject({ code: "UNAVAILABLE" });
    holding = false;
    for (const release of held) release();
    await bench.raw.ping();
    expect((await bench.command("bob").getStats()).total).toBe(0);
  });

  test("a flushed script cache and a restart in between are no failure", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    for (let n = 0; n < 3; n++) {
      await bench.raw.script("FLUSH");
      const { messageId } = await alice.publishMessage(REQUEST);
      await bench.raw.script("FLUSH");
      expect(await bob.checkMessages({ pendingOnly: true })).toMatchObject({ count: 1 });
      await bench.raw.script("FLUSH");
      expect(await bob.ackMessage(messageId)).toMatchObject({ already: false });
      await bench.raw.script("FLUSH");
      expect((await alice.getNotifications()).count).toBe(1);
    }
  });

  test("[G9] a killed connection is no failure of the next call", async () => {
    const [alice] = await bench.clients("alice", "bob");
    for (let n = 1; n <= 5; n++) {
      await bench.kill("normal");
      await alice.publishMessage({ ...REQUEST, subject: String(n) });
    }
    expect((await bench.state())["timeline"]).toHaveLength(5);
  });

  test("[G9] a Redis that stands still: TIMEOUT after 5 seconds, then UNAVAILABLE soon, and works once it goes on", async () => {
    const still = await another();
    const alice = await bench.client("alice", { redis: still.url });
    await alice.touch();
    // Takes while it stands still, and goes on afterwards: what it was lent unseen comes again when the loan is over.
    const bob = await bench.client("bob", { redis: still.url, loanSeconds: 1 });
    await alice.publishMessage({ ...REQUEST, to: "bob", subject: "before" });
    const events = bob.events();
    expect((await events.next()).value).toMatchObject({ subject: "before" });
    process.kill(still.pid, "SIGSTOP");
    const following = events.next();
    onTestFinished(() => void process.kill(still.pid, "SIGCONT"));
    const refusal = await refused(alice.getStats());
    expect(refusal).toMatchObject({ code: "TIMEOUT", message: expect.stringMatching(/5 seconds.*may have happened/) });
    expect(refusal.message).toContain(still.socketPath);
    const next = await refused(alice.publishMessage(REQUEST), SOON);
    expect(next).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("no answer in time") });
    expect(next.message).not.toContain("may have happened"); // nothing was sent
    process.kill(still.pid, "SIGCONT");
    await until(() =>
      alice.touch().then(
        () => true,
        () => false,
      ),
    );
    expect((await alice.getStats()).total).toBe(1);
    await alice.publishMessage({ ...REQUEST, to: "bob", subject: "after" });
    // What it had been handed before may come once more: it could not confirm it.
    const subjects = [(await following).value?.subject];
    while (subjects.at(-1) !== "after") subjects.push((await events.next()).value?.subject);
    expect(subjects.filter((subject) => subject !== "before")).toEqual(["after"]);
    await events.return();
  });
});
