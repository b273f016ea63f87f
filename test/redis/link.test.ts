/** One connection: what it sends and when, what it says when it ends, and servers that are none. */
import { describe, expect, onTestFinished, test } from "vitest";
import { BadReply, ConnectionLost, ErrorReply, NeverSent, NoAnswer } from "../../src/redis/errors.ts";
import { dial, type Link, type Patience, type Server } from "../../src/redis/link.ts";
import { refused, startFake, startServer, useRedis } from "../harness.ts";

const bench = useRedis();
const SECOND = 1000;
const REQUEST = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;
const HERE = { host: "", port: 0, db: 0, tls: false } as const;

const patience = (milliseconds: number): Patience => ({
  deadline: performance.now() + milliseconds,
  silentMilliseconds: milliseconds,
});

async function open(server: Partial<Server> = { path: bench.redis.socketPath }): Promise<Link> {
  const link = await dial({ ...HERE, ...server }, patience(SECOND), async (opened) => {
    await opened.call("PING");
    return opened;
  });
  onTestFinished(() => link.close());
  return link;
}

describe("a link", () => {
  test("gives each command its own reply, all sent at once, and an error to the one that is refused", async () => {
    const link = await open();
    const replies = await Promise.allSettled([
      link.call("SET", "coord:meta", "grün"),
      link.call("GET", "coord:meta"),
      link.call("HGET", "coord:meta", "field"),
      link.call("EVAL", "return {1, {'two', false, {}}, 'x'}", "1", "coord:meta"),
      link.call("DEL", "coord:meta"),
    ]);
    expect(replies).toEqual([
      { status: "fulfilled", value: "OK" },
      { status: "fulfilled", value: "grün" },
      { status: "rejected", reason: expect.any(ErrorReply) as unknown },
      { status: "fulfilled", value: [1, ["two", null, []], "x"] },
      { status: "fulfilled", value: 1 },
    ]);
  });

  test("tells messages apart from replies, also from one that looks like a message", async () => {
    const link = await open();
    expect(await link.call("EVAL", "return {'message', 'coord:events', 'x'}", "1", "coord:meta")).toHaveLength(3);
    const heard: string[] = [];
    link.onMessage = (channel, text) => heard.push(`${channel} ${text}`);
    const channels = ["coord:notify:a", "coord:notify:b", "coord:events"];
    await link.subscribe(channels);
    for (const channel of channels) await bench.raw.publish(channel, "x");
    expect(await link.call("PING")).toEqual(["pong", ""]);
    await link.call("UNSUBSCRIBE", "coord:events");
    await bench.raw.publish("coord:events", "y");
    await link.call("PING");
    expect(heard).toEqual(channels.map((channel) => `${channel} x`));
  });

  test("a channel that the user may not hear refuses all of them, and the replies stay in order", async () => {
    const link = await open();
    await expect(link.subscribe(["coord:events", "others"])).rejects.toThrow(/^NOPERM/);
    expect(await link.call("PING")).toBe("PONG");
  });

  test("a password for a server that asks for none is no reason not to go on", async () => {
    const link = await open({ path: bench.redis.socketPath, password: "unasked", db: 1 });
    expect(await link.call("EXISTS", "coord:meta")).toBe(0);
  });

  test("once it has ended nothing is sent, and what had no answer says that it may have happened", async () => {
    const { port } = await startServer((socket) => {
      socket.once("data", () => {
        socket.write("+PONG\r\n");
        socket.once("data", () => socket.end());
      });
    });
    const link = await open({ host: "127.0.0.1", port });
    await expect(link.call("GET", "a")).rejects.toBeInstanceOf(ConnectionLost);
    await link.closed;
    await expect(link.call("GET", "a")).rejects.toBeInstanceOf(NeverSent);
  });

  test("a link that is closed sends what was given to it before, and nothing after", async () => {
    const link = await open();
    const before = link.call("SET", "coord:meta", "before");
    link.close();
    await expect(link.call("SET", "coord:meta", "after")).rejects.toBeInstanceOf(NeverSent);
    expect(await before).toBe("OK");
    await link.closed;
    expect(await bench.raw.get("coord:meta")).toBe("before");
  });

  test("a deadline ends the question, and the connection with it", async () => {
    let connections = 0;
    const { server, port } = await startServer((socket) => {
      connections++;
      socket.resume();
      socket.on("close", () => connections--);
    });
    await expect(open({ host: "127.0.0.1", port })).rejects.toBeInstanceOf(NoAnswer);
    await expect.poll(() => connections).toBe(0);
    expect(server.listening).toBe(true);
  });

  test("a database that does not exist, or a password that is wrong, refuses the question with it", async () => {
    const { socketPath: path } = bench.redis;
    await expect(open({ path, db: 99 })).rejects.toThrow("DB index is out of range");
    await expect(open({ path, username: "nobody", password: "wrong" })).rejects.toThrow("WRONGPASS");
  });

  test("a reply that nobody waits for is not from Redis", async () => {
    const { port } = await startServer((socket) => socket.once("data", () => socket.write("+PONG\r\n+OK\r\n")));
    const link = await open({ host: "127.0.0.1", port });
    await link.closed;
    await expect(link.call("PING")).rejects.toBeInstanceOf(NeverSent);
  });
});

