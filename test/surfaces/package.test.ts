/** The package as people get it: packed, installed into an empty folder, used from there. */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { useRedis } from "../harness.ts";
import { type Environment, ROOT, type Wire, bash, environment, json, run } from "./run.ts";

const bench = useRedis();
const INSTALL_WITHIN_MS = 120_000;

let folder: string;
let tarball: string;
/** Somebody's project, with nothing in it but our package and what that needs. */
let project: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "coord-t-"));
  const env = { ...process.env } as Environment;
  // dist/ is built (see global-setup.ts), so that prepack would only build it once more.
  const pack = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
  const packed = await run("npm", pack, { env, cwd: ROOT, withinMs: INSTALL_WITHIN_MS });
  expect(packed.code, packed.stderr).toBe(0);
  tarball = path.join(
    folder,
    readdirSync(folder).find((name) => name.endsWith(".tgz"))!,
  );
  project = path.join(folder, "project");
  mkdirSync(project);
  writeFileSync(path.join(project, "package.json"), '{"name": "somebody", "private": true, "type": "module"}');
  const install = ["install", "--prefer-offline", "--no-audit", "--no-fund", tarball];
  const installed = await run("npm", install, { env, cwd: project, withinMs: INSTALL_WITHIN_MS });
  expect(installed).toMatchObject({ code: 0, stderr: "" });
}, 2 * INSTALL_WITHIN_MS);
afterAll(() => rm(folder, { recursive: true, force: true }));

const env = (instance: string): Environment =>
  environment({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: instance });

it("holds what it should, and nothing else", async () => {
  const { stdout } = await run("tar", ["-tzf", tarball]);
  const held = stdout.trimEnd().split("\n").toSorted();
  // The documents are all of docs/, in the form that git has of them.
  expect(held.filter((name) => !name.startsWith("package/docs/"))).toMatchSnapshot();
});

it("has every page and picture that its documents link to", async () => {
  const root = path.join(project, "node_modules/cli-coordination");
  const pages = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md"));
  expect(pages).toContain("docs/README.md");
  const missing = pages.flatMap((page) => {
    const text = readFileSync(path.join(root, page), "utf8").replaceAll(/^```[^]*?^```$/gm, "");
    return [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)]
      .map(([, target]) => target!)
      .filter((target) => !/^\w+:/.test(target) && !existsSync(path.join(root, path.dirname(page), target)))
      .map((target) => `${page}: ${target}`);
  });
  expect(missing).toEqual([]);
});

it("brings nothing along", () => {
  const installed = readdirSync(path.join(project, "node_modules")).filter((name) => !name.startsWith("."));
  expect(installed).toEqual(["cli-coordination"]);
});

