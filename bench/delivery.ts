/** How long a message takes to the handler of a client that waits in another process; alone, and under the load of a large team. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { distribution, interleave, type Side, single, type Timing } from "./measure.ts";
import { type Answer, type Arrival, type LoadResult, type Start, stamped, type Task } from "./peer-messages.ts";
import { type Measured, row } from "./report.ts";
import { progress, RECIPIENT, request, SENDER, type World } from "./world.ts";

/** Beside this program, see tools/bootstrap.mjs. */
const PEER = fileURLToPath(new URL("bench-peer.mjs", import.meta.url));

/** After each delivery, so that the next one meets a client that waits again. */
const PAUSE_MILLISECONDS = 2;
const EFFORT = { rounds: 300, seconds: 20 };

const INSTANCES = 200;
const PEERS = 4;
const PER_SECOND = 2000;
const SECONDS = 60;
/** Four processes compile at once on the machine's cores; nobody's agents start all in one second. */
const WARM_UP_SECONDS = 5;
const START_IN_SECONDS = 1;
const STAGGER_NANOSECONDS = 500_000;
const SAMPLE_MILLISECONDS = 1000;
const PROGRESS_EVERY = 10;

export const LOAD: string = `${INSTANCES} connected instances, ${PER_SECOND} publishes a second for ${SECONDS} s`;

class Peer implements Disposable {
  readonly #process: ChildProcess;
  readonly #ended: Promise<never>;

