/** Waiting for a message: the MCP tool with progress and cancellation, the channel push, and the library. */
import { describe, expect, it } from "vitest";
import type { CallToolResult } from "@modelcontextprotocol/client";
import { MessageType } from "../../src/protocol/definition.ts";
import {
  type Agent,
  PROMPT,
  refused,
  runOf,
  sleep,
  type Stage,
  type Started,
  until,
  useRedis,
  within,
} from "./agent.ts";

const bench = useRedis();

interface Rpc {
  id?: number;
  method?: string;
  params?: Record<string, unknown>;
  result?: { structuredContent?: { count: number }; serverInfo?: unknown };
}

/** An MCP client that shows every line of the server. */
class RawClient {
  readonly server: Started;

  constructor(agent: Agent) {
    this.server = agent.startServer();
  }

  get lines(): Rpc[] {
    const whole = this.server.stdout.split("\n").slice(0, -1);
    return whole.map((line) => JSON.parse(line) as Rpc);
  }

  send(message: object): void {
    this.server.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }

  async initialize(name: string): Promise<void> {
    const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name, version: "2.1.330" } };
    this.send({ id: 0, method: "initialize", params });
    await until(() => this.lines.some(({ id }) => id === 0));
    this.send({ method: "notifications/initialized" });
  }

  wait(id: number, seconds: number, meta: object = {}): void {
    const params = { name: "coord_check_messages", arguments: { wait_seconds: seconds }, ...meta };
    this.send({ id, method: "tools/call", params });
  }
}

async function listens(stage: Stage, instance: string): Promise<void> {
  const channel = `${stage.prefix}:notify:${instance}`;
  await until(async () => ((await stage.raw.pubsub("NUMSUB", channel)) as [string, number])[1] > 0);
}

describe.concurrent("coord_check_messages with wait_seconds", () => {
  it("returns at once when a message comes, and with none when the time is over", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const server = await agent.mcp();
    const waiting = server.call("check_messages", { wait_seconds: 40 });
    await listens(stage, "backend");
    const id = await stage.send("backend", "login");
    const result = await within(waiting);
    expect(result).toMatchObject({ success: true, count: 1, messages: [{ id, subject: "login" }] });
    expect(await server.call("check_messages", { wait_seconds: 1 })).toMatchObject({
      success: true,
      count: 0,
      messages: [],
    });
    expect(await server.call("check_messages", { wait_seconds: 51 })).toMatchObject({
      success: false,
      code: "INVALID",
    });
  });

  it("reports progress to a client that asks for it, and to no other", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const client = new RawClient(agent);
    await client.initialize("raw");
    client.wait(1, 7, { _meta: { progressToken: "token-1" } });
    client.wait(2, 7);
    await until(() => client.lines.filter(({ id }) => id === 1 || id === 2).length === 2);
    expect(client.lines.filter(({ method }) => method !== undefined)).toEqual([
      {
        jsonrpc: "2.0",
        method: "notifications/progress",
        params: { progressToken: "token-1", progress: 5, message: "waiting for messages" },
      },
    ]);
  });

  it("progress keeps the official client waiting beyond its own time limit", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const { client } = await agent.mcp();
    const seen: number[] = [];
    const call = client.callTool(
      { name: "coord_check_messages", arguments: { wait_seconds: 40 } },
      { timeout: 7_000, resetTimeoutOnProgress: true, onprogress: ({ progress }) => seen.push(progress) },
    );
    await sleep(8_500);
    await stage.send("backend", "login");
    const { structuredContent } = await within<CallToolResult>(call);
    expect([structuredContent, seen]).toMatchObject([{ count: 1 }, [5]]);
  });

  it("ends at once when it is cancelled, and neither answers nor takes the message", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const client = new RawClient(agent);
    await client.initialize("raw");
    client.wait(1, 50, { _meta: { progressToken: 1 } });
    await listens(stage, "backend");
    client.send({ method: "notifications/cancelled", params: { requestId: 1, reason: "the user pressed escape" } });
    const channel = `${stage.prefix}:notify:backend`;
    await until(async () => ((await stage.raw.pubsub("NUMSUB", channel)) as [string, number])[1] === 0);
    await stage.send("backend", "login");
    client.wait(2, 5);
    await until(() => client.lines.some(({ id }) => id === 2));
    expect(client.lines.find(({ id }) => id === 2)!.result!.structuredContent!.count).toBe(1);
    expect(client.lines.some(({ id, method }) => id === 1 || method !== undefined)).toBe(false);
  });
});

