/** Several Redis servers that replace each other: a primary with its replicas and Sentinels, and a cluster. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureRedisServer } from "../src/server/install.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../src/server/throwaway.ts";
import { ADMINISTRATOR, leastPrivilege } from "./least-privilege.ts";
import { openRedis, type Redis } from "./raw-redis.ts";

const MASTER = "mymaster";
/** After that long without an answer a server counts as down; elections take a few of these. */
const DOWN_AFTER_MILLISECONDS = 500;
const READY_WITHIN_MILLISECONDS = 20_000;
const SLOTS = 16_384;

/** One server of a topology, which a test may kill, pause and ask behind the back of our programs. */
export interface Server extends ThrowawayRedis {
  readonly port: number;
  /** Logged in as administrator; comes back by itself. */
  readonly raw: Redis;
}

export abstract class Topology implements AsyncDisposable {
  readonly servers: readonly Server[];
  /** What a client is configured with. */
  abstract readonly env: Record<string, string>;

  protected constructor(servers: readonly Server[]) {
    this.servers = servers;
  }

  /** The server that takes the writes of the namespace, once one does. */
  abstract primary(): Promise<Server>;

  /** Resolves to the server that has taken the place of `earlier`. */
  async replaced(earlier: Server): Promise<Server> {
    return eventually(`a successor of port ${earlier.port}`, async () => {
      const primary = await this.primary();
      return primary !== earlier && primary;
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map(stopServer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  protected serverAt(port: number): Server {
    const found = this.servers.find((server) => server.port === port);
    if (found === undefined) throw new Error(`nothing of ours has the port ${port}`);
    return found;
  }
}

export class Watched extends Topology {
  readonly env: Record<string, string>;
  readonly #sentinels: readonly Sentinel[];

  constructor(servers: readonly Server[], sentinels: readonly Sentinel[]) {
    super(servers);
    this.#sentinels = sentinels;
    this.env = { COORD_SENTINELS: sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",") };
  }

  async primary(): Promise<Server> {
    return eventually("a primary that the Sentinels name", async () => {
      const named = await this.#sentinels[0]!.raw.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER);
      const server = this.serverAt(Number((named as string[])[1]));
      return (await isPrimary(server)) && server;
    });
  }

  override async stop(): Promise<void> {
    await Promise.all([super.stop(), ...this.#sentinels.map((sentinel) => sentinel.stop())]);
  }
}

export class Cluster extends Topology {
  readonly env: Record<string, string>;
  readonly #slot: number;

  constructor(servers: readonly Server[], slot: number) {
    super(servers);
    this.#slot = slot;
    this.env = { COORD_CLUSTER: servers.map(({ port }) => `127.0.0.1:${port}`).join(",") };
  }

  async primary(): Promise<Server> {
    return eventually(`a primary of slot ${this.#slot}`, async () => {
      for (const server of this.servers) {
        const slots = (await answer(server.raw.cluster("SLOTS"))) as [number, number, [string, number]][] | undefined;
        const held = slots?.find(([from, to]) => from <= this.#slot && this.#slot <= to);
        if (held === undefined) continue;
        const holder = this.serverAt(held[2][1]);
        if (await isPrimary(holder)) return holder;
      }
      return undefined;
    });
  }
}

/** One primary, its replicas and Sentinels, any majority of which elects another primary. */
/** Every replica has all that the primary has: what is killed next loses nothing, whichever is promoted. */
export async function inStep({ raw }: { raw: Redis }): Promise<void> {
  await eventually("every replica in step", async () => {
    const info = await raw.info("replication");
    const offset = /master_repl_offset:(\d+)/.exec(info)?.[1];
    return [...info.matchAll(/,offset=(\d+)/g)].every(([, theirs]) => theirs === offset);
  });
}

export async function startWatched(
  prefix: string,
  { replicas = 2, sentinels = 3 }: { replicas?: number; sentinels?: number } = {},
): Promise<Watched> {
  const servers = await startServers(1 + replicas, [...leastPrivilege(prefix), ...REPLICATION]);
  const [primary, ...others] = servers as [Server, ...Server[]];
  for (const { raw } of others) await raw.replicaof("127.0.0.1", String(primary.port));
  await eventually("every replica in step", async () => {
    const info = await primary.raw.info("replication");
    return info.match(/state=online/g)?.length === replicas;
  });
  const quorum = Math.floor(sentinels / 2) + 1;
  const watching = await Promise.all(Array.from({ length: sentinels }, () => startSentinel(primary.port, quorum)));
  // An election needs Sentinels that know each other and the replicas.
  await eventually("Sentinels that know each other", async () => {
    const known = await Promise.all(watching.map(({ raw }) => raw.call("SENTINEL", "MASTER", MASTER)));
    return known.every((fields) => {
      const field = (name: string): unknown => (fields as string[])[(fields as string[]).indexOf(name) + 1];
      return field("num-other-sentinels") === String(sentinels - 1) && field("num-slaves") === String(replicas);
    });
  });
  return new Watched(servers, watching);
}

/** As many primaries, which share the slots, and replicas of the one that holds the namespace. */
export async function startCluster(
  prefix: string,
  { primaries = 3, replicas = 1 }: { primaries?: number; replicas?: number } = {},
): Promise<Cluster> {
  const timeout = String(DOWN_AFTER_MILLISECONDS);
  const clustered = [
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    timeout,
    "--cluster-replica-validity-factor",
    "0",
  ];
  const servers = await startServers(primaries + replicas, [...leastPrivilege(prefix), ...REPLICATION, ...clustered]);
  const [first] = servers as [Server, ...Server[]];
  const slot = Number(await first.raw.cluster("KEYSLOT", `${prefix}:meta`));
  const start = (i: number): number => Math.floor((i * SLOTS) / primaries);
  for (const [i, { raw }] of servers.entries()) {
    // Or two may take the same epoch, which costs an election.
    await raw.cluster("SET-CONFIG-EPOCH", i + 1);
    if (i < primaries) await raw.call("CLUSTER", "ADDSLOTSRANGE", String(start(i)), String(start(i + 1) - 1));
    if (i > 0) await raw.cluster("MEET", "127.0.0.1", first.port);
  }
  const agreed = (): Promise<boolean> =>
    eventually("a cluster that every node knows", async () => {
      const infos = await Promise.all(servers.map(async ({ raw }) => String(await raw.cluster("INFO"))));
      return infos.every(
        (info) => info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${servers.length}`),
      );
    });
  await agreed();
  const holder = servers.findIndex((_, i) => i < primaries && slot >= start(i) && slot < start(i + 1));
  const id = String(await servers[holder]!.raw.cluster("MYID"));
  for (const { raw } of servers.slice(primaries)) {
    await eventually("a replica", () => answer(raw.cluster("REPLICATE", id)));
  }
  await eventually("every replica in step", async () => {
    const info = await servers[holder]!.raw.info("replication");
    return (info.match(/state=online/g)?.length ?? 0) === replicas;
  });
  await agreed();
  return new Cluster(servers, slot);
}

const REPLICATION = [
  "--bind",
  "127.0.0.1",
  "--repl-diskless-sync-delay",
  "0",
  "--masteruser",
  ADMINISTRATOR.username,
  "--masterauth",
  ADMINISTRATOR.password,
];

async function startServers(count: number, args: readonly string[]): Promise<Server[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const port = await freePort();
      const redis = await startThrowawayRedis({ args: [...args, "--port", String(port)] });
      const raw = openRedis({ path: redis.socketPath, ...ADMINISTRATOR });
      return { ...redis, port, raw };
    }),
  );
}

async function stopServer({ raw, stop }: Server): Promise<void> {
  raw.disconnect();
  await stop();
}

interface Sentinel {
  readonly port: number;
  readonly raw: Redis;
  stop(): Promise<void>;
}

/** Its input ends with us, however we end, and then the shell ends it. */
const WITH_US = '"$@" >/dev/null & read -r gone; kill -KILL $!';

async function startSentinel(primaryPort: number, quorum: number): Promise<Sentinel> {
  const port = await freePort();
  const dir = await mkdtemp(join(tmpdir(), "coord-sentinel-"));
  const file = join(dir, "sentinel.conf");
  const settings = [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${dir}`,
    `sentinel monitor ${MASTER} 127.0.0.1 ${primaryPort} ${quorum}`,
    `sentinel auth-user ${MASTER} ${ADMINISTRATOR.username}`,
    `sentinel auth-pass ${MASTER} ${ADMINISTRATOR.password}`,
    `sentinel down-after-milliseconds ${MASTER} ${DOWN_AFTER_MILLISECONDS}`,
    `sentinel failover-timeout ${MASTER} 4000`,
  ];
  await writeFile(file, `${settings.join("\n")}\n`);
  const program = await ensureRedisServer();
  const shell = spawn("/bin/sh", ["-c", WITH_US, "sentinel", program, file, "--sentinel"], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  const ended = once(shell, "exit");
  const raw = openRedis({ port });
  await eventually("a Sentinel that listens", () => answer(raw.ping()));
  return {
    port,
    raw,
    async stop() {
      raw.disconnect();
      shell.stdin.end();
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** On loopback, and low enough for the bus of a cluster, whose port is 10,000 above. */
async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    if (port <= 65_535 - 10_000) return port;
  }
}

async function isPrimary({ raw }: Server): Promise<boolean> {
  return ((await answer(raw.call("ROLE"))) as string[] | undefined)?.[0] === "master";
}

/** Undefined from a server that is away or refuses. */
async function answer<T>(reply: Promise<T>): Promise<T | undefined> {
  return reply.catch(() => undefined);
}

async function eventually<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = performance.now() + READY_WITHIN_MILLISECONDS;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${READY_WITHIN_MILLISECONDS} ms`);
    await sleep(20);
  }
}
