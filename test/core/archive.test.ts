/** Export and import: everything comes back, twice is as good as once, and nothing that is there is changed. */
import { beforeAll, expect, test } from "vitest";
import { type CoordinationClient, MessageType } from "../../src/index.ts";
import { PREFIX, type State, refused, useRedis } from "../harness.ts";

const bench = useRedis();
beforeAll(() => bench.admitExports());

async function linesOf(client: CoordinationClient): Promise<string[]> {
  const lines = [];
  for await (const line of client.exportLines()) lines.push(line);
  return lines;
}

async function* streamed(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

/** A namespace with everything that can be in one. */
async function populate(): Promise<CoordinationClient> {
  const [alice, bob, carol] = await bench.clients("alice", "bob", "carol");
  await alice.changeNamespaceSetting("ack_attempts", 0);
  const ask = {
    type: MessageType.GENERAL,
    subject: "sub\u0000ject 🦆",
    description: '\u202Etext\n"quoted"',
    ackWithin: 60,
  };
  const { messageId } = await alice.publishMessage({ ...ask, to: "bob", idempotencyKey: "a:b*c" });
  await bob.publishMessage({ ...ask, subject: "answer", to: "alice", replyTo: messageId });
  await alice.publishMessage({ ...ask, to: "all" });
  await alice.publishMessage({ ...ask, to: "later" });
  await alice.publishMessage({ type: MessageType.NOTIFICATION, subject: "note", description: "", to: "carol" });
  for (let i = 0; i < 2; i++) {
    await bench.passDeadlines();
    await alice.sweep();
  }
  const { messageId: last } = await carol.publishMessage({ ...ask, to: "bob" });
  await bob.checkMessages({ limit: 1 });
  await bob.ackMessage(last, { comment: "ja" });
  await carol.takeNotifications({ limit: 1 }); // lent and not confirmed
  return alice;
}

/** What is exported: deadlines begin anew, and loans end, when a namespace moves. */
function moved({ meta, ...state }: State): State {
  const { loans: _loans, ...kept } = meta as Record<string, unknown>;
  const anew = /^(deadlines$|paused|loans:|loaned:|imported$)/;
  const out = Object.entries(state).filter(([name]) => !anew.test(name));
  return { meta: kept, ...Object.fromEntries(out) };
}

test("[G2] an exported namespace comes back whole, and importing it again changes nothing", async () => {
  const alice = await populate();
  const lines = await linesOf(alice);
  const before = await bench.state();
  await bench.raw.flushall();
  const importing = await bench.client("alice");
  const result = await importing.importLines(streamed(lines));
  expect(result).toEqual({ messages: 6, restored: 6, present: 0, settings: { ack_attempts: 0 } });
  const after = await bench.state();
  // What was lent to carol is hers again.
  expect(after["notifications:carol"]).toHaveLength((before["notifications:carol"] as unknown[]).length + 1);
  const { "notifications:carol": _before, ...expected } = moved(before);
  const { "notifications:carol": _after, ...received } = moved(after);
  expect(received).toEqual(expected);
  expect(after["deadlines"]).toEqual(expect.arrayContaining(["m4 later scored <time>"]));

  const changes = await bench.changes(async () => {
    expect(await importing.importLines(streamed(lines))).toEqual({ messages: 6, restored: 0, present: 6 });
  });
  expect(changes).toEqual({});
});

test("filters by type find what was imported, what it came beside and what follows, each once and in order", async () => {
  const alice = await bench.client("alice");
  const types = [MessageType.GENERAL, MessageType.NOTIFICATION, MessageType.META_CHANGE_REQUEST];
  const publish = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const type = i === 50 ? types[2]! : types[i % 2]!;
      await alice.publishMessage({ type, subject: "s", description: "", to: "bob" });
    }
  };
  await publish(100);
  const lines = await linesOf(alice);
  const ids = await bench.raw.zrange(`${PREFIX}:timeline`, "0", "-1");
  // Some are gone, and come back between those that are not; and meanwhile more are published.
  for (const id of ids.filter((_, i) => i % 3 === 0)) await remove(id);
  await publish(5);
  await alice.importLines(streamed(lines));
  await publish(5);
  const { messages: all } = await alice.checkMessages({ all: true, limit: 1000 });
  expect(all).toHaveLength(110);
  for (const type of types) {
    const ofType = all.filter((message) => message.type === type).map(({ id }) => id);
    const back = await alice.checkMessages({ all: true, type, limit: 1000 });
    expect(back.messages.map(({ id }) => id)).toEqual(ofType);
    const forth = await alice.checkMessages({ all: true, type, since: "msg-0000000000", limit: 1000 });
    expect(forth.messages.map(({ id }) => id)).toEqual(ofType.toReversed());
  }
});