const HOSTILE: [what: string, reply: string, sentence: string][] = [
  ["100,000 arrays in each other", "*1\r\n".repeat(100_000), "its answer is nested more than 32 deep"],
  ["a text of 5 GB", "$5368709120\r\n", "its answer is larger than 64 MiB"],
  ["two billion parts", "*2000000000\r\n", "its answer has more than 1000000 parts"],
  ["a push of RESP3", ">2\r\n+invalidate\r\n*0\r\n", "what answers there is not Redis"],
  ["bytes of something else", "\u0016\u0003\u0001\u0002 garbage", "what answers there is not Redis"],
  ["text behind its end", "$2\r\nOK garbage", "what answers there is not Redis"],
];

describe("a server that is hostile", () => {
  test.each(HOSTILE)("[G9] at once, with %s", async (_, reply, sentence) => {
    const url = await startFake(() => reply);
    await expect(open({ host: "127.0.0.1", port: Number(new URL(url).port) })).rejects.toBeInstanceOf(BadReply);
    const refusal = await refused(bench.command("alice", { redis: url }).checkMessages());
    expect(refusal).toMatchObject({
      code: "UNAVAILABLE",
      message: `Redis at ${url.replace("redis://", "")}: ${sentence}.`,
      hint: "Check REDIS_URL, or REDIS_HOST and REDIS_PORT.",
    });
  });

  test.each(HOSTILE)("[G9] after it was taken for Redis, with %s: it may have happened", async (_, reply, sentence) => {
    let scripts = 0;
    const url = await startFake(([command]) => {
      if (command === "PING") return "+PONG\r\n";
      scripts++;
      return reply;
    });
    const refusal = await refused(bench.command("alice", { redis: url }).publishMessage(REQUEST));
    expect(refusal).toMatchObject({
      code: "UNAVAILABLE",
      message: `Redis at ${url.replace("redis://", "")}: ${sentence}. The connection was lost before the answer: the operation may have happened.`,
    });
    expect(scripts).toBe(3);
  });

  test("[G9] that takes any script for another command: a status where a list is due, a list where an object is", async () => {
    let reply = "+OK\r\n";
    const url = await startFake(([command]) => (command === "PING" ? "+PONG\r\n" : reply));
    const alice = bench.command("alice", { redis: url });
    const refusal = {
      code: "UNAVAILABLE",
      message: `Redis at ${url.replace("redis://", "")}: its answer is not what the script returns. The connection was lost before the answer: the operation may have happened.`,
    };
    expect(await refused(alice.publishMessage(REQUEST))).toMatchObject(refusal);
    expect(await refused(alice.checkMessages())).toMatchObject(refusal);
    reply = "*0\r\n";
    expect(await refused(alice.checkMessages())).toMatchObject(refusal);
    expect(await refused(alice.touch())).toMatchObject(refusal);
  });

  test("[G9] half a reply, and then silence", async () => {
    const url = await startFake(([command]) => (command === "PING" ? "+PONG\r\n" : "*2\r\n$5\r\nhal"));
    const refusal = await refused(bench.command("alice", { redis: url }).publishMessage(REQUEST));
    expect(refusal).toMatchObject({ code: "TIMEOUT", message: expect.stringContaining("no answer within 5 seconds") });
  });

  test("[G9] more bytes than are taken, in pieces: not more than that is read", async () => {
    const MIB = 1024 * 1024;
    const bulk = `$${MIB}\r\n${"x".repeat(MIB)}\r\n`;
    let written = 0;
    const { port } = await startServer((socket) => {
      socket.once("data", () => {
        socket.write("*200\r\n");
        const more = (): void => {
          while (!socket.destroyed && socket.write(bulk, () => void written++));
        };
        socket.on("drain", more);
        more();
      });
    });
    await expect(
      dial({ ...HERE, host: "127.0.0.1", port }, patience(20 * SECOND), (link) => link.call("PING")),
    ).rejects.toThrow("its answer is larger than 64 MiB");
    expect(written).toBeLessThan(100);
  });
});
