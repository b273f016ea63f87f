/** [G7] A Redis that is far away: mail arrives in few round trips, and an agent at work is not slowed down by asking for it. */
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { listRunRecords, writeRunRecord } from "../../src/client/run-record.ts";
import { SCRIPTS } from "../../src/store/scripts.ts";
import { startServer } from "../harness.ts";
import { type Agent, PROMPT, type Stage, START, TOOL, useRedis } from "./agent.ts";

const bench = useRedis();

interface Line {
  url: string;
  connections: number;
}

/**
 * A line to the Redis of the test on which there and back takes so long.
 * @param until what has to be asked before anything but the first question is answered
 */
async function startLine(milliseconds: number, until = ""): Promise<Line> {
  const line: Line = { url: "", connections: 0 };
  const { port } = await startServer((near) => {
    const far = connect(bench.socketPath).on("error", () => near.destroy());
    let [asked, answers] = ["", 0];
    const held: Buffer[] = [];
    const answer = (): void => {
      if (answers++ === 0 || asked.includes(until)) for (const bytes of held.splice(0)) near.write(bytes);
    };
    line.connections++;
    near.on("data", (bytes) => {
      asked += bytes.toString("latin1");
      setTimeout(() => far.write(bytes), milliseconds);
    });
    far.on("data", (bytes) => {
      held.push(bytes);
      answer();
    });
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
  });
  line.url = `redis://127.0.0.1:${port}`;
  return line;
}

/** Redis has the scripts of a hook that shows something. */
async function warm(stage: Stage): Promise<void> {
  await stage.send("other", "first");
  await (await stage.agent("other")).hook(PROMPT);
}

/** As after the ten seconds in which it is not asked. */
function later(agent: Agent): void {
  const record = listRunRecords().find(({ sessions }) => sessions.includes(agent.sessionId))!;
  writeRunRecord({ ...record, quietUntil: Math.floor(Date.now() / 1000) - 1 });
}

it("joining, the end of the waker and collecting are one round trip", async () => {
  const stage = bench.stage();
  await warm(stage);
  const line = await startLine(0, SCRIPTS.collect.sha);
  const agent = await stage.agent("backend");
  for (const fields of [START, PROMPT]) {
    await stage.send("backend", "login");
    expect(await agent.shown(fields, { COORD_REDIS_URL: line.url })).toContain("login");
  }
});

describe("at a distance of", () => {
  it.each([20, 80, 150, 300])("%i ms mail is shown at the start and at a prompt", async (ms) => {
    const stage = bench.stage();
    await warm(stage);
    const line = await startLine(ms);
    const agent = await stage.agent("backend");
    const far = { COORD_REDIS_URL: line.url };
    await stage.send("backend", "before the start");
    expect(await agent.shown(START, far)).toContain("before the start");
    await stage.send("backend", "before a prompt");
    expect(await agent.shown(PROMPT, far)).toContain("before a prompt");
  });

  it.each([80, 150, 300])("%i ms a hook between tools asks once, and then not for a while", async (ms) => {
    const stage = bench.stage();
    await warm(stage);
    const line = await startLine(ms);
    const agent = await stage.agent("backend");
    const far = { COORD_REDIS_URL: line.url };
    await agent.hook(START, far);
    expect(await agent.shown(TOOL, far)).toBe("");
    const { connections } = line;
    await stage.send("backend", "meanwhile");
    expect(await agent.shown(TOOL, far)).toBe("");
    expect(line.connections).toBe(connections);
    later(agent);
    expect(await agent.shown(TOOL, far)).toContain("meanwhile");
  });
});
