/** Searching: against a model in memory, in steps, and within its bounds. The language itself is in conformance/search.json. */
import { expect, test } from "vitest";
import * as fc from "fast-check";
import { search } from "../../src/client/searching.ts";
import { type CoordinationClient, type MessageType } from "../../src/index.ts";
import { SCRIPTS } from "../../src/store/scripts.ts";
import { PREFIX, useRedis } from "../harness.ts";

const bench = useRedis();
const NAMES = ["alice", "bob", "carol"] as const;
type Name = (typeof NAMES)[number];
const TYPES = ["GENERAL", "NOTIFICATION", "META_CHANGE_REQUEST"] as const;
const ASK = { type: "GENERAL", subject: "s", description: "d" } as const;

/** Short, and parts of each other, so that they meet often; what stands for something in patterns and queries among them. */
const word = fc.constantFrom(
  "ab",
  "AB",
  "ba",
  "a",
  "Ä",
  "ä",
  "x y",
  'q"r',
  '"',
  "c:\\d",
  "from:a",
  "-n",
  "%a",
  ".",
  "日本",
);
const sentence = fc.array(word, { maxLength: 4 }).map((words) => words.join(" "));

interface Plan {
  from: Name;
  to: Name | "all";
  type: MessageType;
  subject: string;
  description: string;
  /** Of the messages before it, which one it answers. */
  replyTo: number | undefined;
  acknowledged: readonly { by: Name; comment: string }[];
  dead: boolean;
}
const plan: fc.Arbitrary<Plan> = fc
  .record({
    from: fc.constantFrom(...NAMES),
    to: fc.constantFrom(...NAMES, "all" as const),
    type: fc.constantFrom(...TYPES),
    subject: sentence.map((text) => `s ${text}`),
    description: sentence,
    replyTo: fc.option(fc.nat(30), { nil: undefined, freq: 4 }),
    acknowledged: fc.uniqueArray(fc.record({ by: fc.constantFrom(...NAMES), comment: sentence }), {
      selector: ({ by }) => by,
      maxLength: 2,
    }),
    dead: fc.boolean(),
  })
  .filter(({ from, to }) => from !== to);

interface Known extends Plan {
  id: string;
  recipients: readonly Name[];
  root: number;
  comments: string[];
  open: Set<Name>;
}

/** Carries the plans out; what is known of each message afterwards. */
async function stored(clients: Record<Name, CoordinationClient>, plans: readonly Plan[]): Promise<Known[]> {
  const known: Known[] = [];
  for (const [index, each] of plans.entries()) {
    const { from, to, type, subject, description } = each;
    const replied = each.replyTo === undefined ? undefined : known[each.replyTo];
    const { messageId: id } = await clients[from].publishMessage({
      type,
      subject,
      description,
      to,
      replyTo: replied?.id,
      requiresAck: type !== "NOTIFICATION",
    });
    replied?.open.delete(from);
    const recipients = to === "all" ? NAMES.filter((name) => name !== from) : [to];
    const message = { ...each, id, recipients, root: replied?.root ?? index, comments: [], open: new Set(recipients) };
    known.push(message);
  }
  for (const message of known) {
    for (const { by, comment } of message.acknowledged) {
      // Who has answered it has acknowledged it, without a comment.
      if (!message.open.has(by)) continue;
      await clients[by].ackMessage(message.id, { comment });
      message.open.delete(by);
      message.comments.push(comment);
    }
    const pending = message.type !== "NOTIFICATION" && message.open.size > 0;
    message.dead &&= pending;
    if (!message.dead) continue;
    await bench.raw.zrem(`${PREFIX}:pending`, message.id);
    await bench.raw.zadd(`${PREFIX}:dead`, "1", message.id);
  }
  return known;
}

/** A condition as it is written, and what it says of a message. */
interface Term {
  write: (known: readonly Known[]) => string;
  holds: (message: Known, known: readonly Known[], reader: Name) => boolean;
}

