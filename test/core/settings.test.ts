import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SettingsOptions } from "../../src/client/options.ts";
import { resolveSettings, type Settings } from "../../src/client/settings.ts";
import { CoordinationError, getCoordinationClient } from "../../src/index.ts";
import { refused } from "../harness.ts";

const DEFAULTS: Omit<Settings, "sources"> = {
  instanceId: undefined,
  agentSessionId: undefined,
  connection: { host: "localhost", port: 6379, db: 0, tls: false },
  keyPrefix: "coord",
  orchestrator: "orchestrator",
  replication: { replicas: 0, milliseconds: 1000 },
  presenceTimeoutSeconds: 300,
  loanSeconds: 10,
  ackTimeoutSeconds: 900,
  namespace: {
    retentionDays: 30,
    maxMessages: 100_000,
    ackAttempts: 2,
    ackIntervalSeconds: 300,
    presenceTimeoutSeconds: 300,
    loopMessages: 50,
    loopSeconds: 300,
    loopReplies: 6,
    senders: "off",
  },
  unknownRecipient: "warn",
  direction: "warn",
};

let folder: string;
let project: string;
let below: string;

// outer/repo/.git, which is in the register where a test says so, outer/repo/src/deep; outer/bare/.git, which never is.
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "coord-test-")));
  project = join(folder, "repo");
  below = join(project, "src", "deep");
  await mkdir(below, { recursive: true });
  await mkdir(join(project, ".git"));
  await mkdir(join(folder, "bare", ".git", "hooks"), { recursive: true });
  await mkdir(join(folder, "bare", "src"));
  await mkdir(join(folder, "config", "cli-coordination"), { recursive: true });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const registered = (text: string): Promise<void> =>
  writeFile(join(folder, "config/cli-coordination/projects.json"), text);
const inProject = ({ name, ...values }: Record<string, unknown>): Promise<void> =>
  registered(
    JSON.stringify({
      projects: {
        [join(project, ".git")]: {
          keyPrefix: "coord",
          ...(name === undefined ? {} : { worktrees: { ".": name } }),
          ...values,
        },
      },
    }),
  );

/** Nothing from outside: no environment and no register but that of these tests. */
function resolve(options: SettingsOptions): Omit<Settings, "sources"> {
  // Where the values came from is told by coord doctor, and tested with it.
  const { sources: _, ...settings } = resolveSettings({
    cwd: join(folder, "bare"),
    ...options,
    env: { XDG_CONFIG_HOME: join(folder, "config"), ...options.env },
  });
  return settings;
}

function refusal(options: SettingsOptions): CoordinationError {
  try {
    throw new Error(`not refused, but ${JSON.stringify(resolve(options))}`);
  } catch (error) {
    if (error instanceof CoordinationError) return error;
    throw error;
  }
}

/** A connection from only these differences to the default one. */
const to = (changed: object): Settings["connection"] => ({ ...DEFAULTS.connection, ...changed });

test("without anything every setting has its default", () => {
  expect(resolve({})).toEqual(DEFAULTS);
});

const namespace = (changes: Partial<Settings["namespace"]>): Partial<Settings> => ({
  namespace: { ...DEFAULTS.namespace, ...changes },
});

