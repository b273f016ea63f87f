/** Random operations of several instances, against a model in memory that was written from the protocol's description. */
import { expect, test } from "vitest";
import * as fc from "fast-check";
import {
  type AckRefusal,
  type AckResult,
  type CheckRequest,
  CoordinationError,
  type CoordinationEvent,
  type Message,
  type MessageType,
  type PublishRequest,
} from "../../src/index.ts";
import { type State, useRedis } from "../harness.ts";

const bench = useRedis();
const NAMES = ["orchestrator", "alice", "bob", "carol"] as const;
const PRESENT = { last_heartbeat: "<time>", left: false, session: {} };

/** From, to and default recipient of each type, as the protocol's table has them. */
const TABLE: Record<MessageType, [from: RegExp, to: RegExp, fallback: (from: string) => string | undefined]> = (() => {
  const orchestrator = /^orchestrator$/;
  const feature = /^(?!orchestrator$|all$)/;
  const counterpart = (from: string): string => (from === "orchestrator" ? "all" : "orchestrator");
  return {
    READY_FOR_REVIEW: [feature, orchestrator, () => "orchestrator"],
    REVIEW_COMPLETE: [orchestrator, feature, () => undefined],
    REVIEW_FAILED: [orchestrator, feature, () => undefined],
    CONTRACT_CHANGE_PROPOSED: [feature, orchestrator, () => "orchestrator"],
    CONTRACT_APPROVED: [orchestrator, /^all$/, () => "all"],
    META_CHANGE_REQUEST: [feature, orchestrator, () => "orchestrator"],
    GENERAL: [/./, /./, counterpart],
    NOTIFICATION: [/./, /./, counterpart],
  };
})();

/** A message is known by its label, which is its place in the order. */
interface Stored {
  label: string;
  type: MessageType;
  from: string;
  to: string;
  subject: string;
  requiresAck: boolean;
  replyTo: Stored | undefined;
  recipients: readonly string[];
  presented: Set<string>;
  /** With the comment of the first time. */
  acknowledged: Map<string, string>;
  /** Whose receipt was given up, since they were forgotten. */
  forgotten: Set<string>;
}

type Refusal = { refused: string };

/** What a reply asks for an acknowledgement with. */
const WORK = /^(READY_FOR_REVIEW|REVIEW_FAILED|CONTRACT_CHANGE_PROPOSED|META_CHANGE_REQUEST)$/;

class Model {
  readonly messages: Stored[] = [];
  readonly seen = new Set<string>(NAMES);
  /** In the order in which they were forgotten last; who has been seen since is among them. */
  readonly forgotten = new Set<string>();
  readonly queues = new Map<string, (CoordinationEvent & { of?: Stored })[]>();

