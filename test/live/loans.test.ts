/** [G7] Handed out is not yet told: what a reader took and never showed comes again, what it confirmed never does. */
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import type { Mail } from "../../src/client/replies.ts";
import type { CoordinationEvent } from "../../src/protocol/results.ts";
import {
  type Agent,
  LIBRARY,
  openGate,
  STOP,
  refused,
  runOf,
  sleep,
  type Stage,
  START,
  TOOL,
  until,
  useRedis,
  within,
} from "./agent.ts";

const bench = useRedis();
const KILLS = 30;
const subjects = (events: readonly CoordinationEvent[]): unknown[] => events.map(({ subject }) => subject);
const BOUND = { bytes: 7_500, descriptionBytes: 6_000 };

describe.concurrent("[G7] events under a loan", () => {
  it("come again when they are not confirmed in time, in their order and before later ones; confirmed ones never", async () => {
    const stage = bench.stage();
    const client = await stage.client("backend", { loanSeconds: 1 });
    for (const subject of ["a", "b", "c"]) await stage.send("backend", subject);
    const first = await client.takeNotifications({ limit: 1 });
    const second = await client.takeNotifications({ limit: 1 });
    expect([subjects(first.result.notifications), subjects(second.result.notifications)]).toEqual([["a"], ["b"]]);
    const third = await client.takeNotifications();
    await third.confirm();
    await stage.send("backend", "d");
    await sleep(1_100);
    const again = await client.takeNotifications();
    expect(subjects(again.result.notifications)).toEqual(["a", "b", "d"]);
    await again.confirm();
    await first.confirm(); // too late, and harmless
    await sleep(1_100);
    expect(await client.getNotifications()).toEqual({ count: 0, notifications: [], remaining: 0 });
  });

  it("are handed over at once by a takeover, in order, and the confirm of the superseded is refused", async () => {
    const stage = bench.stage();
    const older = await stage.client("backend", { session: runOf(), loanSeconds: 60 });
    for (const subject of ["a", "b", "c"]) await stage.send("backend", subject);
    const one = await older.takeNotifications({ limit: 1 });
    const two = await older.takeNotifications({ limit: 1 });
    const mail = await new Mailbox(older).collect("tool", 10, BOUND);
    expect(mail.messages.map(({ subject }) => subject)).toEqual(["a", "b", "c"]);
    const newer = await stage.client("backend", { session: runOf({ agentPid: 2000 }), loanSeconds: 60 });
    for (const confirm of [one.confirm, two.confirm, () => new Mailbox(older).confirm(mail)]) {
      expect((await refused(confirm())).code).toBe("SUPERSEDED");
    }
    expect((await new Mailbox(newer).collect("tool", 10, BOUND)).messages).toEqual(mail.messages);
    const { result, confirm } = await newer.takeNotifications();
    expect(subjects(result.notifications)).toEqual(["a", "b", "c"]);
    await confirm();
    expect((await newer.getNotifications()).count).toBe(0);
  });

  it("what a session was held back for when it stopped counts once it was confirmed", async () => {
    const stage = bench.stage();
    const client = await stage.client("backend");
    await stage.send("backend", "login");
    await new Mailbox(client).confirm(await new Mailbox(client).collect("tool", 10, BOUND));
    const held = (mail: Mail): string[] => mail.reminders.map(({ subject }) => subject);
    const mailbox = new Mailbox(client);
    expect(held(await mailbox.collect("stop", 10, BOUND))).toEqual(["login"]); // its hook died
    expect(held(await mailbox.collect("stop", 10, BOUND))).toEqual([]); // another one that runs beside it
    await stage.raw.del(`${stage.prefix}:loaned:backend`); // as when the loan has run out
    const resumed = await mailbox.collect("resume", 10, BOUND); // a reminder there is another thing
    await mailbox.confirm(resumed);
    const mail = await mailbox.collect("stop", 10, BOUND);
    expect([resumed, mail].map(held)).toEqual([["login"], ["login"]]);
    await mailbox.confirm(mail);
    expect(held(await new Mailbox(client).collect("stop", 10, BOUND))).toEqual([]);
  });

  it("are not given to two readers of one session at the same time", async () => {
    const stage = bench.stage();
    const readers = await Promise.all(Array.from({ length: 5 }, () => stage.client("backend", { loanSeconds: 60 })));
    for (let i = 0; i < 20; i++) await stage.send("backend", `${i}`);
    const taken = await Promise.all(
      readers.flatMap((reader) => Array.from({ length: 4 }, () => reader.takeNotifications({ limit: 1 }))),
    );
    const all = taken.flatMap(({ result }) => subjects(result.notifications));
    expect(all.sort()).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`).sort());
    const mails = await Promise.all(readers.map((reader) => new Mailbox(reader).collect("tool", 5, BOUND)));
    const ids = mails.flatMap(({ messages }) => messages.map(({ id }) => id));
    expect([ids.length, new Set(ids).size]).toEqual([20, 20]);
  });

  it("the iterator confirms one event when the next is asked for, or the loop is left", async () => {
    const stage = bench.stage();
    const client = await stage.client("backend");
    for (const subject of ["a", "b", "c", "d"]) await stage.send("backend", subject);
    const seen: unknown[] = [];
    for await (const { subject } of client.events()) if (seen.push(subject) === 2) break;
    for await (const { subject } of client.events()) if (seen.push(subject) === 4) break;
    expect(seen).toEqual(["a", "b", "c", "d"]);
    expect(await stage.raw.hlen(`${stage.prefix}:loans:backend`)).toBe(0);
  });

  it("a process killed in the loop of the iterator loses nothing: the event it had comes again, no earlier one", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend", "codex");
    for (const subject of ["a", "b", "c", "d"]) await stage.send("backend", subject);
    const reader = agent.start(["--input-type=module", "-e", ITERATOR]);
    await until(() => reader.stdout.includes("c"));
    reader.kill("SIGKILL");
    await reader.ended;
    const client = await stage.client("backend");
    const seen: unknown[] = [];
    await sleep(1_100); // the loan of the killed one
    for await (const { subject } of client.events()) if (seen.push(subject) === 2) break;
    expect([reader.stdout, seen]).toEqual(["abc", ["c", "d"]]);
  });
});

/** Prints the events, and stays with the third as with hard work. */
const ITERATOR = `
  const { getCoordinationClient } = await import(${JSON.stringify(LIBRARY)});
  const client = await getCoordinationClient({ loanSeconds: 1 });
  for await (const { subject } of client.events()) {
    process.stdout.write(subject);
    if (subject === "c") await new Promise((resolve) => setTimeout(resolve, 60_000));
  }`;

describe.concurrent("[G7] a hook killed between taking and showing", () => {
  it("has lost nothing: the next session shows it at once", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await agent.hook(START);
    const id = await stage.send("backend", "login");
    await killedWhileTaking(stage, agent);
    const next = await stage.agent("backend");
    expect(await next.shown(START)).toContain(id);
    expect(await next.shown(TOOL)).toBe("");
  });

  it("nor has it in the same session, which shows it once the loan is over", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await agent.hook(START);
    const ids = [await stage.send("backend", "one"), await stage.send("backend", "two")];
    await killedWhileTaking(stage, agent);
    const shown: string[] = [];
    await until(async () => {
      await sleep(500);
      shown.push(...idsIn(await agent.shown(TOOL)));
      return shown.length >= 2;
    }, 30_000);
    expect(shown).toEqual(ids);
    expect(await agent.shown(TOOL)).toBe("");
  });

  it(`nothing is lost by ${KILLS} kills at any moment, and nothing comes twice but to one that was killed`, async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    await agent.hook(START);
    const sent: string[] = [];
    const shown: string[] = [];
    const byKilled = new Set<string>();
    for (let i = 0; i < KILLS; i++) {
      sent.push(await stage.send("backend", `message ${i}`, { requiresAck: false }));
      const hook = agent.startPatientHook(TOOL);
      // Past the start of Node, which touches nothing.
      const moment = 80 + Math.random() * 250;
      const timer = setTimeout(() => hook.kill("SIGKILL"), moment);
      const { stdout, signal } = await hook.ended;
      clearTimeout(timer);
      for (const id of idsIn(stdout)) {
        shown.push(id);
        if (signal !== null) byKilled.add(id);
      }
    }
    // What the killed ones had taken comes with a takeover, without waiting for their loans.
    const next = await stage.agent("backend");
    for (let text = await next.shown(START); text !== ""; text = await next.shown(TOOL)) shown.push(...idsIn(text));
    expect([...new Set(shown)].sort()).toEqual(sent);
    const twice = shown.filter((id, i) => shown.indexOf(id) !== i);
    expect(twice.filter((id) => !byKilled.has(id))).toEqual([]);
  });
});

describe.concurrent("[G7] an MCP server killed while it answers", () => {
  it(`nothing is lost by ${KILLS} kills at any moment, and nothing comes twice but to one that was killed`, async () => {
    const stage = bench.stage();
    const agent = await stage.agent("backend");
    const sent: string[] = [];
    const shown: string[] = [];
    const byKilled = new Set<string>();
    const read = (line: string): string[] =>
      [...line.matchAll(/"event":"message_published","message_id":"(msg-\w+)"/g)].map(([, id]) => id!);
    // A server costs more to start than a hook: each is asked several times before it is killed.
    for (let n = 0; n < 3; n++) {
      const server = agent.startServer();
      server.write(`${INITIALIZE}\n`);
      await until(() => server.stdout.includes('"id":0'));
      for (let i = 1; i <= KILLS / 3; i++) {
        sent.push(await stage.send("backend", "x", { requiresAck: false }));
        server.write(`${callOf(i)}\n`);
        if (i < KILLS / 3)
          await until(() => server.stdout.includes(`"id":${i}}`) || server.stdout.includes(`"id":${i},`));
      }
      await sleep(Math.random() * 15);
      server.kill("SIGKILL");
      const { stdout } = await server.ended;
      const lines = stdout.split("\n").filter((line) => line.includes('"result"'));
      shown.push(...lines.flatMap((line) => read(structured(line))));
      for (const id of read(structured(lines.at(-1) ?? ""))) byKilled.add(id);
    }
    const next = await stage.client("backend", { session: runOf() });
    const rest = await next.getNotifications({ limit: 1000 });
    shown.push(...rest.notifications.map(({ messageId }) => messageId!));
    expect([...new Set(shown)].sort()).toEqual(sent);
    const twice = shown.filter((id, i) => shown.indexOf(id) !== i);
    expect(twice.filter((id) => !byKilled.has(id))).toEqual([]);
  });
});

const INITIALIZE = JSON.stringify({
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "killer", version: "1" } },
});
const callOf = (id: number): string =>
  JSON.stringify({
    jsonrpc: "2.0",
    id,
    method: "tools/call",
    params: { name: "coord_get_notifications", arguments: {} },
  });
/** The result of a tool call without the copy of it as text. */
function structured(line: string): string {
  try {
    const { result } = JSON.parse(line) as { result: { structuredContent?: unknown } };
    return JSON.stringify(result.structuredContent ?? {});
  } catch {
    return ""; // a line that was cut by the kill
  }
}

function idsIn(text: string): string[] {
  return [...text.matchAll(/<agent-message [^>]*? id=\\?"(msg-\w+)\\?"/g)].map(([, id]) => id!);
}

/** Runs a hook that is killed when Redis has handed out the mail and before the hook gets it. */
async function killedWhileTaking(stage: Stage, agent: Agent): Promise<void> {
  const gate = await openGate(bench.socketPath);
  agent.forgetRun(); // its hooks would keep to the server that it names
  try {
    let taken = false;
    gate.onReply = (reply) => {
      if (!reply.includes("message") && !reply.includes("orchestrator")) return "pass";
      taken = true;
      hook.kill("SIGKILL");
      return "cut";
    };
    let hook = agent.startPatientHook(TOOL, { REDIS_URL: gate.url });
    // On a busy machine a hook may give up before it has asked; then it has taken nothing, and the next one is killed.
    for (let i = 0; i < 3 && (await hook.ended).signal === null && !taken; i++) {
      hook = agent.startPatientHook(TOOL, { REDIS_URL: gate.url });
    }
    expect(await hook.ended).toMatchObject({ stdout: "", stderr: "" }); // killed, or ended by the cut just before
    expect([taken, await stage.raw.zcard(`${stage.prefix}:loaned:backend`)]).toEqual([
      true,
      expect.toSatisfy((n) => n > 0),
    ]);
  } finally {
    agent.forgetRun();
    gate.close();
  }
}

describe("[G7] a listener that was disconnected", () => {
  it("is told from the queue what it missed, each event once and in order", async () => {
    const stage = bench.stage();
    const client = await stage.client("backend", { loanSeconds: 1 });
    const ended = new AbortController();
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const { subject } of client.events({ signal: ended.signal })) seen.push(subject);
    })();
    const expected: string[] = [];
    for (let i = 0; i < 30; i++) {
      if (i % 5 === 2) await stage.raw.call("CLIENT", "KILL", "TYPE", "pubsub");
      expected.push(`${i}`);
      await stage.send("backend", `${i}`);
    }
    await until(() => seen.length >= 30);
    expect(seen).toEqual(expected);
    ended.abort();
    await within(reading);
  });

  it("goes on when the answer with its events is lost: they come once the loan is over", async () => {
    const stage = bench.stage();
    const gate = await openGate(bench.socketPath);
    const client = await stage.client("backend", { redis: gate.url, loanSeconds: 1 });
    const ended = new AbortController();
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const { subject } of client.events({ signal: ended.signal })) seen.push(subject);
    })();
    await stage.send("backend", "first");
    await until(() => seen.length === 1);
    let cuts = 0;
    // A push carries the channel, an answer of the script does not.
    gate.onReply = (reply) =>
      /subject\W+lost/.test(reply) && !reply.includes("notify") && cuts++ === 0 ? "cut" : "pass";
    await stage.send("backend", "lost");
    try {
      await until(() => seen.length === 2);
      expect([cuts > 0, seen]).toEqual([true, ["first", "lost"]]);
    } finally {
      ended.abort();
      await within(reading);
      gate.close();
    }
  });

  it("uses one connection to listen, whatever one client waits for", async () => {
    const stage = bench.stage();
    const count = async (): Promise<number> =>
      ((await stage.raw.call("CLIENT", "LIST", "TYPE", "pubsub")) as string).split("\n").filter(Boolean).length;
    await until(async () => (await count()) === 0);
    const client = await stage.client("backend");
    const ended = new AbortController();
    const { signal } = ended;
    const waiting = [
      client.waitForMessages({ waitSeconds: 30, signal }),
      client.checkMessages({ waitSeconds: 30, pendingOnly: true, signal }),
      client.checkMessages({ waitSeconds: 30, to: "other", signal }),
      client.events({ signal }).next(),
      new Mailbox(client).listenToAll(() => undefined),
    ];
    await until(async () => (await count()) === 1);
    await sleep(300);
    expect(await count()).toBe(1);
    ended.abort();
    await Promise.all(waiting);
    client.close();
    const agent = await stage.agent("backend");
    const server = await agent.mcp();
    await until(async () => (await count()) === 1);
    const forNew = server.call("check_messages", { wait_seconds: 2 });
    const forPending = server.call("check_messages", { wait_seconds: 30, pending_only: true });
    await sleep(300);
    expect(await count()).toBe(1);
    await stage.send("backend", "login");
    expect(await forPending).toMatchObject({ count: 1 });
    expect(await forNew).toMatchObject({ success: true }); // to whom it is not new where the other was first
    expect(await agent.shown(STOP)).toContain("Still waiting");
  });
});
