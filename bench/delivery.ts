/** How long a message takes to the handler of a client that waits in another process; alone, and under the load of a large team. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { distribution, interleave, type Side, single, type Timing } from "./measure.ts";
import {
  type Answer,
  type Arrival,
  type Ask,
  type LoadResult,
  type Start,
  stamped,
  type Task,
} from "./peer-messages.ts";
import { type Measured, row } from "./report.ts";
import { type Caller, progress, RECIPIENT, request, SENDER, type World } from "./world.ts";

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

/** Another process of the bench, with one task. */
export class Peer implements Disposable {
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

  send(message: Start | Ask): void {
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
      bare: side((subject) => world.bare.call("PUBLISH", channel, subject)),
    },
    EFFORT,
  );
  const [push, published] = [distribution(pushes).p50, distribution(publishing).p50];
  const breakdown = [
    { what: "from the call of publish to the push in the other process", amount: push },
    { what: "from the push to the call of the handler", amount: timings.ours.p50 - push },
    { what: "(beside these: from the call of publish to its receipt)", amount: published },
  ];
  return { rows: [row("published → handler of a waiting client", timings, { breakdown })] };
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
    const countsFrom = String(start + BigInt(WARM_UP_SECONDS * 1e9));
    for (const [i, peer] of peers.entries()) {
      peer.send({ startAt: String(start + BigInt(i * STAGGER_NANOSECONDS)), countsFrom });
    }
    const results = Promise.all(peers.map((peer) => peer.answer<LoadResult>()));
    return reportLoad(await sampleUntil(results, world.bare, keyPrefix), await results);
  } finally {
    for (const peer of peers) peer[Symbol.dispose]();
  }
}

/** One look at what would grow, of all instances together. */
interface Sample {
  /** Events in the queues, and those that are lent and not confirmed yet. */
  queued: number;
  /** Bytes of pushes that Redis could not hand to the sockets yet. */
  buffered: number;
}

interface Samples {
  taken: Sample[];
  /** What Redis has used of the processor meanwhile, in microseconds. */
  processor: number;
}

async function sampleUntil(ended: Promise<unknown>, redis: Caller, keyPrefix: string): Promise<Samples> {
  const taken: Sample[] = [];
  let running = true;
  const stop = (): void => void (running = false);
  ended.then(stop, stop);
  await sleep((START_IN_SECONDS + WARM_UP_SECONDS) * 1000);
  const before = await processorMicroseconds(redis);
  while (running) {
    taken.push(await sample(redis, keyPrefix));
    if (taken.length % PROGRESS_EVERY === 0) {
      const { queued, buffered } = taken.at(-1)!;
      progress(`${taken.length} s under load: ${queued} events queued, ${buffered} bytes buffered`);
    }
    await sleep(SAMPLE_MILLISECONDS);
  }
  return { taken, processor: (await processorMicroseconds(redis)) - before };
}

async function sample(redis: Caller, keyPrefix: string): Promise<Sample> {
  const names = Array.from({ length: INSTANCES }, (_, i) => `agent-${i}`);
  const sum = (numbers: readonly unknown[]): number => numbers.reduce<number>((total, n) => total + Number(n), 0);
  const [queues, leases, clients] = await Promise.all([
    Promise.all(names.map((name) => redis.call("LLEN", `${keyPrefix}:notifications:${name}`))),
    Promise.all(names.map((name) => redis.call("HLEN", `${keyPrefix}:loans:${name}`))),
    redis.call("CLIENT", "LIST", "TYPE", "pubsub") as Promise<string>,
  ]);
  const buffered = [...clients.matchAll(/ omem=(\d+)/g)].map(([, bytes]) => bytes);
  return { queued: sum(queues) + sum(leases), buffered: sum(buffered) };
}

async function processorMicroseconds(redis: Caller): Promise<number> {
  const info = String(await redis.call("INFO", "cpu"));
  const seconds = [...info.matchAll(/^used_cpu_(?:user|sys):([\d.]+)/gm)].map(([, value]) => Number(value));
  return seconds.reduce((sum, value) => sum + value, 0) * 1e6;
}

function reportLoad({ taken, processor }: Samples, results: readonly LoadResult[]): Measured {
  const [failure] = results.flatMap((result) => result.failures);
  if (failure !== undefined) progress(`failed under load, among others: ${failure}`);
  const published = results.reduce((sum, result) => sum + result.published, 0);
  const delays = results.flatMap((result) => result.delays);
  const late = distribution(results.flatMap((result) => result.late));
  const over = (of: keyof Sample): { ours: Timing } => ({ ours: distribution(taken.map((each) => each[of])) });
  const delivered = { ...distribution(delays), rate: delays.length / SECONDS };
  const clients = results.reduce((sum, result) => sum + result.processor, 0);
  const breakdown = [
    { what: "from when a publish was due until it was sent, p50", amount: late.p50 },
    { what: "from then to the handler, p50", amount: delivered.p50 - late.p50 },
    { what: "(beside these: from when a publish was due until it was sent, p99)", amount: late.p99 },
    { what: "(processor time of Redis for each message)", amount: processor / published },
    { what: "(processor time of all clients for each message)", amount: clients / published },
    { what: "(processor time that the machine has for each message)", amount: (cpus().length * 1e6) / PER_SECOND },
  ];
  const name = `${INSTANCES} instances, ${PER_SECOND.toLocaleString("en")} publishes a second`;
  const lost = { ours: single(published - delays.length) };
  const inFlight = { ours: distribution(results.map((result) => result.inFlightMaximum)) };
  const all = published.toLocaleString("en");
  return {
    rows: [
      row(`${name}: delivery of ${all}`, { ours: delivered }, { target: "loadDelivery", breakdown }),
      row("… queued or lent, read every second", over("queued"), { unit: "events", target: "loadQueues" }),
      row("… output buffers of Redis, read every second", over("buffered"), { unit: "bytes", target: "loadBuffers" }),
      row(`… of ${all}, not delivered two seconds after the last`, lost, { unit: "events", target: "loadLost" }),
      row("… publishes in flight, most of each process", inFlight, { unit: "messages" }),
    ],
  };
}
