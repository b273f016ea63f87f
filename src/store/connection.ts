/** A connection to Redis that is made when it is needed, fails fast, and is made anew after it was lost. */
import { Redis, type RedisOptions } from "ioredis";
import { LIMITS } from "../protocol/definition.ts";
import { NoAnswer, unavailable } from "./failures.ts";

export interface ConnectionSettings {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly tls: boolean;
  /** A unix socket; wins over host and port. */
  readonly path?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

export interface ConnectionEvents {
  /** A connection was made, before anything else uses it. */
  onOpen?: (redis: Redis) => void;
  /** A connection that had been made is gone, and was not closed by us. */
  onLost?: () => void;
}

export class Connection {
  readonly #settings: ConnectionSettings;
  readonly #events: ConnectionEvents;
  #redis: Redis | undefined;
  #opening: Promise<Redis> | undefined;
  #closed = false;

  constructor(settings: ConnectionSettings, events: ConnectionEvents = {}) {
    this.#settings = settings;
    this.#events = events;
  }

  /**
   * Resolves to a connection on which Redis has answered: a port that accepts and stays silent is no Redis.
   * @throws CoordinationError UNAVAILABLE after 700 ms at the latest
   */
  async open(): Promise<Redis> {
    if (this.#redis !== undefined) return this.#redis;
    this.#opening ??= this.#connect().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #connect(): Promise<Redis> {
    const deadline = performance.now() + LIMITS.connect_milliseconds;
    const redis = new Redis(ioredisOptions(this.#settings));
    let failure: Error | undefined;
    redis.on("error", (error: Error) => (failure ??= error));
    redis.on("close", () => this.#lost(redis));
    try {
      if (this.#closed) throw new Error("the client is closed");
      await within(deadline, redis.connect());
      // A refused SELECT leaves the connection on database 0, and everything would be stored in the wrong place.
      if (failure !== undefined) throw failure;
      await within(deadline, redis.ping());
      if (this.#closed) throw new Error("the client is closed");
    } catch (error) {
      redis.disconnect();
      throw unavailable(this.#settings, failure ?? error);
    }
    this.#redis = redis;
    this.#events.onOpen?.(redis);
    return redis;
  }

  #lost(redis: Redis): void {
    if (this.#redis !== redis) return;
    this.#redis = undefined;
    if (!this.#closed) this.#events.onLost?.();
  }

  /** Gives a connection up that did not answer, or is on its way to be closed: the next call makes another one. */
  drop(redis: Redis): void {
    redis.disconnect();
    this.#lost(redis);
  }

  close(): void {
    this.#closed = true;
    this.#redis?.disconnect();
    this.#redis = undefined;
  }
}

/** @throws NoAnswer when the deadline (of performance.now) passes first */
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
    ...(settings.tls ? { tls: {} } : {}),
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
