/** Another process of the bench: a client that waits, or many that publish and wait. Told what to do, and answering, over IPC. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Mailbox } from "../src/client/mailbox.ts";
import { type CoordinationClient, getCoordinationClient } from "../src/client/client.ts";
import { Connection } from "../src/store/connection.ts";
import {
  type Answer,
  type ListenTask,
  type LoadResult,
  type LoadTask,
  type PingTask,
  stamped,
  stampIn,
  type Start,
  type Task,
} from "./peer-messages.ts";
import { unixSocket } from "./world.ts";

/** How long the last of the load may take. */
const SETTLE_MILLISECONDS = 2000;

const microsecondsSince = (stamp: bigint): number => Number(process.hrtime.bigint() - stamp) / 1000;
const answer = (message: Answer): unknown => process.send!(message);

async function listen({ url, keyPrefix, instance, channel }: ListenTask): Promise<void> {
  const client = await getCoordinationClient({ instanceId: instance, keyPrefix, redis: url, cwd: "/", env: {} });
  let pushedAt = 0n;
  await new Mailbox(client).listen(() => (pushedAt = process.hrtime.bigint()));
  const link = await new Connection(unixSocket(url), "bench").open();
  link.onMessage = (_, message) => answer({ side: "bare", microseconds: microsecondsSince(stampIn(message)) });
  await link.subscribe([channel]);
  setImmediate(() => answer("ready"));
  for await (const event of client.events()) {
    const stamp = stampIn(String(event["subject"]));
    const microseconds = microsecondsSince(stamp);
    answer({ side: "ours", microseconds, pushed: Number(pushedAt - stamp) / 1000 });
  }
}

async function load(task: LoadTask): Promise<void> {
  const { instances, all, perSecond, seconds, warmUpSeconds } = task;
  const result: LoadResult = { published: 0, delays: [], late: [], processor: 0, inFlightMaximum: 0, failures: [] };
  const clients: CoordinationClient[] = [];
  let countsFrom = 0n;
  const handle = async (client: CoordinationClient): Promise<void> => {
    for await (const event of client.events()) {
      if (event.event !== "message_published") continue; // of a full queue: so many were skipped
      const due = stampIn(String(event["subject"]));
      if (due >= countsFrom) result.delays.push(microsecondsSince(due));
    }
  };
  for (let i = instances.from; i < instances.to; i++) {
    const client = await getCoordinationClient({
      instanceId: `agent-${i}`,
      keyPrefix: task.keyPrefix,
      redis: task.url,
      cwd: "/",
      env: {},
      session: { host: "bench", agentPid: process.pid, id: `session-${i}` },
    });
    clients.push(client);
    handle(client).catch((error: unknown) => result.failures.push(String(error)));
  }
  const told = once(process, "message") as Promise<[Start]>;
  answer("ready");
  const [start] = await told;
  const startAt = BigInt(start.startAt);
  countsFrom = BigInt(start.countsFrom);
  const step = BigInt(Math.round(1e9 / perSecond));
  const total = perSecond * (seconds + warmUpSeconds);
  let flying = 0;
  let before: NodeJS.CpuUsage | undefined;
  const send = async (i: number, due: bigint): Promise<void> => {
    const sender = i % clients.length;
    const me = instances.from + sender;
    // Each sends to all others in turn.
    const to = (me + 1 + (Math.floor(i / clients.length) % (all - 1))) % all;
    result.inFlightMaximum = Math.max(result.inFlightMaximum, ++flying);
    if (due >= countsFrom) {
      if (result.published === 0) before = process.cpuUsage();
      result.published++;
      result.late.push(microsecondsSince(due));
    }
    try {
      const content = { subject: stamped(due), description: "done" };
      await clients[sender]!.publishMessage({ type: "NOTIFICATION", to: `agent-${to}`, ...content });
    } catch (error) {
      result.failures.push(String(error));
    }
    flying--;
  };
  // Open loop: a publish is sent when its time has come, whether or not those before it are through.
  for (let i = 0; i < total;) {
    for (const now = process.hrtime.bigint(); i < total && startAt + step * BigInt(i) <= now; i++) {
      void send(i, startAt + step * BigInt(i));
    }
    await sleep(1);
  }
  await sleep(SETTLE_MILLISECONDS);
  const { user, system } = process.cpuUsage(before);
  result.processor = user + system;
  answer(result);
  for (const client of clients) client.close();
}

/** Sends PINGs, and answers how long the longest took since it was asked last. */
async function ping({ url }: PingTask): Promise<void> {
  const link = await new Connection(unixSocket(url), "bench").open();
  let longest = 0;
  process.on("message", () => {
    answer({ microseconds: longest });
    longest = 0;
  });
  answer("ready");
  for (;;) {
    const begun = process.hrtime.bigint();
    await link.call("PING");
    longest = Math.max(longest, microsecondsSince(begun));
    await sleep(0);
  }
}

// Whoever has forked us is gone or done with us.
process.on("disconnect", () => process.exit(0));
process.once("message", (task: Task) => {
  void (task.do === "listen" ? listen(task) : task.do === "ping" ? ping(task) : load(task));
});
