/** One connection to one server, and what is needed to make it. */
import { Redis, type RedisOptions } from "ioredis";
import { LIMITS } from "../protocol/definition.ts";
import { NoAnswer } from "./failures.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Login {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** Servers that know which one takes the writes of the namespace at the moment. */
export type Discovery =
  | { readonly by: "sentinel"; readonly at: readonly Address[]; readonly master: string; readonly login: Login }
  | { readonly by: "cluster"; readonly at: readonly Address[] };

export interface ConnectionSettings extends Address, Login {
  readonly db: number;
  readonly tls: boolean;
  /** In PEM: whom to trust instead of the system's authorities, and who we are. */
  readonly certificates?: TlsCertificates | undefined;
  /** A unix socket; wins over host and port. */
  readonly path?: string | undefined;
  /** Who is asked for host and port, which are empty then. */
  readonly discovery?: Discovery | undefined;
}

export interface TlsCertificates {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Connects and asks the first question: a port that accepts and stays silent is no Redis. Resolves to the answer, after
 * which the connection is open unless the question has closed it. Rejects with the reason, of whatever kind, when the
 * deadline (of performance.now()) has passed at the latest; the connection is closed then.
 */
export async function dial<T>(
  settings: ConnectionSettings,
  deadline: number,
  ask: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = new Redis(ioredisOptions(settings));
  let failure: Error | undefined;
  redis.on("error", (error: Error) => (failure ??= error));
  try {
    await within(deadline, redis.connect());
    // A refused SELECT leaves the connection on database 0, and everything would be stored in the wrong place.
    if (failure !== undefined) throw failure;
    return await within(deadline, ask(redis));
  } catch (error) {
    redis.disconnect();
    throw failure ?? error;
  }
}

/** @throws NoAnswer when the deadline (of performance.now()) passes first */
export function within<T>(deadline: number, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new NoAnswer("no answer")), deadline - performance.now());
    // What comes after the deadline is nobody's any more: settling twice does nothing.
    answer.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: Error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** How long a connection that is given up may take to end properly before it is cut. */
const DISCONNECT_MILLISECONDS = 100;

function ioredisOptions(settings: ConnectionSettings): Omit<RedisOptions, "replyMapping"> {
  const where = settings.path === undefined ? { host: settings.host, port: settings.port } : { path: settings.path };
  return {
    ...where,
    ...(settings.tls ? { tls: { ...settings.certificates } } : {}),
    ...(settings.username === undefined ? {} : { username: settings.username }),
    ...(settings.password === undefined ? {} : { password: settings.password }),
    db: settings.db,
    lazyConnect: true,
    connectTimeout: LIMITS.connect_milliseconds,
    disconnectTimeout: DISCONNECT_MILLISECONDS,
    // Nothing is queued and nothing is sent again behind our back: a message would be stored long after its sender was
    // told that it was not. Store.run knows what may be sent twice.
    retryStrategy: () => null,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    // No handshake beyond login and SELECT: each would be a round trip at the start of every command.
    protocol: 2,
    enableReadyCheck: false,
    disableClientInfo: true,
  };
}
