import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CoordinationClient } from "../../src/client/client.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { leastPrivilege, PROJECTS } from "../least-privilege.ts";
import { plain, Stage } from "./stage.ts";

let redis: ThrowawayRedis;
beforeAll(async () => {
  redis = await startThrowawayRedis({ args: leastPrivilege("coord", "mine", PROJECTS) });
});
afterAll(() => redis.stop());

/** Of a file that is a program as a whole only what init puts into it. */
function entriesOf(files: Record<string, string>): Record<string, string> {
  const lines = Object.entries(files).map(([name, text]) => [name, /^const HOOK = .*$/m.exec(text)?.[0] ?? text]);
  return Object.fromEntries(lines) as Record<string, string>;
}

const AGENTS = ["claude", "codex", "gemini", "opencode", "cursor"];

describe("what each agent gets", () => {
  test.each(AGENTS)("%s: files, a second run that changes nothing, a removal that leaves nothing", async (agent) => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop");
    const before = repository.everything();

    const first = await repository.coord(["init", "--agent", agent]);
    expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: "" });
    expect(entriesOf(repository.files())).toMatchSnapshot();
    expect(stage.project("shop")).toEqual({
      keyPrefix: "coord-acme-shop",
      server: { COORD_REDIS_URL: redis.url },
      worktrees: { ".": "orchestrator" },
    });

    const after = repository.everything();
    const second = await repository.coord(["init", "--agent", agent]);
    expect(second.stdout).toMatch(/^Already set up: instance orchestrator/m);
    expect(second.stdout).not.toMatch(/^ {2}(created|changed)/m);
    expect(repository.everything()).toEqual(after);

    const removal = await repository.coord(["init", "--agent", agent, "--remove"]);
    expect({ code: removal.code, stderr: removal.stderr }).toEqual({ code: 0, stderr: "" });
    expect(repository.everything()).toEqual(before);
    expect(stage.project("shop")).toBeUndefined();
    expect((await repository.coord(["init", "--remove"])).stdout).toBe("Nothing of coord init is here.\n");
  });

  test("none: nothing but the name, for an agent that has a plugin", async () => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop");
    const before = repository.everything();
    const { code, stdout, stderr } = await repository.coord(["init", "--agent", "none"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toContain("Next:");
    expect(repository.everything()).toEqual(before);
    expect(stage.project("shop")).toMatchObject({ worktrees: { ".": "orchestrator" } });
  });

  test("nothing that names what npx has unpacked for one run", async () => {
    const stage = new Stage(redis.url, { installed: false });
    const repository = stage.repository("shop");
    const before = repository.everything();
    const dist = path.join(stage.home, ".npm/_npx/0123456789abcdef/node_modules/cli-coordination/dist");
    cpSync(path.resolve(import.meta.dirname, "../../dist"), dist, { recursive: true });
    const { code, stderr } = await repository.run(path.join(dist, "coord.cjs"), ["init"]);
    expect(code).toBe(1);
    expect(stderr).toContain(
      "npx has unpacked coord for this run only, and the agents' files would name that place.\n" +
        "npm install --global cli-coordination, then coord init.\n",
    );
    expect(repository.everything()).toEqual(before);
  });

  test("Claude Code is the default, and the report says what to do next", async () => {
    const stage = new Stage(redis.url);
    const { code, stdout, stderr } = await stage.repository("shop").coord(["init"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(plain(stdout, stage).replace(redis.url.slice("unix:".length), "<socket>")).toBe(
      [
        "project   <home>/shop/.git",
        "namespace coord-acme-shop (the remote origin)",
        "server    <socket> (REDIS_URL)",
        "name      orchestrator (the branch main)",
        "Set up: instance orchestrator, written down in <home>/.config/cli-coordination/projects.json",
        "  created   .mcp.json",
        "  created   .claude/settings.json",
        "Claude Code calls the tools of coord without asking; coord init --no-allow leaves that out.",
        "Broadcasts reach it from now on.",
        "Next: claude",
        "",
      ].join("\n"),
    );
  });

  test("several at once; one that is taken out leaves the others and the name", async () => {
    const repository = new Stage(redis.url).repository("shop");
    await repository.coord(["init", "--agent", "claude"]);
    const claude = repository.files();
    await repository.coord(["init", "--agent", "codex", "--agent", "gemini"]);
    expect(Object.keys(repository.files())).toEqual([
      ".claude/settings.json",
      ".codex/config.toml",
      ".codex/hooks.json",
      ".gemini/settings.json",
      ".mcp.json",
    ]);
    await repository.coord(["init", "--remove", "--agent", "codex", "--agent", "gemini"]);
    expect(repository.files()).toEqual(claude);
    expect(existsSync(path.join(repository.path, ".codex"))).toBe(false);
  });

  test("hooks of an installation in whose path there is no coord are found, and taken out", async () => {
    const repository = new Stage(redis.url).repository("shop");
    const handler = { type: "command", command: "node", args: ["/opt/tools/dist/hook.cjs", "claude"], timeout: 5 };
    const other = { type: "command", command: "node", args: ["/opt/tools/hook.cjs", "claude"] };
    const hooks = { Stop: [{ hooks: [handler] }], SessionStart: [{ hooks: [other] }] };
    repository.write(".claude/settings.json", JSON.stringify({ hooks }));
    expect((await repository.coord(["init", "--remove"])).code).toBe(0);
    const left = JSON.parse(repository.files()[".claude/settings.json"]!) as { hooks: object };
    expect(left.hooks).toEqual({ SessionStart: [{ hooks: [other] }] });
  });

  test("an entry of an earlier version passes on what it lacked; one that was changed by hand stays", async () => {
    const repository = new Stage(redis.url).repository("shop");
    const files = [".codex/config.toml", ".gemini/settings.json"];
    await repository.coord(["init", "--agent", "codex", "--agent", "gemini"]);
    const whole = files.map((file) => repository.read(file));
    const [codex, gemini] = whole as [string, string];
    repository.write(files[0]!, codex.replace(/^env_vars = .*$/m, 'env_vars = ["CLAUDE_INSTANCE_ID", "REDIS_URL"]'));
    repository.write(files[1]!, gemini.replace(/^.*COORD_KEY_PREFIX.*\n/m, "").replace(/,\n *"trust": true/, ""));
    expect(files.map((file) => repository.read(file))).not.toEqual(whole);
    await repository.coord(["init", "--agent", "codex", "--agent", "gemini"]);
    expect(repository.read(files[0]!)).toBe(codex);
    expect(JSON.parse(repository.read(files[1]!))).toEqual(JSON.parse(gemini));
    const byHand = [
      codex.replace(/^env_vars = .*$/m, 'env_vars = ["MINE"]'),
      gemini.replace("${COORD_KEY_PREFIX:-}", "mine"),
    ];
    files.forEach((file, i) => repository.write(file, byHand[i]!));
    await repository.coord(["init", "--agent", "codex", "--agent", "gemini"]);
    expect(files.map((file) => repository.read(file))).toEqual(byHand);
  });

  test("an agent that is not known is a usage error", async () => {
    const repository = new Stage(redis.url).repository("shop");
    expect((await repository.coord(["init", "--agent", "clippy"])).code).toBe(64);
    expect(repository.files()).toEqual({});
  });

  test("opencode.jsonc is used where it is there", async () => {
    const repository = new Stage(redis.url).repository("shop");
    repository.write("opencode.jsonc", '{\n  // ours\n  "theme": "dark",\n}\n');
    await repository.coord(["init", "--agent", "opencode"]);
    expect(repository.read("opencode.jsonc")).toBe(
      '{\n  // ours\n  "theme": "dark",\n  "mcp": {\n    "coord": {\n      "type": "local",\n' +
        '      "command": ["coord", "mcp"],\n      "enabled": true\n    }\n  },\n}\n',
    );
  });
});

describe("the plugin of opencode", () => {
  const PLUGIN = ".opencode/plugin/coord.js";

  test("is what the package has; doctor says where it is older, and init makes it anew", async () => {
    const repository = new Stage(redis.url).repository("shop");
    await repository.coord(["init", "--agent", "opencode"]);
    const text = repository.read(PLUGIN);
    expect(text).toBe(readFileSync(path.resolve(import.meta.dirname, "../../dist/opencode-plugin.js"), "utf8"));
    repository.write(PLUGIN, text.replaceAll("session.idle", "session.idler"));
    const { stdout } = await repository.coord(["doctor"]);
    expect(stdout).toMatch(/opencode: \.opencode\/plugin\/coord\.js lacks entries or has older ones/);
    await repository.coord(["init", "--agent", "opencode"]);
    expect(repository.read(PLUGIN)).toBe(text);
  });

  test("is in a linked worktree as well, and goes with it", async () => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop");
    await repository.coord(["worktree", "add", "login", "--agent", "opencode"]);
    const linked = path.join(repository.path, "../shop-login");
    expect(existsSync(path.join(linked, PLUGIN))).toBe(true);
    expect((await repository.coord(["worktree", "remove", "login"])).code).toBe(0);
    expect(existsSync(linked)).toBe(false);
  });

  test("a file of that name that is not ours stays, with a warning", async () => {
    const repository = new Stage(redis.url).repository("shop");
    repository.write(PLUGIN, 'export const Mine = "coord";\n');
    const { code, stderr } = await repository.coord(["init", "--agent", "opencode"]);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `warning: ${PLUGIN} is not of coord init, and stays: rename it to get mail by itself.\n`,
    });
    await repository.coord(["init", "--remove"]);
    expect(repository.files()).toEqual({ [PLUGIN]: 'export const Mine = "coord";\n' });
  });
});

