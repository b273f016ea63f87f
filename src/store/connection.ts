/** A connection to Redis that is made when it is needed, fails fast, and is made anew after it was lost. */
import { LIMITS } from "../protocol/definition.ts";
import { CoordinationError } from "../protocol/errors.ts";
import { pause } from "../redis/deadline.ts";
import { dial, type Link, type Patience } from "../redis/link.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { NoPrimary, unavailable } from "./failures.ts";
import { dialPrimary } from "./primary.ts";

export interface ConnectionEvents {
  /** A connection was made, before anything else uses it. */
  onOpen?: (link: Link) => void;
  /** A connection that had been made is gone, and was not closed by us. */
  onLost?: () => void;
}

/** Pause before a server that is about to change its role is asked again; a failover takes seconds. */
export const FAILOVER_PAUSE_MILLISECONDS = 100;

export class Connection {
  readonly #settings: ConnectionSettings;
  readonly #prefix: string;
  readonly #events: ConnectionEvents;
  #link: Link | undefined;
  #opening: Promise<Link> | undefined;
  #closed = false;

  /** @param prefix of the namespace: in a cluster, its slot says which server it is kept on */
  constructor(settings: ConnectionSettings, prefix: string, events: ConnectionEvents = {}) {
    this.#settings = settings;
    this.#prefix = prefix;
    this.#events = events;
  }

  /** The connection, while there is one. */
  get opened(): Link | undefined {
    return this.#link;
  }

  /**
   * Resolves to a connection to the server that takes the writes of the namespace.
   *
   * @param deadline of performance.now(), default in 5 seconds: how long a failover that is under way is waited for
   * @throws CoordinationError UNAVAILABLE after 3 seconds at the latest, and once a step of it was silent for half a second, unless a failover is under way
   */
  async open(deadline: number = performance.now() + LIMITS.operation_milliseconds): Promise<Link> {
    for (;;) {
      if (this.#link !== undefined) return this.#link;
      this.#opening ??= this.#connect().finally(() => (this.#opening = undefined));
      try {
        return await this.#opening;
      } catch (error) {
        const passing = CoordinationError.is(error) && error.cause instanceof NoPrimary && error.cause.passing;
        if (!passing || this.#closed || performance.now() + FAILOVER_PAUSE_MILLISECONDS > deadline) throw error;
      }
      await pause(FAILOVER_PAUSE_MILLISECONDS);
    }
  }

  async #connect(): Promise<Link> {
    let link: Link | undefined;
    try {
      this.#refuseClosed();
      link = await this.#dial({
        deadline: performance.now() + LIMITS.connect_milliseconds,
        silentMilliseconds: LIMITS.silent_milliseconds,
      });
      this.#refuseClosed();
    } catch (error) {
      link?.close();
      throw unavailable(this.#settings, error);
    }
    const made = link;
    this.#link = made;
    void made.closed.then(() => this.#lost(made));
    this.#events.onOpen?.(made);
    return made;
  }

  async #dial(patience: Patience): Promise<Link> {
    const { discovery } = this.#settings;
    if (discovery !== undefined) return dialPrimary(this.#settings, discovery, this.#prefix, patience);
    return dial(this.#settings, patience, async (link) => {
      // And not the script itself, though that would save a round trip: a server that is stopped would carry it out later,
      // after its sender was told that nothing was sent.
      await link.call("PING");
      return link;
    });
  }

  #refuseClosed(): void {
    if (this.#closed) throw new Error("the client is closed");
  }

  #lost(link: Link): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    if (!this.#closed) this.#events.onLost?.();
  }

  /** Gives a connection up that did not answer, or is on its way to be closed: the next call makes another one. */
  drop(link: Link): void {
    link.close();
    this.#lost(link);
  }

  close(): void {
    this.#closed = true;
    this.#link?.close();
    this.#link = undefined;
  }
}
