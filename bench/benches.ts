/** What is measured. Each entry makes its own namespaces and returns rows, and curves where something grows. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { CoordinationClient } from "../src/client/client.ts";
import { Bare } from "./bare.ts";
import { breakDown, type Work } from "./breakdown.ts";
import { commands } from "./commands.ts";
import { delivery, load, LOAD } from "./delivery.ts";
import { type Effort, inFlight, interleave, type Side, type Timing, timing } from "./measure.ts";
import { memory } from "./memory.ts";
import { type Curve, type Measured, type Row, row } from "./report.ts";
import { scale, SIZES } from "./scale.ts";
import { seals } from "./seals.ts";
import type { TargetName } from "./targets.ts";
import { waits } from "./waits.ts";
import { drain, makeKnown, publishMany, RECIPIENT, request, SENDER, type World } from "./world.ts";

export interface Bench {
  about: string;
  run(world: World): Promise<Measured>;
}

const PYTHON_OUTPUT_MAXIMUM = 16 * 1024 * 1024;

const EVENTS = 10;
const CHECKED = 20;
const IN_FLIGHT = 64;
/** Long enough that filling and emptying the pipe hardly counts; the queue of events stays under its bound. */
const IN_FLIGHT_RUN = 15 * IN_FLIGHT;
/** Nobody acknowledges there: with the usual maximum the sender would soon hold its half. */
const IN_FLIGHT_MESSAGES = 10_000_000;
const IN_FLIGHT_EFFORT = { block: 1, rounds: 60 };
/** Its preparation takes much longer than what is timed. */
const RENEWED_EFFORT = { block: 1, rounds: 1000 };
/** Few, since each leaves a thousand entries in several places. */
const BROADCAST_EFFORT = { block: 2, rounds: 60 };
/** How many instances a lively project has; show and stats list them. */
const TEAM = 10;
const CROWD = 1000;
const CROWDS = [1, 10, 100, CROWD];
const INBOXES = [CHECKED, 1000, 10_000, 100_000];

/** Two namespaces of equal names and contents: the product's, and the one the bare scripts work on. */
interface Pair {
  sender: CoordinationClient;
  recipient: CoordinationClient;
  bare: Bare;
  prefix: string;
  key: string;
}

async function pair(world: World, name: string): Promise<Pair> {
  const sender = await world.client(`ours-${name}`, SENDER);
  const recipient = await world.client(`ours-${name}`, RECIPIENT);
  await recipient.touch();
  const prefix = `bare-${name}`;
  return { sender, recipient, bare: await Bare.load(world.bare), prefix, key: `${prefix}:meta` };
}

/** An operation against a PING and against its bare script, and where its time goes. */
async function againstFloors(
  world: World,
  operation: string,
  sides: { ours: Work; bare: Side },
  target?: TargetName,
  effort?: Effort,
): Promise<Row> {
  const timings = await interleave({ ping: { run: () => world.bare.call("PING") }, ...sides }, effort);
  const breakdown = await breakDown(world.bare, sides.ours, timings);
  return row(operation, timings, { breakdown, ...(target === undefined ? {} : { target }) });
}

async function publish(world: World): Promise<Measured> {
  const { sender, recipient, bare, prefix, key } = await pair(world, "publish");
  const sides = {
    ours: { prepare: () => drain(recipient), run: () => sender.publishMessage(request()) },
    bare: { prepare: () => bare.drain(prefix, RECIPIENT), run: () => bare.publish(key) },
  };
  return { rows: [await againstFloors(world, "publish, one recipient", sides)] };
}

