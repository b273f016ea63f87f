/** What is measured. Each entry makes its own namespaces and returns the rows of the table. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { CoordinationClient } from "../src/client/client.ts";
import { Bare } from "./bare.ts";
import { inFlight, interleave, type Side, summary } from "./measure.ts";
import { type Row, row } from "./report.ts";
import { commands } from "./commands.ts";
import { drain, makeKnown, publishMany, RECIPIENT, request, SENDER, type World } from "./world.ts";

export interface Bench {
  about: string;
  run(world: World): Promise<Row[]>;
}

/** The aims of the core: p50 in multiples of a PING, and how much a thousand times more may cost. */
const AIM_PUBLISH = 2.2;
const AIM_ACK = 1.8;
const AIM_CHECK = 3.5;
const AIM_GROWTH = 1.15;
/** Of the Python module, in multiples of the same EVALSHA through redis-py. */
const AIM_PYTHON = 1.5;
const PYTHON_OUTPUT_MAXIMUM = 16 * 1024 * 1024;

const EVENTS = 10;
const CHECKED = 20;
const IN_FLIGHT = 64;
/** Long enough that filling and emptying the pipe hardly counts; the queue of events stays under its bound. */
const IN_FLIGHT_RUN = 15 * IN_FLIGHT;
/** How many instances a lively project has; presence and stats list them. */
const TEAM = 10;
const CROWD = 1000;
const INBOXES = [CHECKED, 1000, 100_000];

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

/** An operation against a PING and against its bare script. */
async function againstFloors(
  operation: string,
  bare: Bare,
  sides: { ours: Side; bare: Side },
  aim?: number,
): Promise<Row> {
  const timings = await interleave({ ping: { run: bare.ping }, ...sides });
  return row(operation, timings, aim === undefined ? undefined : { of: "ping", atMost: aim });
}

async function publish(world: World): Promise<Row[]> {
  const { sender, recipient, bare, prefix, key } = await pair(world, "publish");
  const sides = {
    ours: { prepare: () => drain(recipient), run: () => sender.publishMessage(request()) },
    bare: { prepare: () => bare.drain(prefix, RECIPIENT), run: () => bare.publish(key) },
  };
  return [await againstFloors("publish, one recipient", bare, sides, AIM_PUBLISH)];
}

async function pipelined(world: World): Promise<Row[]> {
  const { sender, recipient, bare, prefix, key } = await pair(world, "pipelined");
  const many = (one: () => Promise<unknown>) => () => inFlight(IN_FLIGHT_RUN, IN_FLIGHT, one);
  const operations = IN_FLIGHT_RUN;
  const sides = {
    ours: { operations, prepare: () => drain(recipient), run: many(() => sender.publishMessage(request())) },
    bare: { operations, prepare: () => bare.drain(prefix, RECIPIENT), run: many(() => bare.publish(key)) },
  };
  return [row(`publish, ${IN_FLIGHT} in flight, each`, await interleave(sides, { block: 1, warmUp: 5, rounds: 40 }))];
}

async function ack(world: World): Promise<Row[]> {
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
  return [await againstFloors("ack", bare, sides, AIM_ACK)];
}

async function notifications(world: World): Promise<Row[]> {
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
  return [await againstFloors(`notifications of ${EVENTS}`, bare, sides)];
}

async function check(world: World): Promise<Row[]> {
  const { sender, recipient, bare, key } = await pair(world, "check");
  const look = () => recipient.checkMessages({ pendingOnly: true, limit: CHECKED });
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
  const first = await interleave(
    {
      ping: { run: bare.ping },
      ours: { prepare: renew.ours, run: look },
      bare: { prepare: renew.bare, run: bareLook("0") },
    },
    { block: 1, warmUp: 100, rounds: 1000 },
  );
  const again = { ours: { run: look }, bare: { run: bareLook("1") } };
  return [
    row(`check of ${CHECKED} pending, first time`, first, { of: "ping", atMost: AIM_CHECK }),
    await againstFloors(`check of ${CHECKED} pending, seen before`, bare, again, AIM_CHECK),
  ];
}

/** Reads that list a team or one message. */
async function reads(world: World): Promise<Row[]> {
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
  return [
    await againstFloors(`presence of ${TEAM}`, bare, presence),
    await againstFloors("show", bare, show),
    await againstFloors(`stats of ${TEAM} instances`, bare, stats),
  ];
}

