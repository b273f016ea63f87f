/**
 * Histories of several clients at once: each result has to be one that some order of the calls allows, in which a call that
 * had ended before another began comes first (linearizability; the search is that of Wing and Gong, with a memory of where
 * it has been). The order is searched with a model of a few dozen lines, which knows nothing of Redis.
 */
import * as fc from "fast-check";
import { openRedis } from "../raw-redis.ts";
import { CoordinationClient } from "../../src/client/client.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { CoordinationError } from "../../src/protocol/errors.ts";
import type { PublishResult } from "../../src/protocol/results.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";

/** Two clients speak for alice, as two agents under one name do. */
const CLIENTS = ["alice", "alice", "bob", "carol"] as const;
const NAMES = ["alice", "bob", "carol"] as const;
type Name = (typeof NAMES)[number];
/** What is there before: from and to. */
const BEFORE: readonly (readonly [Name, Name | "all"])[] = [
  ["bob", "all"],
  ["bob", "alice"],
  ["carol", "alice"],
  ["alice", "bob"],
];
const OTHER: Record<Name, Name> = { alice: "bob", bob: "alice", carol: "alice" };
const CALLS_MAXIMUM = 7;

type Plan =
  | { do: "publish"; to: "other" | "all"; key: string | undefined }
  | { do: "reply" | "ack"; target: number }
  | { do: "take"; confirm: boolean }
  | { do: "pending" | "stats" | "join" };

const plan: fc.Arbitrary<Plan> = fc.oneof(
  fc
    .record({
      do: fc.constant("publish" as const),
      to: fc.constantFrom("other" as const, "all" as const),
      keyed: fc.boolean(),
    })
    .map(({ keyed, ...what }) => ({ ...what, key: keyed ? what.to : undefined })), // a key belongs to one content
  fc.record({ do: fc.constantFrom("reply" as const, "ack" as const), target: fc.nat(BEFORE.length - 1) }),
  fc.record({ do: fc.constant("take" as const), confirm: fc.boolean() }),
  fc.record({ do: fc.constantFrom("pending" as const, "stats" as const, "join" as const) }),
);
const plans: fc.Arbitrary<Plan[][]> = fc.tuple(
  ...CLIENTS.map(() => fc.array(plan, { minLength: 3, maxLength: CALLS_MAXIMUM })),
);

/** One call with what it returned; `at` and `until` are places in the order of all beginnings and endings. */
interface Call {
  client: number;
  me: Name;
  what: Plan | { do: "confirm" };
  /** Which take, of a take and its confirm. */
  loan: string;
  comment: string;
  at: number;
  until: number;
  result: unknown;
}

interface State {
  messages: { id: string; from: Name; to: readonly Name[]; acknowledged: Partial<Record<Name, string>> }[];
  keys: Record<string, string>;
  unread: Record<Name, string[]>;
  queues: Record<Name, string[]>;
  loans: Record<Name, [loan: string, events: string[]][]>;
  /** Who speaks, as the number of the client. */
  sessions: Partial<Record<Name, number>>;
  /** Whether the client has a session of its own, and so is fenced. */
  joined: boolean[];
}

const each = <T>(value: (name: Name) => T): Record<Name, T> =>
  Object.fromEntries(NAMES.map((name) => [name, value(name)])) as Record<Name, T>;

function store(state: State, id: string, from: Name, to: readonly Name[]): void {
  state.messages.push({ id, from, to, acknowledged: {} });
  for (const name of to) {
    state.unread[name].push(id);
    state.queues[name].push(`published ${id}`);
  }
}

/** Whether this is the first acknowledgement. One from beside the session that speaks leaves the message new to that. */
function settle(state: State, id: string, { client, me }: Call, comment: string): boolean {
  const message = state.messages.find((one) => one.id === id)!;
  if (message.acknowledged[me] !== undefined) return false;
  const outside = state.sessions[me] !== undefined && state.sessions[me] !== client;
  if (!outside) state.unread[me] = state.unread[me].filter((one) => one !== id);
  message.acknowledged[me] = comment;
  return true;
}

const waitsFor = (name: Name) => (message: State["messages"][number]) =>
  message.to.includes(name) && message.acknowledged[name] === undefined;

