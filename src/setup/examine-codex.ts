/** Whether Codex runs the hooks that are set up: what nobody has reviewed it passes over without a word, so it is asked. */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { VERSION } from "../protocol/version.ts";
import { type Finding, ok, warning } from "./finding.ts";
import type { Place } from "./place.ts";
import { isHook, isOnPath, wordsOf } from "./programs.ts";

const ABOUT = "codex";
const PROGRAM = "codex";
/** It answers within half a second; a first start unpacks itself. */
const ANSWERS_WITHIN_MS = 8_000;
/** For its end when it is told to, before it is killed. */
const ENDS_WITHIN_MS = 1_000;
const ASKED = 2;
const TRUSTED = ["trusted", "managed"];

interface CodexHook {
  readonly command?: unknown;
  readonly enabled?: unknown;
  readonly trustStatus?: unknown;
}

/** Nothing where there is no Codex to ask. */
export async function examineCodex({ root }: Pick<Place, "root">): Promise<Finding[]> {
  if (!isOnPath(PROGRAM)) return [];
  const hooks = await hooksOf(root);
  if (hooks === undefined) {
    return [
      warning(ABOUT, "codex app-server did not say whether it runs the hooks", "Type /hooks in codex to see them."),
    ];
  }
  const ours = hooks.filter(({ command }) => typeof command === "string" && isHook(wordsOf(command)));
  if (ours.length === 0) {
    return [
      warning(
        ABOUT,
        "Codex does not read the hooks here, so no mail arrives by itself",
        "Start codex here and say that you trust the folder, then trust the hooks.",
      ),
    ];
  }
  const idle = ours.filter(({ enabled, trustStatus }) => enabled !== true || !TRUSTED.includes(String(trustStatus)));
  if (idle.length === 0) return [ok(ABOUT, "its hooks are trusted"), ...(await examineQueue())];
  return [
    warning(
      ABOUT,
      `Codex passes over ${idle.length} of ${ours.length} hooks without a word: nobody has trusted them, or they are switched off`,
      "Start codex here and trust them where it says that hooks need review, or type /hooks.",
    ),
  ];
}

/** What wakes an idle session. */
async function examineQueue(): Promise<Finding[]> {
  const has = await new Promise<boolean>((resolve) => {
    const asked = execFile(PROGRAM, ["queue", "--help"], { timeout: ANSWERS_WITHIN_MS }, (error, stdout) =>
      resolve(error === null && stdout.includes("--thread")),
    );
    asked.stdin?.end();
  });
  if (has) return [];
  return [
    warning(
      ABOUT,
      "this Codex does not know codex queue, so nothing wakes it when it is idle",
      "Update Codex: 0.171.0 was tried.",
    ),
  ];
}

/** @returns undefined where it did not answer in time, or in other words than are known */
async function hooksOf(cwd: string): Promise<CodexHook[] | undefined> {
  const server = spawn(PROGRAM, ["app-server"], { cwd, stdio: "pipe" });
  const closed = new Promise<void>((resolve) => server.once("close", () => resolve()));
  server.once("error", () => undefined);
  server.stdin.once("error", () => undefined); // it has ended already
  server.stderr.resume();
  try {
    const late = sleep(ANSWERS_WITHIN_MS, undefined, { ref: false });
    return await Promise.race([ask(server, cwd), closed, late]).then((hooks) => hooks ?? undefined);
  } finally {
    server.stdin.end();
    server.kill();
    await Promise.race([closed, sleep(ENDS_WITHIN_MS)]);
    server.kill("SIGKILL");
  }
}

async function ask(server: ChildProcessWithoutNullStreams, cwd: string): Promise<CodexHook[] | undefined> {
  const said = [
    { id: 1, method: "initialize", params: { clientInfo: { name: "coord", version: VERSION } } },
    { method: "initialized" },
    { id: ASKED, method: "hooks/list", params: { cwds: [cwd] } },
  ];
  server.stdin.write(said.map((message) => `${JSON.stringify(message)}\n`).join(""));
  for await (const line of createInterface(server.stdout)) {
    const answer = read(line);
    if (answer?.id === ASKED) return answer.result?.data?.[0]?.hooks;
  }
  return undefined;
}

interface Answer {
  id?: unknown;
  result?: { data?: { hooks?: CodexHook[] }[] };
}

function read(line: string): Answer | undefined {
  try {
    return JSON.parse(line) as Answer;
  } catch {
    return undefined; // a line of its log
  }
}