/** Every entry of a message. */
async function remove(id: string): Promise<void> {
  const { raw } = bench;
  const type = await raw.hget(`${PREFIX}:msg:${id}`, "type");
  await raw.del(`${PREFIX}:msg:${id}`);
  for (const key of ["timeline", "inbox:bob", "outbox:alice", "unread:bob", `type:${type}`])
    await raw.zrem(`${PREFIX}:${key}`, id);
}

test("[G3] what goes on after an import comes behind what was imported, and repeats are still recognised", async () => {
  const lines = await linesOf(await populate());
  await bench.raw.flushall();
  const [alice] = await bench.clients("alice");
  await alice.importLines(streamed(lines));
  const again = {
    type: MessageType.GENERAL,
    subject: "sub\u0000ject 🦆",
    description: '\u202Etext\n"quoted"',
    ackWithin: 60,
  };
  const first = await alice.publishMessage({ ...again, to: "bob", idempotencyKey: "a:b*c" });
  expect(first.repeated).toBe(true);
  const { messageId } = await alice.publishMessage({ ...again, to: "bob" });
  expect((await bench.raw.zrange(`${PREFIX}:timeline`, "0", "-1")).at(-1)).toBe(messageId);
});

test("[G5] an import into a namespace that has gone on takes nothing back", async () => {
  const alice = await populate();
  const lines = await linesOf(alice);
  const bob = await bench.client("bob");
  const { messages } = await bob.checkMessages({ pendingOnly: true });
  await bob.ackMessage(messages.map(({ id }) => id));
  await bob.getNotifications();
  const before = await bench.state();
  await alice.importLines(streamed(lines));
  const { "notifications:bob": _events, "notifications:alice": _told, ...after } = await bench.state();
  for (const name of ["pending:bob", "pending", "timeline", "inbox:bob"]) expect(after[name]).toEqual(before[name]);
  expect((await bob.checkMessages({ pendingOnly: true })).count).toBe(0);
});

test("a file that is cut off is put back as far as it goes, and says so", async () => {
  const lines = await linesOf(await populate());
  await bench.raw.flushall();
  const [alice] = await bench.clients("alice");
  const end = lines.findIndex((line) => line.includes('"kind":"message"')) + 2;
  const { code, message } = await refused(alice.importLines(streamed(lines.slice(0, end))));
  expect([code, message]).toEqual([
    "INVALID",
    `The file ends after line ${end}, before its last line: 2 messages were read.`,
  ]);
  expect(await alice.importLines(streamed(lines))).toEqual({ messages: 6, restored: 4, present: 2 });
});

test.each<[string, string[]]>([
  ["Line 1 is not what coord export writes there.", ["hello"]],
  ["Line 1 is not what coord export writes there.", ['{"kind":"end","messages":0}']],
  [
    "Line 1 is not what coord export writes there.",
    ['{"kind":"namespace","format":1,"protocol":1,"export":"x","meta":[]}'],
  ],
  [
    'The file has format "2" of protocol "1": it is from a newer version.',
    ['{"kind":"namespace","format":2,"protocol":1,"export":"x","prefix":"p","meta":{}}'],
  ],
  ["The file ends after line 0, before its last line: 0 messages were read.", []],
])("what is no export is refused, and changes nothing: %s", async (sentence, lines) => {
  const [alice] = await bench.clients("alice");
  const changes = await bench.changes(async () => {
    const { code, message } = await refused(alice.importLines(streamed(lines)));
    expect([code, message]).toEqual(["INVALID", sentence]);
  });
  expect(changes).toEqual({});
});

