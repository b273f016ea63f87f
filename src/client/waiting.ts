/** Waiting without polling: listen first, then look, then sleep until something is published. */
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import type { Store } from "../store/store.ts";

/** Rings for whoever waits; a ring while nobody waits is kept, so that none is lost between a look and the next wait. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  /** Resolves at the next ring, after `milliseconds`, or when the signal aborts; whichever comes first. */
  async wait(milliseconds: number | undefined, signal: AbortSignal | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let aborted: (() => void) | undefined;
    if (!this.#rung && !signal?.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (milliseconds !== undefined) timer = setTimeout(resolve, milliseconds);
        aborted = resolve;
        signal?.addEventListener("abort", aborted);
      });
    }
    clearTimeout(timer);
    if (aborted !== undefined) signal?.removeEventListener("abort", aborted);
    this.#wake = undefined;
    this.#rung = false;
  }
}

/** How soon it looks again where the last look found no Redis; the bell may ring earlier. */
const AWAY_MILLISECONDS = 1000;

/** A server that was stopped and not ended does not refuse, it is silent. */
function awayForNow(store: Store, error: unknown): boolean {
  const codes: readonly ErrorCode[] = [ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT];
  return CoordinationError.is(error) && codes.includes(error.code) && !store.closed;
}

/**
 * Looks until something is found, the time is over or the signal aborts, and returns the last look. The subscription is
 * confirmed before the first look: what is published in between rings.
 *
 * @param instance whose events may change the answer; `undefined` for everybody's
 */
export async function lookUntil<T>(
  store: Store,
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
        await bell.wait(left, signal);
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
  store: Store,
  instance: string,
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
      else await bell.wait(undefined, signal);
    }
  } finally {
    await stopListening();
  }
}
