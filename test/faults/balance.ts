/**
 * The balance after a fault: what the processes wrote down themselves against every key of the namespace, read without our
 * own code, and against what the client says of it.
 */
import type { Redis } from "../raw-redis.ts";
import { getCoordinationClient } from "../../src/index.ts";
import type { Actor, Entry } from "./load.ts";

export interface Balance {
  /** Messages with a receipt. */
  published: number;
  stored: number;
  settled: number;
  pending: number;
  dead: number;
  /** Receipts whose message is gone, acknowledgements that are gone, messages never shown. */
  lost: number;
  /** Messages stored twice, or given twice to a reader that goes on from its cursor. */
  duplicates: number;
  /** Steps back: in the ids of one publisher's receipts, of one reader's cursor, in the timeline. */
  misordered: number;
  /** Messages of which a part is missing or left over. */
  halfWritten: number;
  /** Events that came again, which they may when their reader or its connection died. */
  shownAgain: number;
  /** What is wrong, in sentences, the first of each kind and number. */
  problems: string[];
}

interface Stored {
  id: string;
  fields: Record<string, string>;
  recipients: string[];
}

const PROBLEMS_MAXIMUM = 20;

export async function takeBalance(
  raw: Redis,
  prefix: string,
  env: Record<string, string>,
  publishers: readonly Actor[],
  readers: readonly Actor[],
  problems: string[],
): Promise<Balance> {
  const namespace = await Namespace.read(raw, prefix);
  const balance: Balance = {
    published: 0,
    stored: namespace.messages.size,
    settled: 0,
    pending: 0,
    dead: 0,
    lost: 0,
    duplicates: 0,
    misordered: 0,
    halfWritten: 0,
    shownAgain: 0,
    problems,
  };
  const found = (count: "lost" | "duplicates" | "misordered" | "halfWritten", sentence: string): void => {
    balance[count]++;
    if (problems.length < PROBLEMS_MAXIMUM) problems.push(sentence);
  };
  const bySubject = groupBy(namespace.messages.values(), ({ fields }) => fields["subject"] ?? "");
  for (const publisher of publishers) judgePublisher(publisher, bySubject, balance, found);
  for (const subject of bySubject.keys()) found("halfWritten", `nobody has sent ${JSON.stringify(subject)}`);
  for (const reader of readers) judgeReader(reader, namespace, balance, found);
  namespace.judge(balance, (sentence) => found("halfWritten", sentence));
  namespace.timeline.forEach(([id, score], i) => {
    if (i > 0 && Number(score) <= Number(namespace.timeline[i - 1]![1])) found("misordered", `${id} in the timeline`);
  });
  await judgeStats(env, prefix, balance);
  return balance;
}

type Found = (count: "lost" | "duplicates" | "misordered" | "halfWritten", sentence: string) => void;

/** Takes what this publisher has sent out of `bySubject`. */
function judgePublisher(publisher: Actor, bySubject: Map<string, Stored[]>, balance: Balance, found: Found): void {
  const { instance } = publisher.task;
  const attempts = groupBy(
    publisher.entries.filter(({ n }) => n !== undefined),
    ({ n }) => n!,
  );
  let last = "";
  for (const [n, entries] of attempts) {
    const subject = `${instance} ${n}`;
    const stored = (bySubject.get(subject) ?? []).map(({ id }) => id);
    bySubject.delete(subject);
    if (stored.length > 1) found("duplicates", `"${subject}" is stored as ${stored.join(" and ")}`);
    const receipts = new Set(entries.filter(({ step }) => step === "stored").map(({ id }) => id!));
    if (receipts.size > 1) found("duplicates", `"${subject}" has the receipts ${[...receipts].join(" and ")}`);
    for (const id of receipts) {
      if (!stored.includes(id)) found("lost", `"${subject}" has the receipt ${id}, and is not stored`);
      if (id <= last) found("misordered", `"${subject}" is ${id}, sent after ${last}`);
      last = id;
    }
    balance.published += receipts.size > 0 ? 1 : 0;
    if (receipts.size === 0 && stored.length > 0 && !publisher.task.insists && wasToldNot(entries)) {
      found("duplicates", `"${subject}" is stored, and its sender was told that it is not`);
    }
  }
}

/** Its one attempt ended, and the error said for certain that nothing was stored. */
function wasToldNot(entries: readonly Entry[]): boolean {
  const failures = entries.filter(({ step }) => step === "failed");
  return failures.length > 0 && failures.every(({ message }) => !message!.includes("may have happened"));
}

function judgeReader(reader: Actor, namespace: Namespace, balance: Balance, found: Found): void {
  const { instance, role } = reader.task;
  const shown = reader.entries.filter(({ step }) => step === "shown").flatMap(({ ids }) => ids!);
  const seen = new Set(shown);
  if (role === "inbox") {
    const given = new Set<string>();
    let newest = "";
    for (const id of shown) {
      if (given.has(id)) found("duplicates", `${instance} was given ${id} twice`);
      else if (id < newest) found("misordered", `${instance} was given ${id} after ${newest}`);
      else newest = id;
      given.add(id);
    }
  } else {
    balance.shownAgain += shown.length - seen.size;
  }
  for (const id of namespace.sortedSet("inbox", instance).keys()) {
    if (!seen.has(id)) found("lost", `${instance} was never shown ${id}`);
  }
  for (const { step, id, code } of reader.entries) {
    if (step === "skipped") balance.problems.push(`${instance} fell behind: the load is too much for this machine`);
    if (step !== "acked") continue;
    if (code !== undefined) found("lost", `${instance} acknowledged ${id} and was answered ${code}`);
    else if (!namespace.isAcknowledged(id!, instance)) found("lost", `${instance}'s acknowledgement of ${id}`);
  }
}

