/** The five tools through the official client: whole results, and what is cut so that an agent sees all of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { until, useRedis } from "../harness.ts";
import { Agent, type Wire } from "./run.ts";

const bench = useRedis();
/** Claude Code shows 20 KB inline; what is longer is not seen by the model as it is. */
const INLINE_BYTES = 20_000;

let backend: Agent;
let frontend: Agent;
beforeAll(async () => {
  const agent = (instance: string): Promise<Agent> =>
    new Agent({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: instance }).start();
  [backend, frontend] = await Promise.all([agent("backend"), agent("frontend")]);
  // Makes the client check every result against the output schema of its tool.
  await Promise.all([backend.client.listTools(), frontend.client.listTools()]);
});
// Each test empties the namespace, which a server that has known it is told once.
beforeEach(async () => {
  for (const agent of [backend, frontend]) await agent.call("coord_get_presence");
  await bench.clear();
});
afterAll(async () => {
  await backend[Symbol.asyncDispose]();
  await frontend[Symbol.asyncDispose]();
});

const NOTE = { msg_type: "GENERAL", subject: "s", description: "d" };

/** A result that is not refused, and that an agent is shown whole. */
async function inline(agent: Agent, tool: string, args: Wire = {}): Promise<Wire> {
  const { isError, value, text } = await agent.call(tool, args);
  expect({ isError, inline: Buffer.byteLength(text) < INLINE_BYTES }, text.slice(0, 300)).toEqual({
    isError: false,
    inline: true,
  });
  return value;
}

const messagesOf = (result: Wire): Wire[] => result["messages"] as Wire[];
const idsOf = (result: Wire): unknown[] => messagesOf(result).map(({ id }) => id);