async function pipelined(world: World): Promise<Measured> {
  const { sender, recipient, bare, prefix, key } = await pair(world, "pipelined");
  await sender.changeNamespaceSetting("max_messages", IN_FLIGHT_MESSAGES);
  const many = (one: () => Promise<unknown>) => () => inFlight(IN_FLIGHT_RUN, IN_FLIGHT, one);
  const operations = IN_FLIGHT_RUN;
  const sides = {
    ours: { operations, prepare: () => drain(recipient), run: many(() => sender.publishMessage(request())) },
    bare: { operations, prepare: () => bare.drain(prefix, RECIPIENT), run: many(() => bare.publish(key)) },
  };
  const timings = await interleave(sides, IN_FLIGHT_EFFORT);
  const one = { prepare: sides.ours.prepare, run: () => sender.publishMessage(request()) };
  // In flight the round trips overlap: what is left of the time is work of Redis and of the client.
  const breakdown = await breakDown(world.bare, one, { ours: timings.ours, ping: timing([0]) });
  return { rows: [row(`publish, ${IN_FLIGHT} in flight, each`, timings, { breakdown })] };
}

async function ack(world: World): Promise<Measured> {
  const { sender, recipient, bare, prefix, key } = await pair(world, "ack");
  let ours: string[] = [];
  let theirs: string[] = [];
  const sides = {
    ours: {
      async prepare(runs: number) {
        ours = await publishMany(sender, runs);
        await Promise.all([drain(recipient), drain(sender)]);
      },
      run: () => recipient.ackMessage(ours.pop()!),
    },
    bare: {
      async prepare(runs: number) {
        theirs = await Promise.all(Array.from({ length: runs }, () => bare.publish(key)));
        await Promise.all([bare.drain(prefix, RECIPIENT), bare.drain(prefix, SENDER)]);
      },
      run: () => bare.ack(key, theirs.pop()!),
    },
  };
  return { rows: [await againstFloors(world, "ack", sides)] };
}

async function notifications(world: World): Promise<Measured> {
  const { sender, recipient, bare, key } = await pair(world, "notifications");
  const sides = {
    ours: {
      prepare: (runs: number) => publishMany(sender, runs * EVENTS),
      run: () => recipient.getNotifications({ limit: EVENTS }),
    },
    bare: {
      prepare: (runs: number) => Promise.all(Array.from({ length: runs * EVENTS }, () => bare.publish(key))),
      run: () => bare.run("notifications", key, RECIPIENT, EVENTS),
    },
  };
  return { rows: [await againstFloors(world, `notifications of ${EVENTS}`, sides)] };
}

async function check(world: World): Promise<Measured> {
  const { sender, recipient, bare, key } = await pair(world, "check");
  const run = (): Promise<unknown> => recipient.checkMessages({ pendingOnly: true, limit: CHECKED });
  let ours: string[] = [];
  let theirs: string[] = [];
  const renew = {
    // Exactly as many pending as a check returns, none of them presented.
    async ours() {
      if (ours.length > 0) await recipient.ackMessage(ours);
      ours = await publishMany(sender, CHECKED);
    },
    async bare() {
      await Promise.all(theirs.map((id) => bare.ack(key, id)));
      theirs = await Promise.all(Array.from({ length: CHECKED }, () => bare.publish(key)));
    },
  };
  const bareLook = (seen: "0" | "1") => () => bare.run("check", key, RECIPIENT, CHECKED, seen);
  const first = { ours: { prepare: renew.ours, run }, bare: { prepare: renew.bare, run: bareLook("0") } };
  const again = { ours: { run }, bare: { run: bareLook("1") } };
  return {
    rows: [
      await againstFloors(world, `check of ${CHECKED} pending, first time`, first, undefined, RENEWED_EFFORT),
      await againstFloors(world, `check of ${CHECKED} pending, seen before`, again),
    ],
  };
}