describe("what is there stays", () => {
  const present: Record<string, Record<string, string>> = {
    claude: {
      ".mcp.json": '{\n\t"mcpServers": {\n\t\t"github": { "command": "gh-mcp" } // for issues\n\t}\n}\n',
      ".claude/settings.json":
        '{\n    // permissions of the team\n    "permissions": { "allow": ["Bash(ls)"] },\n    "hooks": {\n' +
        '        "Stop": [\n            { "hooks": [{ "type": "command", "command": "say done" }] } /* loud */\n        ],\n' +
        '        "PreToolUse": [],\n    },\n    /* the end */\n}\n',
    },
    codex: {
      ".codex/config.toml": '# my model\r\nmodel = "o9" # fast\r\n\r\n[mcp_servers.github]\r\ncommand = "gh-mcp"\r\n',
      ".codex/hooks.json": '{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"say done"}]}]}}',
    },
    gemini: { ".gemini/settings.json": '{\r\n  "theme": "GitHub",\r\n  "mcpServers": {\r\n  }\r\n}' },
    opencode: { "opencode.json": '{ "mcp": { "github": { "type": "local", "command": ["gh-mcp"] } } }' },
    cursor: {
      ".cursor/mcp.json": '{\n  "mcpServers": {\n    // none yet\n  }\n}\n',
      ".cursor/hooks.json":
        '{\n  "version": 1,\n  "hooks": {\n    "stop": [\n      { "command": "say done" }\n    ]\n  }\n}\n',
    },
  };

  test.each(AGENTS)("%s: merged, unchanged by a second run, and as it was after the removal", async (agent) => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop");
    for (const [name, text] of Object.entries(present[agent]!)) repository.write(name, text);
    const before = repository.everything();
    expect((await repository.coord(["init", "--agent", agent])).code).toBe(0);
    expect(entriesOf(repository.files())).toMatchSnapshot();
    const after = repository.everything();
    expect((await repository.coord(["init", "--agent", agent])).stdout).toMatch(/^Already set up/m);
    expect(repository.everything()).toEqual(after);
    expect((await repository.coord(["init", "--agent", agent, "--remove"])).code).toBe(0);
    const emptied: Record<string, string> =
      agent === "gemini" ? { ".gemini/settings.json": '{\r\n  "theme": "GitHub"\r\n}' } : {};
    expect(repository.everything()).toEqual({ ...before, ...emptied });
  });

  test("a server of that name that is not ours stays, with a warning", async () => {
    const repository = new Stage(redis.url).repository("shop");
    const text = '{ "mcpServers": { "coord": { "command": "coordinate", "args": ["all"] } } }\n';
    repository.write(".mcp.json", text);
    const { code, stderr } = await repository.coord(["init"]);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr:
        "warning: .mcp.json has a server mcpServers.coord of its own, which stays: rename it to get the tools of coord.\n",
    });
    expect(repository.read(".mcp.json")).toBe(text);
    await repository.coord(["init", "--remove"]);
    expect(repository.read(".mcp.json")).toBe(text);
  });

  test("our server with an environment that somebody added stays, also when the rest is taken out", async () => {
    const repository = new Stage(redis.url).repository("shop");
    const text =
      '{ "mcpServers": { "coord": { "command": "coord", "args": ["mcp"], "env": { "REDIS_PORT": "7000" }, "alwaysLoad": false } } }\n';
    repository.write(".mcp.json", text);
    const first = await repository.coord(["init"]);
    expect(first.stderr).toBe("");
    const removal = await repository.coord(["init", "--remove"]);
    expect(removal.stderr).toBe("warning: .mcp.json: the server mcpServers.coord was changed by hand and stays.\n");
    expect(repository.files()).toEqual({ ".mcp.json": text });
  });

  test("hooks of ours with another timeout stay as they are, and go with the removal", async () => {
    const repository = new Stage(redis.url).repository("shop");
    await repository.coord(["init"]);
    const text = repository.read(".claude/settings.json").replaceAll('"timeout": 5', '"timeout": 9');
    repository.write(".claude/settings.json", text);
    expect((await repository.coord(["init"])).stdout).toMatch(/^Already set up/m);
    expect(repository.read(".claude/settings.json")).toBe(text);
    await repository.coord(["init", "--remove"]);
    expect(repository.files()).toEqual({});
  });

  test("the mode of a file stays, and a link is written through", async () => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop");
    const dotfiles = stage.folder("shop/dotfiles");
    dotfiles.write("settings.json", '{\n  "model": "opus"\n}\n');
    chmodSync(path.join(dotfiles.path, "settings.json"), 0o600);
    mkdirSync(path.join(repository.path, ".claude"));
    const link = path.join(repository.path, ".claude/settings.json");
    symlinkSync("../dotfiles/settings.json", link);
    await repository.coord(["init"]);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(dotfiles.read("settings.json")).toContain("coord-hook");
    expect(statSync(link).mode & 0o777).toBe(0o600);
    await repository.coord(["init", "--remove"]);
    expect(dotfiles.files()).toEqual({ "settings.json": '{\n  "model": "opus"\n}\n' });
  });
});