  constructor(task: Task) {
    this.#process = fork(PEER, { env: { PATH: process.env["PATH"] } });
    this.#ended = once(this.#process, "exit").then(() => {
      throw new Error("a process of the bench has ended before its time");
    });
    this.#ended.catch(() => undefined);
    this.#process.send(task);
  }

  send(message: Start): void {
    this.#process.send(message);
  }

  /** The next answer. */
  async answer<T extends Answer>(): Promise<T> {
    const [message] = (await Promise.race([once(this.#process, "message"), this.#ended])) as [T];
    return message;
  }

  [Symbol.dispose](): void {
    if (this.#process.connected) this.#process.disconnect();
  }
}

export async function delivery(world: World): Promise<Measured> {
  const keyPrefix = "ours-delivery";
  const channel = "bare-delivery";
  const sender = await world.client(keyPrefix, SENDER);
  using peer = new Peer({ do: "listen", url: world.url, keyPrefix, instance: RECIPIENT, channel });
  await peer.answer();
  const pushes: number[] = [];
  const publishing: number[] = [];
  const side = (publish: (subject: string) => Promise<unknown>): Side => ({
    async time() {
      await sleep(PAUSE_MILLISECONDS);
      const arrival = peer.answer<Arrival>();
      const begun = performance.now();
      await publish(stamped(process.hrtime.bigint()));
      const published = (performance.now() - begun) * 1000;
      const { side: whose, microseconds, pushed } = await arrival;
      if (whose === "ours") {
        publishing.push(published);
        pushes.push(pushed!);
      }
      return microseconds;
    },
  });
  const timings = await interleave(
    {
      ours: side((subject) => sender.publishMessage(request({ subject }))),
      bare: side((subject) => world.bare.publish(channel, subject)),
    },
    EFFORT,
  );
  const [push, published] = [distribution(pushes).p50, distribution(publishing).p50];
  const breakdown = [
    { what: "from the call of publish to the push in the other process", amount: push },
    { what: "from the push to the call of the handler", amount: timings.ours.p50 - push },
    { what: "(beside these: from the call of publish to its receipt)", amount: published },
  ];
  return { rows: [row("published → handler of a waiting client", timings, { target: "delivery", breakdown })] };
}

export async function load(world: World): Promise<Measured> {
  const keyPrefix = "ours-load";
  const peers: Peer[] = [];
  try {
    const share = INSTANCES / PEERS;
    const common = { do: "load", url: world.url, keyPrefix, all: INSTANCES, perSecond: PER_SECOND / PEERS } as const;
    for (let i = 0; i < PEERS; i++) {
      const instances = { from: i * share, to: (i + 1) * share };
      peers.push(new Peer({ ...common, instances, seconds: SECONDS, warmUpSeconds: WARM_UP_SECONDS }));
    }
    await Promise.all(peers.map((peer) => peer.answer()));
    // All at the same time, each at its own moments.
    const start = process.hrtime.bigint() + BigInt(START_IN_SECONDS * 1e9);
    for (const [i, peer] of peers.entries()) peer.send({ startAt: String(start + BigInt(i * STAGGER_NANOSECONDS)) });
    const results = Promise.all(peers.map((peer) => peer.answer<LoadResult>()));
    return reportLoad(await sampleUntil(results, world.bare, keyPrefix), await results);
  } finally {
    for (const peer of peers) peer[Symbol.dispose]();
  }
}

interface Sample {
  /** Events that wait in the queues of all instances, and those that are lent and not confirmed yet. */
  queued: number;
  lent: number;
  /** Bytes that Redis could not hand to the sockets of clients yet. */
  buffered: number;
}

async function sampleUntil(ended: Promise<unknown>, redis: Redis, keyPrefix: string): Promise<Sample[]> {
  const samples: Sample[] = [];
  let running = true;
  const stop = (): void => void (running = false);
  ended.then(stop, stop);
  await sleep((START_IN_SECONDS + WARM_UP_SECONDS) * 1000);
  while (running) {
    samples.push(await sample(redis, keyPrefix));
    if (samples.length % PROGRESS_EVERY === 0) {
      const { queued, buffered } = samples.at(-1)!;
      progress(`${samples.length} s under load: ${queued} events queued, ${buffered} bytes of output buffered`);
    }
    await sleep(SAMPLE_MILLISECONDS);
  }
  return samples;
}

async function sample(redis: Redis, keyPrefix: string): Promise<Sample> {
  const names = Array.from({ length: INSTANCES }, (_, i) => `agent-${i}`);
  const sum = (numbers: readonly unknown[]): number => numbers.reduce<number>((total, n) => total + Number(n), 0);
  const [queues, leases, clients] = await Promise.all([
    Promise.all(names.map((name) => redis.llen(`${keyPrefix}:notifications:${name}`))),
    Promise.all(names.map((name) => redis.hlen(`${keyPrefix}:leases:${name}`))),
    redis.client("LIST") as Promise<string>,
  ]);
  const buffered = [...clients.matchAll(/ omem=(\d+)/g)].map(([, bytes]) => bytes);
  return { queued: sum(queues), lent: sum(leases), buffered: sum(buffered) };
}

function reportLoad(samples: readonly Sample[], results: readonly LoadResult[]): Measured {
  const failures = results.flatMap((result) => result.failures);
  if (failures.length > 0) throw new Error(`${failures.length} failures under load, the first: ${failures[0]}`);
  const published = results.reduce((sum, result) => sum + result.published, 0);
  const delays = results.flatMap((result) => result.delays);
  const late = distribution(results.flatMap((result) => result.late));
  const over = (of: keyof Sample): Timing => distribution(samples.map((each) => each[of]));
  const delivered = { ...distribution(delays), rate: delays.length / SECONDS };
  const breakdown = [
    { what: "from when a publish was due until it was sent (p50)", amount: late.p50 },
    { what: "from when a publish was due until it was sent (p99)", amount: late.p99 },
    { what: "from when it was sent to the handler (p50)", amount: delivered.p50 - late.p50 },
  ];
  const times = published.toLocaleString("en");
  const name = `${INSTANCES} instances, ${PER_SECOND.toLocaleString("en")} publishes a second`;
  return {
    rows: [
      row(`${name}: delivery of ${times}`, { ours: delivered }, { target: "loadDelivery", breakdown }),
      row(
        "… queued for all instances, each second",
        { ours: over("queued") },
        { unit: "events", target: "loadQueues" },
      ),
      row("… lent and not confirmed, each second", { ours: over("lent") }, { unit: "events", target: "loadQueues" }),
      row(
        "… not delivered two seconds after the last",
        { ours: single(published - delays.length) },
        {
          unit: "events",
          target: "loadLost",
        },
      ),
      row("… output buffers of Redis, each second", { ours: over("buffered") }, { unit: "bytes" }),
      row(
        "… publishes in flight, most of one process",
        {
          ours: distribution(results.map((result) => result.inFlightMaximum)),
        },
        { unit: "messages" },
      ),
    ],
  };
}
