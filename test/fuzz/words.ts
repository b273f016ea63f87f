/**
 * What stands around a command: its arguments, the environment and the project's file, of every kind of wrong. Each command has
 * to end soon, with an exit code that is documented and without a stack trace; refused, it has changed nothing.
 *
 * In this process, since starting one for each takes a tenth of a second; test/surfaces starts real ones.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import * as fc from "fast-check";
import { Redis } from "ioredis";
import { runCommandLine } from "../../src/surfaces/cli/main.ts";

const EXIT_CODES: ReadonlySet<number> = new Set([0, 1, 64, 69, 75]);
/** Connecting gives up within a second, and some commands connect more than once. */
const COMMAND_WITHIN_MS = 10_000;

/** All that end by themselves and change nothing outside Redis. */
const COMMANDS = [
  "publish",
  "check",
  "ack",
  "presence",
  "notifications",
  "show",
  "stats",
  "forget",
  "dead",
  "sweep",
  "settings",
];
const OTHERS = [
  "statusline",
  "completion",
  "acl",
  "worktree",
  "nonsense",
  "",
  "-v",
  "--help",
  "--json",
  "__proto__",
  "constructor",
];
const OPTIONS = [
  "--to",
  "--from",
  "--type",
  "--thread",
  "--since",
  "--before",
  "--limit",
  "--wait",
  "--pending",
  "--all",
  "--json",
];
const MORE = [
  "--reply-to",
  "--no-ack",
  "--ack-within",
  "--idempotency-key",
  "--comment",
  "--activity",
  "--instance",
  "--help",
  "--",
];
/** No number of seconds that could rightly be waited. */
const ODD = [
  "",
  " ",
  "-",
  "--",
  "0",
  "-1",
  "1e3",
  "1e308",
  "NaN",
  "Infinity",
  "9".repeat(30),
  "0x1",
  "1.5.2",
  "51",
  "-0",
];
const TEXTS = [
  "all",
  "All",
  "bob",
  "unknown",
  "GENERAL",
  "general",
  "REVIEW_FAILED",
  "msg-0000000000",
  "max_messages",
  "list",
  "retry",
  "drop",
];
const HOSTILE = [
  "\u001b[31m\u0007",
  "\u202eabc\u2066",
  "\u200b",
  "a\nb",
  "a\r",
  "\u2028",
  "😀".repeat(201),
  "x".repeat(70_000),
  "\ud800",
];
const SHELL = [
  "$(touch x)",
  "`id`",
  "${HOME}",
  "; ls",
  "../../etc/passwd",
  "%s%n",
  "--to=",
  "--to=--json",
  "-x",
  "-abc",
  "--no-such=1",
];

const word = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...OPTIONS, ...MORE) },
  { weight: 4, arbitrary: fc.constantFrom(...ODD, ...TEXTS) },
  { weight: 2, arbitrary: fc.constantFrom(...HOSTILE, ...SHELL) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 20 }).map((text) => text.replaceAll("\0", "")) },
);
const command = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...COMMANDS) },
  { weight: 1, arbitrary: fc.constantFrom(...OTHERS) },
);
const commandLine = fc.tuple(command, fc.array(word, { maxLength: 7 })).map(([name, words]) => [name, ...words]);

const VARIABLES = [
  "CLAUDE_INSTANCE_ID",
  "COORD_KEY_PREFIX",
  "COORD_ORCHESTRATOR",
  "COORD_PRESENCE_TIMEOUT_SECONDS",
  "COORD_RETENTION_DAYS",
];
const LIMITS = ["COORD_MAX_MESSAGES", "COORD_ACK_ATTEMPTS", "COORD_ACK_INTERVAL_SECONDS", "COORD_ACK_TIMEOUT_SECONDS"];
const CHOICES = [
  "COORD_UNKNOWN_RECIPIENT",
  "COORD_DIRECTION",
  "CLAUDE_CODE_SESSION_ID",
  "CLAUDE_PROJECT_DIR",
  "NO_COLOR",
  "TERM",
  "TZ",
];
const SERVER = [
  "REDIS_URL",
  "REDIS_HOST",
  "REDIS_PORT",
  "REDIS_DB",
  "REDIS_USERNAME",
  "REDIS_PASSWORD",
  "REDIS_PASSWORD_FILE",
];
const DISCOVERY = ["COORD_CLUSTER", "COORD_SENTINELS", "COORD_SENTINEL_MASTER", "COORD_WAIT_REPLICAS"];
/** Addresses at which nobody is, and what is none. */
const ADDRESSES = [
  "redis://127.0.0.1:1",
  "unix:/nowhere",
  "redis://[::1",
  "rediss://127.0.0.1:1",
  "http://h",
  "redis://h/x",
  "127.0.0.1:1",
];
const environmentValue = fc.oneof(
  fc.constantFrom(...ODD, ...TEXTS, ...SHELL, ...ADDRESSES),
  fc.constantFrom(...HOSTILE.filter((text) => text.length < 1000)),
  fc.string({ unit: "binary", maxLength: 20 }).map((text) => text.replaceAll("\0", "")),
);
const environment = fc.dictionary(
  fc.constantFrom(...VARIABLES, ...LIMITS, ...CHOICES, ...SERVER, ...DISCOVERY),
  environmentValue,
  {
    minKeys: 1,
    maxKeys: 3,
  },
);

