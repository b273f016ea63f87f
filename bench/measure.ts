/**
 * Interleaved timing: every side runs in short blocks in turn, so that a noisy machine, a busy neighbour or a processor
 * that falls asleep hits all of them alike. What is compared are ratios within one run.
 */

/**
 * V8 optimises the path through client and connection step by step, for some thousand calls: the same publish takes 260 µs
 * in the first half second of a process, 200 in the next and 140 after two. A warm-up that counts rounds was over too soon.
 */
const WARM_UP_SECONDS = 2;
/** One measurement ends after so many rounds or seconds, whichever comes first. */
const ROUNDS_MAXIMUM = 200;
const SECONDS_MAXIMUM = 6;
/** Runs of one side before the next: enough to warm the caches for it, too few for the machine to change meanwhile. */
const BLOCK_RUNS = 10;

interface Preparation {
  /** Before each block, untimed: brings about what `runs` runs need. */
  prepare?: (runs: number) => Promise<unknown>;
}

interface Run extends Preparation {
  run: () => Promise<unknown>;
  /** How many operations one run stands for; its time is divided by it. */
  operations?: number;
}

/** What happens elsewhere and is timed there. */
interface Report extends Preparation {
  /** Resolves to the microseconds that one run took. */
  time: () => Promise<number>;
}

export type Side = Run | Report;

/** Of times in microseconds, unless the row says otherwise; the rate is per second of the time spent in the operations. */
export interface Timing {
  p50: number;
  p95: number;
  p99: number;
  max: number;
  rate?: number;
  samples: number;
}

export interface Effort {
  block?: number;
  warmUpSeconds?: number;
  rounds?: number;
  seconds?: number;
}

export async function interleave<N extends string>(
  sides: Readonly<Record<N, Side>>,
  {
    block = BLOCK_RUNS,
    warmUpSeconds = WARM_UP_SECONDS,
    rounds = ROUNDS_MAXIMUM,
    seconds = SECONDS_MAXIMUM,
  }: Effort = {},
): Promise<Record<N, Timing>> {
  const names = Object.keys(sides) as N[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<N, number[]>;
  let turn = 0;
  const round = async (keep: boolean): Promise<void> => {
    // The order rotates, since a block is slower or faster after one particular other.
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + turn) % names.length]!;
      const times = await timeBlock(sides[name], block);
      if (keep) samples[name].push(...times);
    }
    turn++;
  };
  const warm = performance.now() + warmUpSeconds * 1000;
  do await round(false);
  while (performance.now() < warm);
  const deadline = performance.now() + seconds * 1000;
  for (let i = 0; i < rounds && performance.now() < deadline; i++) await round(true);
  return Object.fromEntries(names.map((name) => [name, timing(samples[name])])) as Record<N, Timing>;
}

async function timeBlock(side: Side, runs: number): Promise<number[]> {
  await side.prepare?.(runs);
  const times: number[] = [];
  for (let i = 0; i < runs; i++) {
    if ("time" in side) {
      times.push(await side.time());
    } else {
      const start = performance.now();
      await side.run();
      times.push(((performance.now() - start) * 1000) / (side.operations ?? 1));
    }
  }
  return times;
}

/** Of operations one after the other, in microseconds. */
export function timing(times: readonly number[]): Timing {
  const total = times.reduce((sum, time) => sum + time, 0);
  return { ...distribution(times), rate: (times.length * 1e6) / total };
}

/** Of anything that was counted or timed several times. */
export function distribution(values: readonly number[]): Timing {
  const sorted = [...values].sort((a, b) => a - b);
  const percentile = (p: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? NaN;
  return {
    p50: percentile(0.5),
    p95: percentile(0.95),
    p99: percentile(0.99),
    max: sorted.at(-1) ?? NaN,
    samples: sorted.length,
  };
}

/** What was counted once, in the form of a timing. */
export function single(value: number): Timing {
  return distribution([value]);
}

/** Runs `work` `count` times, at most `width` at once. */
export async function inFlight(count: number, width: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
}