describe("the five tools", () => {
  it("[G1] publish, check, acknowledge, presence and notifications, each with all that it returns", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const published = await backend.get("coord_publish_message", {
      msg_type: "READY_FOR_REVIEW",
      subject: "login",
      description: "Branch feat/login",
      to_instance: "frontend",
    });
    const pending = await frontend.get("coord_check_messages", { pending_only: true });
    const acknowledged = await frontend.get("coord_ack_message", {
      message_id: published["message_id"],
      comment: "ok",
    });
    const again = await frontend.get("coord_ack_message", { message_id: published["message_id"], comment: "late" });
    const sent = await backend.get("coord_check_messages", { from_instance: "backend" });
    const presence = await backend.get("coord_get_presence");
    const heard = await backend.get("coord_get_notifications");
    const message = {
      id: "m1",
      type: "READY_FOR_REVIEW",
      from: "backend",
      to: "frontend",
      timestamp: "<time>",
      requires_ack: true,
      subject: "login",
      description: "Branch feat/login",
    };
    const cursors = { more: false, next_since: "m1", next_before: "m1", unreadable: [] };
    const instance = { status: "active", doing: "away", last_heartbeat: "<time>", session: {}, pending: 0, guests: 0 };
    const plain = await bench.plain({ published, pending, acknowledged, again, sent, heard });
    expect(plain).toEqual({
      published: {
        success: true,
        message_id: "m1",
        type: "READY_FOR_REVIEW",
        from: "backend",
        to: "frontend",
        timestamp: "<time>",
        requires_ack: true,
        recipients: [{ instance: "frontend", presence: "active" }],
        warnings: [expect.stringMatching(/^Unusual direction: /)],
        repeated: false,
        acknowledged: false,
      },
      pending: { success: true, count: 1, messages: [{ ...message, acknowledged: false }], ...cursors },
      acknowledged: {
        success: true,
        message_id: "m1",
        acknowledged_by: "frontend",
        timestamp: "<time>",
        already: false,
        comment: "ok",
      },
      again: {
        success: true,
        message_id: "m1",
        acknowledged_by: "frontend",
        timestamp: "<time>",
        already: true,
        comment: "ok",
      },
      sent: {
        success: true,
        count: 1,
        messages: [
          {
            ...message,
            acknowledged: true,
            receipts: [
              {
                instance: "frontend",
                state: "acknowledged",
                presented_at: "<time>",
                acknowledged_at: "<time>",
                comment: "ok",
              },
            ],
          },
        ],
        ...cursors,
      },
      heard: {
        success: true,
        count: 1,
        notifications: [
          {
            event: "message_acknowledged",
            message_id: "m1",
            type: "READY_FOR_REVIEW",
            from: "frontend",
            to: "backend",
            subject: "login",
            requires_ack: false,
            timestamp: "<time>",
            comment: "ok",
          },
        ],
        remaining: 0,
      },
    });
    expect(again["timestamp"]).toBe(acknowledged["timestamp"]);
    const age = expect.any(Number) as number;
    expect(await bench.plain(presence)).toEqual({
      success: true,
      instances: {
        backend: { instance_id: "backend", ...instance, seconds_since_heartbeat: age },
        frontend: { instance_id: "frontend", ...instance, seconds_since_heartbeat: age },
      },
    });
  });

  it("an answer with reply_to acknowledges what it answers, in one step", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const asked = await backend.get("coord_publish_message", { ...NOTE, to_instance: "frontend" });
    const answered = await frontend.get("coord_publish_message", { ...NOTE, reply_to: asked["message_id"] });
    expect([answered["to"], answered["acknowledged"]]).toEqual(["backend", true]);
    expect(idsOf(await frontend.get("coord_check_messages", { pending_only: true }))).toEqual([]);
    const thread = await backend.get("coord_check_messages", { thread: asked["message_id"], all: true });
    expect(idsOf(thread)).toEqual([answered["message_id"], asked["message_id"]]);
  });

  it("[G5] nobody acknowledges for somebody else", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const { message_id } = await backend.get("coord_publish_message", { ...NOTE, to_instance: "other" });
    const changes = await bench.changes(async () => {
      const { value } = await frontend.call("coord_ack_message", { message_id });
      expect(value).toMatchObject({ success: false, code: "NOT_RECIPIENT", error: expect.any(String) as string });
    });
    expect(changes).toEqual({});
  });

  it("a recipient never seen: stored, the receipt says so, with the nearest names", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const sent = await backend.get("coord_publish_message", { ...NOTE, to_instance: "frontent" });
    expect([sent["recipients"], sent["warnings"]]).toEqual([
      [{ instance: "frontent", presence: "unknown" }],
      [
        'No instance "frontent" has ever been seen: it gets the message when it starts. ' +
          "Known names like it: frontend.",
      ],
    ]);
    expect(await bench.raw.zrange("coord:inbox:frontent", "0", "-1")).toEqual([sent["message_id"]]);
  });

  it("a query finds messages of the whole namespace, goes with filters, and marks nothing", async () => {
    await bench.seen({ backend: 0, frontend: 0, other: 0 });
    const say = async (agent: Agent, subject: string, to_instance: string): Promise<unknown> =>
      (await agent.get("coord_publish_message", { ...NOTE, subject, to_instance }))["message_id"];
    const first = await say(backend, "Login form", "frontend");
    const second = await say(frontend, "login page", "other");
    const third = await say(backend, "logout", "all");
    const found = async (args: Wire): Promise<unknown[]> => idsOf(await frontend.get("coord_check_messages", args));
    const unread = await bench.raw.zrange("coord:unread:frontend", "0", "-1");
    expect(await found({ query: "LOGIN" })).toEqual([second, first]);
    expect(await found({ query: "log -form" })).toEqual([third, second]);
    expect(await found({ query: "log", from_instance: "backend", msg_type: "GENERAL", all: true })).toEqual([
      third,
      first,
    ]);
    expect(await found({ query: "log", to_instance: "other" })).toEqual([third, second]);
    expect(await found({ query: "log", to_instance: "all", since: first })).toEqual([third, second]);
    expect(await found({ query: "log", thread: first, wait_seconds: 0, pending_only: false })).toEqual([first]);
    expect(await found({ query: "log", before: third, limit: 1 })).toEqual([second]);
    expect(await found({ query: "is:unread" })).toEqual([third, first]);
    expect(await frontend.get("coord_check_messages", { query: "nowhere" })).toMatchObject({ count: 0, messages: [] });
    expect(await bench.raw.zrange("coord:unread:frontend", "0", "-1")).toEqual(unread);
    expect(await found({ query: "nowhere", message_id: first })).toEqual([first]);
  });

  it("null is the same as absent", async () => {
    await bench.seen({ backend: 0, orchestrator: 0 });
    const nothing = { to_instance: null, requires_ack: null, reply_to: null };
    const sent = await backend.get("coord_publish_message", { ...NOTE, ...nothing });
    expect([sent["to"], sent["requires_ack"]]).toEqual(["orchestrator", true]);
    const filters = [
      "to_instance",
      "from_instance",
      "msg_type",
      "pending_only",
      "all",
      "since",
      "before",
      "thread",
      "query",
    ];
    const none = Object.fromEntries([...filters, "message_id", "limit", "wait_seconds"].map((name) => [name, null]));
    expect(await backend.get("coord_check_messages", none)).toEqual(await backend.get("coord_check_messages"));
    expect(await backend.get("coord_get_notifications", { limit: null })).toMatchObject({ count: 0 });
    const { message_id } = await frontend.get("coord_publish_message", { ...NOTE, to_instance: "backend" });
    expect(await backend.get("coord_ack_message", { message_id, comment: null })).not.toHaveProperty("comment");
  });

  it("what is broken in Redis is reported, and the rest is listed", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const ids = [];
    for (let i = 0; i < 3; i++) {
      const { message_id } = await frontend.get("coord_publish_message", { ...NOTE, to_instance: "backend" });
      ids.push(String(message_id));
    }
    await bench.raw.del(`coord:msg:${ids[1]}`);
    await bench.raw.hset("coord:presence", "broken", "{");
    await bench.raw.lset("coord:notifications:backend", 0, "{");
    const checked = await backend.get("coord_check_messages");
    expect([idsOf(checked), checked["unreadable"]]).toEqual([
      [ids[2], ids[0]],
      [{ id: ids[1], reason: expect.any(String) as string }],
    ]);
    const { instances } = await backend.get("coord_get_presence");
    expect(Object.keys(instances as Wire)).toEqual(["backend", "broken", "frontend"]);
    expect((instances as Record<string, Wire>)["broken"]).toMatchObject({ status: "unknown" });
    await bench.raw.rpush("coord:notifications:backend", "[]");
    const { notifications } = await backend.get("coord_get_notifications");
    expect((notifications as Wire[]).filter(({ event }) => event === "unreadable")).toHaveLength(2);
  });
});