const FIELDS = ["instanceId", "keyPrefix", "redis", "orchestrator", "x", "__proto__"];
const project: fc.Arbitrary<string> = fc.oneof(
  fc
    .dictionary(fc.constantFrom(...FIELDS), fc.oneof(environmentValue, fc.jsonValue({ maxDepth: 2 })))
    .map((values) => JSON.stringify(values)),
  fc.json({ maxDepth: 2 }),
  fc.tuple(fc.json({ maxDepth: 2 }), fc.nat(40)).map(([text, end]) => text.slice(0, end)),
  fc.constantFrom(
    "",
    "\ufeff{}",
    "{",
    "null",
    "[".repeat(30_000),
    '{"a":'.repeat(10_000),
    "\0",
    "{'instanceId': 'a'}",
    " ".repeat(70_000),
  ),
  fc.string({ unit: "binary", maxLength: 40 }),
);

export interface WordFigures {
  commandLines: number;
  environments: number;
  files: number;
  /** How many ended with each exit code. */
  codes: Record<string, number>;
  problems: string[];
}

/** @param url of a Redis of whose contents nothing is needed; `cases` of command lines, and half as many of the others */
export async function fuzzWords(url: string, { seed, cases }: { seed: number; cases: number }): Promise<WordFigures> {
  const figures: WordFigures = { commandLines: 0, environments: 0, files: 0, codes: {}, problems: [] };
  const raw = new Redis(url.replace(/^unix:/, ""));
  const folder = mkdtempSync(path.join(tmpdir(), "coord-fuzz-"));
  const before = { env: { ...process.env }, cwd: process.cwd() };
  const usual = { PATH: process.env["PATH"], HOME: folder, REDIS_URL: url, CLAUDE_INSTANCE_ID: "fuzz", NO_COLOR: "1" };
  const attempt = async (
    argv: readonly string[],
    env: Record<string, string | undefined>,
    about: string,
  ): Promise<void> => {
    process.env = { ...env } as NodeJS.ProcessEnv;
    const state = await contents(raw);
    const outcome = await run(argv);
    figures.codes[String(outcome.code)] = (figures.codes[String(outcome.code)] ?? 0) + 1;
    const problems = [
      EXIT_CODES.has(outcome.code) ? "" : `it ended with ${outcome.code}`,
      /\n\s+at |This is a defect/.test(outcome.printed) ? "it printed a stack trace" : "",
      // oxlint-disable-next-line no-control-regex
      /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/.test(outcome.printed)
        ? "it printed control characters"
        : "",
      outcome.code !== 0 && outcome.code !== 75 && (await contents(raw)) !== state
        ? "it was refused and changed something"
        : "",
    ].filter((problem) => problem !== "");
    if (problems.length > 0)
      figures.problems.push(`${about}: ${problems.join(", ")}: ${outcome.printed.slice(0, 500)}`);
  };
  try {
    process.chdir(folder);
    for (const argv of fc.sample(commandLine, { seed, numRuns: cases })) {
      await attempt(argv, usual, `coord ${JSON.stringify(argv).slice(0, 500)}`);
      figures.commandLines++;
    }
    for (const env of fc.sample(environment, { seed, numRuns: cases / 2 })) {
      await attempt(["stats", "--json"], { ...usual, ...env }, JSON.stringify(env));
      figures.environments++;
    }
    for (const text of fc.sample(project, { seed, numRuns: cases / 2 })) {
      writeFileSync(path.join(folder, ".coord.json"), text);
      // Without a name the file decides, else only what else is in it.
      const env = figures.files % 2 === 0 ? usual : { PATH: usual.PATH, HOME: folder, REDIS_URL: url };
      await attempt(["check", "--limit", "1"], env, `.coord.json ${JSON.stringify(text).slice(0, 500)}`);
      figures.files++;
    }
  } finally {
    process.env = before.env;
    process.chdir(before.cwd);
    rmSync(folder, { recursive: true, force: true });
    raw.disconnect();
  }
  return figures;
}

/** All that is stored but presence, which a command keeps also when it is then refused. */
async function contents(raw: Redis): Promise<string> {
  const keys = (await raw.keys("*")).filter((key) => !key.endsWith(":presence")).sort();
  return JSON.stringify(
    await Promise.all(keys.map(async (key) => [key, (await raw.dumpBuffer(key)).toString("base64")])),
  );
}

async function run(argv: readonly string[]): Promise<{ code: number; printed: string }> {
  const streams = [process.stdout, process.stderr];
  const writes = streams.map((stream) => stream.write);
  let printed = "";
  for (const stream of streams) {
    stream.write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
      printed += chunk.toString();
      const done = rest.at(-1);
      if (typeof done === "function") (done as () => void)();
      return true;
    };
  }
  const surfaces = { serveMcp: async () => undefined, playDemo: async () => true };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<number>((resolve) => {
    timer = setTimeout(() => resolve(-1), COMMAND_WITHIN_MS);
  });
  try {
    return { code: await Promise.race([runCommandLine(argv, surfaces), late]), printed };
  } catch (error) {
    return { code: -2, printed: `${printed}${String(error)}` };
  } finally {
    clearTimeout(timer);
    streams.forEach((stream, n) => (stream.write = writes[n]!));
    process.stdout.removeAllListeners("error"); // each command line adds one, for its whole process
  }
}
