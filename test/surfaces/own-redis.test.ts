/** `coord up` and `coord down` as commands; test/server.test.ts has what the servers themselves promise. */
import { existsSync } from "node:fs";
import { readdir, readFile, stat, truncate } from "node:fs/promises";
import path from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { ensureRedisServer } from "../../src/server/install.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import {
  type Ended,
  type Environment,
  type Wire,
  coord,
  environment,
  freePort,
  json,
  ROOT,
  run,
  temporaryFolder,
} from "./run.ts";

/** Somebody with a data folder and a port of his own; what he started is stopped when the test is over. */
async function somebody(port: number): Promise<Environment> {
  const folder = await temporaryFolder();
  const env = environment({
    XDG_DATA_HOME: folder,
    XDG_CONFIG_HOME: folder,
    REDIS_PORT: String(port),
    CLAUDE_INSTANCE_ID: "backend",
  });
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

it("has a password of its own, which our programs find, and which stands in one private file and no argument", async () => {
  const port = await freePort();
  const env = await somebody(port);
  const { pid } = json(await coord(["up", "--json"], { env }));
  const file = `${env["XDG_CONFIG_HOME"]}/cli-coordination/password-${port}`;
  const password = (await readFile(file, "utf8")).trim();
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readFile(`/proc/${String(pid)}/cmdline`, "utf8")).not.toContain(password);
  const stranger = environment({
    REDIS_PORT: String(port),
    CLAUDE_INSTANCE_ID: "backend",
    XDG_CONFIG_HOME: "/nowhere",
  });
  expect(await coord(["check"], { env: stranger })).toMatchObject({
    code: 69,
    stderr: expect.stringContaining("the login was refused (NOAUTH") as string,
  });
  const program =
    "import asyncio; from coordination import get_coordination_client as g; print(asyncio.run(g('py')) and 'in')";
  const python = { ...env, PYTHONPATH: path.join(ROOT, "python") };
  if (existsSync("/usr/bin/python3")) {
    const ended = await run("/usr/bin/python3", ["-c", program], { env: python });
    expect(ended).toMatchObject({ code: 0, stdout: "in\n" });
  }
});

it("a password that is given is the server's; another one, and what it cannot apply, is refused", async () => {
  const port = await freePort();
  const env = await somebody(port);
  const given = { ...env, REDIS_PASSWORD: 'q"u\\o te' };
  onTestFinished(async () => void (await coord(["down"], { env: given })));
  expect(await coord(["up"], { env: given })).toMatchObject({ code: 0 });
  expect(await coord(["check"], { env: given })).toMatchObject({ code: 0 });
  expect(await coord(["check"], { env })).toMatchObject({ code: 69 });
  for (const [setting, sentence] of [
    [{ REDIS_PASSWORD: "other" }, "is taken by a Redis with a password"],
    [{ REDIS_USERNAME: "alice", REDIS_PASSWORD: "x" }, "REDIS_USERNAME is set"],
    [{ REDIS_PORT: "", REDIS_URL: `rediss://localhost:${port}` }, "TLS is set"],
  ] as const) {
    const { code, stderr } = await coord(["up"], { env: { ...env, ...setting } });
    expect([code, stderr]).toEqual([1, expect.stringContaining(sentence)]);
  }
});

it("that Redis has cut the end of its file is said once, when it is started", async () => {
  const port = await freePort();
  const env = await somebody(port);
  const { data_dir: dataDir } = json(await coord(["up", "--json"], { env }));
  await coord(["publish", "GENERAL", "s", "d", "--to", "all", "--no-ack"], { env });
  await coord(["down"], { env });
  const folder = path.join(String(dataDir), "appendonlydir");
  const [file] = (await readdir(folder)).filter((name) => name.endsWith(".incr.aof"));
  await truncate(path.join(folder, file!), (await stat(path.join(folder, file!))).size - 3);
  const cut = await coord(["up"], { env });
  expect([cut.code, cut.stderr]).toEqual([0, expect.stringContaining("has cut the end of its file")]);
  await coord(["down"], { env });
  expect(await coord(["up"], { env })).toMatchObject({ code: 0, stderr: "" });
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