describe("waiting", () => {
  it("returns when a message comes", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const waiting = backend.get("coord_check_messages", { wait_seconds: 15 });
    await listening("coord:notify:backend");
    const { message_id } = await frontend.get("coord_publish_message", { ...NOTE, to_instance: "backend" });
    expect(idsOf(await waiting)).toEqual([message_id]);
  });

  it("without a message it ends with count 0, and is no refusal", async () => {
    expect(await backend.get("coord_check_messages", { wait_seconds: 0.1 })).toMatchObject({ count: 0, messages: [] });
  });

  it("other calls are answered meanwhile", async () => {
    const waiting = backend.call("coord_check_messages", { wait_seconds: 1 });
    await listening("coord:notify:backend");
    let waited = true;
    void waiting.then(() => (waited = false));
    await backend.get("coord_get_presence");
    expect(waited).toBe(true);
    await waiting;
  });

  it("a cancelled wait stops listening and takes no message", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const controller = new AbortController();
    const waiting = backend.call("coord_check_messages", { wait_seconds: 30 }, { signal: controller.signal });
    const outcome = waiting.catch((error: unknown) => error);
    await listening("coord:notify:backend");
    controller.abort();
    expect(await outcome).toBeInstanceOf(Error);
    await until(async () => (await subscribers("coord:notify:backend")) === 0);
    const { message_id } = await frontend.get("coord_publish_message", { ...NOTE, to_instance: "backend" });
    expect(await bench.raw.zrange("coord:unread:backend", "0", "-1")).toEqual([message_id]);
    expect(idsOf(await backend.get("coord_check_messages"))).toEqual([message_id]);
  });
});

