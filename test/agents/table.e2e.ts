/**
 * The table of docs/agents.md: each real host in a terminal, in a linked worktree that `coord worktree add` has set up, with a
 * scripted model. What the model was shown at each moment goes into docs/agents-words.md. Both are written here, and committed.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { claudeEnvironment, trust } from "./claude.ts";
import { configureCodex } from "./codex.ts";
import { idsIn } from "./frames.ts";
import { geminiEnvironment, trustInGemini } from "./gemini.ts";
import { ScriptedModel, type Step } from "./model.ts";
import { configureOpencode, QUIET_OPENCODE } from "./opencode.ts";
import { type AgentName, programOf } from "./programs.ts";
import { Stage } from "./stage.ts";
import { hasTmux, Terminal } from "./terminal.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const TABLE = path.join(ROOT, "docs/agents.md");
const WORDS = path.join(ROOT, "docs/agents-words.md");
const MOMENTS = ["tools", "start", "between tools", "stop", "prompt", "idle wake"] as const;
type Moment = (typeof MOMENTS)[number];
const WAKES_WITHIN_MS = 60_000;
/** As long as the slowest wake that was seen, several times. */
const NOT_WOKEN_MS = 15_000;

interface Host {
  readonly title: string;
  /** What its terminal shows when a prompt can be typed. */
  readonly ready: RegExp;
  readonly presence: Step;
  readonly args?: readonly string[];
  readonly env: (stage: Stage, model: ScriptedModel) => Record<string, string>;
  readonly configure: (stage: Stage, model: ScriptedModel, project: string) => Promise<void>;
  /** What it asks at its first start, and the keys that say yes. */
  readonly asks?: readonly (readonly [RegExp, readonly string[]])[];
  /** It does so always, and behind a prompt that can be typed for a moment. */
  readonly asksLate?: true;
  /** What it cannot do, which docs/agents.md says. */
  readonly limits?: readonly Moment[];
}

const HOSTS: Readonly<Record<AgentName, Host>> = {
  claude: {
    title: "Claude Code",
    ready: /\? for shortcuts|❯\s*Try "|^❯/m,
    presence: { tool: "mcp__coord__coord_get_presence" },
    env: (stage, model) => ({ ...claudeEnvironment(stage, model), IS_SANDBOX: "1" }),
    configure: (stage, _model, project) => trust(stage, project),
    asks: [
      [/❯ No, continue without/, ["Down", "Enter"]],
      [/❯ (?:\d\. )?Continue without/, ["Up", "Enter"]],
    ],
  },
  codex: {
    title: "Codex",
    ready: /OpenAI Codex/,
    presence: { tool: "coord_get_presence", namespace: "mcp__coord" },
    env: () => ({ OPENAI_API_KEY: "dummy" }),
    configure: (stage, model, project) => configureCodex(stage, model, project),
    asks: [[/› 1\. Review hooks/, ["2", "Enter"]]],
    asksLate: true,
  },
  gemini: {
    title: "Gemini CLI",
    ready: /Type your message/,
    presence: { tool: "mcp_coord_coord_get_presence" },
    env: geminiEnvironment,
    configure: (stage) => trustInGemini(stage, stage.folder),
    limits: ["idle wake"],
  },
  opencode: {
    title: "opencode",
    ready: /Ask anything/,
    presence: { tool: "coord_coord_get_presence" },
    env: () => QUIET_OPENCODE,
    configure: (stage, model) => configureOpencode(stage, model),
  },
};

interface Played {
  readonly title: string;
  readonly version: string;
  readonly cells: Record<string, string>;
  readonly words: Record<string, string>;
}
const played: Played[] = [];