describe("what a clone or an archive may have brought", () => {
  test.each<[string, string, string]>([
    ["a link to a file", ".claude/settings.json", "../../home.json"],
    ["a dangling link", ".mcp.json", "../not/there.json"],
    ["a link to a folder", ".claude", "../elsewhere"],
  ])("%s out of the repository is not written through, nor read", async (_, name, target) => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop");
    const outside = stage.folder("elsewhere");
    writeFileSync(path.join(repository.path, "../home.json"), "{}\n");
    const link = path.join(repository.path, name);
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(target, link);
    const { code, stderr } = await repository.coord(["init"]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("leads out of this repository")]);
    expect(readFileSync(path.join(repository.path, "../home.json"), "utf8")).toBe("{}\n");
    expect(outside.files()).toEqual({});
    expect(existsSync(path.join(repository.path, "../not"))).toBe(false);
  });

  test.each<[string, (file: string, outside: string) => void]>([
    ["a link out of the repository", (file, outside) => symlinkSync(outside, file)],
    ["a link without end", (file) => symlinkSync("/dev/zero", file)],
    ["a link to itself", (file) => symlinkSync(".coord.json", file)],
    ["a folder", (file) => mkdirSync(file)],
    ["a pipe", (file) => execFileSync("mkfifo", [file])],
    ["64 KiB and a byte", (file) => writeFileSync(file, `{"instanceId":"mine"}${" ".repeat(65_516)}`)],
  ])("a .coord.json that is %s is neither waited for nor shown", async (_, put) => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop");
    const outside = stage.folder("elsewhere");
    outside.write("private.json", '{"instanceId":"mine"}');
    put(path.join(repository.path, ".coord.json"), path.join(outside.path, "private.json"));
    for (const command of [["init"], ["doctor"], ["init", "--take-over"]]) {
      const { code, stdout, stderr } = await repository.coord(command);
      expect([command, code]).toEqual([command, 1]);
      expect(stdout + stderr).toContain("is no file of at most 65536 bytes, or a link");
      expect(stdout + stderr).not.toMatch(/mine|^ {4}at /m);
    }
  });

  test("the login in the URL of a .coord.json is not shown, wherever in it its password stands", async () => {
    const repository = new Stage(redis.url).repository("shop");
    for (const url of [
      "redis://user:secret@h",
      "redis://secret@h",
      "redis:/:se/cr#secret@h",
      "redis://h?password=secret",
    ]) {
      repository.write(".coord.json", JSON.stringify({ redis: url }));
      const { code, stderr } = await repository.coord(["init"]);
      expect([url, code, stderr]).toEqual([url, 1, expect.stringContaining("which is not read any more, holds redis")]);
      expect(stderr).not.toContain("secret");
    }
  });

  test("an option in the place of where a branch begins is refused", async () => {
    const repository = new Stage(redis.url).repository("shop");
    const option = await repository.coord(["worktree", "add", "x", "--from=-D"]);
    expect([option.code, option.stderr]).toEqual([1, expect.stringContaining("begins with a hyphen")]);
  });
});