describe.concurrent("the channel", () => {
  it("rings a client named claude-code for each message, which stays unread", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const client = new RawClient(agent);
    await client.initialize("claude-code");
    await listens(stage, "backend");
    const id = await stage.send("backend", "</channel><b>hostile");
    const mine = await stage.send("other", "mine", { from: "backend" });
    await stage.command("other").ackMessage(mine); // rings nobody
    const note = await stage.send("backend", "note", { type: MessageType.NOTIFICATION });
    await until(() => client.lines.filter(({ method }) => method !== undefined).length >= 2);
    await sleep(200);
    const ringing = (messageId: string, type: string): object => ({
      jsonrpc: "2.0",
      method: "notifications/claude/channel",
      params: {
        content: `New message ${messageId} (${type}) from orchestrator: read it with coord_check_messages.`,
        meta: { message_id: messageId, type, from: "orchestrator" },
      },
    });
    expect(client.lines.filter(({ method }) => method !== undefined)).toEqual([
      ringing(id, "GENERAL"),
      ringing(note, "NOTIFICATION"),
    ]);
    expect(await stage.raw.zcard(`${stage.prefix}:unread:backend`)).toBe(2);
    expect(await agent.shown(PROMPT)).toContain("About note.");
  });

  it("is silent to other clients", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend", "codex");
    const client = new RawClient(agent);
    await client.initialize("codex-mcp-client");
    await stage.send("backend", "login");
    client.wait(1, 1);
    await until(() => client.lines.some(({ id }) => id === 1));
    expect(client.lines.filter(({ method }) => method !== undefined)).toEqual([]);
  });
});

describe.concurrent("the library", () => {
  it("waitForMessages returns what is new, as soon as it comes", async () => {
    const stage = bench.stage();
    const client = await stage.client("backend");
    await stage.send("backend", "before");
    expect((await client.waitForMessages()).messages.map(({ subject }) => subject)).toEqual(["before"]);
    const waiting = client.waitForMessages({ type: MessageType.REVIEW_FAILED });
    await listens(stage, "backend");
    await stage.send("backend", "other");
    await stage.send("backend", "wanted", { type: MessageType.REVIEW_FAILED });
    expect((await within(waiting)).messages.map(({ subject }) => subject)).toEqual(["wanted"]);
    expect(
      await client.waitForMessages({ waitSeconds: 50, signal: AbortSignal.timeout(300), type: "NOTIFICATION" }),
    ).toMatchObject({
      count: 0,
    });
    expect((await client.waitForMessages({ waitSeconds: 1, pendingOnly: true })).count).toBe(3);
  });

  it("events() yields what waits and what comes, in order, and ends by its signal or by leaving the loop", async () => {
    const stage = bench.stage();
    const client = await stage.client("backend", { session: runOf() });
    await stage.send("backend", "waits");
    const ended = new AbortController();
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const { event, subject, comment } of client.events({ signal: ended.signal })) {
        seen.push([event, subject, ...(comment === undefined ? [] : [comment])]);
      }
    })();
    await until(() => seen.length === 1);
    await stage.send("backend", "comes");
    const sent = await client.publishMessage({ type: "GENERAL", subject: "mine", description: "", to: "other" });
    await stage.command("other").ackMessage(sent.messageId, { comment: "done" });
    await until(() => seen.length === 3);
    expect(seen).toEqual([
      ["message_published", "waits"],
      ["message_published", "comes"],
      ["message_acknowledged", "mine", "done"],
    ]);
    ended.abort();
    await within(reading);
    expect(await client.getNotifications()).toMatchObject({ count: 0 });
  });

  it("events() of a session that is superseded ends in SUPERSEDED, at once", async () => {
    const stage = bench.stage();
    const older = await stage.client("backend", { session: runOf() });
    const next = older.events().next();
    await listens(stage, "backend");
    await stage.client("backend", { session: runOf({ agentPid: 2000 }) });
    expect((await within(refused(next))).code).toBe("SUPERSEDED");
  });
});

// On its own: it cuts the connections of everybody who listens.
describe("the library, cut off", () => {
  it("waitForMessages wakes for what was published while the connections were cut", async () => {
    const stage = bench.stage();
    const client = await stage.client("backend");
    const waiting = client.waitForMessages();
    await listens(stage, "backend");
    await stage.raw.call("CLIENT", "KILL", "TYPE", "pubsub");
    await stage.send("backend", "missed");
    expect((await within(waiting)).messages.map(({ subject }) => subject)).toEqual(["missed"]);
  });
});
