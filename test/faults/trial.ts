/** What a fault is, and how its trials are run: some of them in one scene, one after the other, then the balance. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Balance } from "./balance.ts";
import { Random } from "./random.ts";
import { type Ground, type LoadShape, Scene } from "./scene.ts";

/** Between the last sign that all is well and the next fault, at most. */
const LOAD_MILLISECONDS = 150;

export interface Fault {
  name: string;
  /** As the report has it. */
  title: string;
  /** How often, for the report. */
  trials: number;
  /** At most so many in one scene. */
  trialsAScene: number;
  load: LoadShape;
  /** Why it cannot be tried on this machine. */
  missing?: () => Promise<string | undefined>;
  /** Makes the ground of one scene. */
  prepare: (random: Random) => Promise<FaultyGround>;
}

export interface FaultyGround extends Ground, AsyncDisposable {
  /** One trial: resolves when the fault is over. */
  strike: (scene: Scene, random: Random) => Promise<void>;
  /** The load need not recover before the next trial. */
  overlapping?: boolean;
}

export interface Outcome {
  fault: Fault;
  trials: number;
  balance: Balance;
  /** The longest from the end of a fault until every publisher had another receipt, in milliseconds. */
  recovery: number | undefined;
  milliseconds: number;
}

export interface RunOptions {
  trials: number;
  seed: number;
  onScene?: (trialsDone: number, seed: number) => void;
}

export async function runFault(fault: Fault, { trials, seed, onScene }: RunOptions): Promise<Outcome> {
  const began = performance.now();
  const scenes: SceneOutcome[] = [];
  for (let done = 0; done < trials;) {
    const now = Math.min(fault.trialsAScene, trials - done);
    // A scene of its own for each seed: a failure is repeated without those before it.
    const sceneSeed = seed + scenes.length;
    scenes.push(await runScene(fault, now, sceneSeed));
    done += now;
    onScene?.(done, sceneSeed);
  }
  const recoveries = scenes.flatMap(({ recoveries: some }) => some);
  return {
    fault,
    trials: scenes.reduce((total, scene) => total + scene.trials, 0),
    balance: scenes.map(({ balance }) => balance).reduce(sum),
    recovery: recoveries.length === 0 ? undefined : Math.max(...recoveries),
    milliseconds: performance.now() - began,
  };
}

interface SceneOutcome {
  /** How many were tried before one failed. */
  trials: number;
  balance: Balance;
  recoveries: number[];
}

async function runScene(fault: Fault, trials: number, seed: number): Promise<SceneOutcome> {
  const random = new Random(seed);
  await using ground = await fault.prepare(random);
  await using scene = await Scene.begin(ground, fault.load);
  const recoveries: number[] = [];
  const problems: string[] = [];
  let tried = 0;
  try {
    for (; tried < trials; tried++) {
      await sleep(random.between(0, LOAD_MILLISECONDS));
      await ground.strike(scene, random);
      if (ground.overlapping !== true) recoveries.push(await scene.flows());
    }
  } catch (error) {
    problems.push((error as Error).message); // the balance tells the rest
  }
  const balance = await scene.end();
  balance.problems.push(...problems);
  balance.problems = balance.problems.map((problem) => `seed ${seed}: ${problem}`);
  return { trials: tried, balance, recoveries };
}

function sum(a: Balance, b: Balance): Balance {
  const total = { ...a, problems: [...a.problems, ...b.problems] };
  for (const [name, value] of Object.entries(b)) {
    if (typeof value === "number") total[name as "lost"] += value;
  }
  return total;
}
