/**
 * What another program may have written into the namespace: for every kind of key and every field, values of every kind of
 * wrong. Then every operation of the client, the hooks' texts and the texts of the shell are tried on it: each has to end in
 * a result or in an error of ours, soon; and what is published next has to arrive.
 */
import * as fc from "fast-check";
import { openRedis, type Redis } from "../raw-redis.ts";

import { Mailbox } from "../../src/client/mailbox.ts";
import { CoordinationClient } from "../../src/client/client.ts";
import type { MailMoment } from "../../src/client/replies.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { CoordinationError, ErrorCode } from "../../src/protocol/errors.ts";
import { successToWire, toWire } from "../../src/protocol/wire.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import * as render from "../../src/surfaces/cli/render.ts";
import { renderMail, renderSuperseded } from "../../src/surfaces/hook/text.ts";
import { boundedCheck, boundedPresence, boundedPublish, boundedShow } from "../../src/surfaces/mcp/results.ts";
import { applyChange, change } from "./changes.ts";

const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;
const BOUND = { bytes: 7_500, descriptionBytes: 6_000 };
/** What a damaged namespace may be answered with; anything else is a defect. */
const ALLOWED: readonly ErrorCode[] = [
  ErrorCode.LOST,
  "INTERNAL",
  "INVALID",
  "NOT_FOUND",
  "NOT_RECIPIENT",
  "PROTOCOL",
  "SUPERSEDED",
  "FULL",
];

interface Scene {
  alice: CoordinationClient;
  bob: CoordinationClient;
  ids: string[];
  raw: Redis;
}

/** Every kind of key of lua/README.md is there: messages of every state, loans, deadlines, dead, sessions, settings. */
async function stage(raw: Redis, open: (name: string) => CoordinationClient): Promise<Scene> {
  await raw.flushall();
  const [alice, bob] = [open("alice"), open("bob")];
  for (const name of ["carol", "orchestrator"]) await open(name).touch();
  await alice.join({ id: "a", agent: "test", host: "h", agentPid: 1, cwd: "/" });
  await bob.join({ id: "b", agent: "test", host: "h", agentPid: 2, cwd: "/" });
  const publish = async (client: CoordinationClient, more: object): Promise<string> =>
    (await client.publishMessage({ ...GENERAL, ...more })).messageId;
  const first = await publish(alice, { to: "bob", idempotencyKey: "k", ackWithin: 60 });
  const ids = [first, await publish(bob, { replyTo: first }), await publish(alice, { to: "all", ackWithin: 60 })];
  ids.push(await publish(alice, { to: "carol", ackWithin: 60 }), await publish(alice, { to: "bob", ackWithin: 60 }));
  await due(raw);
  await alice.sweep();
  await new Mailbox(bob).collect("tool", 1, BOUND);
  await bob.takeNotifications({ limit: 1 });
  for (let i = 0; i < 4; i++) {
    await due(raw);
    await alice.sweep();
  }
  ids.push(await publish(alice, { to: "bob", ackWithin: 60 }), await publish(bob, { to: "alice", ackWithin: 60 }));
  await publish(alice, { to: "offline", ackWithin: 60 });
  await raw.hset("coord:presence", "offline", '{"last_heartbeat":"2020-01-01T00:00:00.000Z","left":true,"session":{}}');
  await due(raw);
  await alice.sweep();
  await new Mailbox(bob).confirm(await new Mailbox(bob).collect("stop", 10, BOUND));
  await new Mailbox(bob).takeWakerPlace("token", false);
  await raw.zadd("coord:expired", 1, "msg-0000000001");
  return { alice, bob, ids, raw };
}

/** Every deadline passes. */
async function due(raw: Redis): Promise<void> {
  for (const member of await raw.zrange("coord:deadlines", "0", "-1"))
    await raw.zadd("coord:deadlines", "XX", "1", member);
}

const MOMENTS: readonly MailMoment[] = ["start", "resume", "turn", "tool", "stop", "wake"];

