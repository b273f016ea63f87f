import { expect, test } from "vitest";
import { fuzzHistories } from "../fuzz/histories.ts";

test("[G3] [G4] [G5] [G8] what several clients are told at once is what some order of their calls explains", async () => {
  const { histories, calls, problems } = await fuzzHistories({
    seed: Date.now() % 1_000_000,
    cases: 60,
  });
  expect([problems, histories]).toEqual([[], 60]);
  expect(calls).toBeGreaterThan(1000);
});
