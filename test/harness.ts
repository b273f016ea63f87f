/** What the tests share: a real Redis for each file, clients that get closed, and the whole state as one value. */
import { type AddressInfo, createServer, type Server, type Socket, connect } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { afterAll, afterEach, beforeAll, onTestFinished } from "vitest";
import { CoordinationClient } from "../src/client/client.ts";
import { type ClientOptions, CoordinationError, getCoordinationClient } from "../src/index.ts";
import { resolveSettings } from "../src/client/settings.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../src/server/throwaway.ts";
import { EXPORT_COMMANDS } from "../src/store/acl.ts";
import { ADMINISTRATOR, leastPrivilege, namespaceRights } from "./least-privilege.ts";
import { PATIENCE_MS } from "./patience.ts";
import { openRedis, type Redis } from "./raw-redis.ts";
import { startCluster } from "./topologies.ts";

/** `npx vitest run test/core` runs on one Redis, with COORD_TEST_ENGINE=cluster on a cluster of three nodes. */
export const ON_CLUSTER: boolean = process.env["COORD_TEST_ENGINE"] === "cluster";

/** What stands before every key. */
export const PREFIX: string = ON_CLUSTER ? "{coord}" : "coord";

/** Every key below the prefix with its value; an expiry, in whole hours, stands beside a string. */
export type State = Record<string, unknown>;

/** A Redis for one test file, emptied after every test. Call it at the top of the file. */
export function useRedis(args: readonly string[] = []): Bench {
  const bench = new Bench();
  beforeAll(async () => bench.start(args));
  afterEach(async () => bench.clear());
  afterAll(async () => bench.stop());
  return bench;
}

export class Bench {
  redis!: ThrowawayRedis;
  /** A connection without any of our code in between, and with every right; our programs have those of `coord acl`. */
  raw!: Redis;
  /** Where it is, as error messages say. */
  address!: string;
  #env: Record<string, string> = {};
  #stop: () => Promise<void> = () => this.redis.stop();
  readonly #clients: CoordinationClient[] = [];

  async start(args: readonly string[]): Promise<void> {
    if (ON_CLUSTER) return this.#startCluster();
    this.redis = await startThrowawayRedis({ args: [...leastPrivilege(PREFIX), ...args] });
    this.raw = openRedis({ path: this.redis.socketPath, ...ADMINISTRATOR });
    this.address = this.redis.socketPath;
    this.#env = { REDIS_URL: this.redis.url };
  }