/** What the call returns when it happens now; changes the state. What only Redis can know, a new id, is taken from the result. */
function happen(state: State, call: Call, ids: readonly string[]): unknown {
  const { client, me, what, loan, comment, result } = call;
  if (what.do === "join") {
    const before = state.sessions[me];
    if (before === client) return { first: false };
    // What the other one took and has not confirmed is handed out anew, the oldest first.
    state.queues[me] = [...state.loans[me].flatMap(([, events]) => events), ...state.queues[me]];
    state.loans[me] = [];
    state.sessions[me] = client;
    state.joined[client] = true;
    return before === undefined ? { first: true } : { first: false, superseded: before };
  }
  // Counting is open to everybody; all else speaks or reads for the instance.
  if (what.do !== "stats" && state.joined[client] && state.sessions[me] !== client) return "SUPERSEDED";
  switch (what.do) {
    case "publish": {
      const name = `${me} ${what.key}`;
      const known = what.key === undefined ? undefined : state.keys[name];
      if (known !== undefined) return { id: known, repeated: true, acknowledged: false };
      const id = newId(state, result);
      if (what.key !== undefined) state.keys[name] = id;
      store(state, id, me, what.to === "all" ? NAMES.filter((one) => one !== me) : [OTHER[me]]);
      return { id, repeated: false, acknowledged: false };
    }
    case "reply": {
      const replied = state.messages.find(({ id }) => id === ids[what.target])!;
      if (replied.from === me) return "INVALID";
      const id = newId(state, result);
      const answers = replied.to.includes(me);
      if (answers) settle(state, replied.id, call, ""); // its sender learns it from the answer
      store(state, id, me, [replied.from]);
      return { id, repeated: false, acknowledged: answers };
    }
    case "ack": {
      const message = state.messages.find(({ id }) => id === ids[what.target])!;
      if (!message.to.includes(me)) return "NOT_RECIPIENT";
      const first = settle(state, message.id, call, comment);
      if (first) state.queues[message.from].push(`acknowledged ${message.id}`);
      return { already: !first, comment: message.acknowledged[me] };
    }
    case "pending": {
      const pending = state.messages.filter(waitsFor(me)).map(({ id }) => id);
      state.unread[me] = state.unread[me].filter((id) => !pending.includes(id));
      return pending;
    }
    case "take": {
      const events: string[] = [];
      const queue = state.queues[me];
      while (events.length < 2 && queue.length > 0) {
        const event = queue.shift()!;
        const [kind, id] = event.split(" ") as [string, string];
        if (kind !== "published" || state.unread[me].includes(id)) events.push(event);
      }
      if (events.length > 0) state.loans[me].push([loan, events]);
      return { events, remaining: queue.length };
    }
    case "confirm":
      state.loans[me] = state.loans[me].filter(([one]) => one !== loan);
      return "done";
    default:
      return {
        total: state.messages.length,
        pending: state.messages.filter((message) => message.to.some((name) => waitsFor(name)(message))).length,
        instances: each((name) => ({
          inbox: state.messages.filter(({ to }) => to.includes(name)).length,
          outbox: state.messages.filter(({ from }) => from === name).length,
          pending: state.messages.filter(waitsFor(name)).length,
          unread: state.unread[name].length,
          notifications: state.queues[name].length,
          ...oldestOf(state.messages.filter(waitsFor(name)).map(({ id }) => id)),
        })),
      };
  }
}

/** When the first of these messages was sent, which its id says, as stats show it. */
function oldestOf([id]: readonly string[]): { oldestPending?: string } {
  if (id === undefined) return {};
  return { oldestPending: new Date(Math.floor(Number.parseInt(id.slice("msg-".length), 36) / 1000)).toISOString() };
}

/** Greater than all before it (G3); where it is not, nothing that was returned can be equal to it. */
function newId({ messages }: State, result: unknown): string {
  const { id } = result as { id?: string };
  return id !== undefined && messages.every((message) => message.id < id) ? id : "an id behind the last one";
}

/** Whether some order explains all results. */
function explained(before: State, calls: readonly Call[], ids: readonly string[]): boolean {
  const lines = CLIENTS.map((_, client) => calls.filter((call) => call.client === client));
  const seen = new Set<string>();
  const search = (state: State, places: readonly number[]): boolean => {
    const next = lines.map((line, client) => line[places[client]!]);
    if (next.every((call) => call === undefined)) return true;
    const here = JSON.stringify([places, state]);
    if (seen.has(here)) return false;
    seen.add(here);
    const firstEnd = Math.min(...next.map((call) => call?.until ?? Number.POSITIVE_INFINITY));
    return next.some((call, client) => {
      if (call === undefined || call.at > firstEnd) return false;
      const after = structuredClone(state);
      if (JSON.stringify(happen(after, call, ids)) !== JSON.stringify(call.result)) return false;
      return search(after, places.with(client, places[client]! + 1));
    });
  };
  return search(
    before,
    CLIENTS.map(() => 0),
  );
}

export interface HistoryFigures {
  histories: number;
  calls: number;
  /** The calls of a history that no order explains. */
  problems: string[];
}

