/**
 * What `npm run bench` measures in time, counted: round trips of an operation, commands of its script, bytes of a message. A
 * count says the same on every machine. Where one of these figures is lowered, its snapshot is updated (`npx vitest -u`); where
 * one rises, something has become dearer for everyone.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { Mailbox } from "../src/client/mailbox.ts";
import { Bare } from "../bench/bare.ts";
import { bytesPerMessage } from "../bench/memory.ts";
import { publishMany, RECIPIENT, request, SENDER } from "../bench/world.ts";
import type { CoordinationClient } from "../src/index.ts";
import { SCRIPTS } from "../src/store/scripts.ts";
import { PREFIX, until, useRedis } from "./harness.ts";

const bench = useRedis();
// A server that does not have a script yet is sent it with a second round trip; later nobody is.
beforeAll(() => Promise.all(Object.values(SCRIPTS).map(async ({ text }) => bench.raw.script("LOAD", await text()))));

const OTHER = "frontend";
/** What a check reads, and what lies behind it in a large namespace. */
const READ = 20;
const LARGE = 2000;
const CROWD = 1000;

interface Count {
  /** What the client sent. */
  sent: string;
  /** What the scripts called. */
  called: string;
  commands: number;
}

/** The commands of an action, as Redis itself reports them. */
async function counted(action: () => Promise<unknown>): Promise<Count> {
  const seen: { name: string; byScript: boolean }[] = [];
  const over = "that was all";
  let ended = false;
  const stop = await bench.raw.monitor(([name = "", key, ...more], source) => {
    if (key === over) ended = true;
    // An instance is kept in presence once in each second of the clock: the one command that depends on time.
    else if (name.toLowerCase() !== "hset" || key !== `${PREFIX}:presence` || more.length !== 2)
      seen.push({ name: name.toUpperCase(), byScript: source === "lua" });
  });
  await action();
  await bench.raw.echo(over);
  await until(async () => ended);
  stop();
  const [called, sent] = [true, false].map((byScript) =>
    seen.filter((each) => each.byScript === byScript).map(({ name }) => name),
  );
  return { sent: tally(sent!), called: tally(called!), commands: called!.length };
}

function tally(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts]
    .sort()
    .map(([name, count]) => (count === 1 ? name : `${name} ${count}×`))
    .join(", ");
}

/** The state in which each operation is counted. What is read comes first: two senders in turn, with a type each, those of one a conversation. */
interface Scene {
  sender: CoordinationClient;
  recipient: CoordinationClient;
  other: CoordinationClient;
  thread: string;
}

async function scene(): Promise<Scene> {
  const [sender, recipient, other] = await bench.clients(SENDER, RECIPIENT, OTHER);
  let thread = "";
  for (let i = 0; i < READ; i++) {
    const reply = thread === "" ? {} : { replyTo: thread, to: RECIPIENT };
    const { messageId } = await sender.publishMessage(request(reply));
    thread ||= messageId;
    await other.publishMessage(request({ type: "GENERAL" }));
  }
  return { sender, recipient, other, thread };
}

async function countEach({ sender, recipient, other, thread }: Scene): Promise<Record<string, Count>> {
  const counts: Record<string, Count> = {};
  const count = async (name: string, action: () => Promise<unknown>): Promise<void> => {
    counts[name] = await counted(action);
  };
  // Else the first call of who knows one asks which namespace it is.
  const namespace = await bench.raw.hget(`${PREFIX}:meta`, "id");
  for (const { session } of [sender, recipient, other]) session.known.identify(namespace);
  const check = (filter: object) => () => recipient.checkMessages({ pendingOnly: true, limit: READ, ...filter });
  let id = "";
  await count("publish", async () => ({ messageId: id } = await sender.publishMessage(request())));
  await count("ack", () => recipient.ackMessage(id));
  await count("notifications", () => recipient.getNotifications({ limit: 10 }));
  await count("check, first time", check({}));
  await count("check, seen before", check({}));
  await count("check by sender", check({ from: SENDER }));
  await count("check by type", check({ type: "READY_FOR_REVIEW" }));
  await count("check by thread", check({ thread }));
  await count("show", () => recipient.showMessage(id));
  await count("touch", () => recipient.touch());
  await count("hook, nothing waiting", () => new Mailbox(other).glance());
  return counts;
}

/** At once, since one after the other a thousand take longer than all that is counted. */
async function beKnown(instances: number): Promise<void> {
  const entry = JSON.stringify({ last_heartbeat: new Date().toISOString(), left: false, session: {} });
  const names = Array.from({ length: instances }, (_, i) => `instance-${i}`);
  await bench.raw.hset(`${PREFIX}:presence`, Object.fromEntries(names.map((name) => [name, entry])));
}

