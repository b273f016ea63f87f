/**
 * In Codex one process runs the hooks of every terminal, with the environment of the first: folder, session id, register and
 * run record say who and where a hook is.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { listRunRecords } from "../../src/client/run-record.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import {
  type Agent,
  COORD,
  END,
  type Env,
  type HookFields,
  PROMPT,
  sleep,
  type Stage,
  START,
  STOP,
  TOOL,
  until,
  useRedis,
} from "./agent.ts";

const bench = useRedis();
/** What a terminal may have had that says who and where somebody is, and is not true of this one. */
const OTHERS: Env = {
  CLAUDE_INSTANCE_ID: "somebody-else",
  CLAUDE_CODE_SESSION_ID: "of-claude",
  CLAUDE_CODE_SESSION_ATTENDED: "0",
  CLAUDE_PROJECT_DIR: "/",
  COORD_KEY_PREFIX: "elsewhere",
  COORD_REDIS_URL: "redis://127.0.0.1:1",
  COORD_ORCHESTRATOR: "nobody",
  REDIS_URL: "redis://127.0.0.1:1",
};

interface Terminal {
  name: string;
  sessionId: string;
  cwd: string;
}

/** Terminals in folders of their own, whose sessions one process of Codex holds. */
async function terminals(stage: Stage, ...names: string[]): Promise<[Agent, ...Terminal[]]> {
  const agent = await stage.agent("", "codex");
  const opened = names.map((name) => ({ name, sessionId: `${stage.prefix}-${name}`, cwd: path.join(stage.cwd, name) }));
  for (const { cwd } of opened) mkdirSync(path.join(cwd, ".git"), { recursive: true });
  for (const { name } of opened) await stage.hadSession(name);
  stage.register(Object.fromEntries(opened.map(({ name, cwd }) => [cwd, name])));
  return [agent, ...opened];
}

async function shown(agent: Agent, { sessionId, cwd }: Terminal, fields: HookFields): Promise<string> {
  agent.sessionId = sessionId;
  return agent.shown({ ...fields, cwd }, OTHERS);
}

