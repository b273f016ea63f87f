/** The cases that every client language passes: conformance/README.md says how to read them. `-u` writes what was found. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { type ClientOptions, type CoordinationClient, CoordinationError, type PublishRequest } from "../src/index.ts";
import type { SettingsOptions } from "../src/client/options.ts";
import { resolveSettings } from "../src/client/settings.ts";
import { type Argument, OPERATIONS } from "../src/protocol/operations.ts";
import { refusalToWire, toWire } from "../src/protocol/wire.ts";
import { PREFIX, useRedis } from "./harness.ts";

type Values = Record<string, unknown>;
interface Call {
  as: string;
  do: string;
  with?: Values;
}
type Step =
  | Call
  | { scene: string }
  | { known: string[] }
  | { seen: Record<string, number> }
  | { left: Record<string, number> }
  | { redis: string[] };
interface Outcome {
  result?: unknown;
  refused?: unknown;
}
interface Case extends Outcome {
  name: string;
  clients?: Record<string, { instance?: string; env?: Record<string, string> }>;
  given?: Step[];
  call: Call;
  changes?: unknown;
}
interface SettingsCase extends Outcome {
  name: string;
  arguments?: SettingsOptions;
  env?: Record<string, string>;
  files?: Record<string, string>;
  cwd?: string;
}

const bench = useRedis();
const folder = new URL("../conformance/", import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
const files = new Map(names.map((name) => [name, JSON.parse(readFileSync(new URL(name, folder), "utf8")) as unknown]));
/** With `-u` a case becomes what was found; every change of it is then to be read, since the cases are the specification. */
let wrote = false;
afterAll(() => {
  for (const [name, content] of wrote ? files : []) writeFileSync(new URL(name, folder), JSON.stringify(content));
});

/** What the operations are called here. */
const CALLS: Record<string, (client: CoordinationClient, args: Values) => Promise<unknown>> = {
  publish_message: (client, args) => client.publishMessage(request("publish", args)),
  check_messages: (client, args) => client.checkMessages(request("check", args)),
  search_messages: (client, { query, ...options }) => client.searchMessages(query as string, options),
  ack_message: (client, { message_id, ...options }) => client.ackMessage(message_id as string, options),
  show_message: (client, { message_id, ...options }) => client.showMessage(message_id as string, options),
  get_notifications: (client, args) => client.getNotifications(args),
  get_presence: (client) => client.getPresence(),
  get_stats: (client) => client.getStats(),
  forget_instance: (client, { instance }) => client.forgetInstance(instance as string),
  register_instance: (client) => client.registerInstance(),
  sweep: (client) => client.sweep(),
  list_dead: (client, args) => client.listDead(args),
  retry_dead: (client, { message_ids }) => client.retryDead(message_ids as string[]),
  drop_dead: (client, { message_ids }) => client.dropDead(message_ids as string[]),
  get_namespace_settings: (client) => client.getNamespaceSettings(),
  change_namespace_setting: (client, { name, value }) => client.changeNamespaceSetting(name as string, value as number),
  touch: (client) => client.touch(),
  set_activity: (client, { activity }) => client.setActivity(activity as string),
  join: (client, { session, unless_taken }) =>
    client.join(camel(session as Values), { unlessTaken: unless_taken === true }),
  leave: (client) => client.leave(),
  speaks: (client) => client.speaks(),
};

/** What a tool of an agent does not offer. */
const OTHERS: Record<string, string> = { idempotency_key: "idempotencyKey", ack_within: "ackWithin" };

function request(operation: "publish" | "check", args: Values): PublishRequest {
  const { arguments: known } = OPERATIONS[operation] as { arguments: Record<string, Argument> };
  const field = (name: string): string => known[name]?.field ?? OTHERS[name]!;
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [field(name), value]),
  ) as unknown as PublishRequest;
}

function camel({ agent_pid: agentPid, ...facts }: Values): Values {
  return { ...facts, ...(agentPid === undefined ? {} : { agentPid }) };
}

/** Replaces in every string, and `{ "repeat": text, "times": n }` by that text. */
function mapStrings(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, change));
  if (typeof value !== "object" || value === null) return value;
  const { repeat, times } = value as { repeat?: string; times?: number };
  if (repeat !== undefined && times !== undefined) return repeat.repeat(times);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, mapStrings(item, change)]));
}

const LONG = 1000;
const AGES = new Set(["seconds_since_heartbeat", "waiting_seconds"]);

/** Names of recipients in order, long texts as their length and digest, ages in tens of seconds: what would be unreadable, or differs from run to run. */
async function comparable(value: unknown): Promise<unknown> {
  const plain = JSON.parse(JSON.stringify(await bench.plain(value)) ?? "null") as unknown;
  const short = mapStrings(plain, (text) =>
    [...text].length <= LONG
      ? text
      : `<${[...text].length} characters, sha256 ${createHash("sha256").update(text).digest("hex").slice(0, 16)}>`,
  );
  const steady = (name: string, item: unknown): unknown => {
    if (AGES.has(name) && typeof item === "number") return Math.floor(item / 10) * 10;
    if (name === "reason" && typeof item === "string") return item.replace(/\d+ seconds/, "<n> seconds");
    if (name === "recipients" && typeof item === "string") return item.split(" ").sort().join(" ");
    return item;
  };
  return JSON.parse(JSON.stringify(short, steady));
}

