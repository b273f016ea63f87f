/** One connection to Redis that fails fast, comes back by itself, and never sends what nobody waits for any more. */
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

/** Pause before the n-th attempt to come back: quick at first, then once a second for as long as the owner lives. */
const RECONNECT_MILLISECONDS = (attempt: number): number => Math.min(50 * 2 ** (attempt - 1), 1000);

export class Connection {
  readonly redis: Redis;
  readonly #settings: ConnectionSettings;
  #lastError: unknown;
  #opening: Promise<void> | undefined;
  #answered = false;

  /** @param persistent reconnects by itself; else one failed attempt is the end of it */
  constructor(settings: ConnectionSettings, persistent: boolean) {
    this.#settings = settings;
    this.redis = new Redis(ioredisOptions(settings, persistent));
    this.redis.on("error", (error: Error) => {
      this.#lastError = error;
      // A refused SELECT would leave the connection on database 0, and everything would be stored in the wrong place.
      if (error.name === "ReplyError") this.redis.disconnect();
    });
    this.redis.on("close", () => (this.#answered = false));
  }

  /**
   * Resolves once Redis has answered on the present connection: a port that accepts and stays silent is no Redis.
   * @throws CoordinationError UNAVAILABLE after 700 ms at the latest
   */
  async open(): Promise<void> {
    if (this.redis.status === "ready" && this.#answered) return;
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    await this.#opening;
  }

  async #open(): Promise<void> {
    const { redis } = this;
    const deadline = performance.now() + LIMITS.connect_milliseconds;
    try {
      if (redis.status !== "ready") await within(deadline, this.#ready());
      await within(deadline, redis.ping());
      this.#answered = true;
    } catch (error) {
      const cause = error instanceof NoAnswer ? (this.#lastError ?? error) : error;
      // A connection that was accepted but never answered would be taken for a good one by the next call.
      if (redis.status === "ready" || redis.status === "connect") redis.disconnect(true);
      throw unavailable(this.#settings, cause);
    } finally {
      this.#lastError = undefined;
    }
  }

  #ready(): Promise<void> {
    const { redis } = this;
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        redis.off("ready", ready);
        redis.off("end", ended);
      };
      const ready = (): void => (settle(), resolve());
      const ended = (): void => (settle(), reject(this.#lastError ?? new Error("Connection is closed.")));
      redis.once("ready", ready);
      redis.once("end", ended);
      // Failures arrive as "end", or as the time limit where it tries again.
      if (redis.status === "wait" || redis.status === "end") redis.connect().catch(() => undefined);
    });
  }

  close(): void {
    this.redis.disconnect();
  }
}

/** @throws NoAnswer when the deadline (of performance.now) passes first */
export async function within<T>(deadline: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer("no answer")), deadline - performance.now());
  });
  answer.catch(() => undefined); // an answer that comes after the deadline is nobody's any more
  try {
    return await Promise.race([answer, expired]);
  } finally {
    clearTimeout(timer);
  }
}

function ioredisOptions(settings: ConnectionSettings, persistent: boolean): Omit<RedisOptions, "replyMapping"> {
  const where = settings.path === undefined ? { host: settings.host, port: settings.port } : { path: settings.path };
  return {
    ...where,
    ...(settings.tls ? { tls: {} } : {}),
    ...(settings.username === undefined ? {} : { username: settings.username }),
    ...(settings.password === undefined ? {} : { password: settings.password }),
    db: settings.db,
    lazyConnect: true,
    connectTimeout: LIMITS.connect_milliseconds,
    retryStrategy: persistent ? RECONNECT_MILLISECONDS : () => null,
    // What cannot be sent now is refused now: a queue would store a message long after its sender was told it is not.
    enableOfflineQueue: false,
    // Whether to send again after a lost answer is decided per script, see Store.run.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // The subscription does it itself, since it must know when it is done.
    autoResubscribe: false,
    // No handshake beyond login and SELECT: each would be a round trip at the start of every command.
    protocol: 2,
    enableReadyCheck: false,
    disableClientInfo: true,
  };
}
