/** The one connection that listens. It comes back by itself and then says so, because a push that was missed is gone. */
import { CoordinationError } from "../protocol/errors.ts";
import { Connection, type ConnectionSettings, within } from "./connection.ts";
import { LIMITS } from "../protocol/definition.ts";
import { unavailable } from "./failures.ts";

/** @param event what was published; `undefined` after a gap: look into the store for what was missed */
export type Listener = (event: string | undefined) => void;

export class Subscription {
  readonly #connection: Connection;
  readonly #settings: ConnectionSettings;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(settings: ConnectionSettings) {
    this.#settings = settings;
    this.#connection = new Connection(settings, true);
    const { redis } = this.#connection;
    redis.on("message", (channel: string, event: string) => this.#tell(channel, event));
    redis.on("ready", () => void this.#resubscribe());
  }

  /**
   * Resolves once Redis has confirmed: everything published from now on reaches the listener.
   * @throws CoordinationError UNAVAILABLE
   */
  async listen(channel: string, listener: Listener): Promise<void> {
    try {
      if (this.#connection.redis.status !== "ready") await this.#connection.open();
      await within(performance.now() + LIMITS.connect_milliseconds, this.#connection.redis.subscribe(channel));
    } catch (error) {
      throw CoordinationError.is(error) ? error : unavailable(this.#settings, error);
    }
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(listener));
  }

  async unlisten(channel: string, listener: Listener): Promise<void> {
    const listeners = this.#listeners.get(channel);
    listeners?.delete(listener);
    if (listeners?.size !== 0) return;
    this.#listeners.delete(channel);
    // Unsubscribing on a connection that is just gone has happened already.
    await this.#connection.redis.unsubscribe(channel).catch(() => undefined);
  }

  close(): void {
    this.#connection.close();
  }

  async #resubscribe(): Promise<void> {
    const channels = [...this.#listeners.keys()];
    if (channels.length === 0) return;
    try {
      await this.#connection.redis.subscribe(...channels);
    } catch {
      return; // lost again: the next "ready" tries again
    }
    for (const channel of channels) this.#tell(channel, undefined);
  }

  #tell(channel: string, event: string | undefined): void {
    for (const listener of this.#listeners.get(channel) ?? []) listener(event);
  }
}
