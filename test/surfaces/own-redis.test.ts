/** `coord up` and `coord down` as commands; test/server.test.ts has what the servers themselves promise. */
import { expect, it, onTestFinished } from "vitest";
import { ensureRedisServer } from "../../src/server/install.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { type Ended, type Environment, type Wire, coord, environment, freePort, json, temporaryFolder } from "./run.ts";

/** Somebody with a data folder and a port of his own; what he started is stopped when the test is over. */
async function somebody(port: number): Promise<Environment> {
  const folder = await temporaryFolder();
  const env = environment({ XDG_DATA_HOME: folder, REDIS_PORT: String(port), CLAUDE_INSTANCE_ID: "backend" });
  env["COORD_REDIS_SERVER"] = await ensureRedisServer();
  onTestFinished(async () => void (await coord(["down"], { env })));
  return env;
}

const told = ({ code, stdout, stderr }: Ended): unknown => ({ code, stdout, stderr });

it("a Redis of one's own is started once, used, stopped once, and keeps its messages", async () => {
  const port = await freePort();
  const env = await somebody(port);
  const dataDir = `${env["XDG_DATA_HOME"]}/cli-coordination/data-${port}`;
  expect(await coord(["down"], { env })).toMatchObject({ code: 0, stdout: `Nothing runs on port ${port}.\n` });
  const running = (word: string): RegExp =>
    new RegExp(
      `^${word}: (Redis|Valkey) [\\d.]+, process \\d+, port ${port}\nData: ${dataDir}\nStop it with: coord down\n$`,
    );
  const started = await coord(["up"], { env });
  expect(started).toMatchObject({ code: 0, stdout: expect.stringMatching(running("Started")) as string });
  const again = await coord(["up"], { env });
  expect(again).toMatchObject({ code: 0, stdout: started.stdout.replace("Started", "Already running"), stderr: "" });
  const sent = json(
    await coord(["publish", "GENERAL", "s", "d", "--to", "all", "--no-ack", "--json"], { env: { ...env } }).then(calm),
  );

  const stopped = json(await coord(["down", "--json"], { env }));
  expect(stopped).toEqual({
    success: true,
    state: "stopped",
    port,
    pid: expect.any(Number) as number,
    data_dir: dataDir,
    description: expect.stringMatching(/^(Redis|Valkey) [\d.]+, process \d+$/) as string,
  });
  expect(await coord(["check"], { env })).toMatchObject({ code: 69 });
  const restarted = json(await coord(["up", "--json"], { env }));
  expect(restarted).toEqual({
    ...stopped,
    state: "started",
    pid: expect.any(Number),
    description: expect.any(String),
  });
  const kept = json(await coord(["check", "--all", "--json"], { env }));
  expect((kept["messages"] as Wire[]).map(({ id }) => id)).toEqual([sent["message_id"]]);
  expect(await coord(["down"], { env })).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(new RegExp(`^Stopped: .*\nData stay in ${dataDir}\n$`)) as string,
  });
});

it("another server on the port is left alone by both: exit 1, with what to do", async () => {
  const port = await freePort();
  const env = await somebody(port);
  await using foreign = await startThrowawayRedis({ args: ["--port", String(port), "--bind", "127.0.0.1"] });
  const taken = new RegExp(
    `^warning: Port ${port} is taken by (Redis|Valkey) [\\d.]+, process ${foreign.pid}; it was left alone\\.`,
  );
  const up = await coord(["up"], { env });
  expect(told(up)).toEqual({ code: 1, stdout: "", stderr: expect.stringMatching(taken) as string });
  const down = await coord(["down", "--json"], { env });
  expect(down.code).toBe(1);
  expect(JSON.parse(down.stdout)).toMatchObject({ success: false, state: "foreign", port, pid: foreign.pid });
  expect(down.stderr).toContain("it was left alone");
  process.kill(foreign.pid, 0);
});

it("a Redis elsewhere is not ours to start or stop", async () => {
  const env = environment({ REDIS_URL: "redis://redis.example:6379" });
  for (const command of ["up", "down"]) {
    expect(told(await coord([command], { env }))).toEqual({
      code: 1,
      stdout: "",
      stderr:
        "error: The configured Redis is redis.example: coord up and down serve loopback ports only.\n" +
        "Unset REDIS_URL and REDIS_HOST, or start that server where it belongs.\n",
    });
  }
});

it("servers that Sentinels or a cluster stand for are not ours to start or stop", async () => {
  const env = environment({ COORD_CLUSTER: "a.example,b.example" });
  expect(told(await coord(["up"], { env }))).toEqual({
    code: 1,
    stdout: "",
    stderr:
      "error: COORD_CLUSTER names several servers: coord up and down serve one, on loopback.\n" +
      "Unset it, or start those servers where they belong.\n",
  });
});

/** Without the warning that nobody else is here yet. */
function calm(ended: Ended): Ended {
  expect(ended.stderr).toBe("warning: Nobody else has been seen here: no instance gets this message.\n");
  return { ...ended, stderr: "" };
}