test("--no-allow has Claude Code ask before each call, and a later init allows them", async () => {
  const repository = new Stage(redis.url).repository("shop");
  const allowed = (): unknown =>
    (JSON.parse(repository.read(".claude/settings.json")) as Record<string, unknown>)["permissions"];
  const { stdout } = await repository.coord(["init", "--no-allow"]);
  expect([allowed(), stdout]).toEqual([undefined, expect.not.stringContaining("without asking")]);
  await repository.coord(["init"]);
  expect(allowed()).toEqual({ allow: ["mcp__coord"] });
});

describe("--dry-run", () => {
  test("writes nothing, registers nothing, and its diff makes exactly what init makes", async () => {
    const stage = new Stage(redis.url);
    const [planned, done] = [stage.folder("a/dry-run-only"), stage.folder("b/dry-run-only")];
    for (const folder of [planned, done]) {
      folder.write(".mcp.json", '{ "mcpServers": {} }');
      folder.write(
        ".claude/settings.json",
        '{\n  "a": 1,\n  "b": 2,\n  "hooks": {\n    "Stop": []\n  },\n  "c": 3,\n  "d": 4\n}',
      );
    }
    const before = planned.files();
    const { code, stdout, stderr } = await planned.coord([
      "init",
      "--dry-run",
      "--agent",
      "claude",
      "--agent",
      "codex",
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^project .*\nname +dry-run-only/s) });
    expect(planned.files()).toEqual(before);
    expect(stdout).toMatchSnapshot();
    expect(Object.keys((await planned.json(["presence"]))["instances"] as object)).not.toContain("dry-run-only");

    writeFileSync(path.join(stage.home, "plan.diff"), stdout);
    planned.git("apply", path.join(stage.home, "plan.diff"));
    await done.coord(["init", "--agent", "claude", "--agent", "codex"]);
    expect(planned.files()).toEqual(done.files());
    expect((await done.coord(["init", "--dry-run"])).stdout).toBe("Nothing would change.\n");
  });

  test("with --json, and for a removal", async () => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop");
    await repository.coord(["init", "--agent", "opencode"]);
    const before = repository.everything();
    expect(await repository.json(["init", "--dry-run", "--remove"])).toEqual({
      success: true,
      project: `${repository.path}/.git`,
      prefix: "coord-acme-shop",
      instance: "orchestrator",
      register: path.join(stage.home, ".config/cli-coordination/projects.json"),
      registered: false,
      root: repository.path,
      dry_run: true,
      files: ["opencode.json", ".opencode/plugin/coord.js"].map((name) => ({
        path: name,
        state: "removed",
        diff: expect.stringContaining("+++ /dev/null\n") as string,
      })),
      warnings: [],
    });
    expect(repository.everything()).toEqual(before);
  });
});

