/** The one connection that listens. It comes back by itself and then says so, because a push that was missed is gone. */
import { LIMITS } from "../protocol/definition.ts";
import { CoordinationError } from "../protocol/errors.ts";
import { pause, within } from "../redis/deadline.ts";
import type { Link } from "../redis/link.ts";
import { Connection } from "./connection.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { unavailable } from "./failures.ts";

/** @param event what was published; `undefined` after a gap: look into the store for what was missed */
export type Listener = (event: string | undefined) => void;

/** Pause before the n-th attempt to come back: quick at first, then once a second for as long as somebody listens. */
const PAUSE_MILLISECONDS = (attempt: number): number => Math.min(50 * 2 ** (attempt - 1), 1000);

/** How often a connection on which nothing may come for hours is asked whether its server is still there. */
const PROBE_MILLISECONDS = 5000;

export class Subscription {
  readonly #settings: ConnectionSettings;
  readonly #connection: Connection;
  readonly #listeners = new Map<string, Set<Listener>>();
  #probe: NodeJS.Timeout | undefined;
  #comingBack = false;
  #closed = false;

  constructor(settings: ConnectionSettings, prefix: string) {
    this.#settings = settings;
    this.#connection = new Connection(settings, prefix, {
      onOpen: (link) => {
        link.onMessage = (channel, event) => this.#tell(channel, event);
        clearInterval(this.#probe);
        this.#probe = setInterval(() => void this.#askWhetherThere(link), PROBE_MILLISECONDS).unref();
      },
      onLost: () => {
        clearInterval(this.#probe);
        void this.#comeBack();
      },
    });
  }

  /**
   * Resolves once Redis has confirmed: everything published from now on reaches the listener.
   * @throws CoordinationError UNAVAILABLE
   */
  async listen(channel: string, listener: Listener): Promise<void> {
    // Before it is confirmed: somebody else's unlisten must not take the channel away in between.
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(listener));
    try {
      await subscribe(await this.#connection.open(), [channel]);
    } catch (error) {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(channel);
      throw CoordinationError.is(error) ? error : unavailable(this.#settings, error);
    }
  }

  async unlisten(channel: string, listener: Listener): Promise<void> {
    const listeners = this.#listeners.get(channel);
    listeners?.delete(listener);
    if (listeners?.size !== 0 || this.#closed) return;
    this.#listeners.delete(channel);
    try {
      const link = await this.#connection.open(performance.now());
      if (this.#listeners.has(channel)) return; // somebody listens again
      await within(performance.now() + LIMITS.connect_milliseconds, link.call("UNSUBSCRIBE", channel));
    } catch {
      // The connection is gone, and the subscription with it.
    }
  }

  /** Wakes everybody who waits: nothing will come any more. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#probe);
    this.#connection.close();
    for (const channel of this.#listeners.keys()) this.#tell(channel, undefined);
  }

  async #comeBack(): Promise<void> {
    if (this.#comingBack) return; // lost again on the way: the loop below goes on
    this.#comingBack = true;
    for (let attempt = 1; !this.#closed && this.#listeners.size > 0; attempt++) {
      await pause(PAUSE_MILLISECONDS(attempt)); // keeps the process alive, as the connection did
      const channels = [...this.#listeners.keys()];
      if (channels.length === 0) break;
      let link: Link | undefined;
      try {
        link = await this.#connection.open();
        await subscribe(link, channels);
      } catch {
        // A connection that does not subscribe is of no use, though it may look alive.
        if (link !== undefined) this.#connection.drop(link);
        continue;
      }
      for (const channel of channels) this.#tell(channel, undefined);
      break;
    }
    this.#comingBack = false;
  }

  /** A machine that lost its power closes no connection: its listeners would be deaf for hours. */
  async #askWhetherThere(link: Link): Promise<void> {
    try {
      await within(performance.now() + LIMITS.connect_milliseconds, link.call("PING"));
    } catch {
      this.#connection.drop(link);
    }
  }

  #tell(channel: string, event: string | undefined): void {
    for (const listener of this.#listeners.get(channel) ?? []) listener(event);
  }
}

async function subscribe(link: Link, channels: readonly string[]): Promise<void> {
  await within(performance.now() + LIMITS.connect_milliseconds, link.subscribe(channels));
}
