/** Waiting without polling: listen first, then look, then sleep until something is published. */
import { LIMITS } from "../protocol/definition.ts";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import type { SweepResult } from "../protocol/results.ts";
import type { Store } from "../store/store.ts";

/** Whose wait it is. */
interface Waiting {
  readonly store: Store;
  readonly sweeper: Sweeper;
}

/** Rings for whoever waits; a ring while nobody waits is kept, so that none is lost between a look and the next wait. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  /** Resolves at the next ring, after `milliseconds`, or when the signal aborts, whichever comes first; to whether it rang. */
  async wait(milliseconds: number, signal: AbortSignal | undefined): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    let aborted: (() => void) | undefined;
    if (!this.#rung && !signal?.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        // A timer counts whole milliseconds, and may end within the last: whoever waits for a time would look once more.
        timer = setTimeout(resolve, Math.ceil(milliseconds) + 1);
        aborted = resolve;
        signal?.addEventListener("abort", aborted);
      });
    }
    clearTimeout(timer);
    if (aborted !== undefined) signal?.removeEventListener("abort", aborted);
    this.#wake = undefined;
    const rang = this.#rung;
    this.#rung = false;
    return rang;
  }
}

/** Soonest the next sweep, also where there is more to do: others want to be served in between. */
const SWEEP_AGAIN_MILLISECONDS = 50;

/**
 * Deadlines pass while everybody waits for everybody, and no process has the task to look: each client that waits or beats
 * does a share, when the next deadline that it knows of has passed, at the latest every 30 seconds.
 */
export class Sweeper {
  readonly #sweep: () => Promise<{ result: SweepResult; next: number }>;
  /** Of performance.now(). */
  #due = 0;

  constructor(sweep: () => Promise<{ result: SweepResult; next: number }>) {
    this.#sweep = sweep;
  }

  /** A deadline was set. */
  dueIn(milliseconds: number): void {
    this.#due = Math.min(this.#due, performance.now() + milliseconds);
  }

  /** Resolves to the milliseconds until the next. Never fails: with Redis away there is nothing to do. */
  async sweepWhenDue(): Promise<number> {
    const now = performance.now();
    const latest = LIMITS.sweep_seconds_maximum * 1000;
    if (now < this.#due) return this.#due - now;
    this.#due = now + latest; // first, so that several waits of one client sweep once
    try {
      const { result, next } = await this.#sweep();
      this.dueIn(Math.max(SWEEP_AGAIN_MILLISECONDS, result.more ? 0 : next));
    } catch (error) {
      if (!CoordinationError.is(error)) throw error;
    }
    return Math.max(0, this.#due - performance.now());
  }
}

/** How soon it looks again where the last look found no Redis; the bell may ring earlier. */
const AWAY_MILLISECONDS = 1000;

/** A server that was stopped and not ended does not refuse, it is silent. */
export const AWAY: ReadonlySet<ErrorCode> = new Set([ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT]);

function awayForNow(store: Store, error: unknown): boolean {
  return CoordinationError.is(error) && AWAY.has(error.code) && !store.closed;
}

/**
 * Looks until something is found, the time is over or the signal aborts, and returns the last look. The subscription is
 * confirmed before the first look: what is published in between rings.
 *
 * @param instance whose events may change the answer; `undefined` for everybody's
 */
export async function lookUntil<T>(
  { store, sweeper }: Waiting,
  instance: string | undefined,
  seconds: number,
  signal: AbortSignal | undefined,
  look: () => Promise<T>,
  found: (result: T) => boolean,
): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  const bell = new Bell();
  const stopListening = await store.listen(instance, bell.ring);
  try {
    for (let looked = false; ; looked = true) {
      const left = deadline - performance.now();
      try {
        const result = await look();
        if (found(result) || left <= 0 || signal?.aborted) return result;
        await bell.wait(Math.min(left, await sweeper.sweepWhenDue()), signal);
      } catch (error) {
        // A Redis that was there and is away for a moment does not end the wait.
        if (!looked || left <= 0 || signal?.aborted || !awayForNow(store, error)) throw error;
        await bell.wait(Math.min(left, AWAY_MILLISECONDS), signal);
      }
    }
  } finally {
    await stopListening();
  }
}

/**
 * Takes from the store, yields what it got, and sleeps when there is nothing; for as long as the signal allows. Outlives
 * a Redis that is away: the subscription rings when it is back.
 */
export async function* takeForever<T>(
  { store, sweeper }: Waiting,
  instance: string,
  loanMilliseconds: number,
  signal: AbortSignal | undefined,
  take: () => Promise<T>,
  hasSome: (taken: T) => boolean,
): AsyncGenerator<T, void, undefined> {
  const bell = new Bell();
  const stopListening = await store.listen(instance, bell.ring);
  try {
    while (!signal?.aborted) {
      let taken: T;
      try {
        taken = await take();
      } catch (error) {
        if (!awayForNow(store, error)) throw error;
        await bell.wait(AWAY_MILLISECONDS, signal);
        continue;
      }
      if (hasSome(taken)) yield taken;
      // What a reader that was killed had taken comes back without a ring, when its loan ends.
      else
        await bell.wait(Math.min(await sweeper.sweepWhenDue(), Math.max(loanMilliseconds, AWAY_MILLISECONDS)), signal);
    }
  } finally {
    await stopListening();
  }
}