/** Everything that reads or writes, with what its surfaces make of the result. */
const OPERATIONS: Record<string, (scene: Scene) => Promise<unknown>> = {
  publish: async ({ alice }) => {
    const result = await alice.publishMessage({ ...GENERAL, to: "bob", ackWithin: 60 });
    return [render.renderPublish(result), wire(boundedPublish(result))];
  },
  "publish to all": async ({ alice }) => render.renderPublish(await alice.publishMessage({ ...GENERAL, to: "all" })),
  "publish a reply": async ({ bob, ids }) => bob.publishMessage({ ...GENERAL, replyTo: ids[0] }),
  "publish again": async ({ alice }) =>
    alice.publishMessage({ ...GENERAL, to: "bob", idempotencyKey: "k", ackWithin: 60 }),
  check: async ({ bob }) => shown(await new Mailbox(bob).checkMessages({}, BOUND)),
  "check pending": async ({ bob }) => shown(await bob.checkMessages({ pendingOnly: true })),
  "check all": async ({ alice }) => shown(await alice.checkMessages({ all: true, type: "GENERAL" })),
  "check own": async ({ alice }) => shown(await new Mailbox(alice).checkMessages({ from: "alice" }, BOUND)),
  "check a range": async ({ bob, ids }) =>
    shown(await bob.checkMessages({ since: ids[0], before: ids[4], thread: ids[0] })),
  "check with a wait": async ({ bob }) => shown(await bob.checkMessages({ waitSeconds: 0.001 })),
  search: async ({ bob, ids }) => {
    const found = [];
    for (const query of ["s -nowhere", "to:all done", "is:dead", "is:unread s", `thread:${ids[0]} -is:pending`]) {
      const result = await new Mailbox(bob).searchMessages(query, { limit: 3 }, { bound: BOUND });
      found.push(render.renderSearch(result), shown(result));
    }
    return found;
  },
  show: async ({ alice, ids }) =>
    Promise.all(ids.map(async (id) => wire(shown(await alice.showMessage(id, { thread: true }))))),
  ack: async ({ bob, ids }) => {
    const results = await bob.ackMessage(ids, { comment: "done" });
    return results.map((result) => [render.renderAck(result), wire(result)]);
  },
  notifications: async ({ bob }) => {
    const { result, confirm } = await bob.takeNotifications({});
    await confirm();
    return [render.renderNotifications(result), wire(result)];
  },
  ...Object.fromEntries(
    MOMENTS.map((moment) => [
      `hook at ${moment}`,
      async ({ bob }: Scene) => {
        const mail = await new Mailbox(bob).collect(moment, 10, BOUND, "token");
        const text = renderMail(mail);
        await new Mailbox(bob).confirm(mail, text?.shown ?? 0);
        return text;
      },
    ]),
  ),
  join: async ({ bob }) => {
    const { superseded } = await bob.join({ id: "b2", host: "h", agentPid: 3, cwd: "/" });
    return superseded && renderSuperseded("bob", superseded);
  },
  beat: async ({ bob }) => bob.setActivity("at work"),
  speaks: async ({ bob }) => bob.speaks(),
  waker: async ({ bob }) => new Mailbox(bob).takeWakerPlace("token", false),
  sweep: async ({ alice }) => {
    const next = await new Mailbox(alice).sweepWhenDue();
    if (!(next >= 0)) throw new Error(`the next sweep is in ${next} ms`);
    return render.renderSweep(await alice.sweep());
  },
  dead: async ({ alice }) => {
    const { messages } = await alice.listDead();
    const ids = messages.map(({ id }) => id);
    if (ids.length > 1) shown(await alice.retryDead(ids.slice(1)));
    if (ids.length > 0) shown(await alice.dropDead(ids.slice(0, 1)));
  },
  settings: async ({ alice }) => {
    const settings = await alice.getNamespaceSettings();
    if (!Object.values(settings).every((value) => Number.isSafeInteger(value)))
      throw new Error(JSON.stringify(settings));
    return render.renderSettings(toWire(settings) as Record<string, unknown>);
  },
  presence: async ({ alice }) => {
    const result = await alice.getPresence();
    return [render.renderPresence(result), wire(boundedPresence(result))];
  },
  stats: async ({ alice }) => {
    const result = await alice.getStats();
    return [render.renderStats(result), wire(result)];
  },
  export: async ({ alice }) => {
    for await (const line of alice.exportLines()) JSON.parse(line);
  },
  forget: async ({ alice }) => render.renderForget(await alice.forgetInstance("carol")),
  leave: async ({ bob }) => bob.leave(),
};

function shown(result: Parameters<typeof render.renderCheck>[0]): object {
  return [render.renderCheck(result, ""), wire(boundedCheck(result)), wire(boundedShow(result))];
}

/** What surfaces print has to be JSON without holes: a NaN would come out as null. */
function wire(result: object): object {
  const value = successToWire(result);
  JSON.stringify(value, (name, part: unknown) => {
    if (typeof part === "number" && !Number.isFinite(part)) throw new Error(`${name} is ${part}`);
    return part;
  });
  return value;
}