describe("what a result holds stays under 20 KB", () => {
  const TEXTS: [string, string][] = [
    ["plain text", "x".repeat(3000)],
    ["text that JSON makes six times as long", "\u0001".repeat(3000)],
    ["60 KiB", "é".repeat(30_000)],
    ["short text, long subjects", ""],
  ];
  it.each(TEXTS)(
    "50 messages of %s: lists stop early, and reading on gets each exactly once",
    async (_, description) => {
      await bench.seen({ backend: 0, frontend: 0 });
      const sent = [];
      const client = await bench.client("frontend");
      for (let i = 0; i < 50; i++) {
        const content = { type: "GENERAL", subject: "😀".repeat(200), description } as const;
        sent.push((await client.publishMessage({ ...content, to: "backend" })).messageId);
      }
      const read: unknown[] = [];
      let since: Wire = {};
      let pages = 0;
      for (let more = true; more; pages++) {
        const page = await inline(backend, "coord_check_messages", { pending_only: true, ...since });
        read.push(...idsOf(page));
        // Only what was shown counts as presented.
        expect(await bench.raw.zrange("coord:unread:backend", "0", "-1")).toEqual(sent.slice(read.length));
        since = { since: page["next_since"] };
        more = page["more"] === true;
      }
      expect(read).toEqual(sent);
      expect(pages).toBeGreaterThan(1);
      const found: unknown[] = [];
      let before: Wire = {};
      for (let more = true; more;) {
        const page = await inline(backend, "coord_check_messages", { query: "😀 -nowhere", limit: 1000, ...before });
        found.push(...idsOf(page));
        before = { before: page["next_before"] };
        more = page["more"] === true;
      }
      expect(found).toEqual(sent.toReversed());
    },
  );

  it("a long description is cut between characters, marked, and whole by message_id", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const description = `x${"é".repeat(30_000)}`;
    const { message_id } = await frontend.get("coord_publish_message", {
      ...NOTE,
      description,
      to_instance: "backend",
    });
    const [cut] = messagesOf(await inline(backend, "coord_check_messages"));
    expect(cut).toMatchObject({ id: message_id, truncated: true });
    const shown = String(cut!["description"]);
    expect(description.startsWith(shown) && shown.length > 1000).toBe(true);
    const [whole] = messagesOf(await backend.get("coord_check_messages", { message_id }));
    expect(whole!["description"]).toBe(description);
    expect(whole).not.toHaveProperty("truncated");
  });

  it("[G6] a broadcast to 120 lists 50 recipients and 50 receipts, who is missing first, with totals", async () => {
    const name = (i: number): string => `i${String(i).padStart(3, "0")}${"n".repeat(60)}`;
    const names = Array.from({ length: 120 }, (_, i) => name(i));
    // Of three hundred seconds' timeout: 60 active, 30 stale, 30 offline.
    const age = (i: number): number => (i < 60 ? 0 : i < 90 ? 400 : 2000);
    await bench.seen(Object.fromEntries(names.map((instance, i) => [instance, age(i)])));
    const sent = await inline(backend, "coord_publish_message", { ...NOTE, to_instance: "all" });
    const expected = [...names.slice(90), ...names.slice(60, 80)].map((instance, i) => ({
      instance,
      presence: i < 30 ? "offline" : "stale",
    }));
    expect([sent["recipients"], sent["recipients_total"]]).toEqual([expected, 120]);

    const message_id = String(sent["message_id"]);
    for (const instance of names.slice(0, 80)) {
      const reader = bench.command(instance);
      await reader.ackMessage(message_id);
      reader.close();
    }
    for (const [args, acknowledged] of [
      [{ message_id }, 10],
      [{ from_instance: "backend" }, 0],
    ] as const) {
      const [message] = messagesOf(await inline(backend, "coord_check_messages", args));
      const receipts = message!["receipts"] as Wire[];
      expect(receipts.map(({ instance, state }) => [instance, state])).toEqual([
        ...names.slice(80).map((instance) => [instance, "stored"]),
        ...names.slice(0, acknowledged).map((instance) => [instance, "acknowledged"]),
      ]);
      expect(message!["receipt_totals"]).toEqual({ recipients: 120, acknowledged: 80, dead: 0, dropped: 0 });
    }
  });

  it("long comments of many recipients", async () => {
    const names = Array.from({ length: 12 }, (_, i) => `i${i}`);
    await bench.seen(Object.fromEntries(names.map((instance) => [instance, 0])));
    const { message_id } = await backend.get("coord_publish_message", { ...NOTE, to_instance: "all" });
    for (const instance of names) {
      const reader = bench.command(instance);
      await reader.ackMessage(String(message_id), { comment: "c".repeat(4096) });
      reader.close();
    }
    expect(idsOf(await inline(backend, "coord_check_messages", { from_instance: "backend" }))).toEqual([message_id]);
  });

  it("presence of 120: 50 are listed, those who are there first, with the total", async () => {
    const names = Array.from({ length: 119 }, (_, i) => `i${String(i).padStart(3, "0")}${"n".repeat(60)}`);
    await bench.seen({ backend: 0, ...Object.fromEntries(names.map((name, i) => [name, i < 70 ? 2000 : 0])) });
    const result = await inline(backend, "coord_get_presence");
    const instances = Object.values(result["instances"] as Record<string, Wire>);
    expect([instances.length, result["instances_total"]]).toEqual([50, 120]);
    expect(instances.every(({ status }) => status === "active")).toBe(true);
  });

  it("200 notifications come in several calls, each once, in order", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const client = await bench.client("frontend");
    const sent = [];
    for (let i = 0; i < 200; i++) {
      const content = { type: "GENERAL", subject: "é".repeat(200), description: "" } as const;
      sent.push((await client.publishMessage({ ...content, to: "backend" })).messageId);
    }
    const told: unknown[] = [];
    for (let remaining = 200; remaining > 0; remaining = 200 - told.length) {
      const result = await inline(backend, "coord_get_notifications", { limit: 1000 });
      told.push(...(result["notifications"] as Wire[]).map(({ message_id }) => message_id));
      expect([result["remaining"], result["count"]]).toEqual([
        200 - told.length,
        (result["notifications"] as unknown[]).length,
      ]);
    }
    expect(told).toEqual(sent);
  });

  it("600 messages that cannot be read", async () => {
    await bench.seen({ backend: 0, frontend: 0 });
    const client = await bench.client("frontend");
    const sent: string[] = [];
    for (let i = 0; i < 600; i++) {
      sent.push(
        (await client.publishMessage({ type: "GENERAL", subject: "s", description: "", to: "backend" })).messageId,
      );
    }
    await bench.raw.del(...sent.map((id) => `coord:msg:${id}`));
    const read: unknown[] = [];
    let since: Wire = {};
    for (let more = true; more;) {
      const page = await inline(backend, "coord_check_messages", { pending_only: true, limit: 1000, ...since });
      read.push(...(page["unreadable"] as Wire[]).map(({ id }) => id));
      since = { since: page["next_since"] };
      more = page["more"] === true;
    }
    expect(read).toEqual(sent);
  });
});

async function subscribers(channel: string): Promise<number> {
  const [, count] = (await bench.raw.pubsub("NUMSUB", channel)) as [string, unknown];
  return Number(count);
}

async function listening(channel: string): Promise<void> {
  await until(async () => (await subscribers(channel)) > 0);
}