describe("from there work", () => {
  it("the command line, through npx and as a script of the project", async () => {
    await bench.seen({ frontend: 0 });
    const options = { env: env("backend"), cwd: project };
    const sent = json(
      await run(
        "npx",
        ["--no-install", "coord", "publish", "GENERAL", "s", "d", "--to", "frontend", "--json"],
        options,
      ),
    );
    const check = path.join(project, "node_modules/cli-coordination/scripts/coordination/check-messages.sh");
    const { messages } = json(await run(check, ["--pending", "--json"], { env: env("frontend"), cwd: "/" }));
    expect((messages as Wire[]).map(({ id }) => id)).toEqual([sent["message_id"]]);
    const linked = await bash("node_modules/.bin/coord --version", [], options);
    expect(linked.stdout).toBe(
      `${String((JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8")) as Wire)["version"])}\n`,
    );
  });

  it("the MCP server", async () => {
    const client = new Client({ name: "test", version: "0" });
    const command = path.join(project, "node_modules/.bin/coord");
    await client.connect(new StdioClientTransport({ command, args: ["mcp"], env: env("backend"), stderr: "inherit" }));
    try {
      expect((await client.listTools()).tools).toHaveLength(5);
      const { structuredContent } = await client.callTool({ name: "coord_get_presence", arguments: {} });
      expect(structuredContent).toMatchObject({ success: true, instances: { backend: { status: "active" } } });
    } finally {
      await client.close();
    }
  });

  it("the library: a strict TypeScript consumer compiles and runs", async () => {
    writeFileSync(path.join(project, "consumer.ts"), CONSUMER);
    const compiler = path.join(ROOT, "node_modules/typescript/bin/tsc");
    const strict = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"];
    const target = ["--module", "nodenext", "--target", "es2022", "--lib", "es2023,esnext.disposable"];
    const types = ["--typeRoots", path.join(ROOT, "node_modules/@types"), "--types", "node"];
    const compiled = await run(process.execPath, [compiler, ...strict, ...target, ...types, "consumer.ts"], {
      cwd: project,
    });
    expect(compiled).toMatchObject({ code: 0, stdout: "" });

    const options = { env: environment({ REDIS_URL: bench.redis.url }), cwd: project };
    const { code, stdout, stderr } = await run(process.execPath, ["consumer.js"], options);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(await bench.plain(JSON.parse(stdout) as Wire)).toEqual({
      sent: { messageId: "m1", recipients: [{ instance: "frontend", presence: "active" }] },
      found: [{ id: "m1", subject: "login", acknowledged: false }],
      acknowledged: { messageId: "m1", acknowledgedBy: "frontend", timestamp: "<time>", already: false, comment: "ok" },
      event: ["message_acknowledged", "m1"],
      present: ["backend", "frontend"],
      refusal: { code: "NOT_FOUND", name: "CoordinationError", hint: "string" },
    });
  });

  it("require() of the library says that it is an ES module, or gives it", async () => {
    const code =
      'try { console.log(typeof require("cli-coordination").getCoordinationClient) } catch (e) { console.log(e.code) }';
    const { stdout } = await run(process.execPath, ["-e", code], { cwd: project });
    expect(stdout.trim()).toMatch(/^(function|ERR_REQUIRE_ESM)$/);
  });
});

const CONSUMER = `
import {
  CoordinationError, ErrorCode, MessageType, getCoordinationClient,
  type AckResult, type CheckRequest, type CheckResult, type CoordinationEvent, type Message, type PublishResult,
} from "cli-coordination";

await using backend = await getCoordinationClient({ instanceId: "backend" });
await using frontend = await getCoordinationClient({ instanceId: "frontend" });
await frontend.touch();
const sent: PublishResult = await backend.publishMessage({
  type: MessageType.READY_FOR_REVIEW, subject: "login", description: "Ready for review", to: "frontend",
});
const filter: CheckRequest = { pendingOnly: true, limit: 5 };
const found: CheckResult = await frontend.checkMessages(filter);
const acknowledged: AckResult = await frontend.ackMessage(sent.messageId, { comment: "ok" });
const both = await frontend.ackMessage([sent.messageId]);
if (both.length !== 1) throw new Error("one result for each id");
let event: CoordinationEvent | undefined;
for await (const each of backend.events()) {
  event = each;
  break;
}
const { instances } = await backend.getPresence();
let refusal: unknown;
try {
  await backend.ackMessage("msg-nope");
} catch (error) {
  if (!(error instanceof CoordinationError) || error.code !== ErrorCode.NOT_FOUND) throw error;
  refusal = { code: error.code, name: error.name, hint: typeof error.hint };
}
// @ts-expect-error no such type
const wrongType = () => backend.publishMessage({ type: "READY", subject: "s", description: "d" });
// @ts-expect-error a message has a subject
const noSubject = () => backend.publishMessage({ type: MessageType.GENERAL, description: "d" });
// @ts-expect-error a misspelt option is refused
const misspelt = () => backend.checkMessages({ pending_only: true });
void [wrongType, noSubject, misspelt];
console.log(JSON.stringify({
  sent: { messageId: sent.messageId, recipients: sent.recipients },
  found: found.messages.map(({ id, subject, acknowledged }: Message) => ({ id, subject, acknowledged })),
  acknowledged,
  event: [event?.event, event?.messageId],
  present: Object.keys(instances),
  refusal,
}));
`;