  /** What a test does behind our programs, it does at the node that holds the namespace. */
  async #startCluster(): Promise<void> {
    const cluster = await startCluster(PREFIX, { replicas: 0 });
    this.redis = await cluster.primary();
    this.raw = openRedis({ path: this.redis.socketPath, ...ADMINISTRATOR });
    this.#env = cluster.env;
    this.address = `the cluster ${cluster.env["COORD_CLUSTER"]!.replaceAll(",", ", ")}`;
    this.#stop = () => cluster.stop();
  }

  async clear(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    await this.raw.flushall();
  }

  async stop(): Promise<void> {
    this.raw.disconnect();
    await this.#stop();
  }

  /** A connected, long-lived client; nothing of the environment of the tests reaches it. */
  async client(instanceId: string, options: ClientOptions = {}): Promise<CoordinationClient> {
    const client = await getCoordinationClient(this.options(instanceId, options));
    this.#clients.push(client);
    return client;
  }

  /** Connected clients of these names, all of them known to presence. */
  async clients<const N extends readonly string[]>(...names: N): Promise<{ [I in keyof N]: CoordinationClient }> {
    const clients = await Promise.all(names.map((name) => this.client(name)));
    for (const client of clients) await client.touch();
    return clients as { [I in keyof N]: CoordinationClient };
  }

  /** A client as a single command has it: not yet connected, and gone with the first failure. */
  command(instanceId: string | undefined, options: ClientOptions = {}): CoordinationClient {
    const settings = resolveSettings(this.options(instanceId, options));
    const client = new CoordinationClient(settings);
    this.#clients.push(client);
    return client;
  }

  /** Lets our programs use a further namespace. */
  async admit(prefix: string): Promise<void> {
    await this.raw.call("ACL", "SETUSER", "default", ...namespaceRights(prefix));
  }

  /** Makes our programs the user of `coord acl --export`. */
  async admitExports(): Promise<void> {
    await this.raw.call("ACL", "SETUSER", "default", ...EXPORT_COMMANDS.map((command) => `+${command}`));
  }

  /** Cuts the connections of that kind, all but our own. */
  async kill(kind: "normal" | "pubsub"): Promise<void> {
    await this.raw.call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes");
  }

  /** Connects to this Redis, unless the given options say otherwise; without deadlines, which would stand in every state. */
  options(instanceId: string | undefined, given: ClientOptions = {}): ClientOptions {
    const here = { COORD_ACK_TIMEOUT_SECONDS: "0", ...("redis" in given ? {} : this.#env) };
    return { instanceId, keyPrefix: PREFIX, cwd: "/", ...given, env: { ...here, ...given.env } };
  }

  /** Lets every deadline pass now. */
  async passDeadlines(): Promise<void> {
    const key = `${PREFIX}:deadlines`;
    for (const member of await this.raw.zrange(key, "0", "-1")) await this.raw.zadd(key, "XX", "1", member);
  }

  /** Puts instances into presence as if they were last heard of so many seconds ago. */
  async seen(ages: Record<string, number>, left = false): Promise<void> {
    for (const [name, age] of Object.entries(ages)) {
      const entry = {
        last_heartbeat: new Date(Date.now() - age * 1000).toISOString(),
        left,
        session: left ? { number: 1 } : {},
      };
      await this.raw.hset(`${PREFIX}:presence`, name, JSON.stringify(entry));
    }
  }

  /** The whole namespace, made comparable by `plain`; a sorted set as its members in order (see `scored`). */
  async state(): Promise<State> {
    return this.plain(await this.#dump());
  }

  /** What an action changes: every key that differs after it, `undefined` where it is gone. */
  async changes(action: () => unknown): Promise<State> {
    const before = await this.state();
    await action();
    const after = await this.state();
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    const differs = (name: string): boolean => !isDeepStrictEqual(before[name], after[name]);
    return Object.fromEntries(names.filter(differs).map((name) => [name, after[name]]));
  }

  /** Ids become m1, m2 … in their order, times `<time>`, idempotency keys that clients made up `<uuid>`, seals `<digest>`. */
  async plain<T>(value: T): Promise<T> {
    const text = JSON.stringify([value, await this.#timeline()]);
    const ids = [...new Set(text.match(ID) ?? [])].sort();
    const replaced = (part: string): string =>
      part
        .replace(ID, (id) => `m${ids.indexOf(id) + 1}`)
        .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, "<time>")
        .replace(/(?<!\d)\d{16}(?!\d)/g, "<time>")
        .replace(/^[0-9a-f]{40}$/, "<digest>")
        .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, "<uuid>");
    return mapText(value, replaced) as T;
  }

  async #timeline(): Promise<string[]> {
    return (await this.raw.type(`${PREFIX}:timeline`)) === "zset"
      ? this.raw.zrange(`${PREFIX}:timeline`, "0", "-1")
      : [];
  }

  async #dump(): Promise<State> {
    const { raw } = this;
    const names = (await raw.keys(`${PREFIX}:*`)).sort();
    // All at once: one after the other, a state of twenty keys takes longer than most of what the tests do.
    const values = await Promise.all(names.map((key) => this.#value(key)));
    const state: State = Object.fromEntries(names.map((key, i) => [key.slice(PREFIX.length + 1), values[i]]));
    // Instead of a time: whose stamp it is.
    const meta = state["meta"] as Record<string, unknown> | undefined;
    delete meta?.["id"]; // another one each time
    const newest = (await this.#timeline()).at(-1);
    if (newest !== undefined && meta?.["stamp"] === String(stampOf(newest))) meta["stamp"] = newest;
    return state;
  }

  async #value(key: string): Promise<unknown> {
    const { raw } = this;
    const type = await raw.type(key);
    if (type === "hash") return sorted(mapValues(await raw.hgetall(key), parsed));
    if (type === "zset") return scored(await raw.zrange(key, "0", "-1", "WITHSCORES"));
    if (type === "set") return (await raw.smembers(key)).sort();
    if (type === "list") return (await raw.lrange(key, 0, -1)).map(parsed);
    return { text: await raw.get(key), expires_hours: Math.ceil((await raw.ttl(key)) / 3600) };
  }
}

/** All but the example that a hint gives. */
const ID = /msg-(?!0123456789)[0-9a-z]{10}/g;

/** The stamp, in microseconds, that an id is made of. */
export function stampOf(id: string): number {
  return Number.parseInt(id.slice("msg-".length), 36);
}

export function idOf(stamp: number): string {
  return `msg-${stamp.toString(36).padStart(10, "0")}`;
}

/** A score that is the stamp of its id goes without saying; any other is put beside it. */
function scored(flat: readonly string[]): string[] {
  const members = [];
  for (let i = 0; i < flat.length; i += 2) {
    const [member, score] = [flat[i]!, flat[i + 1]!];
    members.push(String(stampOf(member)) === score ? member : `${member} scored ${score}`);
  }
  return members;
}

/** What is JSON of a presence entry or an event, as its value. */
function parsed(text: string): unknown {
  if (!text.startsWith("{")) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function mapText(value: unknown, replaced: (text: string) => string): unknown {
  if (typeof value === "string") return replaced(value);
  if (Array.isArray(value)) return value.map((item) => mapText(item, replaced));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [replaced(name), mapText(item, replaced)]));
}

function mapValues<A, B>(record: Record<string, A>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}

function sorted<T>(record: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The refusal a promise ends in. Fails when it does not end in one, within `milliseconds`. */
export async function refused(
  promise: Promise<unknown>,
  milliseconds: number = PATIENCE_MS,
): Promise<CoordinationError> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
  });
  try {
    const outcome = await Promise.race([
      late,
      promise.then(
        (value) => new Error(`not refused, but ${JSON.stringify(value)}`),
        (error: unknown) => error,
      ),
    ]);
    if (outcome instanceof CoordinationError) return outcome;
    throw outcome;
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves once `probe` returns neither undefined nor false. */
export async function until<T>(
  probe: () => Promise<T | undefined | false>,
  milliseconds: number = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`it did not happen within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Listens on a free loopback port until the test is over. */
export async function startServer(accept: (socket: Socket) => void): Promise<{ port: number; server: Server }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("close", () => sockets.delete(socket)).on("error", () => undefined));
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, server };
}

export interface ProxyRules {
  /** What becomes of bytes of the client on one of its connections; default `pass`. `cut` ends that connection. */
  request?: (bytes: string, connection: Socket) => "pass" | "drop" | "cut";
  reply?: (bytes: string, connection: Socket) => "pass" | "drop" | "cut";
}

/** A bad network between a client and a Redis: the rules may be changed at any time. */
export async function startProxy(socketPath: string, rules: ProxyRules): Promise<string> {
  const { port } = await startServer((near) => {
    const far = connect(socketPath).on("error", () => near.destroy());
    const join = (from: Socket, to: Socket, rule: () => ProxyRules["request"]): void => {
      from.on("data", (bytes) => {
        const verdict = rule()?.(bytes.toString("latin1"), near) ?? "pass";
        if (verdict === "pass") to.write(bytes);
        else if (verdict === "cut") [near, far].forEach((socket) => socket.destroy());
      });
      from.on("close", () => to.destroy());
    };
    join(near, far, () => rules.request);
    join(far, near, () => rules.reply);
  });
  return `redis://127.0.0.1:${port}`;
}

/** Something that talks like Redis; `answer` gets each command and returns raw RESP, or nothing to stay silent. */
export async function startFake(answer: (command: string[]) => string | undefined): Promise<string> {
  const { port } = await startServer((socket) => {
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      for (let command = takeCommand(text); command !== undefined; command = takeCommand(text)) {
        text = text.slice(command.length);
        const reply = answer(command.words);
        if (reply !== undefined) socket.write(reply);
      }
    });
  });
  return `redis://127.0.0.1:${port}`;
}

function takeCommand(text: string): { words: string[]; length: number } | undefined {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return undefined;
  const words = [];
  let at = head[0].length;
  for (let i = 0; i < Number(head[1]); i++) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at, at + 20));
    if (size === null) return undefined;
    const start = at + size[0].length;
    at = start + Number(size[1]) + 2;
    if (text.length < at) return undefined;
    words.push(text.slice(start, at - 2));
  }
  return { words, length: at };
}