/** Reads that list a team or one message. */
async function reads(world: World): Promise<Measured> {
  const { sender, recipient, bare, key, prefix } = await pair(world, "reads");
  await makeKnown(world, "ours-reads", TEAM - 2);
  const [id] = (await publishMany(sender, CHECKED)) as [string];
  // The same contents for the bare scripts.
  const other = await world.client(prefix, SENDER);
  await makeKnown(world, prefix, TEAM - 1);
  const [otherId] = (await publishMany(other, CHECKED)) as [string];
  const show = {
    ours: { run: () => recipient.showMessage(id) },
    bare: { run: () => bare.run("show", key, otherId, RECIPIENT) },
  };
  const presence = { ours: { run: () => recipient.getPresence() }, bare: { run: () => bare.run("presence", key) } };
  const stats = { ours: { run: () => recipient.getStats() }, bare: { run: () => bare.run("stats", key) } };
  return {
    rows: [
      await againstFloors(world, `presence of ${TEAM} instances`, presence),
      await againstFloors(world, "show", show),
      await againstFloors(world, `stats of ${TEAM} instances`, stats),
    ],
  };
}

/** Every instance with a session, as agents have one. */
async function crowd(world: World): Promise<Measured> {
  const prefix = "ours-presence";
  const recipient = await world.client(prefix, RECIPIENT);
  await recipient.touch();
  await makeKnown(world, prefix, CROWD - 1, { sessions: true });
  const sides = {
    ours: { run: () => recipient.getPresence() },
    bare: { run: () => world.bare.call("HVALS", `${prefix}:presence`) },
  };
  return {
    rows: [await againstFloors(world, `presence of ${CROWD.toLocaleString("en")} instances`, sides)],
  };
}

async function instances(world: World): Promise<Measured> {
  const sides: Record<string, Side> = { ping: { run: () => world.bare.call("PING") } };
  for (const size of CROWDS) {
    const { sender, recipient } = await pair(world, `known-${size}`);
    await makeKnown(world, `ours-known-${size}`, size - 1); // and the recipient
    sides[size] = { prepare: () => drain(recipient), run: () => sender.publishMessage(request()) };
  }
  const timings = await interleave(sides);
  const points = CROWDS.map((size): [number, number] => [size, timings[size]!.p50]);
  return {
    rows: grown(timings, CROWDS, (size) => `publish, ${amount(size, "known instance")}`),
    curves: [
      {
        name: "instances",
        title: "publish to one recipient",
        x: "known instances",
        y: "µs, p50",
        lines: [{ name: "publish", points }],
      },
    ],
  };
}

async function inbox(world: World): Promise<Measured> {
  const sides: Record<string, Side> = { ping: { run: () => world.bare.call("PING") } };
  for (const size of INBOXES) {
    const { sender, recipient } = await pair(world, `inbox-${size}`);
    await publishMany(sender, size - CHECKED, { requiresAck: false });
    await publishMany(sender, CHECKED);
    sides[size] = { run: () => recipient.checkMessages({ pendingOnly: true, limit: CHECKED }) };
  }
  const timings = await interleave(sides);
  const points = INBOXES.map((size): [number, number] => [size, timings[size]!.p50]);
  return {
    rows: grown(timings, INBOXES, (size) => `check of ${CHECKED} pending, inbox of ${size.toLocaleString("en")}`),
    curves: [
      {
        name: "inbox",
        title: `check of ${CHECKED} pending`,
        x: "messages in the inbox",
        y: "µs, p50",
        lines: [{ name: "check", points }],
      },
    ],
  };
}

/** A row for each size, those behind the first against the first. */
function grown(timings: Record<string, Timing>, sizes: readonly number[], name: (size: number) => string): Row[] {
  const ping = timings["ping"]!;
  return sizes.map((size) => {
    const ours = timings[size]!;
    if (size === sizes[0]) return row(name(size), { ping, ours });
    return row(name(size), { ping, ours, base: timings[sizes[0]!]! }, { target: "growth" });
  });
}

