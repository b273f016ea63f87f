/** Redis that cannot be used: every surface says so within a second, with the address and the cause (G9). */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { startFake, startServer, until } from "../harness.ts";
import { leastPrivilege } from "../least-privilege.ts";
import {
  Agent,
  type Environment,
  RawServer,
  type Wire,
  coord,
  environment,
  freePort,
  json,
  script,
  startAgent,
} from "./run.ts";

let guarded: ThrowawayRedis;
let open: ThrowawayRedis;
beforeAll(async () => {
  guarded = await startThrowawayRedis({ args: ["--requirepass", "right"] });
  open = await startThrowawayRedis({ args: leastPrivilege("coord") });
});
afterAll(async () => {
  await guarded.stop();
  await open.stop();
});

const START = "Start one with `coord up`, or say where yours is with REDIS_URL or REDIS_HOST and REDIS_PORT.";
const WHERE = "Check REDIS_URL, or REDIS_HOST and REDIS_PORT.";
const WHO = "Check REDIS_USERNAME and REDIS_PASSWORD, or the ones in REDIS_URL.";

interface Trouble {
  settings: Environment;
  error: string;
  hint: string;
}

const loopback = async (accept: Parameters<typeof startServer>[0]): Promise<string> =>
  `127.0.0.1:${(await startServer(accept)).port}`;

const troubles: Record<string, () => Promise<Trouble>> = {
  "no socket": async () => ({
    settings: { REDIS_URL: "unix:/no/such/redis.sock" },
    error: "Redis at /no/such/redis.sock: there is no such socket.",
    hint: START,
  }),
  "a wrong port": async () => {
    const port = await freePort();
    const settings = { REDIS_HOST: "127.0.0.1", REDIS_PORT: String(port) };
    return { settings, error: `Redis at 127.0.0.1:${port}: nothing listens there.`, hint: START };
  },
  "a host that does not exist": async () => ({
    settings: { REDIS_HOST: "redis.invalid" },
    error: "Redis at redis.invalid:6379: the host name redis.invalid does not resolve.",
    hint: WHERE,
  }),
  "a wrong password": async () => ({
    settings: { REDIS_URL: guarded.url, REDIS_PASSWORD: "wrong" },
    error:
      `Redis at ${guarded.socketPath}: the login was refused ` +
      "(WRONGPASS invalid username-password pair or user is disabled.).",
    hint: WHO,
  }),
  "no password": async () => ({
    settings: { REDIS_URL: guarded.url },
    error: `Redis at ${guarded.socketPath}: the login was refused (NOAUTH Authentication required.).`,
    hint: WHO,
  }),
  "a database that does not exist": async () => ({
    settings: { REDIS_URL: `${open.url}?db=99` },
    error: `Redis at ${open.socketPath}: there is no database 99.`,
    hint: "Check REDIS_DB.",
  }),
  "a web server": async () => {
    const address = await loopback((socket) => {
      socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    });
    return {
      settings: { REDIS_URL: `redis://${address}` },
      error: `Redis at ${address}: what answers there is not Redis.`,
      hint: WHERE,
    };
  },
  "a server that says nothing": async () => {
    const address = await loopback(() => undefined);
    return {
      settings: { REDIS_URL: `redis://${address}` },
      error: `Redis at ${address}: no answer in time.`,
      hint: WHERE,
    };
  },
  "a server that hangs up": async () => {
    const address = await loopback((socket) => socket.destroy());
    return {
      settings: { REDIS_URL: `redis://${address}` },
      error: `Redis at ${address}: the connection was closed by the other side.`,
      hint: `${WHERE} Where it speaks only TLS, write rediss:// or set REDIS_TLS_CA_FILE.`,
    };
  },
  "a Redis older than 7": async () => {
    const url = await startFake(oldRedis);
    return {
      settings: { REDIS_URL: url },
      error: `Redis at ${url.slice("redis://".length)}: it is version 6.2.14, 7.0 is needed.`,
      hint: "Update it to Redis 7.0 or Valkey 7.2, or start one with `coord up` on another REDIS_PORT.",
    };
  },
};

/** What Redis 6.2 answers; its Lua takes `#!lua` for a syntax error. */
function oldRedis([command = ""]: string[]): string {
  switch (command.toUpperCase()) {
    case "PING":
      return "+PONG\r\n";
    case "EVALSHA":
      return "-NOSCRIPT No matching script. Please use EVAL.\r\n";
    case "EVAL":
      return "-ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'\r\n";
    case "INFO": {
      const info = "# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\n";
      return `$${info.length}\r\n${info}\r\n`;
    }
    default:
      return "+OK\r\n";
  }
}

