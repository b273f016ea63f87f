import { spawn } from "node:child_process";
import { chmodSync, rmSync, symlinkSync } from "node:fs";
import { connect } from "node:net";
import { hostname } from "node:os";
import path from "node:path";
import { openRedis, type Redis } from "../raw-redis.ts";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { inspectServer, type ServerFacts } from "../../src/client/inspection.ts";
import { knowProcess } from "../../src/client/process.ts";
import { removeRunRecord, type RunRecord, writeRunRecord } from "../../src/client/run-record.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { examineServer } from "../../src/setup/examine-server.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { startServer } from "../harness.ts";
import { type Folder, plain, Stage } from "./stage.ts";

let redis: ThrowawayRedis;
let raw: Redis;
// With every right, where the rest of the tests have those of `coord acl`: the doctor asks for INFO and CONFIG as well.
beforeAll(async () => {
  redis = await startThrowawayRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
  raw = openRedis({ path: redis.socketPath });
});
beforeEach(async () => {
  await raw.flushall();
  await raw.config("SET", "appendonly", "yes");
  await raw.config("SET", "appendfsync", "always");
  await raw.config("SET", "maxmemory", "0");
  await raw.config("SET", "maxmemory-policy", "noeviction");
});
afterAll(async () => {
  raw.disconnect();
  await redis.stop();
});

interface Finding {
  level: "ok" | "warning" | "problem";
  about: string;
  message: string;
  remedy: string | null;
}

async function findings(folder: Folder, settings: Record<string, string> = {}): Promise<Finding[]> {
  const result = await folder.json(["doctor"], settings);
  const list = result["findings"] as Finding[];
  expect(result["success"]).toBe(list.every(({ level }) => level !== "problem"));
  return list;
}

/** What is not all right. */
async function troubles(folder: Folder, settings: Record<string, string> = {}): Promise<Finding[]> {
  return (await findings(folder, settings)).filter(({ level }) => level !== "ok");
}

async function healthy(stage: Stage): Promise<Folder> {
  const repository = stage.repository("shop");
  await repository.coord(["init"]);
  return repository;
}

