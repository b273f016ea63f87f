/** What every measurement needs: one private Redis, the product's client as users get it, and a bare connection. */
import { type CoordinationClient, getCoordinationClient } from "../src/client/client.ts";
import type { PublishRequest } from "../src/protocol/results.ts";
import { startThrowawayRedis } from "../src/server/throwaway.ts";
import { Connection } from "../src/store/connection.ts";
import type { ConnectionSettings } from "../src/store/connection-settings.ts";
import { inFlight } from "./measure.ts";

export const SUBJECT = "backend: cursor paging is ready for review";
/** 300 bytes of prose, as agents write it. */
export const DESCRIPTION: string = "Branch feature/paging, 14 files, tests green. Please look at the cursor first. "
  .repeat(4)
  .slice(0, 300);
/** Sender and recipient of what is measured, the second the default orchestrator. */
export const SENDER = "backend";
export const RECIPIENT = "orchestrator";

/** So many publishes fill a namespace at once; more would only queue. */
export const FILL_WIDTH = 64;

/** What sends a command and resolves to the reply. */
export interface Caller {
  call(command: string, ...args: string[]): Promise<unknown>;
}

export interface World extends AsyncDisposable {
  /** The product's own kind of connection without the product: where PING and the bare scripts run. */
  readonly bare: Caller;
  /** Of the Redis, as `REDIS_URL` takes it. */
  readonly url: string;
  /** A client of the given namespace, as a user makes it. Closed with the world. */
  client(keyPrefix: string, instanceId: string): Promise<CoordinationClient>;
}

export async function createWorld(): Promise<World> {
  const redis = await startThrowawayRedis({ onProgress: (sentence) => console.error(sentence) });
  const connection = new Connection(unixSocket(redis.url), "bench");
  const clients: CoordinationClient[] = [];
  const bare = await connection.open();
  return {
    bare,
    url: redis.url,
    async client(keyPrefix, instanceId) {
      // Neither the caller's environment nor its project decides what is measured.
      const client = await getCoordinationClient({ instanceId, keyPrefix, redis: redis.url, cwd: redis.dir, env: {} });
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      connection.close();
      await redis.stop();
    },
  };
}

export function unixSocket(url: string): ConnectionSettings {
  return { host: "", port: 0, db: 0, tls: false, path: url.slice("unix:".length) };
}

export function request(more: Partial<PublishRequest> = {}): PublishRequest {
  return { type: "READY_FOR_REVIEW", subject: SUBJECT, description: DESCRIPTION, ...more };
}

/** On standard error, for whoever waits. */
export function progress(sentence: string): void {
  console.error(`  ${sentence}`);
}

/** Publishes `count` messages and returns their ids. */
export async function publishMany(
  sender: CoordinationClient,
  count: number,
  more: Partial<PublishRequest> = {},
): Promise<string[]> {
  const ids: string[] = [];
  await inFlight(count, FILL_WIDTH, async () => {
    ids.push((await sender.publishMessage(request(more))).messageId);
  });
  return ids;
}

/** Makes instances known to a namespace until there are `count` of them besides those of the bench, with a session each where asked for. */
export async function makeKnown(
  world: World,
  keyPrefix: string,
  count: number,
  { from = 0, sessions = false }: { from?: number; sessions?: boolean } = {},
): Promise<void> {
  for (let i = from; i < count; i++) {
    const name = `instance-${i}`;
    const client = await world.client(keyPrefix, name);
    if (sessions) await client.join({ id: `session-${i}`, agent: "claude-code", host: "laptop", ...placeOf(name, i) });
    else await client.touch();
    client.close();
  }
}

function placeOf(name: string, i: number): { agentPid: number; cwd: string; branch: string } {
  return { agentPid: 10_000 + i, cwd: `/home/developer/project/${name}`, branch: `feature/${name}` };
}

/** Empties the recipient's queue of events: a queue at its bound of 1,000 makes every further publish dearer. */
export async function drain(recipient: CoordinationClient): Promise<void> {
  while ((await recipient.getNotifications({ limit: 1000 })).remaining > 0);
}
