/** Run records, with real processes as the agents: where they lie, who finds which, and when they go. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import { userInfo } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { knowProcess } from "../../src/client/process.ts";
import {
  findRunRecord,
  listRunRecords,
  removeRunRecord,
  type RunRecord,
  writeRunRecord,
} from "../../src/client/run-record.ts";
import { CoordinationError } from "../../src/index.ts";

const { uid } = userInfo();
const RUNTIME = `/run/user/${uid}`;
const FOLDER = fs.existsSync(RUNTIME) ? `${RUNTIME}/cli-coordination` : `/tmp/cli-coordination-${uid}`;

async function agent(): Promise<ChildProcess & { pid: number }> {
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  await once(child, "spawn");
  onTestFinished(() => void child.kill("SIGKILL"));
  return child as ChildProcess & { pid: number };
}

function record(pid: number | undefined, changes: Partial<RunRecord> = {}): RunRecord {
  const made: RunRecord = {
    by: "hook",
    standing: "speaker",
    agent: "claude-code",
    ...(pid === undefined ? {} : { process: knowProcess(pid) }),
    sessions: [randomUUID()],
    instance: "backend",
    prefix: "coord-acme-shop",
    server: { COORD_REDIS_URL: "redis://:p=w@redis.example:7000/2" },
    tree: "/src/shop",
    ...changes,
  };
  onTestFinished(() => removeRunRecord(made));
  return made;
}

const folder = "/";

test("what was written is found by the process and by the session's id, in a private file", async () => {
  const { pid } = await agent();
  const written = record(pid, { sessions: [randomUUID(), randomUUID()] });
  expect(writeRunRecord(written)).toBe(true);
  expect(findRunRecord({ pid, folder })).toEqual(written);
  expect(findRunRecord({ sessionId: written.sessions[0], folder })).toEqual(written);
  expect(findRunRecord({ sessionId: randomUUID(), folder })).toBeUndefined();
  expect(findRunRecord({ pid: process.pid, folder })).toBeUndefined();
  expect(fs.statSync(FOLDER).mode & 0o777).toBe(0o700);
  expect(fs.statSync(path.join(FOLDER, `${pid}.hook.`)).mode & 0o777).toBe(0o600);
  expect(fs.readdirSync(FOLDER).filter((name) => name.startsWith("."))).toEqual([]);
});

test("one that takes no part is recorded as such", async () => {
  const { pid } = await agent();
  const { instance: _, ...rest } = record(pid, { standing: "out" });
  expect(writeRunRecord(rest)).toBe(true);
  expect(findRunRecord({ pid, folder })).toEqual(rest);
});

test("nothing is written for a run with neither a process nor an id, nor where a line would forge another", async () => {
  const before = fs.existsSync(FOLDER) ? fs.readdirSync(FOLDER) : [];
  expect(writeRunRecord(record(undefined, { sessions: [] }))).toBe(false);
  const { pid } = await agent();
  expect(writeRunRecord(record(pid, { tree: "/src/shop\ninstance=orchestrator" }))).toBe(false);
  expect(writeRunRecord(record(pid, { tree: `/${"x".repeat(65_536)}` }))).toBe(false);
  expect(findRunRecord({ pid, folder })).toBeUndefined();
  expect(before).not.toContain(`${pid}.hook.`);
});

test("the hook's record wins over the server's", async () => {
  const { pid } = await agent();
  const server = record(pid, { by: "server", instance: "other" });
  writeRunRecord(server);
  expect(findRunRecord({ pid, folder })).toEqual(server);
  const hook = record(pid);
  writeRunRecord(hook);
  expect(findRunRecord({ pid, sessionId: server.sessions[0], folder })).toEqual(hook);
});

test("after /clear it is the run of its process under any id; in Codex another id is another session", async () => {
  const { pid } = await agent();
  const claude = record(pid);
  writeRunRecord(claude);
  expect(findRunRecord({ pid, sessionId: randomUUID(), folder })).toEqual(claude);
  removeRunRecord(claude);
  const codex = record(pid, { agent: "codex" });
  writeRunRecord(codex);
  expect(findRunRecord({ pid, sessionId: randomUUID(), folder })).toBeUndefined();
  expect(findRunRecord({ pid, folder })).toEqual(codex);
});

test("of several of one process: the id says it, else the folder, else it is refused with their names", async () => {
  const { pid } = await agent();
  const [shop, login] = [
    record(pid, { agent: "codex" }),
    record(pid, { agent: "codex", instance: "login", tree: "/src/login" }),
  ];
  writeRunRecord(shop);
  writeRunRecord(login);
  expect(findRunRecord({ pid, sessionId: shop.sessions[0], folder: "/src/login" })).toEqual(shop);
  expect(findRunRecord({ pid, folder: "/src/login/deep" })).toEqual(login);
  expect(findRunRecord({ pid, folder: "/src/shop" })).toEqual(shop);
  let refusal: unknown;
  try {
    findRunRecord({ pid, folder: "/src/shopping" });
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(CoordinationError);
  const { code, message } = refusal as CoordinationError;
  expect(code).toBe("IDENTITY");
  expect(message).toContain('backend in "/src/shop"');
  expect(message).toContain('login in "/src/login"');
});

test("a record goes with its process, and one whose number went to another is nobody's", async () => {
  const [killed, living] = [await agent(), await agent()];
  const written = record(killed.pid);
  writeRunRecord(written);
  const reused = record(living.pid, { process: { pid: living.pid, started: "1" } });
  writeRunRecord(reused);
  expect(findRunRecord({ pid: living.pid, folder })).toBeUndefined();
  killed.kill("SIGKILL");
  await once(killed, "exit");
  expect(findRunRecord({ pid: killed.pid, folder })).toBeUndefined();
  const left = listRunRecords();
  expect(left).not.toContainEqual(written);
  expect(left).not.toContainEqual(reused);
  expect(fs.existsSync(path.join(FOLDER, `${killed.pid}.hook.`))).toBe(false);
});

test("one without a process is gone a day after it was written", () => {
  const written = record(undefined);
  writeRunRecord(written);
  const file = path.join(FOLDER, `0.hook.${written.sessions[0]!}`);
  const hours = (count: number): Date => new Date(Date.now() - count * 3600 * 1000);
  fs.utimesSync(file, hours(23), hours(23));
  expect(listRunRecords()).toContainEqual(written);
  fs.utimesSync(file, hours(25), hours(25));
  expect(listRunRecords()).not.toContainEqual(written);
});

test("what is not of our making is read as nothing", async () => {
  const { pid } = await agent();
  writeRunRecord(record(pid));
  const file = path.join(FOLDER, `${pid}.hook.`);
  for (const text of [
    "",
    "by=hook\n",
    "\0\0\0",
    fs.readFileSync(file, "utf8").replace("standing=speaker", "standing=king"),
  ]) {
    fs.writeFileSync(file, text);
    expect(findRunRecord({ pid, folder })).toBeUndefined();
  }
});

test("a folder among the records, however old, is left alone and disturbs nobody", async () => {
  const { pid } = await agent();
  const written = record(pid);
  const foreign = path.join(FOLDER, `${randomUUID()}.folder`);
  expect(writeRunRecord(written)).toBe(true);
  fs.mkdirSync(foreign);
  onTestFinished(() => fs.rmSync(foreign, { recursive: true }));
  fs.utimesSync(foreign, 1, 1);
  expect(listRunRecords()).toContainEqual(written);
  expect(fs.existsSync(foreign)).toBe(true);
});
