/** `coord mcp` as a process and as a protocol: what it says of itself, and how it starts and ends. */
import { describe, expect, it } from "vitest";
import { useRedis } from "../harness.ts";
import { type Environment, RawServer, type Wire, bash, environment, run, COORD, startAgent } from "./run.ts";

const bench = useRedis();
const settings = (): Environment => ({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: "backend" });

const initialize = {
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "0" } },
};
const call = (id: number, name: string, args: Wire = {}): Wire => ({
  id,
  method: "tools/call",
  params: { name, arguments: args },
});

describe("what an agent is told about the server", () => {
  it("initialize: name, capabilities and instructions", async () => {
    const server = new RawServer(settings());
    const answer = JSON.stringify(await server.initialize());
    expect(JSON.parse(answer.replace(bench.redis.socketPath, "<socket>"))).toMatchSnapshot();
  });

  it("the instructions of the orchestrator", async () => {
    await using agent = await startAgent({ ...settings(), CLAUDE_INSTANCE_ID: "orchestrator" });
    await expect(`${agent.client.getInstructions()}\n`.replace(bench.redis.socketPath, "<socket>")).toMatchFileSnapshot(
      "../__snapshots__/mcp-instructions-orchestrator.md",
    );
  });

  it("the instructions of a feature, and of one whose orchestrator has another name", async () => {
    await using agent = await startAgent(settings());
    await expect(`${agent.client.getInstructions()}\n`.replace(bench.redis.socketPath, "<socket>")).toMatchFileSnapshot(
      "../__snapshots__/mcp-instructions.md",
    );
    await using other = await startAgent({ ...settings(), COORD_ORCHESTRATOR: "boss" });
    expect(other.client.getInstructions()).toBe(
      agent.client.getInstructions()!.replace('The orchestrator is "orchestrator"', 'The orchestrator is "boss"'),
    );
  });

  it("tools/list", async () => {
    const server = new RawServer(settings());
    await server.initialize();
    server.send({ id: 1, method: "tools/list", params: {} });
    const { result } = await server.answer(1);
    await expect(`${JSON.stringify(result, undefined, 2)}\n`).toMatchFileSnapshot("../__snapshots__/mcp-tools.json");
  });

  it("costs its context at most 6,000 characters", async () => {
    await using agent = await startAgent(settings());
    const { tools } = await agent.client.listTools();
    const cost = JSON.stringify(tools).length + agent.client.getInstructions()!.length;
    expect(cost).toBeLessThanOrEqual(6000);
  });

  it("server/discover gets -32601, so that the client goes on with the 2025 revision", async () => {
    const server = new RawServer(settings());
    server.send({ id: 7, method: "server/discover", params: {} });
    expect(await server.answer(7)).toMatchObject({ jsonrpc: "2.0", id: 7, error: { code: -32601 } });
    expect(await server.initialize()).toMatchObject({ result: { protocolVersion: "2025-11-25" } });
  });
});

describe("starting", () => {
  it("with Redis up the instance is seen without any call", async () => {
    const server = new RawServer(settings());
    await server.initialize();
    const presence = await waitFor(() => bench.raw.hget("coord:presence", "backend"));
    expect(JSON.parse(presence)).toMatchObject({ left: false, session: {} });
  });

  it("--instance wins over the environment", async () => {
    const server = new RawServer(settings(), ["--instance", "frontend"]);
    const { result } = await server.initialize();
    expect((result as Wire)["instructions"]).toMatch('You are instance "frontend"');
  });

  it("without an identity it refuses: a sentence on stderr, exit 1, nothing on stdout", async () => {
    const { code, stdout, stderr } = await new RawServer({ REDIS_URL: bench.redis.url }).ended;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^error: No instance name is set\.\nRun coord init here, .*\n$/);
  });
});

describe("ending cleanly, with exit 0 and nothing on stderr", () => {
  it.each(["SIGINT", "SIGTERM", "SIGHUP", "end of input"] as const)("on %s, also while a call waits", async (how) => {
    const server = new RawServer(settings());
    await server.initialize();
    server.send(
      call(1, "coord_get_presence"),
      call(2, "coord_check_messages", { wait_seconds: how[0] === "S" ? 50 : 1 }),
    );
    await server.answer(1);
    if (how === "end of input") server.process.stdin!.end();
    else server.process.kill(how);
    const { code, stderr, stdout } = await server.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const line of lines(stdout)) expect(JSON.parse(line)).toMatchObject({ jsonrpc: "2.0" });
  });

  it("when the client closes the connection", async () => {
    const server = new RawServer(settings());
    await server.initialize();
    server.process.stdin!.end();
    expect(await server.ended).toMatchObject({ code: 0, stderr: "" });
  });

  it("before anything was said", async () => {
    expect(await run(process.execPath, [COORD, "mcp"], { env: environment(settings()) })).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "",
    });
  });
});

describe("standard output carries protocol only", () => {
  it("requests from a pipe are answered, all of them, before it ends with its input", async () => {
    const requests = [
      initialize,
      { method: "notifications/initialized" },
      { id: 2, method: "tools/list", params: {} },
      call(3, "coord_publish_message", {
        msg_type: "GENERAL",
        subject: "s",
        description: "d",
        to_instance: "frontend",
      }),
      call(4, "coord_get_presence"),
      call(5, "coord_check_messages", { wait_seconds: 0.2 }),
      call(6, "coord_nope"),
      { id: 7, method: "ping" },
    ];
    const input = requests.map((request) => `${JSON.stringify({ jsonrpc: "2.0", ...request })}\n`).join("");
    const { code, stdout, stderr } = await run(process.execPath, [COORD, "mcp"], {
      env: environment(settings()),
      input,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const answers = lines(stdout).map((line) => JSON.parse(line) as { id: number; result: Wire });
    expect(answers.map(({ id }) => id).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(answers.every(({ result }) => result !== undefined)).toBe(true);
  });

  it("from a shell's pipe too", async () => {
    const line = `printf '%s\\n' "$1" | node "$2" mcp`;
    const message = JSON.stringify({ jsonrpc: "2.0", ...initialize });
    const { code, stdout } = await bash(line, [message, COORD], { env: environment(settings()) });
    expect(code).toBe(0);
    expect(lines(stdout).map((text) => (JSON.parse(text) as Wire)["id"])).toEqual([1]);
  });

  it("what is no request is passed over, and the next request is answered", async () => {
    const server = new RawServer(settings());
    await server.initialize();
    server.process.stdin!.write('this is no JSON\n{"jsonrpc":"2.0"}\n[]\n');
    server.send(call(1, "coord_get_presence"));
    expect(await server.answer(1)).toMatchObject({ result: { structuredContent: { success: true } } });
    server.process.stdin!.end();
    const { code, stdout } = await server.ended;
    expect(code).toBe(0);
    for (const line of lines(stdout)) expect(JSON.parse(line)).toMatchObject({ jsonrpc: "2.0" });
  });

  it("an unknown method gets an error, not silence", async () => {
    const server = new RawServer(settings());
    await server.initialize();
    server.send({ id: 1, method: "resources/list", params: {} });
    expect(await server.answer(1)).toMatchObject({ error: { code: -32601 } });
  });
});

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

async function waitFor<T>(probe: () => Promise<T | null>): Promise<T> {
  for (;;) {
    const value = await probe();
    if (value !== null) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
