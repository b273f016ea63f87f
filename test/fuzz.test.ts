/** A little of what `npm run test:fuzz` does at length, so that each run of the tests guards it. */
import { expect, test } from "vitest";
import { useRedis } from "./harness.ts";
import { fuzzFrames } from "./fuzz/frames.ts";

const bench = useRedis();

test("the MCP server answers each request exactly once and goes on, whatever else is sent", async () => {
  const outcome = await fuzzFrames(bench.redis.url, 1500, 1);
  expect(outcome).toMatchObject({ sent: 1500, answered: outcome.asked });
  expect(outcome.asked).toBeGreaterThan(800);
});