describe("nothing at all is written", () => {
  const broken: [agent: string, file: string, text: string, where: string][] = [
    [
      "claude",
      ".mcp.json",
      '{\n  "mcpServers": {\n    "x": tru\n  }\n}\n',
      ".mcp.json, line 3, column 10: invalid symbol.",
    ],
    [
      "claude",
      ".claude/settings.json",
      "{\n  'hooks': {}\n}\n",
      ".claude/settings.json, line 2, column 3: invalid symbol.",
    ],
    [
      "claude",
      ".claude/settings.json",
      '{\n  "hooks": []\n}\n',
      ".claude/settings.json, line 2, column 12: hooks is not an object.",
    ],
    ["claude", ".mcp.json", "[]", ".mcp.json, line 1, column 1: it is not an object."],
    [
      "codex",
      ".codex/config.toml",
      'model = "o9"\nfast = maybe\n',
      ".codex/config.toml, line 2, column 8: invalid value.",
    ],
    ["codex", ".codex/config.toml", "mcp_servers = {}\n", ".codex/config.toml, line"],
  ];

  test.each(broken)("%s with a broken %s %j", async (agent, file, text, where) => {
    const repository = new Stage(redis.url).repository("shop");
    repository.write(file, text);
    const before = repository.everything();
    const { code, stderr } = await repository.coord(["init", "--agent", agent]);
    expect(code).toBe(1);
    expect(stderr).toContain(`error: ${where}`);
    expect(repository.everything()).toEqual(before);
    expect(await repository.json(["init", "--agent", agent])).toMatchObject({ success: false, code: "INVALID" });
  });

  test("when a name is not one", async () => {
    const repository = new Stage(redis.url).repository("shop");
    for (const name of ["all", "unknown", "a b", ""]) {
      expect((await repository.json(["init", "--instance", name]))["code"]).toBe("IDENTITY");
    }
    expect(repository.files()).toEqual({});
  });

  test("when one of the files cannot be written, the others are put back", async () => {
    const repository = new Stage(redis.url).repository("shop");
    symlinkSync("nowhere/at/all", path.join(repository.path, ".claude"));
    repository.write(".mcp.json", '{ "mcpServers": {} }\n');
    const before = repository.everything();
    const { code, stderr } = await repository.coord(["init"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: The set-up could not be written: .*\nMake it writable; everything is as it was before\.\n$/,
    );
    expect(repository.everything()).toEqual(before);
  });

  test("a file of an agent that is not set up is nobody's business on removal", async () => {
    const repository = new Stage(redis.url).repository("shop");
    repository.write(".cursor/mcp.json", "{ broken");
    await repository.coord(["init"]);
    expect((await repository.coord(["init", "--remove"])).code).toBe(0);
    expect(repository.files()).toEqual({ ".cursor/mcp.json": "{ broken" });
  });
});

describe("the name", () => {
  test.each([
    ["main", "shop", "orchestrator"],
    ["master", "shop", "orchestrator"],
    ["feat/login#2", "shop", "feat-login-2"],
    ["Überprüfung", "shop", "Uberprufung"],
    ["all", "shop", "all-agent"],
    ["登录", "shop", "shop"],
    [`x${"y".repeat(80)}`, "shop", `x${"y".repeat(63)}`],
  ])("of branch %s in folder %s is %s", async (branch, folder, name) => {
    const stage = new Stage(redis.url);
    const repository = stage.repository(folder, branch);
    expect((await repository.json(["init"]))["instance"]).toBe(name);
    expect(stage.project(folder)?.["worktrees"]).toEqual({ ".": name });
  });

  test("of a linked worktree is its folder's, also from a folder inside it", async () => {
    const repository = new Stage(redis.url).repository("shop");
    repository.git("worktree", "add", "--quiet", "../log in", "-b", "feat/login");
    const inside = repository.at("../log in/src/deep");
    mkdirSync(inside.path, { recursive: true });
    const result = await inside.json(["init"]);
    expect(result).toMatchObject({
      instance: "log-in",
      sources: { instance: "the name of this folder" },
      root: repository.at("../log in").path,
    });
    expect((await inside.coord(["init"])).stdout).toMatch(/Next: cd ..\/.. && claude\n$/);
  });

  test("is kept, unless another is given", async () => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop");
    await repository.coord(["init", "--instance", "backend"]);
    expect((await repository.json(["init"]))["instance"]).toBe("backend");
    const renamed = await repository.coord(["init", "--instance", "api"]);
    expect(renamed.stderr).toBe(
      "warning: The name here was backend: coord forget backend takes it out of broadcasts.\n",
    );
    expect(stage.project("shop")?.["worktrees"]).toEqual({ ".": "api" });
  });

  test("of an environment that would win over it is warned about, and one that another worktree has", async () => {
    const repository = new Stage(redis.url).repository("shop");
    await repository.coord(["init"]);
    repository.git("worktree", "add", "--quiet", "../two");
    const { stderr } = await repository
      .at("../two")
      .coord(["init", "--instance", "orchestrator"], { CLAUDE_INSTANCE_ID: "x" });
    expect(stderr).toBe(
      "warning: Another worktree of this repository has the name orchestrator as well, and only one agent at a time " +
        "speaks under it: give --instance.\n" +
        'warning: CLAUDE_INSTANCE_ID is "x" in this shell and wins over orchestrator: unset it.\n',
    );
  });

  test("outside of git is the folder's", async () => {
    const stage = new Stage(redis.url);
    const { code, stdout } = await stage.folder("notes").coord(["init"]);
    expect(code).toBe(0);
    expect(plain(stdout, stage)).toMatch(
      /^namespace coord-notes-[0-9a-f]{4} \(the name of this folder\)\n.*\nname +notes \(the name of this folder\)\nSet up: instance notes in <home>\/notes, which is outside of git,/m,
    );
  });

  test("is found although the environment points git elsewhere", async () => {
    const stage = new Stage(redis.url);
    const [repository, other] = [stage.repository("shop"), stage.repository("other", "elsewhere")];
    const result = await repository.json(["init"], { GIT_DIR: `${other.path}/.git`, GIT_WORK_TREE: other.path });
    expect(result["instance"]).toBe("orchestrator");
    expect(other.git("status", "--short")).toBe("");
  });
});

