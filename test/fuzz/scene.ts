/** A namespace that has everything in it, and everything that is done with one, as all kinds of fuzz need them. */
import type { Redis } from "../raw-redis.ts";
import { Mailbox } from "../../src/client/mailbox.ts";
import type { CoordinationClient } from "../../src/client/client.ts";
import type { MailMoment } from "../../src/client/replies.ts";
import { NAMESPACE_SETTINGS } from "../../src/protocol/definition.ts";
import { successToWire, toWire } from "../../src/protocol/wire.ts";
import { renderNotifications } from "../../src/surfaces/cli/events.ts";
import * as render from "../../src/surfaces/cli/render.ts";
import { renderMail, renderSuperseded } from "../../src/surfaces/hook/text.ts";
import { boundedCheck, boundedPresence, boundedPublish, boundedShow } from "../../src/surfaces/mcp/results.ts";

export const GENERAL = { type: "GENERAL", subject: "s", description: "d" } as const;
export const BOUND = { bytes: 7_500, descriptionBytes: 6_000 };
export interface Scene {
  alice: CoordinationClient;
  bob: CoordinationClient;
  ids: string[];
  raw: Redis;
}

/** Every kind of key of lua/README.md is there: messages of every state, loans, deadlines, dead, sessions, settings. */
export async function stage(raw: Redis, open: (name: string) => CoordinationClient): Promise<Scene> {
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
export const OPERATIONS: Record<string, (scene: Scene) => Promise<unknown>> = {
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
    return [renderNotifications(result), wire(result)];
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
    const stored = toWire(settings) as Record<string, unknown>;
    const numbers = Object.keys(NAMESPACE_SETTINGS).map((name) => stored[name]);
    if (typeof settings.senders !== "string" || !numbers.every((value) => Number.isSafeInteger(value)))
      throw new Error(JSON.stringify(settings));
    return render.renderSettings(stored);
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
