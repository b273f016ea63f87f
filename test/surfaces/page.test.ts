/** The server of `coord ui`, asked by programs: who gets in, who does not, and what is told to whom. The browser has tests of its own. */
import { readdirSync, statSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { PREFIX, until, useRedis } from "../harness.ts";
import { pageEnvironment, type RunningPage, startPage } from "./running-page.ts";
import { coord, temporaryFolder, type Wire } from "./run.ts";

const bench = useRedis();

const REQUEST = { type: "GENERAL", subject: "s", description: "d" } as const;
const ALL_READS = ["/api/session", "/api/messages", "/api/message?id=msg-0000000000", "/api/search?q=x", "/events"];

describe("who is refused", () => {
  let page: RunningPage;
  beforeEach(async () => {
    page = await (await startPage(bench.redis.url)).letIn();
  });

  it.each(["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:80"])(
    "Host %j, as a name that was rebound sends it, on each path",
    async (host) => {
      for (const where of ["/", "/app.js", ...ALL_READS]) {
        const { status, body } = await page.ask("GET", where, undefined, { host });
        expect([where, status, body["messages"]]).toEqual([where, 421, undefined]);
      }
    },
  );

  it.each<[string, Record<string, string>]>([
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["another port of this machine", { "sec-fetch-site": "same-site" }],
    ["a foreign origin", { origin: "http://evil.example" }],
    ["a sandboxed frame", { origin: "null" }],
  ])("%s, though the browser sends the cookie", async (_, headers) => {
    for (const where of ALL_READS) expect((await page.ask("GET", where, undefined, headers)).status).toBe(403);
    const body = { ...REQUEST, to: "alice" };
    expect((await page.ask("POST", "/api/publish", body, headers)).status).toBe(403);
    expect(await bench.raw.keys("*msg:*")).toEqual([]);
  });

  it("who has no cookie, or that of an earlier page, of everything but the empty page", async () => {
    const earlier = page.cookie.replace(/=.*/, "=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for (const cookie of ["", earlier, `${page.cookie}x`]) {
      page.cookie = cookie;
      for (const where of ALL_READS) expect((await page.ask("GET", where)).status).toBe(401);
      expect((await page.ask("POST", "/api/publish", { ...REQUEST, to: "alice" })).status).toBe(401);
      const empty = await page.ask("GET", "/");
      expect([empty.status, empty.headers["set-cookie"]]).toEqual([200, undefined]);
    }
  });

  it("a body that is no JSON, as a form sends it, or is too long", async () => {
    const form = { "content-type": "application/x-www-form-urlencoded" };
    expect((await page.ask("POST", "/api/publish", "type=GENERAL", form)).status).toBe(415);
    expect((await page.ask("POST", "/api/publish", "[]")).status).toBe(415);
    const long = { ...REQUEST, to: "alice", description: "x".repeat(600_000) };
    expect((await page.ask("POST", "/api/publish", long)).status).toBe(413);
    expect(await bench.raw.keys("*msg:*")).toEqual([]);
  });

  it("who asks for a new link without the key of the record", async () => {
    for (const headers of [{}, { authorization: "Bearer x" }]) {
      expect((await page.ask("POST", "/api/link", undefined, headers)).status).toBe(401);
    }
  });

  it("nobody for the sake of a hundred who are slow", async () => {
    const slow = Array.from({ length: 100 }, () => connect(page.port, "127.0.0.1").on("error", () => undefined));
    for (const socket of slow) socket.write("GET / HTTP/1.1\r\nHost: ");
    expect((await page.ask("GET", "/api/messages")).status).toBe(200);
    for (const socket of slow) socket.destroy();
  });
});

describe("a link", () => {
  it("opens the page once; opened elsewhere again it lets nobody in, and who was in is out", async () => {
    const page = await (await startPage(bench.redis.url)).letIn();
    expect((await page.ask("GET", "/api/session")).status).toBe(200);
    const again = await page.ask("POST", "/api/session", { secret: page.secret });
    expect([again.status, again.headers["set-cookie"]]).toEqual([200, undefined]);
    const { cookie } = page;
    page.cookie = "";
    expect((await page.ask("POST", "/api/session", { secret: page.secret })).status).toBe(401);
    page.cookie = cookie;
    expect((await page.ask("GET", "/api/session")).status).toBe(401);
  });

  it("is secret: the cookie is for the browser alone, and the record for the user", async () => {
    const page = await startPage(bench.redis.url);
    const { headers } = await page.ask("POST", "/api/session", { secret: page.secret });
    expect(String(headers["set-cookie"])).toMatch(
      new RegExp(`^coord-${page.port}-[0-9a-f]{12}=[\\w-]{32}; HttpOnly; SameSite=Strict; Path=/$`),
    );
    const folder = path.join(page.config, "cli-coordination");
    expect(readdirSync(folder).map((name) => statSync(path.join(folder, name)).mode & 0o777)).toEqual([0o600]);
  });

  it("of a second start opens the first one's page", async () => {
    const page = await startPage(bench.redis.url);
    const second = await coord(["ui", "--no-open", "--json"], { env: pageEnvironment(bench.redis.url, page.config) });
    const { url } = JSON.parse(second.stdout) as { url: string };
    expect([second.code, new URL(url).port]).toEqual([0, String(page.port)]);
    expect((await page.ask("POST", "/api/session", { secret: new URL(url).hash.slice(1) })).status).toBe(200);
  });

  it("is of a person: not of a worktree's or an agent's name", async () => {
    await bench.raw.hset(
      `${PREFIX}:presence`,
      "backend",
      JSON.stringify({ last_heartbeat: new Date().toISOString(), left: false, session: { agent: "codex" } }),
    );
    const ended = await coord(["ui", "--no-open", "--instance", "backend"], {
      env: pageEnvironment(bench.redis.url, await temporaryFolder()),
    });
    expect([ended.code, ended.stdout, ended.stderr]).toEqual([
      1,
      "",
      expect.stringContaining("backend is an agent's name: codex has spoken under it."),
    ]);
  });
});

describe("the page", () => {
  it("may load its own files and ask its own server, and nothing else", async () => {
    const page = await startPage(bench.redis.url);
    for (const where of [
      "/",
      "/m/msg-0000000000",
      "/t/x",
      "/i/alice",
      "/search?q=x",
      "/app.js",
      "/app.css",
      "/icon.svg",
    ]) {
      const { status, headers, text } = await page.ask("GET", where);
      expect([status, text.includes(page.secret)]).toEqual([200, false]);
      expect(headers).toMatchObject({
        "content-security-policy": expect.stringMatching(
          /^default-src 'none'; script-src 'self';.*trusted-types 'none'$/,
        ),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
      });
      expect(headers["access-control-allow-origin"]).toBeUndefined();
    }
    expect((await page.ask("GET", "/../package.json")).status).not.toBe(200);
  });

  it("lists, shows and searches what there is, and to open a message presents it to the person only", async () => {
    const [alice] = await bench.clients("alice");
    const { messageId: id } = await alice.publishMessage({ ...REQUEST, to: "operator", description: "x".repeat(1000) });
    const page = await (await startPage(bench.redis.url)).letIn();
    const list = (await page.ask("GET", "/api/messages")).body["messages"] as Wire[];
    expect(list).toMatchObject([{ id, from: "alice", description: "x".repeat(300) }]);
    const found = (await page.ask("GET", "/api/search?q=from%3Aalice")).body["messages"] as Wire[];
    expect(found.map((message) => message["id"])).toEqual([id]);
    const state = async (): Promise<unknown> =>
      (await alice.showMessage(id)).messages[0]!.receipts!.map((receipt) => receipt.state);
    expect(await state()).toEqual(["stored"]);
    expect((await page.ask("GET", `/api/message?id=${id}`)).body).toMatchObject({ count: 1 });
    expect(await state()).toEqual(["presented"]);
  });

  it("writes as the person, and says so; a refusal is the client's own", async () => {
    const [alice] = await bench.clients("alice");
    const page = await (await startPage(bench.redis.url)).letIn();
    const written = await page.ask("POST", "/api/publish", { ...REQUEST, to: "alice" });
    expect(written).toMatchObject({ status: 200, body: { from: "operator", recipients: [{ instance: "alice" }] } });
    const [message] = (await alice.checkMessages()).messages;
    expect(message).toMatchObject({ from: "operator", via: "ui" });
    const { messageId } = await alice.publishMessage({ ...REQUEST, to: "operator" });
    expect((await page.ask("POST", "/api/acknowledge", { messageId })).body).toMatchObject({ already: false });
    expect(await page.ask("POST", "/api/publish", { ...REQUEST, to: "not a name" })).toMatchObject({
      status: 409,
      body: { code: "INVALID", error: expect.stringContaining('to is "not a name"'), hint: expect.any(String) },
    });
  });

  it("with --read-only writes nothing, marks nothing, and is no sign of life", async () => {
    const [alice] = await bench.clients("alice");
    const { messageId: id } = await alice.publishMessage({ ...REQUEST, to: "operator" });
    const page = await (await startPage(bench.redis.url, ["--read-only"])).letIn();
    const before = await bench.state();
    expect((await page.ask("GET", `/api/message?id=${id}`)).body).toMatchObject({ count: 1 });
    await page.ask("GET", "/api/messages");
    await page.listen((text) => text.includes("event: totals"));
    for (const where of ["/api/publish", "/api/acknowledge", "/api/retry", "/api/drop"]) {
      expect((await page.ask("POST", where, { messageId: id, messageIds: [id] })).status).toBe(403);
    }
    expect(await bench.state()).toEqual(before);
  });
});

describe("the stream", () => {
  it("tells what happens, and what needs the person", async () => {
    const [alice] = await bench.clients("alice");
    const page = await (await startPage(bench.redis.url)).letIn();
    const told = page.listen((text) => /event: attention\n.*"kind":"addressed"/.test(text));
    await until(async () => (await bench.raw.call("PUBSUB", "NUMPAT")) !== undefined && (await subscribed()) > 0);
    const { messageId } = await alice.publishMessage({ ...REQUEST, to: "operator" });
    expect(await told).toContain(`"messageId":"${messageId}"`);
  });

  it("holds no connection to Redis once the last tab is closed", async () => {
    const page = await (await startPage(bench.redis.url)).letIn();
    await page.listen((text) => text.includes("event: totals"));
    await until(async () => (await subscribed()) === 0);
    await until(async () => !String(await bench.raw.call("CLIENT", "LIST", "TYPE", "pubsub")).includes("id="));
  });

  it("says that Redis is away, and goes on when it is back", async () => {
    const page = await startPage("redis://127.0.0.1:1");
    await page.letIn();
    expect(await page.listen((text) => text.includes("event: away"))).toContain("127.0.0.1:1");
    expect(await page.ask("GET", "/api/messages")).toMatchObject({ status: 503, body: { code: "UNAVAILABLE" } });
  });
});

it("ends when it is told to, and takes its record away", async () => {
  const page = await startPage(bench.redis.url);
  expect(await page.end()).toBe(0);
  expect(readdirSync(path.join(page.config, "cli-coordination"))).toEqual([]);
});

it("refuses a port that is taken, by its number", async () => {
  const page = await startPage(bench.redis.url);
  const env = pageEnvironment(bench.redis.url, await temporaryFolder());
  const ended = await coord(["ui", "--no-open", "--port", String(page.port)], { env });
  expect([ended.code, ended.stderr]).toEqual([1, expect.stringContaining(`port ${page.port} cannot be used`)]);
});

async function subscribed(): Promise<number> {
  const [, count] = (await bench.raw.call("PUBSUB", "NUMSUB", `${PREFIX}:events`)) as [string, number];
  return count;
}