  publish(from: string, { type, to: given, subject, requiresAck, replyTo }: Publish): object {
    const replied = replyTo === undefined ? undefined : this.messages[replyTo % (this.messages.length || 1)];
    const fallback = replyTo === undefined || type === "CONTRACT_APPROVED" ? TABLE[type][2](from) : replied?.from;
    if (given === from) return refusal("INVALID");
    if (replyTo !== undefined && replied === undefined) return refusal("NOT_FOUND");
    const to = given ?? fallback;
    if (to === undefined || to === from) return refusal("INVALID");
    if (!this.seen.has(to) && this.forgotten.has(to)) return refusal("NOT_FOUND");
    const recipients = to === "all" ? [...this.seen].filter((name) => name !== from).sort() : [to];
    const message: Stored = {
      label: `m${this.messages.length + 1}`,
      type,
      from,
      to,
      subject,
      replyTo: replied,
      recipients,
      requiresAck: requiresAck ?? (replied === undefined || to === "all" ? type !== "NOTIFICATION" : WORK.test(type)),
      presented: new Set(),
      acknowledged: new Map(),
      forgotten: new Set(),
    };
    const answers = replied !== undefined && replied.recipients.includes(from);
    const first = answers && !replied.acknowledged.has(from);
    const presence = (instance: string): string => (this.seen.has(instance) ? "active" : "unknown");
    const unusual = !TABLE[type][0].test(from) || !TABLE[type][1].test(to);
    const unheard = to === "all" ? recipients.length === 0 : !this.seen.has(to);
    const result = {
      messageId: message.label,
      type,
      from,
      to,
      timestamp: "<time>",
      requiresAck: message.requiresAck,
      recipients: recipients.map((instance) => ({
        instance,
        presence: presence(instance),
      })),
      warnings: Number(unusual) + Number(unheard),
      repeated: false,
      acknowledged: answers,
    };
    if (first) this.#settle(replied, from, "", recipients.includes(replied.from));
    this.messages.push(message);
    for (const name of recipients) {
      this.#tell(name, {
        ...this.#event("message_published", message, from, to),
        requiresAck: message.requiresAck,
        ...(replied === undefined ? {} : { replyTo: replied.label }),
        ...(answers ? { acknowledged: true } : {}),
        of: message,
      });
    }
    this.seen.add(from);
    return result;
  }

  ack(me: string, targets: readonly (Stored | undefined)[], comment: string): object[] {
    this.seen.add(me);
    return targets.map((message) => {
      if (message === undefined) return { messageId: "nothing", ...refusal("NOT_FOUND") };
      if (!message.recipients.includes(me)) return { messageId: message.label, ...refusal("NOT_RECIPIENT") };
      const already = message.acknowledged.has(me);
      if (!already) this.#settle(message, me, comment, false);
      const first = message.acknowledged.get(me)!;
      const result = { messageId: message.label, acknowledgedBy: me, timestamp: "<time>", already };
      return first === "" ? result : { ...result, comment: first };
    });
  }

  #settle(message: Stored, me: string, comment: string, told: boolean): void {
    message.presented.add(me);
    message.acknowledged.set(me, comment);
    if (told) return;
    const event = this.#event("message_acknowledged", message, me, message.from);
    this.#tell(message.from, { ...event, ...(comment === "" ? {} : { comment }) });
  }

  #event(event: string, { label, type, subject }: Stored, from: string, to: string): CoordinationEvent {
    return { event, messageId: label, type, from, to, subject, requiresAck: false, timestamp: "<time>" };
  }

  #tell(name: string, event: CoordinationEvent & { of?: Stored }): void {
    this.queues.set(name, [...(this.queues.get(name) ?? []), event]);
  }

  check(me: string, filter: Check): (Message | object)[] | Refusal {
    const thread = this.#pick(filter.thread);
    if (filter.thread !== undefined && thread === undefined) return refusal("NOT_FOUND");
    const everything = filter.all === true || filter.to === "all" || filter.from === me;
    const inbox = filter.to !== undefined && filter.to !== "all" ? filter.to : everything ? undefined : me;
    const [since, before] = [this.#pick(filter.since), this.#pick(filter.before)];
    const found = this.messages.filter(
      (message) =>
        (inbox === undefined || message.recipients.includes(inbox)) &&
        (filter.from === undefined || message.from === filter.from) &&
        (filter.type === undefined || message.type === filter.type) &&
        (!filter.pendingOnly || isPending(message, inbox)) &&
        (thread === undefined || rootOf(message) === rootOf(thread)) &&
        (since === undefined || this.messages.indexOf(message) > this.messages.indexOf(since)) &&
        (before === undefined || this.messages.indexOf(message) < this.messages.indexOf(before)),
    );
    this.seen.add(me);
    if (!filter.pendingOnly && since === undefined) found.reverse();
    return found.map((message) => this.#shown(message, me, message.from === me));
  }

  show(me: string, message: Stored, thread: boolean): object[] {
    this.seen.add(me);
    const found = this.messages.filter((other) => (thread ? rootOf(other) === rootOf(message) : other === message));
    return found.map((other) => this.#shown(other, me, true, true));
  }

  #shown(message: Stored, me: string, everyone: boolean, whole = false): object {
    const { recipients, acknowledged } = message;
    const own = recipients.includes(me);
    const all = recipients.length > 0 && recipients.every((name) => acknowledged.has(name));
    const receipts = everyone && recipients.length > 0 ? { receipts: receiptsOf(message) } : {};
    const counts = {
      recipients: recipients.length,
      acknowledged: acknowledged.size,
      dead: 0,
      dropped: givenUp(message).length,
    };
    const totals = everyone && message.to === "all" && !whole ? { receiptTotals: counts } : {};
    if (own) message.presented.add(me);
    const { label: id, type, from, to, subject, requiresAck, replyTo } = message;
    return {
      id,
      type,
      from,
      to,
      timestamp: "<time>",
      requiresAck,
      subject,
      description: `about ${subject}`,
      acknowledged: own ? acknowledged.has(me) : all,
      ...(replyTo === undefined
        ? {}
        : {
            replyTo: replyTo.label,
            thread: rootOf(message).label,
          }),
      ...receipts,
      ...totals,
    };
  }

  notifications(me: string, limit: number): object {
    this.seen.add(me);
    const queue = [...(this.queues.get(me) ?? [])];
    const notifications: CoordinationEvent[] = [];
    while (notifications.length < limit && queue.length > 0) {
      const { of, ...event } = queue.shift()!;
      if (!of?.presented.has(me)) notifications.push(event);
    }
    this.queues.set(me, queue);
    return { count: notifications.length, notifications, remaining: queue.length };
  }

  forget(instance: string): object {
    if (!this.seen.delete(instance) && !this.forgotten.has(instance)) return refusal("NOT_FOUND");
    this.forgotten.delete(instance);
    this.forgotten.add(instance); // behind those that were forgotten before
    const pending = this.#pending(instance);
    for (const message of pending) {
      message.forgotten.add(instance);
      const event = this.#event("message_dead", message, message.from, message.to);
      this.#tell(message.from, { ...event, waitingSeconds: 0, instances: [instance], instancesTotal: 1 });
    }
    return { instance, pending: pending.length };
  }

  presence(me: string): object {
    this.seen.add(me);
    const facts = {
      status: "active",
      doing: "away",
      guests: 0,
      lastHeartbeat: "<time>",
      secondsSinceHeartbeat: 0,
      session: {},
    };
    const entry = (instanceId: string): object => ({ instanceId, ...facts, pending: this.#pending(instanceId).length });
    return { instances: Object.fromEntries([...this.seen].map((name) => [name, entry(name)])) };
  }

  stats(me: string): object {
    this.seen.add(me);
    const pending = this.messages.filter((message) => isPending(message, undefined));
    const byType: Record<string, number> = {};
    for (const { type } of this.messages) byType[type] = (byType[type] ?? 0) + 1;
    const instances = [...this.seen].map((name) => {
      const inbox = this.messages.filter(({ recipients }) => recipients.includes(name));
      const figures = {
        inbox: inbox.length,
        outbox: this.messages.filter(({ from }) => from === name).length,
        pending: this.#pending(name).length,
        unread: inbox.filter(({ presented }) => !presented.has(name)).length,
        notifications: this.queues.get(name)?.length ?? 0,
        ...(this.#pending(name).length === 0 ? {} : { oldestPending: "<time>" }),
      };
      return [name, figures] as const;
    });
    return {
      total: this.messages.length,
      pending: pending.length,
      dead: 0,
      settled: this.messages.length - pending.length,
      byType,
      oldestPending:
        pending[0] === undefined
          ? null
          : {
              id: pending[0].label,
              timestamp: "<time>",
            },
      instances: Object.fromEntries(instances),
    };
  }

  /** The whole namespace, as the keyspace table has it. */
  state(): State {
    const state: State = {};
    const put = (name: string, label: string): void =>
      void (state[name] = [...((state[name] as string[]) ?? []), label]);
    const fields = (message: Stored): Record<string, string> => {
      const { label: id, type, from, to, subject, requiresAck, replyTo, recipients, acknowledged } = message;
      const open = recipients.filter((name) => !acknowledged.has(name)).length;
      return {
        id,
        type,
        from,
        to,
        subject,
        description: `about ${subject}`,
        timestamp: "<time>",
        requires_ack: requiresAck ? "1" : "0",
        ...(replyTo === undefined
          ? {}
          : {
              reply_to: replyTo.label,
              thread: rootOf(message).label,
            }),
        ...(to === "all" ? { recipients: recipients.join(" "), total: String(recipients.length) } : {}),
        ...(to === "all" && recipients.length > 0 ? { open: String(open) } : {}),
        ...(message.forgotten.size === 0 ? {} : { dead: "0", dropped: String(givenUp(message).length) }),
        ...Object.fromEntries([...message.forgotten].map((name) => [`history:${name}`, "f<time>"])),
        ...Object.fromEntries([...message.presented].map((name) => [`receipt:${name}`, receiptField(message, name)])),
      };
    };
    for (const message of this.messages) {
      const { label, from, recipients, presented, requiresAck } = message;
      state[`msg:${label}`] = fields(message);
      state[`once:${from}:k${label.slice(1)}`] = { text: label, expires_hours: 24 };
      put("timeline", label);
      put(`outbox:${from}`, label);
      if (isPending(message, undefined)) put("pending", label);
      for (const name of recipients) {
        put(`inbox:${name}`, label);
        if (!presented.has(name)) put(`unread:${name}`, label);
        if (requiresAck && isOpen(message, name)) put(`pending:${name}`, label);
      }
      const root = rootOf(message).label;
      if (this.messages.some((other) => other.replyTo !== undefined && rootOf(other).label === root)) {
        put(`thread:${root}`, label);
      }
    }
    for (const [name, events] of this.queues) {
      if (events.length > 0) state[`notifications:${name}`] = events.map(snakeCase);
    }
    for (const name of this.forgotten) if (!this.seen.has(name)) put("forgotten", `${name} scored <time>`);
    if (this.seen.size > 0) state["presence"] = Object.fromEntries([...this.seen].map((name) => [name, PRESENT]));
    if (this.messages.length > 0) {
      const counted: Record<string, string> = {};
      for (const { type, label } of this.messages) {
        counted[`published:${type}`] = String(Number(counted[`published:${type}`] ?? 0) + 1);
        put(`type:${type}`, label);
      }
      const stamp = this.messages.at(-1)!.label;
      const loops = { loop_messages: "50", loop_seconds: "300", loop_replies: "6" };
      const settings = { ack_attempts: "2", ack_interval_seconds: "300", presence_timeout_seconds: "300", ...loops };
      const bounds = { retention_days: "30", max_messages: "100000" };
      state["meta"] = { protocol: "2", stamp, ...bounds, ...settings, ...counted };
    }
    return state;
  }

  #pending(name: string): Stored[] {
    return this.messages.filter((message) => message.recipients.includes(name) && isPending(message, name));
  }

  #pick(index: number | undefined): Stored | undefined {
    return index === undefined ? undefined : this.messages[index % (this.messages.length || 1)];
  }
}

function refusal(code: string): Refusal {
  return { refused: code };
}

function rootOf(message: Stored): Stored {
  return message.replyTo === undefined ? message : rootOf(message.replyTo);
}

function isPending(message: Stored, inbox: string | undefined): boolean {
  return (
    message.requiresAck && (inbox === undefined ? message.recipients : [inbox]).some((name) => isOpen(message, name))
  );
}

function isOpen({ acknowledged, forgotten }: Stored, name: string): boolean {
  return !acknowledged.has(name) && !forgotten.has(name);
}

/** Who was forgotten before it acknowledged. */
function givenUp({ acknowledged, forgotten }: Stored): string[] {
  return [...forgotten].filter((name) => !acknowledged.has(name));
}

function receiptField({ acknowledged }: Stored, name: string): string {
  if (!acknowledged.has(name)) return "<time>";
  return `<time> <time>${acknowledged.get(name) === "" ? "" : ` ${acknowledged.get(name)}`}`;
}

function receiptsOf(message: Stored): object[] {
  const { recipients, presented, acknowledged, forgotten } = message;
  const open = recipients.filter((name) => isOpen(message, name));
  const stored = open.filter((name) => !presented.has(name)).map((instance) => ({ instance, state: "stored" }));
  const seen = open.filter((name) => presented.has(name));
  const history = [{ step: "forgotten", timestamp: "<time>" }];
  const done = recipients.filter((name) => acknowledged.has(name));
  return [
    ...givenUp(message)
      .sort()
      .map((instance) => ({
        instance,
        state: "dead",
        ...(presented.has(instance) ? { presentedAt: "<time>" } : {}),
        reason: `${instance} was forgotten.`,
        history,
      })),
    ...stored,
    ...seen.map((instance) => ({ instance, state: "presented", presentedAt: "<time>" })),
    ...done.map((instance) => {
      const times = { presentedAt: "<time>", acknowledgedAt: "<time>" };
      const receipt = { instance, state: "acknowledged", ...times, ...(forgotten.has(instance) ? { history } : {}) };
      return acknowledged.get(instance) === "" ? receipt : { ...receipt, comment: acknowledged.get(instance) };
    }),
  ];
}

function snakeCase(event: CoordinationEvent & { of?: Stored }): object {
  const renamed = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const entries = Object.entries(event).filter(([name]) => name !== "of");
  return Object.fromEntries(entries.map(([name, value]) => [renamed(name), value]));
}

interface Publish extends Omit<PublishRequest, "replyTo" | "description" | "requiresAck" | "to"> {
  to?: string;
  requiresAck?: boolean;
  replyTo?: number;
}
interface Check extends Omit<CheckRequest, "since" | "before" | "thread"> {
  since?: number | undefined;
  before?: number | undefined;
  thread?: number | undefined;
}

const types = fc.constantFrom(...(Object.keys(TABLE) as MessageType[]));
const publish = fc.record(
  {
    type: fc.oneof(types, fc.constant("GENERAL" as const)),
    to: fc.constantFrom(...NAMES, "all", "all", "ghost"),
    subject: fc.constantFrom("one", "two", "drei"),
    requiresAck: fc.boolean(),
    replyTo: fc.nat(30),
  },
  { requiredKeys: ["type", "subject"], noNullPrototype: true },
);
/** Most filters are absent, or hardly anything would ever be found. */
const seldom = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const check = fc.record({
  to: seldom(fc.constantFrom(...NAMES, "all", "ghost")),
  from: seldom(fc.constantFrom(...NAMES, "ghost")),
  type: seldom(types),
  pendingOnly: seldom(fc.boolean()),
  all: seldom(fc.boolean()),
  since: seldom(fc.nat(30)),
  before: seldom(fc.nat(30)),
  thread: seldom(fc.nat(30)),
  limit: fc.integer({ min: 1, max: 6 }),
});
const step = fc.record({
  actor: fc.nat(NAMES.length - 1),
  operation: fc.oneof(
    { weight: 6, arbitrary: publish.map((request) => ({ name: "publish" as const, request })) },
    { weight: 4, arbitrary: check.map((request) => ({ name: "check" as const, request })) },
    {
      weight: 4,
      arbitrary: fc.record({
        name: fc.constant("ack" as const),
        targets: fc.array(fc.nat(33), { minLength: 1, maxLength: 3 }),
        comment: fc.constantFrom("", "done", "later"),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.integer({ min: 1, max: 5 }).map((limit) => ({ name: "notifications" as const, limit })),
    },
    { weight: 1, arbitrary: fc.constantFrom(...NAMES, "ghost").map((whom) => ({ name: "forget" as const, whom })) },
    {
      weight: 1,
      arbitrary: fc.record({ name: fc.constant("show" as const), which: fc.nat(30), thread: fc.boolean() }),
    },
    { weight: 1, arbitrary: fc.constantFrom({ name: "presence" as const }, { name: "stats" as const }) },
  ),
});

/** What a call returns, comparable: a refusal as its code, warnings as their number. */
async function outcome(call: Promise<object>): Promise<unknown> {
  try {
    return await bench.plain(await call);
  } catch (error) {
    if (error instanceof CoordinationError) return refusal(error.code);
    throw error;
  }
}

const coded = (result: AckResult | AckRefusal): object =>
  "code" in result ? { messageId: result.messageId, ...refusal(result.code) } : result;

test("[G2] [G5] [G6] random operations of four instances do and return what the protocol says", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      await bench.clear();
      const clients = await bench.clients(...NAMES);
      const model = new Model();
      const ids: string[] = [];
      const idAt = (index: number): string => (ids.length === 0 ? "nothing" : ids[index % ids.length]!);
      for (const { actor, operation } of steps) {
        const [client, me] = [clients[actor]!, NAMES[actor]!];
        const compare = async (actual: Promise<object>, expected: object): Promise<void> =>
          expect([me, operation, await outcome(actual)]).toEqual([me, operation, expected]);
        if (operation.name === "publish") {
          const { replyTo, ...request } = operation.request;
          const publishing = client.publishMessage({
            ...request,
            description: `about ${request.subject}`,
            replyTo: replyTo === undefined ? undefined : idAt(replyTo),
            idempotencyKey: `k${ids.length + 1}`,
          });
          const counted = publishing.then((result) => {
            ids.push(result.messageId);
            return { ...result, warnings: result.warnings.length };
          });
          await compare(counted, model.publish(me, operation.request));
        } else if (operation.name === "check") {
          await compare(everyPage(operation.request), model.check(me, operation.request));
        } else if (operation.name === "ack") {
          const targets = operation.targets.map((index) => (index > 30 ? undefined : ids[index % (ids.length || 1)]));
          const call = client.ackMessage(
            targets.map((id) => id ?? "nothing"),
            { comment: operation.comment },
          );
          const stored = targets.map((id) => (id === undefined ? undefined : model.messages[ids.indexOf(id)]));
          await compare(
            call.then((results) => results.map(coded)),
            model.ack(me, stored, operation.comment),
          );
        } else if (operation.name === "notifications") {
          await compare(client.getNotifications(operation), model.notifications(me, operation.limit));
        } else if (operation.name === "forget") {
          await compare(client.forgetInstance(operation.whom), model.forget(operation.whom));
        } else if (operation.name === "show") {
          const message = model.messages[operation.which % (ids.length || 1)];
          const call = client.showMessage(idAt(operation.which), operation).then(({ messages }) => messages);
          await compare(call, message === undefined ? refusal("NOT_FOUND") : model.show(me, message, operation.thread));
        } else if (operation.name === "presence")
          await compare(client.getPresence().then(withoutAges), model.presence(me));
        else await compare(client.getStats(), model.stats(me));

        /** All that a filter finds, page by page, however the pages are cut. */
        async function everyPage({ since, before, thread, ...request }: Check): Promise<Message[]> {
          const at = (index: number | undefined): string | undefined =>
            index === undefined || ids.length === 0 ? undefined : idAt(index);
          let range = { since: at(since), before: at(before) };
          const named = thread === undefined ? {} : { thread: idAt(thread) };
          const forwards = request.pendingOnly === true || range.since !== undefined;
          const found: Message[] = [];
          for (let page = 0; page < 100; page++) {
            const result = await client.checkMessages({ ...request, ...range, ...named });
            expect([result.count, result.unreadable, result.messages.length]).toEqual([
              result.messages.length,
              [],
              result.count,
            ]);
            expect(result.count).toBeLessThanOrEqual(request.limit ?? 50);
            found.push(...result.messages);
            if (!result.more) return found;
            range = forwards ? { ...range, since: result.nextSince } : { ...range, before: result.nextBefore };
          }
          throw new Error("the pages never end");
        }
      }
      const state = await bench.state();
      delete (state["meta"] as Record<string, unknown> | undefined)?.["loans"]; // a number and no content
      for (const message of Object.values(state)) sortRecipients(message);
      expect(state).toEqual(model.state());
    }),
    { numRuns: 200, interruptAfterTimeLimit: 12_000 },
  );
});

/** In which order the recipients of a broadcast are kept says nothing. */
function sortRecipients(message: unknown): void {
  if (typeof message !== "object" || message === null || !("recipients" in message)) return;
  message.recipients = String(message.recipients).split(" ").sort().join(" ");
}

function withoutAges(result: { instances: Record<string, object> }): object {
  const ageless = (entry: object): object => ({ ...entry, secondsSinceHeartbeat: 0 });
  return {
    instances: Object.fromEntries(Object.entries(result.instances).map(([name, entry]) => [name, ageless(entry)])),
  };
}
