/**
 * Whatever stands on the command line, in the environment and in the register: a command ends soon, with an exit code that
 * docs/cli.md has, without a stack trace, and stores nothing when it says that it did not.
 */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import * as fc from "fast-check";
import { openRedis } from "../raw-redis.ts";
import { CoordinationError } from "../../src/protocol/errors.ts";
import { resolveSettings } from "../../src/client/settings.ts";

const EXIT_CODES = [0, 1, 64, 69, 75];
const WITHIN_MS = 20_000;
/** Processes take a tenth of a second each; the resolution of settings alone is tried so many times more often. */
const SETTINGS_PER_COMMAND = 50;

export interface CommandsOutcome {
  commands: number;
  settings: number;
  problems: string[];
}

// No process can be given a NUL.
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }).map((value) => value.replaceAll("\0", "")),
  fc.constantFrom(
    "",
    " ",
    "-",
    "--",
    "-x",
    "0",
    "-1",
    "1e9",
    "NaN",
    "\n",
    "\u202E",
    "\u001b[2J",
    "all",
    "bob",
    "a".repeat(5000),
  ),
  fc.constantFrom(
    "msg-0000000000",
    "GENERAL",
    "--json",
    "--instance",
    "../../etc",
    "$(id)",
    "`id`",
    "%s%n",
    "constructor",
    "__proto__",
  ),
);
const command = fc.constantFrom(
  ..."publish check search ack presence notifications show stats forget dead sweep settings export statusline acl completion".split(
    " ",
  ),
  ..."doctor nothing --version --help".split(" "),
);
const option = fc.constantFrom(
  ..."--to --no-ack --reply-to --ack-within --idempotency-key --pending --all --from --type --thread --since --before".split(
    " ",
  ),
  ..."--limit --json --comment --activity --instance --user --to=bob --limit=2 --wait=0 --help --".split(" "),
);
const argv = fc
  .tuple(
    command,
    fc.array(fc.oneof({ weight: 3, arbitrary: text }, { weight: 2, arbitrary: option }), { maxLength: 8 }),
  )
  .map(([name, rest]) => [name, ...rest]);
const variable = fc.constantFrom(
  ..."CLAUDE_INSTANCE_ID REDIS_DB REDIS_USERNAME REDIS_PASSWORD COORD_KEY_PREFIX COORD_ORCHESTRATOR COORD_DIRECTION".split(
    " ",
  ),
  ..."COORD_PRESENCE_TIMEOUT_SECONDS COORD_RETENTION_DAYS COORD_MAX_MESSAGES COORD_ACK_TIMEOUT_SECONDS NO_COLOR TERM".split(
    " ",
  ),
  ..."COORD_WAIT_REPLICAS COORD_ACK_ATTEMPTS COORD_UNKNOWN_RECIPIENT CLAUDE_CODE_SESSION_ID REDIS_TLS_CA_FILE".split(
    " ",
  ),
);
const environment = fc.dictionary(variable, text, { maxKeys: 3 });
const project = fc.oneof(
  fc.constant(undefined),
  text,
  fc.json(),
  fc
    .dictionary(
      fc.constantFrom("keyPrefix", "server", "orchestrator", "worktrees", "x"),
      fc.oneof(text, fc.jsonValue(), fc.dictionary(fc.constantFrom(".", "COORD_REDIS_URL", "COORD_REDIS_PORT"), text)),
    )
    .map((each) => JSON.stringify({ projects: { "<folder>": { keyPrefix: "coord", ...each } } })),
);

const COORD = path.resolve("dist/coord.cjs");

/** The exit code is null when it had to be killed. */
function coord(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<{ code: number | null; stderr: string }> {
  const options = { env, cwd, timeout: WITHIN_MS, killSignal: "SIGKILL" } as const;
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [COORD, ...args], options, (_error, _stdout, stderr) =>
      resolve({ code: child.exitCode, stderr }),
    );
    child.stdin!.on("error", () => undefined).end();
  });
}

export async function fuzzCommands(url: string, cases: number, seed: number): Promise<CommandsOutcome> {
  const outcome: CommandsOutcome = { commands: 0, settings: 0, problems: [] };
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), "coord-fuzz-")));
  const entry = (content: string): string => content.replaceAll("<folder>", JSON.stringify(folder).slice(1, -1));
  const file = path.join(folder, ".config/cli-coordination/projects.json");
  mkdirSync(path.dirname(file), { recursive: true });
  const raw = openRedis({ path: new URL(url).pathname });
  const place = async (content: string | undefined): Promise<void> =>
    content === undefined ? rm(file, { force: true }) : writeFile(file, entry(content));
  try {
    const surroundings = fc.tuple(environment, project);
    for (const [env, content] of fc.sample(surroundings, { seed, numRuns: cases * SETTINGS_PER_COMMAND })) {
      await place(content);
      try {
        resolveSettings({ env: { HOME: folder, ...env }, cwd: folder });
      } catch (error) {
        if (!CoordinationError.is(error))
          outcome.problems.push(`settings of ${JSON.stringify([env, content])}: ${String(error)}`);
      }
      outcome.settings++;
    }
    for (const [args, env, content] of fc.sample(fc.tuple(argv, environment, project), { seed, numRuns: cases })) {
      await place(content);
      const before = await raw.zcard("coord:timeline");
      const settings = { PATH: process.env["PATH"]!, HOME: folder, CLAUDE_INSTANCE_ID: "me", REDIS_URL: url, ...env };
      const { code, stderr } = await coord(args, settings, folder);
      const stored = (await raw.zcard("coord:timeline")) - before;
      const wrong = [
        ...(code !== null && EXIT_CODES.includes(code) ? [] : [`exit ${code}`]),
        ...(/^ {4}at |node:internal/m.test(stderr) ? [`a stack trace: ${stderr.slice(0, 500)}`] : []),
        ...(code !== 0 && stderr === "" && args[0] !== "doctor" ? ["no word on standard error"] : []),
        ...(code !== 0 && stored !== 0 ? [`${stored} messages stored`] : []),
      ];
      if (wrong.length > 0) outcome.problems.push(`${JSON.stringify([args, env, content])}: ${wrong.join(", ")}`);
      outcome.commands++;
    }
    return outcome;
  } finally {
    raw.disconnect();
    await rm(folder, { recursive: true });
  }
}
