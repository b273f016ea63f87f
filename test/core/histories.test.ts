import { expect, test } from "vitest";
import { fuzzHistories } from "../fuzz/histories.ts";
import { useRedis } from "../harness.ts";

const bench = useRedis();

test("[G3] [G4] [G5] [G8] what several clients are told at once is what some order of their calls explains", async () => {
  const { histories, calls, problems } = await fuzzHistories(bench.redis.url, {
    seed: Date.now() % 1_000_000,
    cases: 60,
  });
  expect([problems, histories]).toEqual([[], 60]);
  expect(calls).toBeGreaterThan(1000);
});
