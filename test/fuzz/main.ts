/** `npm run test:fuzz [-- --frames n --seed n]`: what the tests do a little of, at length. */
import { parseArgs } from "node:util";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { writeSection } from "../reliability.ts";
import { fuzzFrames } from "./frames.ts";

const FRAMES = 100_000;

const { values } = parseArgs({ options: { frames: { type: "string" }, seed: { type: "string" } } });
const frames = Number(values.frames ?? FRAMES);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
await using redis = await startThrowawayRedis();
const began = performance.now();
const outcome = await fuzzFrames(redis.url, frames, seed);
const seconds = Math.round((performance.now() - began) / 1000);
const text = `## Frames

${new Date().toISOString().slice(0, 10)}, \`npm run test:fuzz\`, seed ${seed}: ${outcome.sent.toLocaleString("en-US")} frames sent to \`coord mcp\` in ${seconds} s, malformed, hostile, huge, in batches and out of
order. ${outcome.asked.toLocaleString("en-US")} of them were requests with an id, each was answered exactly once; ${outcome.errors.toLocaleString("en-US")} answers were refusals. After every 500 a valid call worked. The
process lived, with ${outcome.residentMegabytes} MB in the end.
`;
console.log(text);
if (frames >= FRAMES) await writeSection("fuzz", text);
