/**
 * Mistakes that somebody could make, each planted into a copy of the product: the random lives have to find it. What finds
 * nothing there would find nothing in ours either.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** So many lives find each of them many times over. */
const LIVES = 60;
const SOURCES = ["lua", "src", "tools", "package.json", "protocol.json", "tsconfig.build.json", "tsconfig.json"];

interface Fault {
  readonly what: string;
  readonly file: string;
  readonly correct: string;
  readonly wrong: string;
}

const FAULTS: readonly Fault[] = [
  {
    what: "a compaction takes the name back",
    file: "lua/join.lua",
    correct: "if mode ~= 'start' or not (own_tree or by_hand)",
    wrong: "if not (own_tree or by_hand)",
  },
  {
    what: "the end of a server ends the session",
    file: "lua/leave.lua",
    correct: "local goes_on = server ~= '' and (current.hooks or current.servers)",
    wrong: "local goes_on = false",
  },
  {
    what: "a person who looks takes the mail away",
    file: "lua/prelude.lua",
    correct: "return ENTRY and ENTRY:find(SESSION_NUMBER) and not is_session(ENTRY, session)",
    wrong: "return false",
  },
  {
    what: "what was shown comes again",
    file: "lua/confirm.lua",
    correct: "mark_presented(me, presented)",
    wrong: "mark_presented(me, {})",
  },
  {
    what: "an agent that another one has started takes the name from a live session",
    file: "src/client/agent-run.ts",
    correct: "nested: true",
    wrong: "nested: false",
  },
  {
    what: "a second work tree has the name of the first",
    file: "src/client/register.ts",
    correct: "name: project.worktrees[tree.id]",
    wrong: 'name: project.worktrees["."]',
  },
];

export interface PlantedFigures {
  faults: number;
  /** What was not found, and why. */
  problems: string[];
}

/** Works in the root folder of the clone. */
export function findPlanted(seed: number): PlantedFigures {
  return { faults: FAULTS.length, problems: FAULTS.flatMap((fault) => find(fault, seed)) };
}

function find(fault: Fault, seed: number): string[] {
  const folder = mkdtempSync(path.join(tmpdir(), "planted-"));
  try {
    for (const name of SOURCES) cpSync(name, path.join(folder, name), { recursive: true });
    symlinkSync(path.resolve("node_modules"), path.join(folder, "node_modules"));
    const text = readFileSync(fault.file, "utf8");
    if (text.split(fault.correct).length !== 2) return [`${fault.what}: ${fault.file} does not hold what is replaced`];
    writeFileSync(
      path.join(folder, fault.file),
      text.replace(fault.correct, () => fault.wrong),
    );
    const built = spawnSync(process.execPath, ["tools/build.mjs"], { cwd: folder, encoding: "utf8" });
    if (built.status !== 0) return [`${fault.what}: it could not be built: ${built.stderr}`];
    const lives = { COORD_TEST_LIVES: String(LIVES), COORD_TEST_SEED: String(seed) };
    const env = { ...process.env, ...lives, COORD_TEST_DIST: path.join(folder, "dist") };
    const vitest = ["node_modules/vitest/vitest.mjs", "run", "test/live/lives.test.ts"];
    const { stdout, stderr } = spawnSync(process.execPath, vitest, { env, encoding: "utf8" });
    const [said] = /\S.* is .*, not .*\n+\s*after .*/.exec(stdout + stderr) ?? [];
    if (said === undefined) return [`${fault.what}: ${LIVES} lives with seed ${seed} did not find it`];
    console.log(`found: ${fault.what}\n  ${said.replaceAll(/\s*\n\s*/g, "\n  ")}`);
    return [];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