describe("Redis", () => {
  test("knows the instance from then on: a broadcast reaches it before its first start (G6)", async () => {
    const stage = new Stage(redis.url);
    const repository = stage.repository("shop", "newcomer");
    expect((await repository.json(["init"]))["registered"]).toBe(true);
    const settings = resolveSettings({
      instanceId: "sender",
      redis: redis.url,
      keyPrefix: "coord-acme-shop",
      env: {},
      cwd: "/",
    });
    await using client = new CoordinationClient(settings);
    const { instances } = await client.getPresence();
    expect(instances["newcomer"]?.status).toBe("offline");
    const { recipients } = await client.publishMessage({ type: "GENERAL", subject: "s", description: "", to: "all" });
    expect(recipients).toContainEqual({ instance: "newcomer", presence: "offline" });
  });

  test("may be down: the files are written, one warning says what is missing", async () => {
    const stage = new Stage("redis://127.0.0.1:1");
    const repository = stage.repository("shop");
    const { code, stdout, stderr } = await repository.coord(["init"]);
    expect(code).toBe(0);
    expect(stderr).toBe(
      "warning: orchestrator is not registered yet, its first start will do that: until then broadcasts do not reach it. " +
        "Redis at 127.0.0.1:1: nothing listens there. " +
        "Start one with `coord up`, or say where yours is with REDIS_URL or REDIS_HOST and REDIS_PORT.\n",
    );
    expect(stdout).not.toContain("Broadcasts");
    expect(Object.keys(repository.files())).toEqual([".claude/settings.json", ".mcp.json"]);
  });
});