describe.each(Object.keys(HOSTS) as AgentName[])("%s", (agent) => {
  const { path: program, version } = programOf(agent);
  beforeEach(({ skip }) => {
    skip(program === undefined, `${agent} is not on PATH: not checked`);
    skip(!hasTmux, "tmux is not here: not checked");
  });

  it(
    "is shown mail at each moment, each message once, in a linked worktree and a terminal",
    { timeout: 240_000 },
    async () => {
      const host = HOSTS[agent];
      await using stage = await Stage.set();
      await using model = await ScriptedModel.start();
      const project = await stage.worktree("login", agent);
      await host.configure(stage, model, project);
      const times = new Map<string, number>();
      const words: Record<string, string> = {};
      const ids: Record<string, string> = {};
      const send = async (moment: Moment, type?: string): Promise<void> =>
        void (ids[moment] = await stage.publish("bob", "login", `A message at: ${moment}`, "Its text.", type));
      const shown = (moment: Moment): boolean => idsIn(model.shown).includes(ids[moment]!);
      await send("start");
      model.will(
        async () => (await send("between tools"), host.presence),
        async () => (await send("stop"), { text: "Finished." }),
      );
      await using terminal = new Terminal(stage, project, [program!, ...(host.args ?? [])], host.env(stage, model));
      let hasAsked = host.asksLate !== true;
      await terminal.until(() => {
        const { screen } = terminal;
        const asked = host.asks?.find(([question]) => question.test(screen));
        for (const key of asked?.[1] ?? []) terminal.key(key);
        hasAsked ||= asked !== undefined;
        return hasAsked && asked === undefined && host.ready.test(screen);
      }, "prompt line");
      await terminal.type("Work.");
      await terminal.until(() => shown("stop"), "mail at the stop");
      const idle = async (): Promise<boolean> => (await stage.presenceOf("login")).doing === "idle";
      await terminal.until(idle, "idleness");
      // Asks for nothing, and so wakes nobody.
      await send("prompt", "NOTIFICATION");
      await terminal.type("Go on.");
      await terminal.until(() => shown("prompt"), "mail at the prompt");
      await terminal.until(idle, "idleness");
      await sleep(3_000); // its waker takes its place
      const before = model.requests.length;
      await send("idle wake");
      const woken = await happens(
        () => shown("idle wake"),
        host.limits?.includes("idle wake") ? NOT_WOKEN_MS : WAKES_WITHIN_MS,
      );
      if (!woken) {
        expect(host.limits).toContain("idle wake");
        await terminal.type("And now?");
        await terminal.until(() => shown("idle wake"), "what had come");
      }
      await terminal.until(idle, "idleness");
      const rounds = model.requests.length - before;
      for (const moment of MOMENTS) {
        const id = ids[moment];
        const request = model.requests.findIndex((_, i) => idsIn(model.shownIn(i)).includes(id!));
        if (id === undefined || request === -1) continue;
        times.set(moment, idsIn(model.shown).filter((each) => each === id).length);
        words[moment] = plain(wordsAbout(model.shownSince(request, request), id), stage);
      }
      const reminder = /^.*Still waiting for your answer.*$/m.exec(model.shown)?.[0];
      if (reminder !== undefined) words["a stop with unanswered mail"] = plain(reminder, stage);
      expect(Object.fromEntries(times)).toEqual(
        Object.fromEntries(MOMENTS.filter((moment) => moment !== "tools").map((moment) => [moment, 1])),
      );
      expect(model.shown).toContain('"success":true');
      const cells = Object.fromEntries(MOMENTS.map((moment) => [moment, "✔"]));
      cells["idle wake"] = woken ? `✔, ${rounds} rounds` : "✘, its limit";
      played.push({ title: host.title, version, cells, words });
    },
  );
});

/** The lines of a message, and what the host has put around them. */
function wordsAbout(text: string, id: string): string {
  const lines = text.split("\n");
  const at = lines.findIndex((line) => line.includes(`id="${id}"`));
  const end = lines.findIndex((line, i) => i > at && /(?:<|&lt;)\/agent-message/.test(line));
  let first = at;
  while (first > 0 && at - first < 5 && /Agents ask|^<|^The text below|[Hh]ook|^Messages from/.test(lines[first - 1]!))
    first--;
  return lines.slice(first, end + 1).join("\n");
}

/** What differs from run to run is written as another one of its length. */
function plain(text: string, { folder }: Stage): string {
  const elsewhere = "/home/ada/projects".padEnd(folder.length, "/p");
  return text.replaceAll(/msg-[0-9a-z]{10}/g, "msg-0123456789").replaceAll(folder, elsewhere);
}

async function happens(holds: () => boolean, milliseconds: number): Promise<boolean> {
  for (const end = Date.now() + milliseconds; Date.now() < end; await sleep(200)) if (holds()) return true;
  return false;
}

afterAll(() => {
  if (played.length === 0) return;
  const today = new Date().toISOString().slice(0, 10);
  const rows = new Map(
    between(readFileSync(TABLE, "utf8"), "table")
      .split("\n")
      .filter((line) => line.startsWith("| ") && !line.startsWith("| host"))
      .map((line) => [line.split("|")[1]!.trim(), line]),
  );
  for (const { title, version, cells } of played) {
    rows.set(title, `| ${[title, version, today, ...MOMENTS.map((moment) => cells[moment]!)].join(" | ")} |`);
  }
  const head = [`| host | version | on | ${MOMENTS.join(" | ")} |`, `|---|---|---|${"---|".repeat(MOMENTS.length)}`];
  replaceIn(TABLE, "table", [...head, ...[...rows.values()].toSorted()].join("\n"));
  for (const { title, version, words } of played) {
    const parts = Object.entries(words).map(
      ([moment, text]) => `**${moment}**, ${[...text].length} characters\n\n\`\`\`text\n${text}\n\`\`\``,
    );
    replaceIn(WORDS, title, [`${title} ${version}, ${today}`, ...parts].join("\n\n"));
  }
});

function marks(name: string): [string, string] {
  return [`<!-- ${name}: written by npm run test:agents -->`, `<!-- end of ${name} -->`];
}

function between(text: string, name: string): string {
  const [first, last] = marks(name);
  return text.slice(text.indexOf(first) + first.length, text.indexOf(last));
}

function replaceIn(file: string, name: string, content: string): void {
  const [first, last] = marks(name);
  const text = readFileSync(file, "utf8");
  expect(text).toContain(first);
  const [start, end] = [text.indexOf(first) + first.length, text.indexOf(last)];
  writeFileSync(file, `${text.slice(0, start)}\n\n${content}\n\n${text.slice(end)}`);
}