describe.concurrent("a hook of Codex takes nothing about who or where it is from variables", () => {
  it("each session of one process is shown its own mail, at every moment, and ends alone", async () => {
    const stage = bench.stage();
    const [agent, login, search] = (await terminals(stage, "login", "search")) as [Agent, Terminal, Terminal];
    for (const fields of [START, PROMPT, TOOL, STOP]) {
      for (const { name } of [login, search]) await stage.send(name, `${fields.hook_event_name} ${name}`);
      for (const terminal of [login, search]) {
        const text = await shown(agent, terminal, fields);
        expect(text.match(/\| About .*/g)).toEqual([`| About ${fields.hook_event_name} ${terminal.name}.`]);
      }
    }
    expect(await stage.presence("search")).toMatchObject({ status: "active", guests: 0 });
    await shown(agent, login, END);
    expect([await stage.status("login"), await stage.status("search")]).toEqual(["offline", "active"]);
    expect(await stage.presence("somebody-else")).toBeUndefined();
  });

  it("a second session in one folder is a session of its own: it takes the name as any start does, and the first is told", async () => {
    const stage = bench.stage();
    const [agent, first] = (await terminals(stage, "login")) as [Agent, Terminal];
    const second = { ...first, sessionId: `${first.sessionId}-again` };
    await shown(agent, first, START);
    expect(await shown(agent, second, START)).toContain("You now speak for login");
    await stage.send("login", "for the second", { requiresAck: false });
    expect(await shown(agent, first, PROMPT)).toContain("A newer session speaks for login");
    expect(await shown(agent, second, PROMPT)).toContain("About for the second.");
    await shown(agent, second, END);
    await stage.send("login", "for the first", { requiresAck: false });
    expect(await shown(agent, first, PROMPT)).toContain("About for the first.");
  });

  it("an idle session is woken by a command that says nothing of the message, once, and not after its end", async () => {
    const stage = bench.stage();
    const [agent, login] = (await terminals(stage, "login")) as [Agent, Terminal];
    const bin = path.join(stage.cwd, "bin");
    const calls = path.join(bin, "calls");
    mkdirSync(bin);
    writeFileSync(path.join(bin, "codex"), `#!/bin/sh\nprintf '%s\\n' "$@" >>'${calls}'\n`, { mode: 0o755 });
    const env = { PATH: [bin, process.env["PATH"]].join(path.delimiter) };
    const at = async (fields: HookFields): Promise<string> => agent.shown({ ...fields, cwd: login.cwd }, env);
    agent.sessionId = login.sessionId;
    await at(START);
    await at(PROMPT);
    await at(STOP);
    await until(async () => (await stage.raw.get(`${stage.prefix}:waker:login`)) !== null);
    for (const text of ["first", "second"]) await stage.send("login", text);
    const said = "Messages from other agents have arrived; they are shown with this prompt.";
    const queued = ["queue", "--thread", login.sessionId, "--message", said, ""].join("\n");
    await until(() => existsSync(calls) && readFileSync(calls, "utf8") === queued);
    expect((await at(PROMPT)).match(/\| About .*/g)).toEqual(["| About first.", "| About second."]);
    await at(STOP); // says what is unanswered: the turn goes on
    await at(STOP);
    await at(END);
    await stage.send("login", "third");
    await sleep(1500);
    expect(readFileSync(calls, "utf8")).toBe(queued);
  });

  it("what its command says when it fails is written down for coord doctor, until another waker tries", async () => {
    const stage = bench.stage();
    const [agent, login] = (await terminals(stage, "login")) as [Agent, Terminal];
    const bin = path.join(stage.cwd, "bin");
    mkdirSync(bin);
    const becomes = (script: string): void =>
      writeFileSync(path.join(bin, "codex"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const env = { PATH: [bin, process.env["PATH"]].join(path.delimiter) };
    const at = async (fields: HookFields): Promise<string> => agent.shown({ ...fields, cwd: login.cwd }, env);
    const unwoken = (): string | undefined =>
      listRunRecords().find(({ sessions }) => sessions.includes(login.sessionId))?.unwoken;
    agent.sessionId = login.sessionId;
    becomes("echo 'WARNING: slow' >&2; printf 'Error: no rollout\\033[31m found\\n' >&2; exit 1");
    await at(START);
    await stage.send("login", "first");
    await until(() => unwoken() !== undefined);
    expect(unwoken()).toBe(String.raw`Error: no rollout\u{1b}[31m found`);
    becomes("exit 0");
    await at(PROMPT);
    await at(STOP); // says what is unanswered: the turn goes on
    await at(STOP);
    await until(() => unwoken() === undefined);
  });

  it("the login of a server is the register's", async () => {
    const stage = bench.stage();
    const [agent, login] = (await terminals(stage, "login")) as [Agent, Terminal];
    await using guarded = await startThrowawayRedis({ args: ["--requirepass", "secret"] });
    const server = { COORD_REDIS_URL: guarded.url, COORD_REDIS_PASSWORD: "secret" };
    const sender = stage.command("orchestrator", { redis: undefined, env: server });
    await sender.publishMessage({ type: "GENERAL", subject: "guarded", description: "", to: "login" });
    stage.register({ [login.cwd]: "login" }, { ...server, COORD_REDIS_PASSWORD: "wrong" });
    agent.sessionId = login.sessionId;
    expect(await agent.shown({ ...START, cwd: login.cwd }, server)).toBe("");
    agent.forgetRun();
    stage.register({ [login.cwd]: "login" }, server);
    expect(await shown(agent, login, START)).toContain("| guarded");
  });

  it("without the register it takes no part, whatever the environment names", async () => {
    const stage = bench.stage();
    const agent = await stage.agent("", "codex");
    await stage.send("login", "login");
    const named = { CLAUDE_INSTANCE_ID: "login", COORD_KEY_PREFIX: stage.prefix, COORD_REDIS_URL: bench.url };
    for (const fields of [START, PROMPT, TOOL, STOP, END]) expect(await agent.shown(fields, named)).toBe("");
    expect(await stage.presence("login")).toBeUndefined();
    const shell = await agent.start([COORD, "check", "--pending", "--json"], named).ended; // in its shell they count
    expect(JSON.parse(shell.stdout)).toMatchObject({ success: true, count: 1 });
  });
});