test("a message that no client would have stored is refused by its line", async () => {
  const [alice] = await bench.clients("alice");
  const head = '{"kind":"namespace","format":1,"protocol":1,"export":"x","prefix":"p","meta":{}}';
  for (const id of ["msg-x", "other", "msg-hoggrkz047"]) {
    const lines = [head, JSON.stringify({ kind: "message", id, fields: { to: "bob" }, new_for: [] })];
    const { code, message } = await refused(alice.importLines(streamed(lines)));
    expect([code, message]).toEqual(["INVALID", `Line 2: The message "${id}" is not one that was exported.`]);
  }
});

test("[G2] numbers of an export that are none are passed over, and the message is put back whole", async () => {
  const [alice] = await bench.clients("alice");
  const meta = { stamp: "1e300", sessions: "x", "published:GENERAL": "-1" };
  const head = JSON.stringify({ kind: "namespace", format: 1, protocol: 1, export: "x", prefix: "p", meta });
  const fields = { id: "msg-hoggrkz047", from: "alice", to: "bob", requires_ack: "1", ack_within: "soon" };
  const line = JSON.stringify({ kind: "message", id: fields.id, fields, new_for: ["bob"] });
  await alice.importLines(streamed([head, line, '{"kind":"end","messages":1}']));
  const { meta: kept, deadlines, pending, "pending:bob": open, "unread:bob": unread } = await bench.state();
  expect({ kept, deadlines, pending, open, unread }).toEqual({
    kept: { protocol: "2", stamp: "0", sessions: "0", "published:GENERAL": "0" },
    deadlines: undefined,
    pending: ["m1"],
    open: ["m1"],
    unread: ["m1"],
  });
});

test("an import takes no stamp and no message of the future, and no setting silently or out of its limits", async () => {
  const [alice] = await bench.clients("alice");
  const head = (meta: object): string =>
    JSON.stringify({ kind: "namespace", format: 1, protocol: 1, export: "x", prefix: "p", meta });
  const end = '{"kind":"end","messages":0}';
  const before = await bench.state();
  const last = 36 ** 10 - 1;
  for (const [meta, sentence] of [
    [{ stamp: String(last) }, "of the future"],
    [{ max_messages: "0" }, "max_messages"],
    [{ max_messages: "many" }, "max_messages"],
    [{ "published:GENERAL": "9999999999999999" }, 'the counter "published:GENERAL" "9999999999999999"'],
    [{ sessions: "9999999999999999" }, "the counter"],
    [{ [`published:${"X".repeat(100)}`]: "1" }, "the counter"],
    [Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`published:X${i}`, "1"])), "the counter"],
  ] as const) {
    const refusal = await refused(alice.importLines(streamed([head(meta), end])));
    expect(refusal).toMatchObject({ code: "INVALID", message: expect.stringContaining(sentence) });
  }
  const fields = { id: "msg-zzzzzzzzzz", from: "alice", to: "bob" };
  const line = JSON.stringify({ kind: "message", id: fields.id, fields, new_for: [] });
  expect(await refused(alice.importLines(streamed([head({}), line, end])))).toMatchObject({ code: "INVALID" });
  expect(Object.keys(await bench.state()).filter((key) => !(key in before))).toEqual(["meta"]);
  await bench.raw.flushall();
  const { settings } = await alice.importLines(streamed([head({ max_messages: "1", retention_days: "30" }), end]));
  expect(settings).toEqual({ max_messages: 1 });
});

test("[G8] an import makes nobody active for ever", async () => {
  const [alice] = await bench.clients("alice");
  const head = JSON.stringify({ kind: "namespace", format: 1, protocol: 1, export: "x", prefix: "p", meta: {} });
  const entry = '{"last_heartbeat":"2099-01-01T00:00:00.000Z","left":false,"session":{}}';
  const line = JSON.stringify({ kind: "instance", instance: "eve", entry });
  await alice.importLines(streamed([head, line, '{"kind":"end","messages":0}']));
  const stored = JSON.parse((await bench.raw.hget(`${PREFIX}:presence`, "eve"))!) as { last_heartbeat: string };
  expect(Date.parse(stored.last_heartbeat)).toBeLessThan(Date.UTC(2098, 0));
});