async function judgeStats(env: Record<string, string>, prefix: string, balance: Balance): Promise<void> {
  await using client = await getCoordinationClient({ instanceId: "auditor", keyPrefix: prefix, env, cwd: "/" });
  const { total, settled, pending, dead } = await client.getStats();
  const counted = { total: balance.stored, settled: balance.settled, pending: balance.pending, dead: balance.dead };
  if (JSON.stringify({ total, settled, pending, dead }) !== JSON.stringify(counted)) {
    balance.halfWritten++;
    balance.problems.push(
      `stats say ${JSON.stringify({ total, settled, pending, dead })}, the keys ${JSON.stringify(counted)}`,
    );
  }
}

/** The keys as they are. */
class Namespace {
  readonly messages = new Map<string, Stored>();
  /** Id and score, in order. */
  timeline: [id: string, score: string][] = [];
  readonly #sets = new Map<string, Map<string, string>>();

  static async read(raw: Redis, prefix: string): Promise<Namespace> {
    const namespace = new Namespace();
    const names = (await raw.keys(`${prefix}:*`)).map((key) => key.slice(prefix.length + 1));
    const readKey = async (name: string): Promise<void> => {
      const key = `${prefix}:${name}`;
      if (name.startsWith("msg:")) namespace.#addMessage(name.slice(4), await raw.hgetall(key));
      else if (SORTED_SETS.test(name)) namespace.#sets.set(name, pairs(await raw.zrange(key, "0", "-1", "WITHSCORES")));
    };
    await Promise.all(names.map(readKey));
    namespace.timeline = [...namespace.sortedSet("timeline")];
    return namespace;
  }

  #addMessage(id: string, fields: Record<string, string>): void {
    const { to = "", recipients = "" } = fields;
    this.messages.set(id, { id, fields, recipients: to === "all" ? recipients.split(" ").filter(Boolean) : [to] });
  }

  sortedSet(kind: string, name?: string): Map<string, string> {
    return this.#sets.get(name === undefined ? kind : `${kind}:${name}`) ?? new Map<string, string>();
  }

  isAcknowledged(id: string, instance: string): boolean {
    return (this.messages.get(id)?.fields[`receipt:${instance}`]?.split(" ").length ?? 0) > 1;
  }

  /** Every entry that a message must have, and no other. Counts what is settled, pending and dead. */
  judge(balance: Balance, found: (sentence: string) => void): void {
    const expected = new Map<string, Set<string>>();
    const expect = (name: string, id: string): void => {
      expected.set(name, (expected.get(name) ?? new Set()).add(id));
    };
    for (const { id, fields, recipients } of this.messages.values()) {
      const open = fields["requires_ack"] === "1" ? recipients.filter((name) => !this.isAcknowledged(id, name)) : [];
      const state = open.length === 0 ? "settled" : this.sortedSet("dead").has(id) ? "dead" : "pending";
      balance[state]++;
      if (state !== "settled") expect(state, id);
      for (const name of open) expect(`pending:${name}`, id);
      for (const name of recipients) expect(`inbox:${name}`, id);
      expect("timeline", id);
      expect(`outbox:${fields["from"]}`, id);
      expect(`type:${fields["type"]}`, id);
      if (fields["thread"] !== undefined) expect(`thread:${fields["thread"]}`, id);
      if (fields["id"] !== id || fields["subject"] === undefined) found(`msg:${id} is not whole`);
    }
    for (const [name, ids] of expected) {
      for (const id of ids) if (!this.sortedSet(name).has(id)) found(`${id} is missing in ${name}`);
    }
    for (const [name, entries] of this.#sets) {
      if (!WHOLE.test(name)) continue;
      for (const id of entries.keys()) if (expected.get(name)?.has(id) !== true) found(`${id} is left over in ${name}`);
    }
  }
}

function groupBy<K, V>(values: Iterable<V>, keyOf: (value: V) => K): Map<K, V[]> {
  const groups = new Map<K, V[]>();
  for (const value of values) {
    const group = groups.get(keyOf(value));
    if (group === undefined) groups.set(keyOf(value), [value]);
    else group.push(value);
  }
  return groups;
}

const SORTED_SETS = /^(timeline$|pending$|dead$|inbox:|outbox:|thread:|pending:|type:)/;
/** Sets in which nothing else may stand; a thread also holds the message that it began with. */
const WHOLE = /^(timeline$|dead$|pending$|inbox:|outbox:|pending:)/;

function pairs(flat: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (let i = 0; i < flat.length; i += 2) map.set(flat[i]!, flat[i + 1]!);
  return map;
}
