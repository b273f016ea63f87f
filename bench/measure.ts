/**
 * Interleaved timing: every side runs in short blocks in turn, so that a noisy machine, a busy neighbour or a processor
 * that falls asleep hits all of them alike. What is compared are ratios within one run.
 */

/** Long enough for V8 to compile and for Redis to have grown its tables. */
const WARM_UP_ROUNDS = 15;
/** One measurement ends after so many rounds or seconds, whichever comes first. */
const ROUNDS_MAXIMUM = 200;
const SECONDS_MAXIMUM = 6;
/** Runs of one side before the next: enough to warm the caches for it, too few for the machine to change meanwhile. */
const BLOCK_RUNS = 10;

export interface Side {
  /** Before each block, untimed: brings about what `runs` runs need. */
  prepare?: (runs: number) => Promise<unknown>;
  run: () => Promise<unknown>;
  /** How many operations one run stands for; its time is divided by it. */
  operations?: number;
}

/** Microseconds, and operations per second of the time spent in them. */
export interface Timing {
  p50: number;
  p95: number;
  p99: number;
  rate: number;
  samples: number;
}

export interface Effort {
  block?: number;
  warmUp?: number;
  rounds?: number;
  seconds?: number;
}

export async function interleave<N extends string>(
  sides: Readonly<Record<N, Side>>,
  { block = BLOCK_RUNS, warmUp = WARM_UP_ROUNDS, rounds = ROUNDS_MAXIMUM, seconds = SECONDS_MAXIMUM }: Effort = {},
): Promise<Record<N, Timing>> {
  const names = Object.keys(sides) as N[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<N, number[]>;
  const deadline = performance.now() + seconds * 1000;
  for (let round = -warmUp; round < rounds && performance.now() < deadline; round++) {
    // The order rotates, since a block is slower or faster after one particular other.
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round + warmUp) % names.length]!;
      const times = await timeBlock(sides[name], block);
      if (round >= 0) samples[name].push(...times);
    }
  }
  return Object.fromEntries(names.map((name) => [name, summary(samples[name])])) as Record<N, Timing>;
}

async function timeBlock({ prepare, run, operations = 1 }: Side, runs: number): Promise<number[]> {
  await prepare?.(runs);
  const times: number[] = [];
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    await run();
    times.push(((performance.now() - start) * 1000) / operations);
  }
  return times;
}

/** Of times in microseconds. */
export function summary(times: readonly number[]): Timing {
  const sorted = [...times].sort((a, b) => a - b);
  const percentile = (p: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? NaN;
  const total = sorted.reduce((sum, time) => sum + time, 0);
  const rate = (sorted.length * 1e6) / total;
  return { p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99), rate, samples: sorted.length };
}

/** Runs `work` `count` times, at most `width` at once. */
export async function inFlight(count: number, width: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
}
