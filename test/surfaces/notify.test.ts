/** `coord notify`: a person is told once, in bounded pace, and nothing that a sender has written becomes an argument. */
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { PREFIX, until, useRedis } from "../harness.ts";
import { COORD, coord, type Environment, environment, json, temporaryFolder } from "./run.ts";

const bench = useRedis();
const HOSTILE = `x" $(touch /tmp/never) --urgency=critical <b>`;

async function person(more: Environment = {}): Promise<Environment> {
  return environment({ REDIS_URL: bench.redis.url, XDG_CONFIG_HOME: await temporaryFolder(), ...more });
}

interface Running {
  said: string;
  end: () => void;
}

/** Runs until its test is over. */
async function runs(env: Environment): Promise<Running> {
  const child = spawn(process.execPath, [COORD, "notify", "run"], { env, cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  const running = { said: "", end: () => void child.kill("SIGTERM") };
  onTestFinished(running.end);
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (bytes: Buffer) => (running.said += bytes.toString()));
  await until(async () => running.said.includes("Telling "));
  return running;
}

interface Received {
  body: string;
  signature: string | undefined;
}

/** @param answers the status of each request; 200 behind them */
async function hook(...answers: number[]): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { "x-coord-signature-256": signature } = request.headers;
      received.push({ body: Buffer.concat(chunks).toString(), signature: signature as string | undefined });
      response.writeHead(answers.shift() ?? 200, { Location: "/elsewhere" }).end();
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, received };
}

async function send(subject: string): Promise<string> {
  const [alice] = await bench.clients("alice");
  return (await alice.publishMessage({ type: "GENERAL", subject, description: "d", to: "operator" })).messageId;
}

test("a webhook is told of each need once, also by two that run, with a signature; a third try is enough", async () => {
  const env = await person();
  const { url, received } = await hook(500, 302);
  const { secret } = json(await coord(["notify", "add", "webhook", url, "--json"], { env }));
  const both = [await runs(env), await runs(env)];
  const id = await send(HOSTILE);
  await until(async () => received.length === 3);
  const [first, , third] = received;
  const notice = JSON.parse(third!.body) as Record<string, unknown>;
  expect([first!.body === third!.body, third!.signature]).toEqual([
    true,
    `sha256=${createHmac("sha256", String(secret)).update(third!.body).digest("hex")}`,
  ]);
  expect(notice).toEqual({
    id: expect.any(String),
    namespace: PREFIX,
    at: expect.any(String),
    kind: "need",
    title: PREFIX,
    text: "GENERAL from alice is for operator",
    need: {
      kind: "addressed",
      key: `addressed ${id}`,
      since: expect.any(String),
      instances: ["operator"],
      message: { id, type: "GENERAL", from: "alice", to: "operator", timestamp: expect.any(String), subject: HOSTILE },
    },
  });
  const [alice] = await bench.clients("alice");
  await alice.publishMessage({ type: "GENERAL", subject: "no need", description: "d", to: "bob" });
  const other = await send("another");
  await until(async () => received.length === 4);
  expect(JSON.parse(received[3]!.body)).toMatchObject({ need: { message: { id: other } } });
  // Told is told: also to one that starts anew, which meets them in what is stored.
  for (const running of both) running.end();
  const anew = await runs(env);
  const last = await send("a third");
  await until(async () => received.length > 4);
  expect(
    received.slice(4).map(({ body }) => (JSON.parse(body) as { need: { message: { id: string } } }).need.message.id),
  ).toEqual([last]);
  expect(`${both.map(({ said }) => said).join("")}${anew.said}`).not.toContain("warning");
});

test("what is too much at once is a digest; a command gets it on its standard input, and no argument of a sender's", async () => {
  const folder = await temporaryFolder();
  const told = path.join(folder, "told");
  const program = path.join(folder, "tell me.sh");
  writeFileSync(program, `#!/bin/sh\n{ echo "$# $1"; cat; echo; } >> "${told}"\n`);
  chmodSync(program, 0o700);
  const env = await person();
  json(await coord(["notify", "add", "command", "--json", "--", program, "an argument"], { env }));
  for (let n = 0; n < 25; n++) await send(`${HOSTILE} ${n}`);
  const running = await runs(env);
  await until(async () => running.said.includes("and 22 more"));
  const [args, notice, ...rest] = readFileSync(told, "utf8").split("\n");
  expect([args, rest]).toEqual(["1 an argument", [""]]);
  const line = "GENERAL from alice is for operator";
  expect(JSON.parse(notice!)).toMatchObject({
    kind: "digest",
    title: `${PREFIX}: 25 at once`,
    text: `${line}; ${line}; ${line}; and 22 more`,
    texts: [...Array.from({ length: 20 }, () => line), "and 5 more"],
    count: 25,
  });
});