const lower = (text: string): string => text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
const at = (known: readonly Known[], n: number): Known => known[n % known.length]!;
const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
const bare = (text: string): string => (/[ ]|^["-]|^[A-Za-z]+:/.test(text) ? quoted(text) : text);

const term: fc.Arbitrary<Term> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.oneof(word, sentence), fc.boolean()).map(([text, phrase]) => ({
      write: () => (text === "" ? '"s"' : phrase ? quoted(text) : bare(text)),
      holds: ({ subject, description, comments }: Known) =>
        [subject, description, ...comments].some((each) => lower(each).includes(lower(text === "" ? "s" : text))),
    })),
  },
  fc.constantFrom(...NAMES).map((name) => ({ write: () => `from:${name}`, holds: ({ from }: Known) => from === name })),
  fc.constantFrom(...NAMES).map((name) => ({
    write: () => `to:${name}`,
    holds: ({ recipients }: Known) => recipients.includes(name),
  })),
  fc.constant({ write: () => "to:all", holds: ({ to }: Known) => to === "all" }),
  fc.constantFrom(...TYPES).map((type) => ({ write: () => `type:${type}`, holds: (one: Known) => one.type === type })),
  fc.constant({
    write: () => "is:pending",
    holds: ({ type, open, dead }: Known) => type !== "NOTIFICATION" && open.size > 0 && !dead,
  }),
  fc.constant({ write: () => "is:dead", holds: ({ dead }: Known) => dead }),
  fc.constant({
    write: () => "is:unread",
    holds: ({ open }: Known, _: readonly Known[], reader: Name) => open.has(reader),
  }),
  fc.nat(50).map((n) => ({
    write: (known: readonly Known[]) => `thread:${at(known, n).id}`,
    holds: ({ root }: Known, known: readonly Known[]) => root === at(known, n).root,
  })),
  fc.nat(50).map((n) => ({
    write: (known: readonly Known[]) => `id:${at(known, n).id}`,
    holds: ({ id }: Known, known: readonly Known[]) => id === at(known, n).id,
  })),
  fc.nat(50).map((n) => ({
    write: (known: readonly Known[]) => `before:${at(known, n).id}`,
    holds: ({ id }: Known, known: readonly Known[]) => id < at(known, n).id,
  })),
  fc.nat(50).map((n) => ({
    write: (known: readonly Known[]) => `after:${at(known, n).id}`,
    holds: ({ id }: Known, known: readonly Known[]) => id > at(known, n).id,
  })),
);

const someTerms = fc.array(fc.tuple(term, fc.boolean()), { minLength: 1, maxLength: 4 });
const asked = fc.record({
  terms: someTerms,
  reader: fc.constantFrom(...NAMES),
  limit: fc.integer({ min: 1, max: 12 }),
});

/** Every page, as a reader goes on from one to the next. */
async function readAll(client: CoordinationClient, text: string, limit: number): Promise<string[]> {
  const ids = [];
  for (let before: string | undefined; ;) {
    const page = await client.searchMessages(text, { limit, before });
    expect([page.count, page.unreadable, page.count <= limit]).toEqual([page.messages.length, [], true]);
    ids.push(...page.messages.map(({ id }) => id));
    if (!page.more) return ids;
    before = page.nextBefore;
  }
}

test("[G3] what is found is what a model in memory finds, on every page, and nothing is changed by looking for it", async () => {
  const worlds = fc.tuple(
    fc.array(plan, { minLength: 8, maxLength: 30 }),
    fc.array(asked, { minLength: 60, maxLength: 60 }),
  );
  await fc.assert(
    fc.asyncProperty(worlds, async ([plans, questions]) => {
      await bench.raw.flushall();
      const [alice, bob, carol] = await bench.clients(...NAMES);
      const clients = { alice, bob, carol };
      const known = await stored(clients, plans);
      const before = await bench.state();
      for (const { terms, reader, limit } of questions) {
        const text = terms.map(([each, excludes]) => (excludes ? "-" : "") + each.write(known)).join(" ");
        const expected = known.filter((message) =>
          terms.every(([each, excludes]) => each.holds(message, known, reader) !== excludes),
        );
        expect([text, await readAll(clients[reader], text, limit)]).toEqual([
          text,
          expected.map(({ id }) => id).toReversed(),
        ]);
      }
      expect(await bench.state()).toEqual(before);
    }),
    { numRuns: 8 },
  );
});

/** Conditions of a search as lua/search.lua takes them, in one call of it. */
async function step(conditions: readonly string[], more: Partial<Record<"before" | "limit" | "cursor", string>> = {}) {
  const args = { before: "", limit: "50", cursor: "", ...more };
  const values = ["carol", "", args.before, args.limit, "0", "0", "0", "", args.cursor, ...conditions];
  const reply = (await bench.raw.eval(await SCRIPTS.search.text(), 1, `${PREFIX}:meta`, ...values)) as string;
  return JSON.parse(reply) as {
    step: boolean;
    examined: number;
    next_before: string;
    cursor: string;
    messages: [string][];
  };
}

async function published(count: number, description: (n: number) => string): Promise<[CoordinationClient, string[]]> {
  const [alice] = await bench.clients("alice", "bob");
  const sent = Array.from({ length: count }, (_, n) =>
    alice.publishMessage({ ...ASK, to: n % 2 === 0 ? "bob" : "carol", description: description(n) }),
  );
  return [alice, (await Promise.all(sent)).map(({ messageId }) => messageId).sort()];
}

test("[G12] one call looks through 250 messages, and the client goes on to the first one", async () => {
  const [alice, ids] = await published(600, (n) => (n === 0 ? "needle" : "hay"));
  expect(await step(["text", "needle"])).toMatchObject({
    step: true,
    examined: 250,
    next_before: ids[350],
    cursor: "",
  });
  expect(await alice.searchMessages("needle")).toMatchObject({ count: 1, more: false, messages: [{ id: ids[0] }] });
  // Entries of an index are passed without a look at their texts.
  expect(await step(["to", "carol", "-from", "alice"])).toMatchObject({ step: false, examined: 300 });
});