async function broadcast(world: World): Promise<Measured> {
  const rows: Row[] = [];
  const [ours, zadds]: [number, number][][] = [[], []];
  for (const size of CROWDS) {
    const { sender, bare, prefix } = await pair(world, `all-${size}`);
    await makeKnown(world, `ours-all-${size}`, size - 1); // and the recipient
    const names = [RECIPIENT, ...Array.from({ length: size - 1 }, (_, i) => `instance-${i}`)];
    const queues = names.map((name) => `ours-all-${size}:notifications:${name}`);
    const sides = {
      ours: {
        // A queue of events at its bound makes every further publish dearer.
        prepare: () => world.bare.call("DEL", ...queues),
        run: () => sender.publishMessage(request({ type: "GENERAL", to: "all" })),
      },
      bare: { run: () => bare.zadds(`${prefix}:inbox`, size) },
    };
    const operation = `broadcast to ${amount(size, "instance")} (bare: as many ZADDs)`;
    const whole = size === CROWD;
    const measured = await againstFloors(
      world,
      operation,
      sides,
      whole ? "broadcast" : undefined,
      whole ? BROADCAST_EFFORT : { seconds: 2 },
    );
    rows.push(measured);
    ours!.push([size, measured.timings.ours.p50]);
    zadds!.push([size, measured.timings.bare!.p50]);
  }
  const lines = [
    { name: "broadcast", points: ours! },
    { name: "as many ZADDs in one script", points: zadds! },
  ];
  const curve: Curve = { name: "broadcast", title: "publish to all", x: "recipients", y: "µs, p50", lines };
  return { rows, curves: [curve] };
}

const amount = (count: number, what: string): string =>
  `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

/** Measured by Python itself, beside the same EVALSHA through redis-py. */
async function python({ url }: World): Promise<Measured> {
  const program = process.env["COORD_PYTHON"];
  if (program === undefined) {
    console.error("python was not measured: there is no Python 3.10 with redis-py.");
    return { rows: [] };
  }
  const { stdout } = await promisify(execFile)(program, ["python/bench.py", url], { maxBuffer: PYTHON_OUTPUT_MAXIMUM });
  const measured = JSON.parse(stdout) as { operation: string; times: Record<"ping" | "ours" | "bare", number[]> }[];
  const rows = measured.map(({ operation, times }) => {
    const timings = { ping: timing(times.ping), ours: timing(times.ours), bare: timing(times.bare) };
    return row(operation, timings, { target: "python" });
  });
  return { rows };
}

export const BENCHES: Readonly<Record<string, Bench>> = {
  publish: { about: "publish to one recipient, one after the other", run: publish },
  pipelined: { about: `${IN_FLIGHT} publishes in flight on one connection`, run: pipelined },
  ack: { about: "acknowledge one message", run: ack },
  notifications: { about: `take ${EVENTS} events`, run: notifications },
  check: { about: `check of ${CHECKED} pending messages, for the first time and again`, run: check },
  scale: {
    about: `all of these with up to ${SIZES.at(-1)!.toLocaleString("en")} messages, and with filters`,
    run: scale,
  },
  instances: { about: `publish with ${CROWDS.join(", ")} known instances`, run: instances },
  inbox: { about: `check of ${CHECKED} pending in inboxes of ${INBOXES.join(", ")}`, run: inbox },
  broadcast: { about: `publish to all, ${CROWDS.join(", ")} recipients`, run: broadcast },
  presence: { about: `presence of ${CROWD} instances`, run: crowd },
  reads: { about: `presence, show, stats of ${TEAM} instances`, run: reads },
  seals: { about: "publish, check and show where senders are proven, and where nobody asks", run: seals },
  delivery: { about: "from a publish to the handler of a waiting client, in two processes", run: delivery },
  load: { about: LOAD, run: load },
  waits: { about: "how long another client's PING waits while a verb runs, at 1,000 instances", run: waits },
  memory: { about: "memory of Redis for each message", run: memory },
  python: { about: "publish and check through the Python module", run: python },
  commands: { about: "whole processes: commands, scripts, hooks, the start and memory of the server", run: commands },
};
