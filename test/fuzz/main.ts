/** `npm run test:fuzz [-- --frames n] [--values n] [--seed n]`: what the tests do a little of, at length. */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { writeSection } from "../reliability.ts";
import { fuzzCommands } from "./commands.ts";
import { fuzzFiles } from "./files.ts";
import { fuzzFrames } from "./frames.ts";
import { fuzzHistories } from "./histories.ts";
import { findPlanted } from "./planted.ts";
import { fuzzLinks } from "./links.ts";
import { fuzzReplies } from "./replies.ts";
import { fuzzValues } from "./values.ts";

const FRAMES = 100_000;
const VALUES = 10_000;
const REPLIES = 12_000;
/** Of each kind. */
const FILES = 10_000;
const LINKS = 10_000;
const COMMANDS = 300;
const HISTORIES = 3000;
const LIVES = 500;

const options = { frames: { type: "string" }, values: { type: "string" }, seed: { type: "string" } } as const;
const { values: given } = parseArgs({ options });
const [frames, cases] = [Number(given.frames ?? FRAMES), Number(given.values ?? VALUES)];
const seed = Number(given.seed ?? Date.now() % 1_000_000);
const number = (value: number): string => value.toLocaleString("en-US");
let began = performance.now();
/** Since the last call. */
const seconds = (): number => {
  const took = Math.round((performance.now() - began) / 1000);
  began = performance.now();
  return took;
};

await using redis = await startThrowawayRedis();
const sent = await fuzzFrames(redis.url, frames, seed);
const aboutFrames = `**Frames.** ${number(sent.sent)} frames sent to \`coord mcp\` in ${seconds()} s: malformed, hostile, huge, in batches and out of order. ${number(sent.asked)} of them were
requests with an id; each was answered exactly once, ${number(sent.errors)} times with a refusal. After every 500 a valid call worked. The process lived, with
${sent.residentMegabytes} MB in the end.`;
console.log(aboutFrames);
const damaged = await fuzzValues({ seed, cases });
const aboutValues = `**Values in Redis.** ${number(damaged.cases)} times some of the keys and fields were replaced by other types, cut off JSON, absurd numbers, huge strings and bytes that are no
text, in ${seconds()} s. Every operation of the client, every text of the hooks and of the shell was tried on it: ${number(damaged.results)} results, ${number(damaged.refused)} refusals that name the
key, ${damaged.problems.length} of anything else; what was published next was shown, or refused with the key that stands in the way.`;
console.log(aboutValues);
const replies = await fuzzReplies({ seed, cases: given.frames === undefined ? REPLIES : 500 });
const aboutReplies = `**Replies.** ${number(replies.cases)} times an operation was answered by a server that had ${number(replies.wrong)} replies of real scripts with parts replaced, left
out or doubled, or bytes of another protocol, in ${seconds()} s: ${number(replies.results)} results that could be shown, ${number(replies.refused)} refusals in one sentence, ${replies.problems.length} of anything else.`;
console.log(aboutReplies);
const files = await fuzzFiles({ seed, cases: given.frames === undefined ? FILES : 500 });
const kinds = Object.entries(files.cases).map(([kind, count]) => `${number(count)} of ${kind}`);
const aboutFiles = `**Files.** Valid ones with parts changed, cut off, doubled, mixed with bytes, or something else in their place, in ${seconds()} s: ${kinds.join(", ")}.
${number(files.taken)} were read, ${number(files.refused)} refused with a sentence, ${files.problems.length} anything else; after each archive everybody could go on in the namespace.`;
console.log(aboutFiles);
const links = await fuzzLinks(redis.url, { seed, cases: given.frames === undefined ? LINKS : 300 });
const aboutLinks = `**Links.** ${number(links.cases)} repositories with ${number(links.links)} links in the places that \`coord init\`, its removal, \`worktree\` and \`doctor\` look at, ${number(links.commands)} times with the whole command,
in ${seconds()} s: ${number(links.taken)} set up, ${number(links.refused)} refused, ${links.problems.length} wrote or made something outside of it, hung, or ended otherwise.`;
console.log(aboutLinks);
const commands = await fuzzCommands(redis.url, given.frames === undefined ? COMMANDS : 10, seed);
const aboutCommands = `**Commands.** ${number(commands.commands)} command lines with arguments, environment and register of every kind of wrong, and ${number(commands.settings)} more resolutions of the
environment and the file, in ${seconds()} s: ${commands.problems.length} ended without a documented exit code, late, with a stack trace, or having stored what they refused.`;
console.log(aboutCommands);
const histories = await fuzzHistories({ seed, cases: given.frames === undefined ? HISTORIES : 30 });
const aboutHistories = `**Histories.** ${number(histories.histories)} times four clients at once, two of them under one name, published, answered, acknowledged, read, took events and their
loans and took over from each other, ${number(histories.calls)} calls in ${seconds()} s; ${histories.problems.length} had a result that no order of the calls explains.`;
console.log(aboutHistories);
/** The agents of the test are the harness of vitest: it plays them, with its own output. */
function playLives(lives: number): boolean {
  const env = { ...process.env, COORD_TEST_LIVES: String(lives), COORD_TEST_SEED: String(seed) };
  const vitest = ["node_modules/vitest/vitest.mjs", "run", "test/live/lives.test.ts"];
  return spawnSync(process.execPath, vitest, { env, stdio: "inherit" }).status === 0;
}
const lives = given.frames === undefined ? LIVES : 12;
const livesProblems = playLives(lives) ? [] : ["a life went otherwise than the model says: see above"];
const aboutLives = `**Lives.** ${lives} runs of agents, in one work tree and in several of two projects, as real processes, were started, killed, resumed, compacted, ended, thrown away below one
another, asked for their health and looked at by people, in ${seconds()} s; after each step the model said who speaks and what was shown: ${livesProblems.length === 0 ? "it was always so" : "it was not always so"}.`;
console.log(aboutLives);
const planted = given.frames === undefined ? findPlanted(seed) : { faults: 0, problems: [] };
const aboutPlanted = `Of ${planted.faults} faults that were planted into copies of the product, these lives found ${planted.faults - planted.problems.length}, in ${seconds()} s.`;
console.log(aboutPlanted);
const problems = [
  ...damaged.problems,
  ...replies.problems,
  ...files.problems,
  ...links.problems,
  ...commands.problems,
  ...histories.problems,
  ...livesProblems,
  ...planted.problems,
];
for (const problem of problems) console.log(`  ${problem}`);
if (problems.length > 0) process.exitCode = 1;
const head = `## Hostile input\n\n${new Date().toISOString().slice(0, 10)}, \`npm run test:fuzz\`, seed ${seed}.`;
if (frames >= FRAMES && cases >= VALUES)
  await writeSection(
    "fuzz",
    `${head}\n\n${aboutFrames}\n\n${aboutValues}\n\n${aboutReplies}\n\n${aboutFiles}\n\n${aboutLinks}\n\n${aboutCommands}\n\n${aboutHistories}\n\n${aboutLives} ${aboutPlanted}`,
  );