describe("[G9] on stderr, with the address tried and what to do next", () => {
  it.each(Object.entries(troubles))("%s", async (_, prepare) => {
    const { settings, error, hint } = await prepare();
    const env = environment({ ...settings, CLAUDE_INSTANCE_ID: "backend" });
    const refusal = { success: false, code: "UNAVAILABLE", error, hint };

    const { code, stdout, stderr: said } = await coord(["check", "--json"], { env });
    const stderr = `error: ${error}\n${hint}\n`;
    expect({ code, stdout, stderr: said }).toEqual({ code: 69, stdout: `${JSON.stringify(refusal)}\n`, stderr });
    await using agent = await startAgent({ ...settings, CLAUDE_INSTANCE_ID: "backend" });
    for (let call = 0; call < 2; call++) {
      const { isError, value } = await agent.call("coord_check_messages");
      expect({ isError, value }).toEqual({ isError: true, value: refusal });
    }
  });

  it("by every command", async () => {
    const env = environment({ REDIS_URL: "unix:/no/such/redis.sock", CLAUDE_INSTANCE_ID: "backend" });
    const commands = [
      ["check", "--wait", "30"],
      ["ack", "msg-0000000001"],
      ["presence"],
      ["notifications"],
      ["show", "msg-0000000001"],
      ["search", "login"],
      ["stats"],
      ["forget", "backend"],
    ];
    for (const args of commands) {
      const { code, stdout, stderr } = await coord(args, { env });
      expect({ args, code, stdout, stderr }).toEqual({
        args,
        code: 69,
        stdout: "",
        stderr: `error: Redis at /no/such/redis.sock: there is no such socket.\n${START}\n`,
      });
    }
  });

  it("by every script", async () => {
    const env = environment({ REDIS_URL: "unix:/no/such/redis.sock", CLAUDE_INSTANCE_ID: "backend" });
    for (const [name, ...args] of [["publish", "GENERAL", "s", "d"], ["check"], ["ack", "msg-0000000001"]] as const) {
      const { code, stdout, stderr } = await script(name, args, { env });
      const sentence = `error: Redis at /no/such/redis.sock: there is no such socket.\n${START}\n`;
      expect({ name, code, stdout, stderr }).toEqual({ name, code: 69, stdout: "", stderr: sentence });
    }
  });

  it("and by every tool", async () => {
    await using agent = await startAgent({ REDIS_URL: "unix:/no/such/redis.sock", CLAUDE_INSTANCE_ID: "backend" });
    const calls: [string, Wire][] = [
      ["coord_publish_message", { msg_type: "GENERAL", subject: "s", description: "d" }],
      ["coord_check_messages", { wait_seconds: 30 }],
      ["coord_ack_message", { message_id: "msg-0000000001" }],
      ["coord_get_presence", {}],
      ["coord_get_notifications", {}],
    ];
    for (const [name, args] of calls) {
      expect((await agent.call(name, args)).value).toEqual({
        success: false,
        code: "UNAVAILABLE",
        error: "Redis at /no/such/redis.sock: there is no such socket.",
        hint: START,
      });
    }
  });

  it("a password never shows", async () => {
    const env = environment({ REDIS_URL: "redis://user:s3cret@127.0.0.1:1/0", CLAUDE_INSTANCE_ID: "backend" });
    const { code, stdout, stderr } = await coord(["check", "--json"], { env });
    expect({ code, told: `${stdout}${stderr}`.includes("s3cret") }).toEqual({ code: 69, told: false });
    const malformed = await coord(["check", "--json"], { env: { ...env, REDIS_URL: "rediss//user:s3cret@host" } });
    expect(`${malformed.stdout}${malformed.stderr}`).not.toContain("s3cret");
  });
});

describe("an MCP server outlives the absence of Redis", () => {
  it("[G9] it initializes and lists its tools without one, and works once it is there, and there again", async () => {
    const port = await freePort();
    const settings = { REDIS_HOST: "127.0.0.1", REDIS_PORT: String(port), CLAUDE_INSTANCE_ID: "backend" };
    const args = ["--port", String(port), "--bind", "127.0.0.1"];
    await using agent = await startAgent(settings);
    expect((await agent.client.listTools()).tools).toHaveLength(5);
    const works = async (): Promise<boolean> => !(await agent.call("coord_get_presence")).isError;
    expect(await works()).toBe(false);
    for (let round = 0; round < 2; round++) {
      const redis = await startThrowawayRedis({ args });
      try {
        await until(works);
        const sent = { msg_type: "GENERAL", subject: "s", description: "d", to_instance: "frontend" };
        expect((await agent.call("coord_publish_message", sent)).isError).toBe(false);
      } finally {
        await redis.stop();
      }
      const { value } = await agent.call("coord_get_presence");
      expect(value).toMatchObject({ success: false, code: "UNAVAILABLE" });
    }
  });

  it("it ends cleanly while Redis is away", async () => {
    const server = new RawServer({ REDIS_URL: "unix:/no/such/redis.sock", CLAUDE_INSTANCE_ID: "backend" });
    await server.initialize();
    server.process.stdin!.end();
    expect(await server.ended).toMatchObject({ code: 0, stderr: "" });
  });
});

it("an answer that does not come is TIMEOUT after 5 seconds, with the outcome unknown, exit 75 [G4]", async () => {
  const url = await startFake(([command]) => (command?.toUpperCase() === "PING" ? "+PONG\r\n" : undefined));
  const settings = { REDIS_URL: url, CLAUDE_INSTANCE_ID: "backend" };
  const agent = new Agent(settings);
  onTestFinished(() => agent[Symbol.asyncDispose]());
  const [ended, result] = await Promise.all([
    coord(["publish", "GENERAL", "s", "d", "--json"], { env: environment(settings) }),
    agent
      .start()
      .then(() => agent.call("coord_publish_message", { msg_type: "GENERAL", subject: "s", description: "d" })),
  ]);
  const address = url.slice("redis://".length);
  const error = `Redis at ${address}: no answer within 5 seconds; the operation may have happened.`;
  const hint = "Call again with the same content: a repeat is recognised and not stored twice.";
  const refusal = { success: false, code: "TIMEOUT", error, hint };
  expect({ code: ended.code, stdout: ended.stdout, stderr: ended.stderr }).toEqual({
    code: 75,
    stdout: `${JSON.stringify(refusal)}\n`,
    stderr: `error: ${error}\n${hint}\n`,
  });
  expect(result.value).toEqual(refusal);
});

it("the right password lets everybody in", async () => {
  const env = environment({ REDIS_URL: guarded.url, REDIS_PASSWORD: "right", CLAUDE_INSTANCE_ID: "backend" });
  expect(json(await coord(["check", "--json"], { env }))).toMatchObject({ success: true, count: 0 });
});