async function outcome(action: () => unknown): Promise<Outcome> {
  try {
    return { result: await comparable(toWire(await action())) };
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    const { success: _, ...refused } = refusalToWire(error);
    return { refused: await comparable(refused) };
  }
}

/** Compares, or with `-u` puts what was found into the case. */
function settle(given: Case | SettingsCase, found: Outcome & { changes?: unknown }): void {
  const { result, refused, changes } = given as Case;
  const expected = Object.fromEntries(Object.entries({ result, refused, changes }).filter(([, v]) => v !== undefined));
  const { snapshotState } = expect.getState() as unknown as { snapshotState: Values };
  if (snapshotState["_updateSnapshot"] !== "all") return expect(found).toEqual(expected);
  wrote = true;
  for (const part of ["result", "refused", "changes"]) Reflect.deleteProperty(given, part);
  Object.assign(given, found);
}

/** Which would stand in every state; deadlines.json sets them. */
const NO_DEADLINES = { COORD_ACK_TIMEOUT_SECONDS: "0" };

/** Times of the moment, in what a case writes behind our programs. */
function withTimes(text: string): string {
  const now = Date.now();
  return text.replaceAll("<now>", new Date(now).toISOString()).replaceAll("<microseconds>", `${now}000`);
}

class Scene {
  readonly #clients = new Map<string, CoordinationClient>();
  readonly #named: NonNullable<Case["clients"]>;
  readonly #scenes: Record<string, Step[]>;
  #published = 0;

  constructor(named: Case["clients"], scenes: Record<string, Step[]> | undefined) {
    this.#named = named ?? {};
    this.#scenes = scenes ?? {};
  }

  #client(label: string): CoordinationClient {
    const { instance, env }: ClientOptions & { instance?: string } = this.#named[label] ?? { instance: label };
    const client = this.#clients.get(label) ?? bench.command(instance, { env: { ...NO_DEADLINES, ...env } });
    this.#clients.set(label, client);
    return client;
  }

  /** The ids of the messages in the order of the timeline, in place of m1, m2 … */
  async #ids(pattern: RegExp): Promise<(text: string) => string> {
    const timeline = await bench.raw.zrange(`${PREFIX}:timeline`, "0", "-1").catch(() => []);
    return (text) => text.replace(pattern, (label) => timeline[Number(label.slice(1)) - 1] ?? label);
  }

  async call({ as, do: operation, with: args = {} }: Call): Promise<unknown> {
    const real = mapStrings(args, await this.#ids(/^m\d+$|(?<=:)m\d+\b/g)) as Values;
    return CALLS[operation]!(this.#client(as), real);
  }

  async take(step: Step): Promise<void> {
    if ("scene" in step) for (const each of this.#scenes[step.scene]!) await this.take(each);
    else if ("known" in step) for (const name of step.known) await bench.command(name).touch();
    else if ("seen" in step) await bench.seen(step.seen);
    else if ("left" in step) await bench.seen(step.left, true);
    else if ("redis" in step) {
      const written = mapStrings(step.redis, await this.#ids(/\bm\d+\b/g)) as string[];
      const [command, ...args] = written.map(withTimes) as [string, ...string[]];
      await bench.raw.call(command, ...args);
    } else if (step.do === "publish_message") {
      await this.call({ ...step, with: { idempotency_key: `k${++this.#published}`, ...step.with } });
    } else await this.call(step);
  }
}

const { "settings.json": settings, ...operations } = Object.fromEntries(files) as Record<
  string,
  { scenes?: Record<string, Step[]>; cases: Case[] }
>;

describe.each(Object.entries(operations))("%s", (_, { scenes, cases }) => {
  test.each(cases.map((each) => [each.name, each] as const))("%s", async (_name, each) => {
    const scene = new Scene(each.clients, scenes);
    for (const step of each.given ?? []) await scene.take(step);
    let found: Outcome = {};
    const changes = await bench.changes(async () => (found = await outcome(() => scene.call(each.call))));
    // A key that is gone is null, since JSON knows no undefined.
    const gone = Object.fromEntries(Object.entries(changes).map(([name, value]) => [name, value ?? null]));
    settle(each, { ...found, changes: await comparable(gone) });
  });
});

describe("settings.json", () => {
  const { defaults, cases } = settings as unknown as { defaults: Values; cases: SettingsCase[] };
  test.each(cases.map((each) => [each.name, each] as const))("%s", async (_name, each) => {
    const root = await realpath(await mkdtemp(join(tmpdir(), "coord-test-")));
    onTestFinished(() => rm(root, { recursive: true, force: true }));
    await mkdir(join(root, ".git")); // nothing above it counts
    for (const [name, text] of Object.entries(each.files ?? {})) {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), text.replaceAll("<folder>", root));
    }
    const found = await outcome(() => {
      const { sources: _sources, ...resolved } = resolveSettings({
        ...each.arguments,
        env: mapStrings(each.env ?? {}, (text) => text.replaceAll("<folder>", root)) as Record<string, string>,
        cwd: join(root, each.cwd ?? ""),
      });
      const differs = ([name, value]: [string, unknown]): boolean =>
        JSON.stringify(value) !== JSON.stringify(defaults[name]);
      return Object.fromEntries(Object.entries(toWire(resolved) as Values).filter(differs));
    });
    const shown = mapStrings(found, (text) =>
      text.replaceAll(root, "<folder>").replace(/(is not JSON|cannot be read): .*/, "$1: <reason>"),
    );
    settle(each, shown as Outcome);
  });
});