describe("an installation that is not on PATH", () => {
  test.each(AGENTS)(
    "%s: the files name it, a warning says so, and installing it makes them portable",
    async (agent) => {
      const stage = new Stage(redis.url, { installed: false });
      const repository = stage.repository("shop");
      const args = ["init", "--agent", agent];
      const first = await repository.coord(args);
      expect(first.stderr).toBe(
        "warning: coord, coord-hook or bash is not on PATH: the files name this installation, and work on this machine only. " +
          "After npm install --global, run coord init again.\n",
      );
      expect(
        Object.fromEntries(
          Object.entries(entriesOf(repository.files())).map(([name, text]) => [name, plain(text, stage)]),
        ),
      ).toMatchSnapshot();
      expect((await repository.coord(args)).stdout).toMatch(/^Already set up/m);

      const portable = new Stage(redis.url).repository("shop");
      await portable.coord(args);
      await repository.coord(args, { PATH: portable.env["PATH"]! });
      expect(repository.files()).toEqual(portable.files());
      await repository.coord(["init", "--remove"]);
      expect(repository.files()).toEqual({});
    },
  );

  test("a PATH that npx made for one run does not count", async () => {
    const stage = new Stage(redis.url);
    const bin = stage.folder("_npx/1/node_modules/.bin");
    for (const name of ["coord", "coord-hook"])
      symlinkSync(path.join(stage.home, "bin", name), path.join(bin.path, name));
    const repository = stage.repository("shop");
    const { stderr } = await repository.coord(["init"], {
      PATH: `${bin.path}:${path.dirname(process.execPath)}:/usr/bin:/bin`,
    });
    expect(stderr).toMatch(/^warning: coord, coord-hook or bash is not on PATH/);
  });
});