test("[G12] one call looks through 256 KB of texts, once for each word", async () => {
  await published(20, () => "x".repeat(65_536));
  expect(await step(["text", "needle"])).toMatchObject({ step: true, examined: 4 });
  expect(await step(["text", "needle", "text", "other"])).toMatchObject({ step: true, examined: 2 });
});

test("[G12] one answer holds 100 messages, and a list of 1,000 comes whole", async () => {
  const [alice, ids] = await published(1000, () => "hay");
  expect((await step(["text", "hay"], { limit: "1000" })).messages).toHaveLength(100);
  const result = await alice.searchMessages("hay", { limit: 1000 });
  expect([result.messages.map(({ id }) => id), result.more]).toEqual([ids.toReversed(), false]);
});

const CROWD = 450;
const crowd = Array.from({ length: CROWD }, (_, n) => `i${String(n).padStart(3, "0")}`);

/** A broadcast between two messages, with a long comment of everybody; the last one says more. */
async function commented(): Promise<[CoordinationClient, string]> {
  const [alice] = await bench.clients("alice");
  await bench.seen(Object.fromEntries(crowd.map((name) => [name, 0])));
  await alice.publishMessage({ ...ASK, to: "i000" });
  const { messageId } = await alice.publishMessage({ ...ASK, to: "all" });
  await alice.publishMessage({ ...ASK, to: "i000" });
  for (const name of crowd) {
    const comment = `${"x".repeat(4000)} ${name}${name === crowd.at(-1) ? " needle" : ""}`;
    await bench.command(name).ackMessage(messageId, { comment });
  }
  return [alice, messageId];
}

test("[G12] the comments of hundreds are looked through in steps, and come to the same as in one", async () => {
  const [alice, id] = await commented();
  const names = (await bench.raw.hget(`${PREFIX}:msg:${id}`, "recipients"))!.split(" ");
  const halfWay = await step(["text", names[0]!, "text", "nowhere"]);
  expect(halfWay).toMatchObject({ step: true, examined: 1, cursor: expect.stringMatching(`^looked \\d+ 10 ${id}$`) });
  const found = async (query: string): Promise<string[]> =>
    (await alice.searchMessages(query)).messages.map((message) => message.id);
  expect(await found("needle")).toEqual([id]);
  expect(await found(`needle ${names.join(" ").slice(0, 24)}`)).toEqual([id]);
  expect(await found("needle nowhere")).toEqual([]);
  expect(await found("to:all -needle")).toEqual([]);
  expect(await found("to:all -nowhere")).toEqual([id]);
});

test("a search that has no more time ends between two messages, says so, and goes on from its cursor", async () => {
  const [alice, id] = await commented();
  const hurried = async (before?: string) => search(alice.session, "needle", { before }, { milliseconds: 0 });
  // However long its comments take: who went on would else begin with this message again, and again.
  expect(await hurried()).toMatchObject({ count: 1, messages: [{ id }] });
  for (let n = 0; n < 300; n++) await alice.publishMessage({ ...ASK, to: "i001" });
  const first = await hurried();
  expect(first).toMatchObject({ count: 0, more: true, stoppedEarly: true });
  expect(await hurried(first.nextBefore)).toMatchObject({ count: 1, messages: [{ id }] });
  expect(await alice.searchMessages("needle")).toMatchObject({ count: 1, messages: [{ id }] });
});

test("[G11] a search marks nothing as presented, also for the reader, and takes nothing from its queue", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  const { messageId: id } = await alice.publishMessage({ ...ASK, to: "bob" });
  const changes = await bench.changes(async () => {
    expect(await bob.searchMessages("s is:unread")).toMatchObject({
      count: 1,
      messages: [{ id, acknowledged: false }],
    });
  });
  expect(changes).toEqual({});
  expect(await alice.searchMessages("s")).toMatchObject({
    messages: [{ receipts: [{ instance: "bob", state: "stored" }] }],
  });
});

test("what is to be after a message that is newer than the namespace is refused: it is of one that was lost", async () => {
  const [, ids] = await published(2, () => "hay");
  const client = await bench.client("bob");
  await expect(client.searchMessages("after:msg-zzzzzzzzzz")).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(await client.searchMessages(`after:${ids[1]}`)).toMatchObject({ count: 0 });
  expect(await client.searchMessages("before:msg-zzzzzzzzzz")).toMatchObject({ count: 2 });
});

test("[G2] indexes of another type are refused with their names, and nothing is written", async () => {
  const [alice] = await bench.clients("alice");
  const { messageId } = await alice.publishMessage({ ...ASK, to: "bob" });
  for (const [query, name] of [
    ["from:alice", "outbox:alice"],
    ["-to:bob", "inbox:bob"],
    ["is:dead", "dead"],
    ["s", "timeline"],
    [`thread:${messageId}`, `msg:${messageId}`],
  ] as const) {
    await bench.raw.del(`${PREFIX}:${name}`);
    await bench.raw.set(`${PREFIX}:${name}`, "x");
    await expect(alice.searchMessages(query)).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringContaining(`${PREFIX}:${name} holds a string`),
    });
    await bench.raw.del(`${PREFIX}:${name}`);
  }
});
