/**
 * Several clients at once: whatever each of them was told must be what some order of all their calls allows, an order in which
 * no call comes before one that had ended when it began. The search is that of Wing and Gong.
 */
import { expect, test } from "vitest";
import * as fc from "fast-check";
import type { CoordinationClient } from "../../src/index.ts";
import { useRedis } from "../harness.ts";

const bench = useRedis();
const NAMES = ["alice", "bob", "carol", "dave"] as const;
type Name = (typeof NAMES)[number];

type Operation =
  | { what: "publish"; to: Name | "all" }
  | { what: "answer" }
  | { what: "ack"; which: number }
  | { what: "pending" | "take" | "stats" };

/** One call as it happened: what was asked for in the end, what was told, and when it began and ended. */
interface Call {
  me: Name;
  asked: { what: Operation["what"]; to?: Name | "all"; id?: string };
  told: unknown;
  begun: number;
  ended: number;
}

interface Message {
  id: string;
  recipients: Name[];
  acknowledged: Name[];
}

/** The whole of what the protocol says about these calls, one after the other. */
class Model {
  messages: Message[] = [];
  /** Events not yet taken, and for whom a message is still new. */
  queues: Record<string, string[]> = {};
  unread: Record<string, string[]> = {};

  copy(): Model {
    return Object.assign(new Model(), structuredClone({ ...this }));
  }

  /** What the call has to be told; undefined where it cannot happen now. */
  apply({ me, asked: { what, to, id }, told }: Call): unknown {
    if (what === "stats") return [this.messages.length, this.messages.filter(isOpen).length];
    if (what === "take") {
      const events = (this.queues[me] ?? []).filter((event) => this.#isDue(me, event));
      this.queues[me] = [];
      return events;
    }
    if (what === "pending") {
      const found = this.messages.filter(
        (message) => message.recipients.includes(me) && !message.acknowledged.includes(me),
      );
      this.unread[me] = (this.unread[me] ?? []).filter((other) => !found.some((message) => message.id === other));
      return found.map((message) => message.id);
    }
    const target = id === undefined ? undefined : this.messages.find((message) => message.id === id);
    if (id !== undefined && target === undefined) return undefined;
    if (what === "ack") return this.#acknowledge(me, target!, true);
    // A publish: its id comes behind all others (G3), and its recipients are those who were there.
    const stored = told as string;
    if (this.messages.some((message) => message.id >= stored)) return undefined;
    const author = target === undefined ? undefined : authorOf.get(target.id);
    const recipients = to === "all" ? NAMES.filter((name) => name !== me) : [author ?? to!];
    if (target !== undefined) this.#acknowledge(me, target, false); // its author hears of it by the answer
    this.messages.push({ id: stored, recipients, acknowledged: [] });
    for (const name of recipients) {
      (this.unread[name] ??= []).push(stored);
      (this.queues[name] ??= []).push(`published ${stored}`);
    }
    return stored;
  }

  #acknowledge(me: Name, target: Message, tell: boolean): string {
    this.unread[me] = (this.unread[me] ?? []).filter((other) => other !== target.id);
    if (target.acknowledged.includes(me)) return "already";
    target.acknowledged.push(me);
    if (tell) (this.queues[authorOf.get(target.id)!] ??= []).push(`acknowledged ${target.id}`);
    return "first";
  }

  #isDue(me: Name, event: string): boolean {
    const [kind, id] = event.split(" ");
    return kind !== "published" || (this.unread[me] ?? []).includes(id!);
  }
}

function isOpen({ recipients, acknowledged }: Message): boolean {
  return acknowledged.length < recipients.length;
}

/** Who published what, in the history that is looked at. */
const authorOf = new Map<string, Name>();

/** An order of the calls that explains all that was told, or undefined. */
function explain(calls: readonly Call[]): Call[] | undefined {
  const dead = new Set<string>();
  const search = (model: Model, left: readonly Call[], order: readonly Call[]): Call[] | undefined => {
    if (left.length === 0) return [...order];
    const place = JSON.stringify([left.map((call) => calls.indexOf(call)), model]);
    if (dead.has(place)) return undefined;
    const firstEnd = Math.min(...left.map(({ ended }) => ended));
    for (const call of left.filter(({ begun }) => begun <= firstEnd)) {
      const next = model.copy();
      if (JSON.stringify(next.apply(call)) !== JSON.stringify(call.told)) continue;
      const found = search(
        next,
        left.filter((other) => other !== call),
        [...order, call],
      );
      if (found !== undefined) return found;
    }
    dead.add(place);
    return undefined;
  };
  return search(new Model(), calls, []);
}

/** Runs what one client is to do, and writes down what happened. */
async function play(
  me: Name,
  client: CoordinationClient,
  operations: readonly Operation[],
  calls: Call[],
): Promise<void> {
  let known: string[] = [];
  for (const operation of operations) {
    const { what } = operation;
    const id = what === "ack" ? known[operation.which % (known.length || 1)] : what === "answer" ? known[0] : undefined;
    if ((what === "ack" || what === "answer") && id === undefined) continue;
    if (what === "publish" && operation.to === me) continue;
    const asked = { what, ...(what === "publish" ? { to: operation.to } : {}), ...(id === undefined ? {} : { id }) };
    const begun = performance.now();
    let told: unknown;
    if (what === "publish" || what === "answer") {
      const to = what === "publish" ? { to: operation.to } : { replyTo: id };
      const { messageId } = await client.publishMessage({ type: "GENERAL", subject: "s", description: "", ...to });
      authorOf.set(messageId, me);
      told = messageId;
    } else if (what === "ack") told = (await client.ackMessage(id!)).already ? "already" : "first";
    else if (what === "pending") {
      known = (await client.checkMessages({ pendingOnly: true, limit: 1000 })).messages.map((message) => message.id);
      told = known;
    } else if (what === "take") {
      const { notifications } = await client.getNotifications({ limit: 1000 });
      told = notifications.map(({ event, messageId }) => `${event.replace("message_", "")} ${messageId}`);
    } else {
      const { total, pending } = await client.getStats();
      told = [total, pending];
    }
    calls.push({ me, asked, told, begun, ended: performance.now() });
  }
}

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ what: fc.constant("publish" as const), to: fc.constantFrom(...NAMES, "all" as const) }),
  },
  { weight: 2, arbitrary: fc.record({ what: fc.constant("ack" as const), which: fc.nat(5) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      what: fc.constantFrom("answer" as const, "pending" as const, "take" as const, "stats" as const),
    }),
  },
);

test("[G1] [G3] [G5] [G7] what clients are told at once is what some order of their calls allows", async () => {
  const plays = fc.tuple(...NAMES.map(() => fc.array(operation, { minLength: 6, maxLength: 10 })));
  await fc.assert(
    fc.asyncProperty(plays, async (parts) => {
      await bench.clear();
      authorOf.clear();
      const clients = await bench.clients(...NAMES);
      const calls: Call[] = [];
      await Promise.all(NAMES.map((name, i) => play(name, clients[i]!, parts[i]!, calls)));
      expect(explain(calls), JSON.stringify(calls, undefined, 1)).toBeDefined();
    }),
    { numRuns: 40 },
  );
});
