/** [G11] Random lives beside a model; `npm run test:fuzz` plays 500. A failure says seed and steps. */
import { expect, it, vi } from "vitest";
import { Random } from "../faults/random.ts";
import { useRedis } from "./agent.ts";
import { playLives } from "./lives.ts";

const LIVES = Number(process.env["COORD_TEST_LIVES"] ?? 12);
const SEED = Number(process.env["COORD_TEST_SEED"] ?? Date.now() % 1_000_000);
const SECONDS_FOR_A_LIFE = 20;

const bench = useRedis();
vi.setConfig({ testTimeout: LIVES * SECONDS_FOR_A_LIFE * 1000 });

it(`[G11] of ${LIVES} random lives each message is shown once, and only to who speaks; seed ${SEED}`, async () => {
  const { lives, steps } = await playLives(bench, new Random(SEED), LIVES);
  console.log(`${lives} lives in ${steps} steps, seed ${SEED}`);
  expect(lives).toBeGreaterThanOrEqual(LIVES);
});