export interface ValueFigures {
  cases: number;
  /** Operations on damaged namespaces, by how they ended. */
  results: number;
  refused: number;
  /** What was not as it should be, with the writes before it; at most twenty. */
  problems: string[];
}

/** An operation that takes longer hangs. */
const OPERATION_WITHIN_MS = 10_000;
/** Calls of a hook until it has shown what is new: each takes at most ten messages. */
const HOOK_CALLS = 10;

const PROBLEMS_MAXIMUM = 20;

export async function fuzzValues({ seed, cases }: { seed: number; cases: number }): Promise<ValueFigures> {
  await using redis = await startThrowawayRedis();
  const raw = openRedis({ path: redis.socketPath });
  const clients: CoordinationClient[] = [];
  const figures: ValueFigures = { cases: 0, results: 0, refused: 0, problems: [] };
  try {
    const scene = await stage(raw, (instanceId) => {
      const env = { REDIS_URL: redis.url, COORD_ACK_TIMEOUT_SECONDS: "0" };
      clients.push(new CoordinationClient(resolveSettings({ instanceId, env, cwd: "/" })));
      return clients.at(-1)!;
    });
    const dump = await dumped(raw);
    const damage = fc.array(change, { minLength: 1, maxLength: 4 });
    for (const changes of fc.sample(damage, { seed, numRuns: cases })) {
      await raw.flushall();
      await Promise.all(dump.map(([key, value]) => raw.restore(key, 0, value)));
      for (const { session } of clients) session.known.forget(); // it is another namespace to them
      const writes = [];
      for (const one of changes) writes.push(await applyChange(raw, one));
      const where = `${writes.join(", ")} (values ${changes.map(({ value }) => JSON.stringify(value.toString().slice(0, 80))).join(", ")})`;
      try {
        for (const [name, operation] of Object.entries(OPERATIONS)) {
          const refusal = await ended(operation(scene), `${name} after ${where}`);
          figures[refusal === undefined ? "results" : "refused"]++;
        }
        await hears(scene, where);
      } catch (error) {
        figures.problems.push(String(error));
        if (figures.problems.length === PROBLEMS_MAXIMUM) break;
      }
      figures.cases++;
    }
  } finally {
    for (const client of clients) client.close();
    raw.disconnect();
  }
  return figures;
}

async function dumped(raw: Redis): Promise<[string, Buffer][]> {
  const keys = await raw.keys("coord:*");
  return Promise.all(
    keys.map(async (key): Promise<[string, Buffer]> => [key, (await raw.bytes("DUMP", key)) as Buffer]),
  );
}

/** Resolves to the refusal, if it was one that a damaged namespace may be answered with. */
async function ended(operation: Promise<unknown>, what: string): Promise<CoordinationError | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it hangs")), OPERATION_WITHIN_MS);
  });
  try {
    await Promise.race([operation, late]);
  } catch (error) {
    if (CoordinationError.is(error) && ALLOWED.includes(error.code)) {
      // A refusal of ours says which key; the words of Lua say that a script was surprised.
      if (
        error.code !== ErrorCode.INTERNAL ||
        (/coord:/.test(error.message) && !/user_script|script:/.test(error.message))
      )
        return error;
    }
    throw new Error(`${what}: ${String(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** What is published now is shown by a hook soon, unless either is refused with the key that stands in the way. */
async function hears({ alice, bob }: Scene, where: string): Promise<void> {
  let sent = "";
  const publish = async (): Promise<void> => {
    sent = (await alice.publishMessage({ ...GENERAL, to: "bob" })).messageId;
  };
  if ((await ended(publish(), `publish after ${where}`)) !== undefined) return;
  for (let calls = 0; calls < HOOK_CALLS; calls++) {
    let found = false;
    const collect = async (): Promise<void> => {
      const mail = await new Mailbox(bob).collect("tool", 10, BOUND);
      const text = renderMail(mail);
      await new Mailbox(bob).confirm(mail, text?.shown ?? 0);
      found = text?.text.includes(sent) === true;
    };
    const refusal = await ended(collect(), `hook after ${where}`);
    if (refusal?.code === ErrorCode.SUPERSEDED)
      await ended(bob.join({ id: "b3", host: "h", agentPid: 4 }), `join after ${where}`);
    else if (refusal !== undefined || found) return;
  }
  throw new Error(`the hook stays deaf after ${where}`);
}
