/** Faults of the one Redis server. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "../raw-redis.ts";
import { eventually } from "./load.ts";
import type { Random } from "./random.ts";
import type { Scene } from "./scene.ts";
import { DurableRedis } from "./server.ts";
import type { Fault, FaultyGround } from "./trial.ts";

/** How long it is away, at most, before it is started again. */
const AWAY_MILLISECONDS = 300;
const OVERFLOW_WITHIN_MILLISECONDS = 15_000;
/** Refused so often by each publisher, a memory limit was met at several places of a fan-out. */
const REFUSALS = 3;
const REFUSED_WITHIN_MILLISECONDS = 30_000;

type Strike = (server: DurableRedis, scene: Scene, random: Random) => Promise<void>;

export function onServer(server: DurableRedis, strike: Strike): FaultyGround {
  return { ...server.ground(), strike: (scene, random) => strike(server, scene, random) };
}

export const KILLED_SERVER: Fault = {
  name: "redis",
  title: "Redis killed with -9 under load and started again, with `appendfsync always`",
  trials: 30,
  trialsAScene: 10,
  load: {},
  prepare: async () =>
    onServer(await DurableRedis.start(), async (server, _scene, random) => {
      await server.kill();
      await sleep(random.between(0, AWAY_MILLISECONDS));
      await server.start();
    }),
};

const COMMANDS: readonly Strike[] = [
  async ({ raw }) => void (await raw.script("FLUSH")),
  async ({ raw }) => void (await raw.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")),
  async ({ raw }) => void (await raw.call("CLIENT", "KILL", "TYPE", "pubsub")),
  async ({ raw }, _scene, random) => void (await raw.call("DEBUG", "SLEEP", random.between(0.01, 1).toFixed(3))),
  overflowSubscriber,
];

/** A subscriber that does not read, and whose buffer may not grow: Redis closes its connection. */
async function overflowSubscriber({ raw }: DurableRedis, scene: Scene): Promise<void> {
  const watcher = scene.readers.find(({ task }) => task.role === "watch")!;
  const mine = async (): Promise<string[]> => (await pubsubClients(raw)).filter((line) => line.includes(" sub=1 "));
  await raw.config("SET", "client-output-buffer-limit", "pubsub 1024 0 0");
  watcher.hold();
  try {
    const before = (await mine()).map(idOf);
    await eventually("Redis closes a subscription", OVERFLOW_WITHIN_MILLISECONDS, async () => {
      const now = (await mine()).map(idOf);
      return before.some((id) => !now.includes(id));
    });
  } finally {
    watcher.resume();
    await raw.config("SET", "client-output-buffer-limit", "pubsub 33554432 8388608 60");
  }
}

async function pubsubClients(raw: Redis): Promise<string[]> {
  return String(await raw.call("CLIENT", "LIST", "TYPE", "pubsub"))
    .trim()
    .split("\n");
}

function idOf(client: string): string {
  return client.split(" ", 1)[0]!;
}

export const SERVER_COMMANDS: Fault = {
  name: "commands",
  title:
    "`SCRIPT FLUSH`, `CLIENT KILL` of commands and of subscriptions, `DEBUG SLEEP`, output buffer limit of a subscriber",
  trials: 50,
  trialsAScene: 10,
  load: {},
  prepare: async () => {
    let trial = 0;
    return onServer(await DurableRedis.start(), (...place) => COMMANDS[trial++ % COMMANDS.length]!(...place));
  },
};

export const MEMORY: Fault = {
  name: "memory",
  title: "memory limit reached with `noeviction` in the middle of a fan-out to 200, and raised again",
  trials: 20,
  trialsAScene: 10,
  load: { crowd: 200, broadcastEvery: 2, insists: false, descriptionBytes: 4000, pauseMilliseconds: 20 },
  prepare: async () =>
    onServer(await DurableRedis.start(), async ({ raw }, { publishers }, random) => {
      const marks = publishers.map((publisher) => publisher.read().length);
      const used = Number(/^used_memory:(\d+)/m.exec(await raw.info("memory"))![1]);
      await raw.config("SET", "maxmemory", String(used + random.whole(100_000, 1_000_000)));
      try {
        await eventually("every publisher is refused", REFUSED_WITHIN_MILLISECONDS, () =>
          publishers.every((publisher, i) => {
            const refusals = publisher.since(marks[i]!, "failed");
            const unclear = refusals.find(({ message }) => !message!.includes("out of memory, nothing was stored"));
            if (unclear !== undefined) throw new Error(`out of memory was told as: ${unclear.message}`);
            return refusals.length >= REFUSALS;
          }),
        );
      } finally {
        await raw.config("SET", "maxmemory", "0");
      }
    }),
};