describe("round trips and commands", () => {
  it("of each operation", async () => {
    const lines = Object.entries(await countEach(await scene())).map(
      ([name, { sent, called, commands }]) => `${name}: ${sent} → ${commands}: ${called}`,
    );
    expect(lines).toMatchInlineSnapshot(`
      [
        "publish: EVALSHA → 29: GET, HGET 3×, HMGET, HSET 2×, LLEN, PUBLISH 2×, RPUSH, SET, TIME, ZADD 7×, ZCARD 9×",
        "ack: EVALSHA → 16: HGET, HMGET 2×, HSET, LLEN, PUBLISH 2×, RPUSH, TIME, ZCARD 4×, ZREM 3×",
        "notifications: EVALSHA 2× → 20: HDEL 2×, HGET 2×, HGETALL, HINCRBY, HLEN 2×, HMGET 2×, HSET, LLEN 2×, LPOP, LRANGE, TIME 2×, ZCARD 2×, ZMSCORE",
        "check, first time: EVALSHA → 48: HGET, HMGET 21×, HSETNX 20×, TIME, ZCARD 3×, ZRANGE, ZREM",
        "check, seen before: EVALSHA → 27: HGET, HMGET 21×, TIME, ZCARD 3×, ZRANGE",
        "check by sender: EVALSHA → 42: HGET, HMGET 21×, HSETNX 10×, TIME, ZCARD 6×, ZMSCORE, ZRANGE, ZREM",
        "check by type: EVALSHA → 31: HGET, HMGET 21×, TIME, ZCARD 6×, ZMSCORE, ZRANGE",
        "check by thread: EVALSHA → 33: EXISTS, HGET 2×, HMGET 21×, TIME, ZCARD 6×, ZMSCORE, ZRANGE",
        "show: EVALSHA → 9: EXISTS, HGET, HLEN, HMGET 3×, TIME, ZCARD 2×",
        "touch: EVALSHA → 3: HGET, HMGET, TIME",
        "hook, nothing waiting: EVALSHA → 10: HGET, HLEN 2×, HMGET, LLEN 2×, TIME, ZCARD 3×",
      ]
    `);
  });

  it("are the same with many messages and instances as with few", async () => {
    const few = await countEach(await scene());
    await bench.clear();
    const large = await scene();
    // Behind what is read, and pending as well.
    await publishMany(large.sender, LARGE);
    await beKnown(CROWD);
    // The queue of events is at its bound, which is a case of its own.
    await bench.raw.ltrim(`${PREFIX}:notifications:${RECIPIENT}`, -READ, -1);
    expect(await countEach(large)).toEqual(few);
  });

  it("of a broadcast and of presence, for each instance", async () => {
    const [sender] = await bench.clients(SENDER, RECIPIENT);
    await sender.publishMessage(request({ type: "GENERAL" })); // the first of a type looks for what is too old
    const both = async (instances: number): Promise<number[]> => {
      await beKnown(instances);
      const broadcast = await counted(() => sender.publishMessage(request({ type: "GENERAL", to: "all" })));
      const presence = await counted(() => sender.getPresence());
      return [broadcast.commands, presence.commands];
    };
    const [few, many] = [await both(10), await both(110)];
    const each = many.map((commands, i) => (commands - few[i]!) / 100);
    expect(each).toMatchInlineSnapshot(`
      [
        9,
        1,
      ]
    `);
  });

  it("are at most three times those of a bare script of the same writes", async () => {
    const { sender, recipient } = await scene();
    const bare = await Bare.load(bench.raw);
    const key = "bare:meta";
    let id = "";
    let bareId = "";
    const ratio = async (ours: () => Promise<unknown>, theirs: () => Promise<unknown>): Promise<number> =>
      (await counted(ours)).commands / (await counted(theirs)).commands;
    const publish = await ratio(
      async () => ({ messageId: id } = await sender.publishMessage(request())),
      async () => (bareId = await bare.publish(key)),
    );
    const ack = await ratio(
      () => recipient.ackMessage(id),
      () => bare.ack(key, bareId),
    );
    expect(Math.max(publish, ack)).toBeLessThan(3);
  });
});

it("a settled message takes at most 1,500 bytes beyond its text", async () => {
  const [sender, recipient] = await bench.clients(SENDER, RECIPIENT);
  const { lasting } = await bytesPerMessage(bench.raw, sender, recipient, LARGE);
  expect(lasting).toBeLessThan(1500);
});