test("the desktop is shown names and types, and nothing that a sender has written; level all tells of every event", async () => {
  const folder = await temporaryFolder();
  const told = path.join(folder, "told");
  writeFileSync(path.join(folder, "notify-send"), `#!/bin/sh\nprintf '%s|' "$@" >> "${told}"\necho >> "${told}"\n`);
  chmodSync(path.join(folder, "notify-send"), 0o700);
  const env = await person({ PATH: `${folder}:${process.env["PATH"]}` });
  await coord(["notify", "add", "desktop", "--level", "all"], { env });
  await runs(env);
  const [alice, bob] = await bench.clients("alice", "bob");
  const { messageId } = await alice.publishMessage({
    type: "GENERAL",
    subject: HOSTILE,
    description: HOSTILE,
    to: "bob",
  });
  await until(async () => existsSync(told));
  await bob.ackMessage(messageId, { comment: HOSTILE });
  await until(async () => readFileSync(told, "utf8").split("\n").length > 2);
  expect(readFileSync(told, "utf8").split("\n")).toEqual([
    `--app-name=coord|--|${PREFIX}|alice → bob: GENERAL|`,
    `--app-name=coord|--|${PREFIX}|bob acknowledged GENERAL|`,
    "",
  ]);
});

test("they stand in a private file; test tells each once and says what went wrong; what is wrong is refused", async () => {
  const env = await person({ PATH: "/nowhere" });
  const file = path.join(env["XDG_CONFIG_HOME"]!, "cli-coordination/notifiers.json");
  expect((await coord(["notify", "list"], { env })).stdout).toBe("No notifiers yet: coord notify add desktop\n");
  const { url, received } = await hook();
  const gone = await hook(500, 500, 500);
  const secret = path.join(env["XDG_CONFIG_HOME"]!, "secret");
  writeFileSync(secret, "0123456789abcdef\n");
  await coord(["notify", "add", "webhook", url, "--secret-file", secret, "--name", "phone"], { env });
  await coord(["notify", "add", "webhook", gone.url], { env });
  await coord(["notify", "add", "desktop", "--level", "all"], { env });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const listed = await coord(["notify", "list"], { env });
  expect(listed.stdout.split("\n")).toEqual([
    `phone    needs-me  ${url}`,
    `webhook  needs-me  ${gone.url}`,
    "desktop  all       this desktop",
    "",
  ]);
  expect((await coord(["notify", "list", "--json"], { env })).stdout).not.toContain("0123456789abcdef");
  const tested = await coord(["notify", "test"], { env });
  expect([tested.code, tested.stdout, tested.stderr]).toEqual([
    1,
    "phone was told.\n",
    expect.stringMatching(
      /^warning: webhook could not be told, in three tries: it answered 500\nwarning: desktop could not be told, in three tries: .*ENOENT.*\n$/,
    ),
  ]);
  expect(received.map(({ body }) => (JSON.parse(body) as { kind: string }).kind)).toEqual(["test"]);
  expect((await coord(["notify", "remove", "webhook"], { env })).stdout).toBe("Removed webhook.\n");
  const before = readFileSync(file, "utf8");
  for (const [args, sentence] of [
    [["add"], "is no kind of notifier"],
    [["add", "mail"], "is no kind of notifier"],
    [["add", "desktop", "loud"], 'desktop takes no "loud"'],
    [["add", "desktop", "--level", "some"], "no such level"],
    [["add", "desktop", "--name", "phone"], "there is one of that name"],
    [["add", "desktop", "--name", "a b"], 'name is "a b"'],
    [["add", "desktop", "--secret-file", secret], "--secret-file is for a webhook"],
    [["add", "webhook"], "A webhook has one URL"],
    [["add", "webhook", "example.org"], "is no URL"],
    [["add", "webhook", "http://example.org/"], "is not https"],
    [["add", "webhook", "file:///etc/passwd"], "is not https"],
    [["add", "webhook", "https://a:b@example.org/"], "has no login"],
    [["add", "webhook", url, "--secret-file", "/nowhere/x"], "cannot be read"],
    [["add", "command"], "The command is missing"],
    [["remove", "nobody"], "no such notifier"],
    [["test", "nobody"], "no such notifier"],
    [["run", "nobody"], "no such notifier"],
    [["list", "phone"], "list takes no names"],
  ] as const) {
    const { code, stderr } = await coord(["notify", ...args], { env });
    expect([args, code, stderr]).toEqual([args, 1, expect.stringContaining(sentence)]);
  }
  expect(readFileSync(file, "utf8")).toBe(before);
  writeFileSync(file, "{}");
  expect((await coord(["notify", "list"], { env })).stderr).toContain("notifiers.json cannot be read");
});

test("what somebody claims is another's again once it has died, and what was told is nobody's", async () => {
  const { store } = bench.command("operator").session;
  const claim = async (thing: string, told = "0"): Promise<unknown> =>
    store.run("claim", {
      instance: "",
      session: "",
      notifier: "n",
      thing,
      seconds: told === "1" ? "1000" : "100",
      told,
    });
  expect([await claim("a"), await claim("a"), await claim("b")]).toEqual(["OK", "GONE", "OK"]);
  expect([await claim("b", "1"), await claim("b")]).toEqual(["OK", "GONE"]);
  const left = async (thing: string): Promise<number> => bench.raw.ttl(`${PREFIX}:claim:n:${thing}`);
  expect([(await left("a")) <= 100, (await left("b")) > 100]).toEqual([true, true]);
  await bench.raw.del(`${PREFIX}:claim:n:a`); // as its time does
  expect(await claim("a")).toBe("OK");
});
