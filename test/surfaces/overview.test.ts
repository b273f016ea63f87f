/** `coord` alone: where one is, who is there, what waits, and what comes next. */
import { writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { useRedis } from "../harness.ts";
import { bash, coord, COORD, type Ended, environment, temporaryFolder } from "./run.ts";

const bench = useRedis();

const said = ({ code, stdout, stderr }: Ended): unknown => ({
  code,
  stderr,
  lines: stdout
    .replaceAll(/msg-\w+/g, "msg-ID")
    .replaceAll(/on \S+, /g, "on SERVER, ")
    .replaceAll(/(?<=\S) {2,}/g, "  ") // the columns are as wide as an id
    .split("\n"),
});

it("outside of a project says how to begin, and asks no Redis", async () => {
  const home = await temporaryFolder();
  const ended = await coord([], { cwd: home, env: environment({ HOME: home, REDIS_PORT: "1" }) });
  expect(said(ended)).toEqual({
    code: 0,
    stderr: "",
    lines: [
      "Messages between parallel CLI coding agents, over Redis.",
      "This folder is in no project yet. To begin:",
      "",
      "  coord up  start a Redis of your own, where none runs yet",
      "  coord init  in a repository: a name, the tools and the hooks for its agent",
      "  coord demo  see three agents review and agree on a contract",
      "",
      "All commands by task: coord --help",
      "",
    ],
  });
});

it("says who is there, what waits for this name and for a person, and changes nothing", async () => {
  const env = environment({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: "backend" });
  const alice = await bench.client("alice");
  await alice.publishMessage({ to: "backend", type: "GENERAL", subject: "tests", description: "run them" });
  const subject = "which\u001b[31m colour?";
  await alice.publishMessage({ to: "operator", type: "GENERAL", subject, description: "red or blue" });
  const expected = {
    code: 0,
    stderr: "",
    lines: [
      "coord on SERVER, as backend",
      "",
      "There: alice",
      "For you: 1 unread, 1 to be acknowledged",
      "",
      "Needs a person: 1",
      String.raw`  GENERAL "which\u{1b}[31m colour?" from alice is for operator`,
      "",
      "Next:",
      "  coord check --pending  what you have to acknowledge",
      String.raw`  coord show msg-ID  GENERAL "which\u{1b}[31m colour?" from alice is for operator`,
      "  coord watch  follow what happens, live",
      "",
      "All commands by task: coord --help",
      "",
    ],
  };
  expect(await bench.changes(async () => expect(said(await coord([], { env }))).toEqual(expected))).toEqual({});
});

it("without a Redis says so, what to do, and 69; in a pipe that is closed it is silent", async () => {
  const folder = await temporaryFolder();
  const env = environment({ HOME: folder, REDIS_PORT: "1", CLAUDE_INSTANCE_ID: "backend" });
  expect(said(await coord([], { env }))).toEqual({
    code: 69,
    stderr: "",
    lines: [
      "coord on SERVER, as backend",
      "",
      "Redis does not answer: Redis at localhost:1: nothing listens there.",
      "Start one with `coord up`, or say where yours is with REDIS_URL or REDIS_HOST and REDIS_PORT.",
      "",
      "Next:",
      "  coord doctor  what is wrong, and what to do about it",
      "",
      "All commands by task: coord --help",
      "",
    ],
  });
  writeFileSync(`${folder}/coord`, `#!/bin/sh\nexec "${process.execPath}" "${COORD}" "$@"\n`, { mode: 0o755 });
  expect(await bash('"$1" | true', [`${folder}/coord`], { env })).toMatchObject({ code: 0, stderr: "" });
});