test("where all is well: a line each, exit 0, and nothing is changed", async () => {
  const stage = new Stage(redis.url);
  const repository = await healthy(stage);
  const before = [repository.everything(), await raw.hgetall("coord-acme-shop:presence")];
  const { code, stdout, stderr } = await repository.coord(["doctor"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = plain(stdout, stage)
    .replaceAll(redis.socketPath, "<socket>")
    .replaceAll(/\d+\.\d+ MiB/g, "<n> MiB")
    .replaceAll(/version: (Redis|Valkey) \S+/g, "version: Redis <n>")
    .replaceAll(process.versions.node, "<node>")
    .replaceAll(/\d+ s ago/g, "<n> s ago");
  expect(lines).toBe(
    [
      "✓ Node.js: version <node>",
      "✓ identity: orchestrator, from worktrees in <home>/.config/cli-coordination/projects.json",
      "✓ connection: from server in <home>/.config/cli-coordination/projects.json",
      "✓ namespace: coord-acme-shop, from keyPrefix in <home>/.config/cli-coordination/projects.json",
      "✓ project: <home>/shop/.git in <home>/.config/cli-coordination/projects.json",
      "✓ Redis: <socket> answers",
      "✓ distance: an answer takes less than 50 ms",
      "✓ version: Redis <n>",
      "✓ role: a primary",
      "✓ persistence: appendonly yes, appendfsync always",
      "✓ eviction: maxmemory-policy noeviction",
      "✓ memory: <n> MiB used, no limit",
      "✓ clock: the same as here, within a second",
      "✓ protocol: nothing has been published in coord-acme-shop yet",
      "✓ presence: orchestrator is offline, seen <n> s ago",
      "✓ claude: set up in .mcp.json and .claude/settings.json",
      "",
    ].join("\n"),
  );
  expect([repository.everything(), await raw.hgetall("coord-acme-shop:presence")]).toEqual(before);
});

test("a Redis that is far away, and one that hooks cannot wait for", async () => {
  const repository = await healthy(new Stage(redis.url));
  const found: unknown[] = [];
  for (const milliseconds of [80, 600]) {
    const { port } = await startServer((near) => {
      const far = connect(redis.socketPath).on("error", () => near.destroy());
      let first = true; // the connection is made: only what is asked then takes long
      near.on("data", (bytes) => {
        setTimeout(() => far.write(bytes), first ? 0 : milliseconds);
        first = false;
      });
      far.on("data", (bytes) => near.write(bytes));
      near.on("close", () => far.destroy());
    });
    const said = await findings(repository, { COORD_REDIS_URL: `redis://127.0.0.1:${port}` });
    const told = said.filter(({ about }) => about === "distance");
    found.push(told.map(({ level, message }) => [level, message.replaceAll(/\d/g, "")]));
  }
  expect(found).toEqual([
    [["warning", "an answer takes  ms: a prompt waits . s, a tool call at most every  s"]],
    [["problem", "an answer takes  ms: hooks give up and show no mail, only the tools do"]],
  ]);
});

test("a Redis that forgets: off is a problem, everysec a warning, exit 1 for the problem only", async () => {
  const repository = await healthy(new Stage(redis.url));
  await raw.config("SET", "appendfsync", "everysec");
  expect(await troubles(repository)).toEqual([
    {
      level: "warning",
      about: "persistence",
      message: "appendfsync is everysec: a power failure loses the last second",
      remedy: "Run CONFIG SET appendfsync always.",
    },
  ]);
  expect((await repository.coord(["doctor"])).code).toBe(0);
  await raw.config("SET", "appendonly", "no");
  expect(await troubles(repository)).toMatchObject([{ level: "problem", about: "persistence" }]);
  const { code, stdout } = await repository.coord(["doctor"]);
  expect(code).toBe(1);
  expect(stdout).toContain(
    "✗ persistence: appendonly is off: a restart loses messages that were sent\n  → Run CONFIG SET",
  );
});

test("a Redis that evicts or is full", async () => {
  const repository = await healthy(new Stage(redis.url));
  await raw.config("SET", "maxmemory-policy", "allkeys-lru");
  expect(await troubles(repository)).toMatchObject([{ level: "warning", about: "eviction" }]);
  const used = Number(/used_memory:(\d+)/.exec(await raw.info("memory"))![1]);
  await raw.config("SET", "maxmemory", String(Math.round(used * 1.04)));
  expect(await troubles(repository)).toMatchObject([
    {
      level: "problem",
      about: "eviction",
      message: "maxmemory-policy is allkeys-lru: when memory is full, it drops messages",
    },
    { level: "warning", about: "memory", message: expect.stringMatching(/nearly full$/) as string },
  ]);
});

test("the user of coord acl sees little of the server: what was not seen is said, and is no problem", async () => {
  const repository = await healthy(new Stage(redis.url));
  const rule = (await repository.coord(["acl", "--user", "guest"])).stdout.trim().replace("PASSWORD", "secret");
  await raw.call("ACL", ...rule.split(" ").slice(1));
  const url = redis.url.replace("unix:", "unix://guest:secret@localhost");
  const list = await troubles(repository, { COORD_REDIS_URL: url, REDIS_URL: "" });
  expect(list.map(({ level, about }) => [level, about])).toEqual([
    ["warning", "version"],
    ["warning", "role"],
    ["warning", "persistence"],
    ["warning", "memory"],
  ]);
  await raw.call("ACL", "SETUSER", "guest", "+info");
  expect(await troubles(repository, { COORD_REDIS_URL: url, REDIS_URL: "" })).toEqual([
    {
      level: "warning",
      about: "persistence",
      message: "appendonly is on; appendfsync could not be seen: CONFIG is not allowed here",
      remedy: "Ask whoever runs this Redis.",
    },
  ]);
});

test("senders: who could write anybody's proof, who cannot write its own, and who is proven", async () => {
  const repository = await healthy(new Stage(redis.url));
  const asked = { COORD_SENDERS: "mark" };
  const told = async (env: Record<string, string>): Promise<string[]> =>
    (await findings(repository, env))
      .filter(({ about }) => about === "senders")
      .map(({ level, message }) => `${level}: ${message}`);
  expect(await told(asked)).toEqual([]);
  await raw.call("HSET", "coord-acme-shop:meta", "protocol", "2");
  expect(await told(asked)).toEqual(["warning: COORD_SENDERS is mark here, and off in the namespace"]);
  await repository.coord(["settings", "senders", "proven"]);
  expect(await told(asked)).toEqual([
    "warning: this Redis user could write a proof of anybody, so nothing is called proven to it, and nothing is hidden",
  ]);
  for (const [instance, expected] of [
    ["other", "problem: this Redis user may not speak for orchestrator: its messages are refused"],
    ["orchestrator", "ok: proven: each message says whether its sender is proven"],
  ] as const) {
    const rule = (await repository.coord(["acl", "--instance", instance])).stdout.trim().replace("PASSWORD", "secret");
    await raw.call("ACL", ...rule.split(" ").slice(1));
    const url = redis.url.replace("unix:", `unix://${instance}%40coord-acme-shop:secret@localhost`);
    expect(await told({ COORD_REDIS_URL: url, REDIS_URL: "" })).toEqual([expected]);
  }
});

test("a server whose users can change what everybody's scripts do is named, and nothing there is called proven", async () => {
  const settings = resolveSettings({ instanceId: "orchestrator", env: { REDIS_URL: redis.url }, cwd: "/" });
  const facts = await inspectServer(settings);
  expect(facts.scriptsMix).toBe(false); // this one has the correction
  const about = (changed: Partial<ServerFacts>): string[] =>
    examineServer({ ...facts, seals: true, forges: false, ...changed }, settings)
      .filter((it) => it.about === "scripts" || it.about === "senders")
      .map((it) => `${it.level}: ${it.about}`);
  expect(about({ senders: "proven" })).toEqual(["ok: senders"]);
  expect(about({ scriptsMix: true })).toEqual(["warning: scripts"]);
  expect(about({ scriptsMix: true, senders: "proven" })).toEqual(["problem: scripts"]);
});

test("replicas are counted against what publishing waits for", async () => {
  const repository = await healthy(new Stage(redis.url));
  const waiting = { COORD_WAIT_REPLICAS: "1" };
  expect(await troubles(repository, waiting)).toEqual([
    {
      level: "problem",
      about: "replicas",
      message: "0 connected, 1 waited for: every publish reports NOT_REPLICATED",
      remedy: "Start replicas, or lower COORD_WAIT_REPLICAS.",
    },
  ]);
});

test("a Redis that is down, or settings that are wrong: the rest is still looked at", async () => {
  const repository = await healthy(new Stage(redis.url));
  const down = await findings(repository, { REDIS_URL: "", COORD_REDIS_PORT: "1" });
  expect(down.filter(({ about }) => about === "connection")).toMatchObject([
    { level: "ok", message: "from COORD_REDIS_PORT" },
  ]);
  expect(down.filter(({ level }) => level !== "ok")).toMatchObject(
    [
      { level: "problem", about: "Redis", message: "Redis at localhost:1: nothing listens there.", remedy: /coord up/ },
    ].map((finding) => ({ ...finding, remedy: expect.stringMatching(finding.remedy) as string })),
  );
  expect(down.at(-1)).toMatchObject({ level: "ok", about: "claude" });
  const wrong = await findings(repository, { COORD_REDIS_URL: "http://x" });
  expect(wrong.map(({ level, about }) => [level, about])).toEqual([
    ["ok", "Node.js"],
    ["problem", "settings"],
    ["ok", "claude"],
  ]);
});

test("a namespace of a newer version", async () => {
  const repository = await healthy(new Stage(redis.url));
  await raw.hset("coord-acme-shop:meta", "protocol", "7");
  const list = await troubles(repository);
  expect(list).toContainEqual({
    level: "problem",
    about: "protocol",
    message: "the namespace uses version 7, this program knows 2",
    remedy: "Update cli-coordination here, or use another COORD_KEY_PREFIX.",
  });
});

test("a namespace of an older version", async () => {
  const repository = await healthy(new Stage(redis.url));
  await raw.hset("coord-acme-shop:meta", "protocol", "1");
  expect(await troubles(repository)).toContainEqual({
    level: "problem",
    about: "protocol",
    message: "the namespace uses version 1, this program knows 2",
    remedy: expect.stringContaining("coord import with this one") as string,
  });
});

test("identity, connection and prefix, and where each comes from", async () => {
  const stage = new Stage(redis.url);
  const folder = stage.repository("shop");
  const messages = async (settings: Record<string, string>): Promise<string[]> =>
    (await findings(folder, settings))
      .filter(({ about }) => ["identity", "connection", "namespace", "project"].includes(about))
      .map(({ level, message }) => `${level}: ${plain(message, stage)}`);
  expect(await messages({})).toEqual([
    "problem: no name is set",
    "ok: from REDIS_URL",
    "ok: coord, the default",
    "warning: it is not in the register, so name and namespace depend on the environment of each agent",
  ]);
  await folder.coord(["init", "--instance", "backend", "--prefix", "mine"]);
  expect(await messages({ REDIS_URL: "" })).toEqual([
    "ok: backend, from worktrees in <home>/.config/cli-coordination/projects.json",
    "ok: from server in <home>/.config/cli-coordination/projects.json",
    "ok: mine, from keyPrefix in <home>/.config/cli-coordination/projects.json",
    "ok: <home>/shop/.git in <home>/.config/cli-coordination/projects.json",
  ]);
  const elsewhere = { CLAUDE_INSTANCE_ID: "x", COORD_KEY_PREFIX: "other", COORD_REDIS_URL: redis.url };
  expect((await messages(elsewhere)).slice(0, 3)).toEqual([
    "ok: x, from CLAUDE_INSTANCE_ID",
    "ok: from COORD_REDIS_URL",
    "ok: other, from COORD_KEY_PREFIX",
  ]);
  const given = await folder.json(["doctor", "--instance", "me"]);
  expect(given["findings"]).toContainEqual({
    level: "ok",
    about: "identity",
    message: "me, from --instance",
    remedy: null,
  });
});

test("somebody else under the name: who, and where", async () => {
  const stage = new Stage(redis.url);
  const repository = await healthy(stage);
  const join = async (session: object): Promise<void> => {
    const entry = { last_heartbeat: new Date().toISOString(), left: false, session };
    await raw.hset("coord-acme-shop:presence", "orchestrator", JSON.stringify(entry));
  };
  await join({ agent: "claude-code", host: hostname(), pid: 42, cwd: path.join(repository.path, "src") });
  expect(await troubles(repository)).toEqual([]);
  await join({ agent: "codex", host: "laptop", pid: 42, cwd: "/projects/shop" });
  expect(await troubles(repository)).toMatchObject([
    {
      level: "warning",
      about: "presence",
      message: expect.stringMatching(
        /^orchestrator is active \(codex, laptop, pid 42, \/projects\/shop\), seen \d+ s ago: from elsewhere/,
      ) as string,
    },
  ]);
  await raw.hdel("coord-acme-shop:presence", "orchestrator");
  expect(await troubles(repository)).toMatchObject([
    { level: "warning", about: "presence", message: "orchestrator is not known yet: broadcasts do not reach it" },
  ]);
});

test("a session that could not be woken: what the command said, and what to do", async () => {
  const stage = new Stage(redis.url);
  const repository = await healthy(stage);
  const agent = spawn("sleep", ["60"]); // beside the doctor, and not above it
  const record: RunRecord = {
    by: "hook",
    standing: "speaker",
    agent: "codex",
    process: knowProcess(agent.pid!),
    sessions: [stage.home],
    instance: "orchestrator",
    prefix: "coord-acme-shop",
    server: {},
    tree: repository.path,
    unwoken: "Error: no rollout found",
  };
  for (const other of [{}, { prefix: "coord-elsewhere" }, { instance: "login" }]) {
    const written = { ...record, ...other };
    writeRunRecord(written);
    const message = `orchestrator cannot be woken in ${repository.path}: Error: no rollout found`;
    const remedy = expect.stringMatching(/^Update Codex/) as string;
    const isThis = Object.keys(other).length === 0;
    expect(await troubles(repository)).toEqual(isThis ? [{ level: "warning", about: "waking", message, remedy }] : []);
    removeRunRecord(written);
  }
  agent.kill();
});

test("the files of agents: programs or entries missing, broken, none at all", async () => {
  const stage = new Stage(redis.url);
  const repository = stage.repository("shop");
  expect((await troubles(repository)).at(-1)).toMatchObject({
    level: "warning",
    about: "agents",
    message: "none is set up here, which is right only where a plugin does it",
  });
  await repository.coord(["init", "--agent", "claude", "--agent", "codex"]);
  expect(await troubles(repository)).toEqual([]);
  rmSync(path.join(repository.path, ".codex/hooks.json"));
  repository.write(".claude/settings.json", "{ coord-hook");
  expect(await troubles(repository)).toEqual([
    {
      level: "problem",
      about: "claude",
      message: `${repository.path}/.claude/settings.json, line 1, column 3: invalid symbol.`,
      remedy: "Correct the file, then run coord init --agent claude.",
    },
    {
      level: "warning",
      about: "codex",
      message: ".codex/hooks.json lacks entries or has older ones",
      remedy: "Run coord init --agent codex.",
    },
  ]);
  repository.write(".claude/settings.json", "{}");
  rmSync(path.join(stage.home, "bin/coord"));
  expect((await troubles(repository)).map(({ level, about, message }) => [level, about, message])).toEqual([
    ["problem", "claude", "it starts coord mcp, which is not there"],
    ["problem", "codex", "it starts coord mcp, which is not there"],
  ]);
  symlinkSync("/nowhere", path.join(stage.home, "bin/coord"));
  expect((await troubles(repository)).map(({ level }) => level)).toEqual(["problem", "problem"]);
});

test("what Codex says of its hooks, by itself: trusted, passed over, not read, no answer", async () => {
  const stage = new Stage(redis.url);
  const repository = stage.repository("shop");
  await repository.coord(["worktree", "add", "login", "--agent", "codex"]);
  const worktree = repository.at("../shop-login");
  const command = "command -v coord-hook >/dev/null 2>&1 || exit 0; exec coord-hook codex";
  const asked = async (answer: string, queueHelp = "--thread <THREAD>"): Promise<unknown> => {
    const queue = `[ "$1" = queue ] && { printf '%s\\n' '${queueHelp}'; exit; }`;
    const program = `#!/bin/sh\n${queue}\nread -r one; read -r two; read -r asked\nprintf '%s\\n' '${answer}'\necho "$asked" >"$HOME/asked"\ncat >/dev/null\n`;
    stage.folder("bin").write("codex", program);
    chmodSync(path.join(stage.home, "bin/codex"), 0o755);
    return (await troubles(worktree)).map(({ about, message }) => `${about}: ${message}`);
  };
  const listed = (...hooks: object[]): string => JSON.stringify({ id: 2, result: { data: [{ hooks }] } });
  const trusted = { command, enabled: true, trustStatus: "trusted" };
  expect(await asked(listed(trusted, trusted))).toEqual([]);
  expect(JSON.parse(stage.folder(".").read("asked"))).toEqual({
    id: 2,
    method: "hooks/list",
    params: { cwds: [worktree.path] },
  });
  expect(await asked(listed(trusted), "Usage: codex [PROMPT]")).toEqual([
    "codex: this Codex does not know codex queue, so nothing wakes it when it is idle",
  ]);
  const passedOver = (count: number): string =>
    `codex: Codex passes over ${count} of 2 hooks without a word: nobody has trusted them, or they are switched off`;
  expect(await asked(listed(trusted, { ...trusted, trustStatus: "modified" }))).toEqual([passedOver(1)]);
  expect(await asked(listed({ ...trusted, enabled: false }, { ...trusted, trustStatus: "untrusted" }))).toEqual([
    passedOver(2),
  ]);
  expect(await asked(listed({ ...trusted, command: "say done" }))).toEqual([
    "codex: Codex does not read the hooks here, so no mail arrives by itself",
  ]);
  const silent = ["codex: codex app-server did not say whether it runs the hooks"];
  expect(await asked("{")).toEqual(silent);
  expect(await asked(JSON.stringify({ id: 2, error: { message: "no such method" } }))).toEqual(silent);
});

test("what keeps Gemini CLI from starting what is set up, in the project's settings and its user's", async () => {
  const stage = new Stage(redis.url);
  const repository = stage.repository("shop");
  await repository.coord(["init", "--agent", "gemini"]);
  const home = stage.folder(".");
  const said = async (): Promise<string[]> =>
    (await troubles(repository)).filter(({ about }) => about === "gemini").map(({ message }) => message);
  expect(await said()).toEqual([]); // it has never run
  const untrusted =
    "nobody has said that Gemini CLI may trust this folder, and where it asks about folders it reads no settings of one before";
  const settings = repository
    .read(".gemini/settings.json")
    .replace("{", '{\n  "hooksConfig": { "enabled": false }, // off');
  repository.write(".gemini/settings.json", settings);
  home.write(".gemini/settings.json", '{ "mcp": { "excluded": ["coord"] } }');
  const excluded = `mcp in ${stage.home}/.gemini/settings.json keeps the server coord out, so it has no tools`;
  expect(await said()).toEqual([
    "hooksConfig.enabled in .gemini/settings.json switches the hooks off",
    excluded,
    untrusted,
  ]);
  repository.write(".gemini/settings.json", settings.replace('"enabled": false', '"enabled": true'));
  home.write(".gemini/settings.json", "{}");
  for (const [rules, isTrusted] of [
    [{ [repository.path]: "TRUST_FOLDER" }, true],
    [{ [`${stage.home}/other`]: "TRUST_PARENT" }, true],
    [{ [stage.home]: "TRUST_FOLDER", [repository.path]: "DO_NOT_TRUST" }, false],
    [{ [`${repository.path}-login`]: "TRUST_FOLDER" }, false],
  ] as const) {
    home.write(".gemini/trustedFolders.json", JSON.stringify(rules));
    expect([rules, await said()]).toEqual([rules, isTrusted ? [] : [untrusted]]);
  }
  home.write(".gemini/trustedFolders.json", "{}");
  home.write(".gemini/settings.json", '{ "security": { "folderTrust": { "enabled": false } } }');
  expect(await said()).toEqual([]);
});

test("outside of git, with nothing at all", async () => {
  const folder = new Stage("redis://127.0.0.1:1").folder("notes");
  const { code, stderr } = await folder.coord(["doctor"]);
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
});

test("a server of the project that nobody has allowed Claude Code to start", async () => {
  const stage = new Stage(redis.url);
  const repository = await healthy(stage);
  const home = stage.folder(".");
  const answered = (answers: object): void =>
    home.write(".claude.json", JSON.stringify({ projects: { [repository.path]: answers } }));
  answered({});
  expect(await troubles(repository)).toEqual([
    {
      level: "warning",
      about: "claude",
      message: "nobody has allowed Claude Code to start the server coord of .mcp.json yet, so it has no tools",
      remedy:
        "Start claude here and approve it, or name coord in enabledMcpjsonServers of .claude/settings.local.json.",
    },
  ]);
  answered({ disabledMcpjsonServers: ["coord"] });
  expect(await troubles(repository)).toMatchObject([
    {
      level: "problem",
      message: `disabledMcpjsonServers in ${stage.home}/.claude.json names coord, so it has no tools`,
    },
  ]);
  answered({ enabledMcpjsonServers: ["coord"] });
  expect(await troubles(repository)).toEqual([]);
  answered({});
  for (const said of [{ enableAllProjectMcpServers: true }, { enabledMcpjsonServers: ["coord"] }]) {
    repository.write(".claude/settings.local.json", JSON.stringify(said));
    expect(await troubles(repository)).toEqual([]);
  }
});

test("the name in use in another project of the namespace", async () => {
  const stage = new Stage(redis.url);
  const repository = await healthy(stage);
  const [blog, wiki] = [stage.repository("blog"), stage.repository("wiki")];
  await blog.coord(["init"]); // orchestrator as well, in a namespace of its own
  await wiki.coord(["init", "--prefix", "coord-acme-shop", "--instance", "wiki"]);
  expect(await troubles(repository)).toEqual([]);
  await wiki.coord(["init", "--instance", "orchestrator"]);
  expect(await troubles(repository)).toEqual([
    {
      level: "warning",
      about: "name",
      message: `${wiki.path}/.git is in the namespace coord-acme-shop as well, and has the name orchestrator too: its mail and this one's are the same`,
      remedy:
        "Name one of them differently, coord init --instance <name>, or give it a namespace: coord init --prefix <prefix>.",
    },
  ]);
});

test("the name in use in another namespace of the server, from the same work tree", async () => {
  const stage = new Stage(redis.url);
  const repository = await healthy(stage);
  const join = async (prefix: string, cwd: string): Promise<void> => {
    const session = { agent: "claude-code", host: hostname(), pid: 42, cwd };
    const entry = { last_heartbeat: new Date().toISOString(), left: false, session };
    await raw.hset(`${prefix}:presence`, "orchestrator", JSON.stringify(entry));
    await raw.hset(`${prefix}:meta`, "protocol", "2");
  };
  await join("coord-other-shop", "/projects/shop");
  expect(await troubles(repository)).toEqual([]);
  await join("coord", path.join(repository.path, "src"));
  await join("coord-other-shop", repository.path);
  expect((await troubles(repository)).map(({ level, message }) => `${level}: ${message}`)).toEqual(
    ["coord", "coord-other-shop"].map(
      (prefix) =>
        `warning: orchestrator is active in the namespace ${prefix}, from here: what is sent to it in coord-acme-shop does not reach it`,
    ),
  );
});

test("what keeps Claude Code from starting what is set up", async () => {
  const stage = new Stage(redis.url);
  const repository = await healthy(stage);
  const messages = async (): Promise<string[]> =>
    (await troubles(repository)).map(({ message }) => plain(message, stage));
  repository.write(
    ".claude/settings.local.json",
    JSON.stringify({ disableAllHooks: true, disabledMcpjsonServers: ["coord"] }),
  );
  stage
    .folder(".claude")
    .write("settings.json", JSON.stringify({ enabledPlugins: { "coord@cli-coordination": true } }));
  expect(await messages()).toEqual([
    "disableAllHooks in .claude/settings.local.json switches the hooks off",
    "disabledMcpjsonServers in .claude/settings.local.json names coord, so it has no tools",
    "the plugin in <home>/.claude/settings.json and coord init are both active: each message is shown once, but every hook runs twice",
  ]);
  rmSync(path.join(repository.path, ".claude/settings.local.json"));
  rmSync(path.join(stage.home, ".claude/settings.json"));
  repository.write(".claude/settings.json", `// mine\n${repository.read(".claude/settings.json")}`);
  expect(await messages()).toEqual([".claude/settings.json is not strict JSON, so Claude Code ignores all of it"]);
});