describe("variables", () => {
  test.each<[variable: string, value: string, expected: Partial<Settings>]>([
    ["CLAUDE_INSTANCE_ID", "backend.v2-x_1", { instanceId: "backend.v2-x_1" }],
    ["CLAUDE_INSTANCE_ID", "9", { instanceId: "9" }],
    ["CLAUDE_INSTANCE_ID", "x".repeat(64), { instanceId: "x".repeat(64) }],
    ["REDIS_HOST", "redis.example", { connection: to({ host: "redis.example" }) }],
    ["REDIS_PORT", "1", { connection: to({ port: 1 }) }],
    ["REDIS_PORT", "65535", { connection: to({ port: 65_535 }) }],
    ["REDIS_DB", "15", { connection: to({ db: 15 }) }],
    ["REDIS_USERNAME", "ann", { connection: to({ username: "ann" }) }],
    ["REDIS_PASSWORD", "p w", { connection: to({ password: "p w" }) }],
    ["REDIS_URL", "redis://h:7000/2", { connection: to({ host: "h", port: 7000, db: 2 }) }],
    ["COORD_WAIT_REPLICAS", "2", { replication: { replicas: 2, milliseconds: 1000 } }],
    ["COORD_WAIT_REPLICAS_MILLISECONDS", "4000", { replication: { replicas: 0, milliseconds: 4000 } }],
    ["COORD_KEY_PREFIX", "{team}:a.b_c-D", { keyPrefix: "{team}:a.b_c-D" }],
    ["COORD_KEY_PREFIX", "p".repeat(64), { keyPrefix: "p".repeat(64) }],
    ["COORD_ORCHESTRATOR", "boss", { orchestrator: "boss" }],
    ["COORD_PRESENCE_TIMEOUT_SECONDS", "1", { presenceTimeoutSeconds: 1, ...namespace({ presenceTimeoutSeconds: 1 }) }],
    ["COORD_RETENTION_DAYS", "7", namespace({ retentionDays: 7 })],
    ["COORD_MAX_MESSAGES", "5", namespace({ maxMessages: 5 })],
    ["COORD_LOOP_MESSAGES", "0", namespace({ loopMessages: 0 })],
    ["COORD_LOOP_SECONDS", "60", namespace({ loopSeconds: 60 })],
    ["COORD_LOOP_REPLIES", "2", namespace({ loopReplies: 2 })],
    ["COORD_SENDERS", "off", namespace({ senders: "off" })],
    ["COORD_SENDERS", "mark", namespace({ senders: "mark" })],
    ["COORD_SENDERS", "proven", namespace({ senders: "proven" })],
    ["COORD_ACK_ATTEMPTS", "0", namespace({ ackAttempts: 0 })],
    ["COORD_ACK_INTERVAL_SECONDS", "60", namespace({ ackIntervalSeconds: 60 })],
    ["COORD_ACK_TIMEOUT_SECONDS", "0", { ackTimeoutSeconds: 0 }],
    ["COORD_UNKNOWN_RECIPIENT", "warn", { unknownRecipient: "warn" }],
    ["COORD_UNKNOWN_RECIPIENT", "reject", { unknownRecipient: "reject" }],
    ["COORD_DIRECTION", "warn", { direction: "warn" }],
    ["COORD_DIRECTION", "strict", { direction: "strict" }],
  ])("%s=%s is taken", (variable, value, expected) => {
    expect(resolve({ env: { [variable]: value } })).toEqual({ ...DEFAULTS, ...expected });
  });

  test.each([
    ...["0", "-1", "65536", "abc", "6379x", "1e3", "63.79", " 6379", "9".repeat(30)].map((value) => [
      "REDIS_PORT",
      value,
    ]),
    ...["-1", "x", "0x1", "1.0"].map((value) => ["REDIS_DB", value]),
    ...["http://h", "h:6379", "redis://", "redis:///0", "redis://h:0", "redis://h:99999", "redis://h/x"].map(
      (value) => ["REDIS_URL", value],
    ),
    ...["redis://h/-1", "unix:", "unix:relative", "unix:/x?db=y", "not a url", "redis://h:port"].map((value) => [
      "REDIS_URL",
      value,
    ]),
    ...["", " ", "a,", "a:0", "a:99999", "a b", "redis://a:1", "[::1", ",".repeat(16)].flatMap((value) =>
      ["COORD_SENTINELS", "COORD_CLUSTER"].map((name) => [name, value === "" ? "," : value]),
    ),
    ...["-1", "x", "101", "1.5"].map((value) => ["COORD_WAIT_REPLICAS", value]),
    ...["0", "4001", "1s"].map((value) => ["COORD_WAIT_REPLICAS_MILLISECONDS", value]),
    ...["REDIS_PASSWORD_FILE", "REDIS_TLS_CA_FILE", "REDIS_TLS_CERT_FILE", "REDIS_TLS_KEY_FILE"].flatMap((name) => [
      [name, "/nowhere"],
      [name, "/dev/null"],
      [name, "/"],
    ]),
    ...["a b", "a/b", "p".repeat(65), "a\n", "ü", "*"].map((value) => ["COORD_KEY_PREFIX", value]),
    ...["a b", "all", "Unknown", "x".repeat(65), "-a"].map((value) => ["COORD_ORCHESTRATOR", value]),
    ...["0", "-5", "5m", "1.5", "Infinity", "99999999999"].map((value) => ["COORD_PRESENCE_TIMEOUT_SECONDS", value]),
    ...["0", "-1", "x", "1.5"].map((value) => ["COORD_RETENTION_DAYS", value]),
    ...["0", "-1", "many", "1e6"].map((value) => ["COORD_MAX_MESSAGES", value]),
    ...["Warn", "refuse", "1"].map((value) => ["COORD_UNKNOWN_RECIPIENT", value]),
    ...["Strict", "on"].map((value) => ["COORD_DIRECTION", value]),
  ] as [string, string][])("%s=%j is refused by its name", (variable, value) => {
    const { code, message, hint } = refusal({ env: { [variable]: value } });
    expect(code).toBe("INVALID");
    expect(message.startsWith(variable)).toBe(true);
    expect(hint).not.toBe("");
  });

  test("an empty variable counts as unset", () => {
    const names = ["CLAUDE_INSTANCE_ID", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_URL", "REDIS_USERNAME"];
    const others = ["REDIS_PASSWORD", "COORD_KEY_PREFIX", "COORD_ORCHESTRATOR", "COORD_PRESENCE_TIMEOUT_SECONDS"];
    const last = ["COORD_RETENTION_DAYS", "COORD_MAX_MESSAGES", "COORD_UNKNOWN_RECIPIENT", "COORD_DIRECTION"];
    const further = ["COORD_SENTINELS", "COORD_SENTINEL_MASTER", "COORD_CLUSTER", "REDIS_PASSWORD_FILE"];
    const files = ["REDIS_TLS_CA_FILE", "REDIS_TLS_CERT_FILE", "REDIS_TLS_KEY_FILE", "COORD_WAIT_REPLICAS"];
    const env = Object.fromEntries([...names, ...others, ...last, ...further, ...files].map((name) => [name, ""]));
    expect(resolve({ env })).toEqual(DEFAULTS);
  });
});

describe("identity", () => {
  const names = [
    "user",
    "System",
    "human",
    "assistant",
    "coord",
    "unknown",
    "Unknown",
    "all",
    "All",
    "ALL",
    "a b",
    "a\nb",
    "a\n",
    "x".repeat(65),
    "-a",
    ".a",
    "ä",
    "a/b",
    "a:b",
  ];

  test.each(names)("%j is refused as IDENTITY, wherever it comes from, with how to set one", async (name) => {
    await inProject({ name });
    for (const [options, source] of [
      [{ instanceId: name }, "instanceId"],
      [{ env: { CLAUDE_INSTANCE_ID: name } }, "CLAUDE_INSTANCE_ID"],
      [{ cwd: project }, "worktrees in "],
    ] as const) {
      const { code, message, hint } = refusal(options);
      expect([code, message.startsWith(source)]).toEqual(["IDENTITY", true]);
      expect(hint).toMatch(/CLAUDE_INSTANCE_ID.*--instance/);
      expect(message).not.toContain("\n");
    }
  });

  test("an empty option, and what is no text, are refused as IDENTITY", async () => {
    expect(refusal({ instanceId: "" })).toMatchObject({ code: "IDENTITY" });
    for (const instanceId of [5, ["a"], true]) {
      expect([instanceId, refusal({ instanceId: instanceId as never }).code]).toEqual([instanceId, "IDENTITY"]);
    }
  });

  test("there is no default identity: a client without one is refused before it connects", async () => {
    const connecting = getCoordinationClient({ env: {}, cwd: join(folder, "bare"), redis: "unix:/nowhere" });
    expect(await refused(connecting)).toMatchObject({
      code: "IDENTITY",
      hint: expect.stringContaining("CLAUDE_INSTANCE_ID"),
    });
  });
});

describe("order of sources", () => {
  const server = { COORD_REDIS_URL: "redis://file:1/1" };
  const file = { name: "file", keyPrefix: "pfile", server, orchestrator: "ofile" };
  const environment = {
    CLAUDE_INSTANCE_ID: "env",
    COORD_KEY_PREFIX: "penv",
    COORD_ORCHESTRATOR: "oenv",
    COORD_REDIS_HOST: "henv",
  };
  const option = { instanceId: "option", keyPrefix: "poption", redis: "redis://hoption", orchestrator: "ooption" };
  const summary = ({ instanceId, keyPrefix, orchestrator, connection }: Omit<Settings, "sources">): unknown[] => [
    instanceId,
    keyPrefix,
    orchestrator,
    connection.host,
    connection.port,
    connection.db,
  ];

  test("option before environment before the register before default", async () => {
    await inProject(file);
    expect(summary(resolve({ ...option, env: environment, cwd: project }))).toEqual([
      "option",
      "poption",
      "ooption",
      "hoption",
      6379,
      0,
    ]);
    expect(summary(resolve({ env: environment, cwd: project }))).toEqual(["env", "penv", "oenv", "henv", 6379, 0]);
    expect(summary(resolve({ cwd: project }))).toEqual(["file", "pfile", "ofile", "file", 1, 1]);
    expect(summary(resolve({}))).toEqual([undefined, "coord", "orchestrator", "localhost", 6379, 0]);
    const both = { presenceTimeoutSeconds: 5, env: { COORD_PRESENCE_TIMEOUT_SECONDS: "6" } };
    expect(resolve(both).presenceTimeoutSeconds).toBe(5);
  });

  test("each setting falls through on its own; a malformed one is not passed over", async () => {
    await inProject({ keyPrefix: "pfile", orchestrator: "ofile" });
    const mixed = resolve({ instanceId: "option", env: { COORD_KEY_PREFIX: "penv" }, cwd: project });
    expect(summary(mixed)).toEqual(["option", "penv", "ofile", "localhost", 6379, 0]);
    expect(refusal({ env: { COORD_ORCHESTRATOR: "a b" }, cwd: project })).toMatchObject({ code: "INVALID" });
    expect(refusal({ keyPrefix: "" })).toMatchObject({ code: "INVALID" });
  });

  test("the process' own environment and folder are used when nothing else is said", async () => {
    const before = process.env["COORD_KEY_PREFIX"];
    process.env["COORD_KEY_PREFIX"] = "own";
    try {
      expect(resolveSettings({ cwd: folder }).keyPrefix).toBe("own");
    } finally {
      if (before === undefined) delete process.env["COORD_KEY_PREFIX"];
      else process.env["COORD_KEY_PREFIX"] = before;
    }
  });

  test("the connection is taken whole from the first source that names any part of it", async () => {
    await inProject({ server });
    const connection = (options: SettingsOptions): unknown => resolve({ cwd: project, ...options }).connection;
    expect(connection({ env: { COORD_REDIS_PASSWORD: "p" } })).toEqual(to({ password: "p" }));
    expect(connection({ env: { COORD_REDIS_DB: "3" } })).toEqual(to({ db: 3 }));
    expect(connection({ redis: "redis://option", env: { COORD_REDIS_PASSWORD: "p", COORD_REDIS_PORT: "1" } })).toEqual(
      to({ host: "option" }),
    );
    expect(connection({ redis: "redis://option", env: { COORD_REDIS_PORT: "abc" } })).toEqual(to({ host: "option" }));
    for (const env of [{ COORD_REDIS_PORT: "" }, { REDIS_URL: "redis://application", REDIS_DB: "3" }]) {
      expect(connection({ env })).toEqual(to({ host: "file", port: 1, db: 1 }));
    }
  });

  test("REDIS_URL wins over host, port and database; a login in it over the variables", () => {
    const parts = { REDIS_HOST: "h", REDIS_PORT: "1", REDIS_DB: "1" };
    const login = { REDIS_USERNAME: "u", REDIS_PASSWORD: "p" };
    const connection = (env: Record<string, string>): unknown => resolve({ env }).connection;
    expect(connection({ ...parts, REDIS_URL: "redis://url" })).toEqual(to({ host: "url" }));
    expect(connection({ ...login, REDIS_URL: "redis://url" })).toEqual(
      to({ host: "url", username: "u", password: "p" }),
    );
    expect(connection({ ...login, REDIS_URL: "redis://:q@url" })).toEqual(to({ host: "url", password: "q" }));
    expect(connection({ ...parts, ...login })).toEqual({
      host: "h",
      port: 1,
      db: 1,
      tls: false,
      username: "u",
      password: "p",
    });
  });
});

describe("several servers", () => {
  const at = [
    { host: "a", port: 7000 },
    { host: "::1", port: 7001 },
  ];
  const connection = (env: Record<string, string>): unknown => resolve({ env }).connection;

  test("Sentinels, with the login of the servers and one of their own", () => {
    const env = { COORD_SENTINELS: "a:7000, [::1]:7001", REDIS_USERNAME: "u", REDIS_PASSWORD: "p", REDIS_DB: "3" };
    const rest = { host: "", port: 0, db: 3, username: "u", password: "p" };
    expect(connection(env)).toEqual(to({ ...rest, discovery: { by: "sentinel", at, master: "mymaster", login: {} } }));
    const own = { COORD_SENTINEL_MASTER: "shop", COORD_SENTINEL_USERNAME: "s", COORD_SENTINEL_PASSWORD: "t" };
    const discovery = { by: "sentinel", at, master: "shop", login: { username: "s", password: "t" } };
    expect(connection({ ...env, ...own })).toEqual(to({ ...rest, discovery }));
    expect(connection({ COORD_SENTINELS: "a" })).toMatchObject({ discovery: { at: [{ host: "a", port: 26_379 }] } });
  });

  test.each([
    ["coord", "{coord}"],
    ["{team}:x", "{team}:x"],
    ["a{}b{c}", "{a{}b{c}}"],
    ["a}b", "{a}b}"],
  ])("on a cluster the prefix %s is %s, whose keys share a slot", (COORD_KEY_PREFIX, keyPrefix) => {
    const settings = resolve({ env: { COORD_CLUSTER: "a:7000,[::1]:7001", COORD_KEY_PREFIX } });
    const expected = to({ host: "", port: 0, discovery: { by: "cluster", at } });
    expect([settings.keyPrefix, settings.connection]).toEqual([keyPrefix, expected]);
  });

  test.each<[Record<string, string>, RegExp]>([
    [{ COORD_CLUSTER: "a", COORD_SENTINELS: "b" }, /^COORD_SENTINELS and COORD_CLUSTER are both set/],
    [{ COORD_CLUSTER: "a", REDIS_URL: "redis://b" }, /^COORD_CLUSTER and REDIS_URL are both set/],
    [{ COORD_SENTINELS: "a", REDIS_HOST: "b" }, /^COORD_SENTINELS and REDIS_HOST are both set/],
    [{ COORD_CLUSTER: "a", REDIS_DB: "1" }, /^REDIS_DB is 1: a cluster has only database 0/],
    [{ COORD_CLUSTER: "a", COORD_KEY_PREFIX: "}" }, /^COORD_KEY_PREFIX is "}": on a cluster/],
  ])("%j is refused", (env, message) => {
    expect(refusal({ env })).toMatchObject({ code: "INVALID", message: expect.stringMatching(message) });
  });
});

describe("files", () => {
  test("a password ends before the line break of its file", async () => {
    const file = join(folder, "password");
    await writeFile(file, " p w\r\n");
    const read = { REDIS_PASSWORD_FILE: file };
    expect(resolve({ env: read }).connection).toEqual(to({ password: " p w" }));
    const sentinels = { COORD_SENTINELS: "a", COORD_SENTINEL_PASSWORD_FILE: file };
    expect(resolve({ env: sentinels }).connection).toMatchObject({ discovery: { login: { password: " p w" } } });
    const { code, message } = refusal({ env: { ...read, REDIS_PASSWORD: "q" } });
    expect([code, message]).toEqual(["INVALID", "REDIS_PASSWORD and REDIS_PASSWORD_FILE are both set."]);
  });

  test("certificates mean TLS, and belong to a rediss:// URL; a client's needs its key", async () => {
    const file = join(folder, "certificate.pem");
    await writeFile(file, "PEM");
    const [ca, cert] = [{ REDIS_TLS_CA_FILE: file }, { REDIS_TLS_CERT_FILE: file }];
    const key = { REDIS_TLS_KEY_FILE: file };
    const connection = (env: Record<string, string>): unknown => resolve({ env }).connection;
    expect(connection(ca)).toEqual(to({ tls: true, certificates: { ca: "PEM" } }));
    expect(connection({ ...cert, ...key, COORD_CLUSTER: "a" })).toMatchObject({
      tls: true,
      certificates: { cert: "PEM", key: "PEM" },
    });
    expect(connection({ ...ca, REDIS_URL: "rediss://h" })).toEqual(
      to({ host: "h", tls: true, certificates: { ca: "PEM" } }),
    );
    for (const [env, message] of [
      [{ ...ca, REDIS_URL: "redis://h" }, /^REDIS_URL is not a rediss/],
      [{ ...ca, REDIS_URL: "unix:/s" }, /^REDIS_URL is not a rediss/],
      [cert, /^REDIS_TLS_CERT_FILE is set and REDIS_TLS_KEY_FILE is not/],
      [key, /^REDIS_TLS_KEY_FILE is set and REDIS_TLS_CERT_FILE is not/],
    ] as const) {
      expect(refusal({ env })).toMatchObject({ code: "INVALID", message: expect.stringMatching(message) });
    }
  });
});

describe("the register", () => {
  test("a relative folder, and one that does not exist, are no obstacle", () => {
    expect(resolve({ cwd: join(folder, "bare", "not", "there") }).instanceId).toBe(undefined);
    expect(resolve({ cwd: "." })).toMatchObject({ namespace: { maxMessages: 100_000 } });
  });

  test("[G9] what is no file, or a large one, is refused without being read", async () => {
    const file = join(folder, "config/cli-coordination/projects.json");
    const reasons: string[] = [];
    const refuse = async (make: () => unknown): Promise<void> => {
      await rm(file, { force: true });
      await make();
      reasons.push(refusal({ cwd: below }).message.replace(file, "file"));
      await rm(file, { force: true });
    };
    await refuse(() => symlink("/dev/zero", file));
    await refuse(() => execFileSync("mkfifo", [file]));
    await refuse(() => symlink(file, file));
    await refuse(() => registered(" ".repeat(1_048_577)));
    expect(reasons).toEqual([
      "The register file cannot be read: it is no file.",
      "The register file cannot be read: it is no file.",
      expect.stringMatching(/^The register file cannot be read: ELOOP/),
      "The register file cannot be read: it has 1048577 bytes, at most 1048576 are read.",
    ]);
  });

  test("an error in it is refused without its password", async () => {
    for (const text of ['{"redis":"redis://:s3cret@h",x}', '{"redis":redis://:s3cret@h', "s3cret"]) {
      await registered(text);
      const { code, message, hint } = refusal({ cwd: project });
      expect([code, message]).toEqual(["INVALID", expect.stringMatching(/cannot be read: it is not JSON\.$/)]);
      expect(message + hint).not.toMatch(/s3c|cret/);
    }
    await inProject({ server: { COORD_REDIS_URL: "http://:s3cret@h" } });
    const { message, hint } = refusal({ cwd: project });
    expect(message + hint).not.toMatch(/s3c|cret/);
    await inProject({});
  });
});

describe("[G13] a work tree configures nothing", () => {
  test("neither by .coord.json nor by a register of its own", async () => {
    const hostile = { instanceId: "hostile", keyPrefix: "hostile", redis: "redis://hostile" };
    const there = join(folder, "bare");
    for (const name of [".coord.json", "config/cli-coordination/projects.json", "cli-coordination/projects.json"]) {
      await mkdir(dirname(join(there, name)), { recursive: true });
      await writeFile(
        join(there, name),
        JSON.stringify({ ...hostile, projects: { [there]: { keyPrefix: "hostile" } } }),
      );
    }
    expect(resolve({ cwd: there })).toEqual(DEFAULTS);
    expect(resolve({ cwd: there, env: { XDG_CONFIG_HOME: "config", HOME: folder } })).toEqual(DEFAULTS);
  });
});

describe("addresses", () => {
  test.each<[string, object]>([
    ["redis://h", { host: "h" }],
    ["redis://h/", { host: "h" }],
    ["redis://h:7000", { host: "h", port: 7000 }],
    ["redis://h:6379/15", { host: "h", db: 15 }],
    ["redis://127.0.0.1:1/2", { host: "127.0.0.1", port: 1, db: 2 }],
    ["redis://[::1]:7000/2", { host: "::1", port: 7000, db: 2 }],
    ["redis://[fe80::1]", { host: "fe80::1" }],
    ["redis://:secret@h", { host: "h", password: "secret" }],
    ["redis://ann@h", { host: "h", username: "ann" }],
    ["redis://ann:p%40s%3As%2F%25@h:1/3", { host: "h", port: 1, db: 3, username: "ann", password: "p@s:s/%" }],
    ["rediss://ann:secret@h:6380", { host: "h", port: 6380, tls: true, username: "ann", password: "secret" }],
    ["unix:/run/redis.sock", { host: "", port: 0, path: "/run/redis.sock" }],
    ["unix:///run/redis.sock", { host: "", port: 0, path: "/run/redis.sock" }],
    ["unix:/a%20b/redis.sock?db=4", { host: "", port: 0, path: "/a b/redis.sock", db: 4 }],
  ])("%s", (redis, expected) => {
    expect(resolve({ redis }).connection).toEqual(to(expected));
  });

  test("a refused one does not show its password", () => {
    const addresses = [
      "redis://u:s3cret@h:0",
      "http://u:s3cret@h",
      "redis://u:s3cret@h/x",
      "redis//u:s3cret@h",
      "redis://u:s3cret@h:99999",
    ];
    for (const redis of addresses) {
      const { message, hint } = refusal({ redis });
      expect(`${message} ${hint}`).not.toContain("s3cret");
      expect(message).toMatch(/^redis/);
    }
  });
});
