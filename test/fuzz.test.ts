/** A little of what `npm run test:fuzz` does at length, so that each run of the tests guards it. */
import { expect, test } from "vitest";
import { useRedis } from "./harness.ts";
import { fuzzCommands } from "./fuzz/commands.ts";
import { fuzzFiles } from "./fuzz/files.ts";
import { fuzzFrames } from "./fuzz/frames.ts";
import { fuzzLinks } from "./fuzz/links.ts";
import { fuzzValues } from "./fuzz/values.ts";

const bench = useRedis();

test("the MCP server answers each request exactly once and goes on, whatever else is sent", async () => {
  const outcome = await fuzzFrames(bench.redis.url, 1500, 1);
  expect(outcome).toMatchObject({ sent: 1500, answered: outcome.asked });
  expect(outcome.asked).toBeGreaterThan(800);
});

test("whatever another program has written into a namespace: a result or a refusal that names the key, and no deaf hook", async () => {
  const { problems, cases } = await fuzzValues({ seed: Date.now() % 1_000_000, cases: 40 });
  expect([problems, cases]).toEqual([[], 40]);
});

test("[G9] [G13] whatever lies in settings, records, passwords, the register and archives", async () => {
  const { problems, cases } = await fuzzFiles({ seed: Date.now() % 1_000_000, cases: 150 });
  const kinds = ["settings", ".coord.json", "register", "records", "passwords", "archives"];
  expect([problems, cases]).toEqual([[], Object.fromEntries(kinds.map((kind) => [kind, 150]))]);
});

test("[G13] whatever links a repository has: nothing outside of it is written, and no command hangs", async () => {
  const { problems, cases } = await fuzzLinks(bench.redis.url, { seed: Date.now() % 1_000_000, cases: 150 });
  expect([problems, cases]).toEqual([[], 150]);
});

test("[G9] [G10] whatever stands on the command line, in the environment and in the register", async () => {
  const outcome = await fuzzCommands(bench.redis.url, 20, Date.now() % 1_000_000);
  expect(outcome).toEqual({ commands: 20, settings: 1000, problems: [] });
});