async function instances(world: World): Promise<Row[]> {
  const few = await pair(world, "few");
  const many = await pair(world, "many");
  await makeKnown(world, "ours-many", CROWD - 1); // and the recipient
  const side = ({ sender, recipient }: Pair): Side => ({
    prepare: () => drain(recipient),
    run: () => sender.publishMessage(request()),
  });
  const { ping, base, ours } = await interleave({ ping: { run: few.bare.ping }, base: side(few), ours: side(many) });
  return [
    row("publish, 1 known instance", { ping, ours: base }),
    row(`publish, ${CROWD} known instances`, { ping, ours, base }, { of: "base", atMost: AIM_GROWTH }),
  ];
}

async function inbox(world: World): Promise<Row[]> {
  const bare = await Bare.load(world.bare);
  const sides: Record<string, Side> = { ping: { run: bare.ping } };
  for (const size of INBOXES) {
    const { sender, recipient } = await pair(world, `inbox-${size}`);
    await publishMany(sender, size - CHECKED, { requiresAck: false });
    await publishMany(sender, CHECKED);
    sides[size] = { run: () => recipient.checkMessages({ pendingOnly: true, limit: CHECKED }) };
  }
  const timings = await interleave(sides);
  return INBOXES.map((size) => {
    const operation = `check of ${CHECKED} pending, inbox of ${size}`;
    const [ping, ours, base] = [timings["ping"]!, timings[size]!, timings[INBOXES[0]!]!];
    if (size === INBOXES[0]) return row(operation, { ping, ours });
    return row(operation, { ping, ours, base }, { of: "base", atMost: AIM_GROWTH });
  });
}

async function broadcast(world: World): Promise<Row[]> {
  const { sender, bare, prefix } = await pair(world, "broadcast");
  await makeKnown(world, "ours-broadcast", CROWD - 1);
  const sides = {
    ping: { run: bare.ping },
    ours: { run: () => sender.publishMessage(request({ type: "GENERAL", to: "all" })) },
    bare: { run: () => bare.zadds(`${prefix}:inbox`, CROWD) },
  };
  // Few, since each leaves a thousand entries in four places.
  return [
    row(`broadcast to ${CROWD} (bare: as many ZADDs)`, await interleave(sides, { block: 2, warmUp: 5, rounds: 60 })),
  ];
}

/** Measured by Python itself, beside the same EVALSHA through redis-py. */
async function python({ url }: World): Promise<Row[]> {
  const program = process.env["COORD_PYTHON"];
  if (program === undefined) {
    console.error("python was not measured: there is no Python 3.10 with redis-py.");
    return [];
  }
  const { stdout } = await promisify(execFile)(program, ["python/bench.py", url], { maxBuffer: PYTHON_OUTPUT_MAXIMUM });
  const measured = JSON.parse(stdout) as { operation: string; times: Record<"ping" | "ours" | "bare", number[]> }[];
  return measured.map(({ operation, times }) => {
    const timings = { ping: summary(times.ping), ours: summary(times.ours), bare: summary(times.bare) };
    return row(operation, timings, { of: "bare", atMost: AIM_PYTHON });
  });
}

export const BENCHES: Readonly<Record<string, Bench>> = {
  publish: { about: "publish to one recipient, one after the other", run: publish },
  pipelined: { about: `${IN_FLIGHT} publishes in flight on one connection`, run: pipelined },
  ack: { about: "acknowledge one message", run: ack },
  notifications: { about: `take ${EVENTS} events`, run: notifications },
  check: { about: `check of ${CHECKED} pending messages, for the first time and again`, run: check },
  reads: { about: "presence, show, stats", run: reads },
  instances: { about: `publish with 1 and with ${CROWD} known instances`, run: instances },
  inbox: { about: `check of ${CHECKED} pending in inboxes of ${INBOXES.join(", ")}`, run: inbox },
  python: { about: "publish and check through the Python module", run: python },
  broadcast: { about: `publish to all, ${CROWD} recipients`, run: broadcast },
  commands: { about: "whole processes: commands, scripts, hooks, the start and memory of the server", run: commands },
};