export async function fuzzHistories({ seed, cases }: { seed: number; cases: number }): Promise<HistoryFigures> {
  await using redis = await startThrowawayRedis();
  const raw = openRedis({ path: redis.socketPath });
  const figures: HistoryFigures = { histories: 0, calls: 0, problems: [] };
  try {
    for (const chosen of fc.sample(plans, { seed, numRuns: cases })) {
      await raw.flushall();
      const { before, calls, ids } = await record(redis.url, chosen);
      figures.histories++;
      figures.calls += calls.length;
      if (!explained(before, calls, ids)) figures.problems.push(calls.map((call) => JSON.stringify(call)).join("\n"));
    }
  } finally {
    raw.disconnect();
  }
  return figures;
}

/** Carries the plans out, all clients at once, each on a connection of its own. */
async function record(
  url: string,
  chosen: readonly (readonly Plan[])[],
): Promise<{ before: State; calls: Call[]; ids: string[] }> {
  const clients = CLIENTS.map((instanceId) => {
    const env = { REDIS_URL: url, COORD_ACK_TIMEOUT_SECONDS: "0" };
    return new CoordinationClient(resolveSettings({ instanceId, env, cwd: "/", loanSeconds: 3600 }));
  });
  const of = (name: Name): CoordinationClient => clients[CLIENTS.indexOf(name)]!;
  try {
    for (const client of clients) await client.touch();
    const before: State = {
      messages: [],
      keys: {},
      unread: each(() => []),
      queues: each(() => []),
      loans: each(() => []),
      sessions: {},
      joined: CLIENTS.map(() => false),
    };
    for (const [from, to] of BEFORE) {
      const text = { type: "GENERAL", subject: "before", description: "", to } as const;
      const { messageId } = await of(from).publishMessage(text);
      store(before, messageId, from, to === "all" ? NAMES.filter((name) => name !== from) : [to]);
    }
    const ids = before.messages.map(({ id }) => id);
    const calls: Call[] = [];
    let place = 0;
    const run = async (client: number): Promise<void> => {
      for (const [n, what] of chosen[client]!.entries()) {
        const noted = async (one: Call["what"], call: () => Promise<unknown>): Promise<void> => {
          const names = { client, me: CLIENTS[client]!, what: one, loan: `${client}-${n}`, comment: `${client}-${n}` };
          const at = place++;
          const result = await call().catch((error: unknown) =>
            CoordinationError.is(error) ? error.code : String(error),
          );
          calls.push({ ...names, at, until: place++, result });
        };
        let confirm: (() => Promise<void>) | undefined;
        await noted(what, () =>
          perform(clients[client]!, CLIENTS[client]!, client, what, ids, `${client}-${n}`, (lent) => (confirm = lent)),
        );
        if (confirm !== undefined) await noted({ do: "confirm" }, async () => confirm!().then(() => "done"));
      }
    };
    await Promise.all(CLIENTS.map((_, client) => run(client)));
    return { before, calls, ids };
  } finally {
    for (const client of clients) client.close();
  }
}

async function perform(
  client: CoordinationClient,
  me: Name,
  number: number,
  what: Plan,
  ids: readonly string[],
  comment: string,
  lend: (confirm: () => Promise<void>) => void,
): Promise<unknown> {
  const text = { type: "GENERAL", subject: "s", description: "" } as const;
  switch (what.do) {
    case "publish": {
      const { to, key } = what;
      const request = { ...text, subject: key ?? "s", to: to === "all" ? "all" : OTHER[me], idempotencyKey: key };
      return receipt(await client.publishMessage(request));
    }
    case "reply":
      return receipt(await client.publishMessage({ ...text, replyTo: ids[what.target], requiresAck: true }));
    case "ack": {
      const { already, comment: first } = await client.ackMessage(ids[what.target]!, { comment });
      return { already, comment: first ?? "" };
    }
    case "pending":
      return (await client.checkMessages({ pendingOnly: true })).messages.map(({ id }) => id);
    case "take": {
      const { result, confirm } = await client.takeNotifications({ limit: 2 });
      const events = result.notifications.map(
        ({ event, messageId }) => `${event.replace("message_", "")} ${messageId}`,
      );
      if (events.length > 0 && what.confirm) lend(confirm);
      return { events, remaining: result.remaining };
    }
    case "join": {
      const { first, superseded } = await client.join({ host: "h", agentPid: number });
      return superseded === undefined ? { first } : { first, superseded: superseded.agentPid };
    }
    default: {
      const { total, pending, instances } = await client.getStats();
      return { total, pending, instances: each((name) => instances[name]) };
    }
  }
}

function receipt({ messageId: id, repeated, acknowledged }: PublishResult): object {
  return { id, repeated, acknowledged };
}
