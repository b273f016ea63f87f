import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { leastPrivilege, PROJECTS } from "../least-privilege.ts";
import { type Folder, plain, Stage } from "./stage.ts";

let redis: ThrowawayRedis;
beforeAll(async () => {
  redis = await startThrowawayRedis({ args: leastPrivilege("coord", PROJECTS) });
});
afterAll(() => redis.stop());

/** All that git and the file system have of worktrees and branches. */
function state(repository: Folder): string[] {
  const folders = Object.keys(repository.at("..").files()).filter((name) => !name.includes(".git/"));
  return [repository.git("worktree", "list", "--porcelain"), repository.git("branch", "--list"), ...folders];
}

test("a worktree, its branch and its instance, ready for claude", async () => {
  const stage = new Stage(redis.url);
  const repository = stage.repository("my shop");
  const { code, stdout, stderr } = await repository.coord(["worktree", "add", "login"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(plain(stdout, stage)).toBe(
    [
      "Worktree <home>/my shop-login on the new branch login",
      "Set up: instance login, written down in <home>/.config/cli-coordination/projects.json",
      "  created   .mcp.json",
      "  created   .claude/settings.json",
      "Claude Code calls the tools of coord without asking; coord init --no-allow leaves that out.",
      "Broadcasts reach it from now on.",
      "Next: cd '../my shop-login' && claude",
      "",
    ].join("\n"),
  );
  const worktree = repository.at("../my shop-login");
  expect(worktree.git("branch", "--show-current")).toBe("login");
  expect(stage.project("my shop")).toMatchObject({
    keyPrefix: "coord-acme-my-shop",
    worktrees: { "my-shop-login": "login" },
  });
  const presence = (await repository.json(["presence"]))["instances"] as Record<string, object>;
  expect(presence["login"]).toMatchObject({ status: "offline" });
});

test("a name with a slash is refused with the command that gives the branch that name", async () => {
  const repository = new Stage(redis.url).repository("shop");
  const { code, stderr } = await repository.coord(["worktree", "add", "feat/ui"]);
  expect([code, stderr]).toEqual([1, expect.stringContaining("coord worktree add ui --branch feat/ui")]);
});

test("from inside a worktree it is made beside the main one; branch, place and beginning may be given", async () => {
  const repository = new Stage(redis.url).repository("shop");
  repository.git("tag", "start");
  repository.git("commit", "--quiet", "--allow-empty", "--message", "second");
  await repository.coord(["worktree", "add", "one"]);
  const inside = repository.at("../shop-one/deep");
  mkdirSync(inside.path);
  const two = await inside.json([
    "worktree",
    "add",
    "two",
    "--branch",
    "feat/login#2",
    "--from",
    "start",
    "--agent",
    "codex",
  ]);
  expect(two).toEqual({
    success: true,
    instance: "two",
    project: `${repository.path}/.git`,
    prefix: "coord-acme-shop",
    server: redis.url.slice("unix:".length),
    sources: { prefix: "the register", server: "the register", instance: "as given" },
    register: repository.at("../.config/cli-coordination/projects.json").path,
    registered: true,
    root: repository.at("../shop-two").path,
    dry_run: false,
    files: [
      { path: ".codex/config.toml", state: "created" },
      { path: "../shop/.codex/hooks.json", state: "created" },
    ],
    warnings: [],
    branch: "feat/login#2",
    branch_created: true,
  });
  const made = repository.at("../shop-two");
  expect(made.git("rev-parse", "HEAD")).toBe(repository.git("rev-parse", "start"));
  const elsewhere = await inside.json(["worktree", "add", "three", "--path", "../../new/place"]);
  expect(elsewhere["root"]).toBe(repository.at("../new/place").path);
});

test("codex finds the hooks of every worktree in the main one, where they stay for as long as one has it", async () => {
  const repository = new Stage(redis.url).repository("shop");
  await repository.coord(["worktree", "add", "one", "--agent", "codex"]);
  await repository.coord(["worktree", "add", "two", "--agent", "codex"]);
  const [one, two] = [repository.at("../shop-one"), repository.at("../shop-two")];
  expect(Object.keys(repository.files())).toEqual([".codex/hooks.json"]);
  expect(Object.keys(two.files())).toEqual([".codex/config.toml"]);
  // As an earlier version left it.
  two.write(".codex/hooks.json", repository.read(".codex/hooks.json"));
  const again = await two.json(["init", "--agent", "codex"]);
  expect(again["files"]).toEqual([
    { path: ".codex/config.toml", state: "unchanged" },
    { path: "../shop/.codex/hooks.json", state: "unchanged" },
    { path: ".codex/hooks.json", state: "removed" },
  ]);
  await repository.coord(["init", "--remove"]);
  await one.coord(["init", "--remove"]);
  expect(Object.keys(repository.files())).toEqual([".codex/hooks.json"]);
  expect(one.files()).toEqual({});
  await repository.coord(["worktree", "remove", "two"]);
  expect(existsSync(repository.at(".codex").path)).toBe(false);
});

test("a branch that exists is checked out", async () => {
  const repository = new Stage(redis.url).repository("shop");
  repository.git("branch", "login");
  const result = await repository.json(["worktree", "add", "login"]);
  expect([result["success"], result["branch_created"]]).toEqual([true, false]);
  const again = await repository.json(["worktree", "add", "again", "--branch", "login", "--from", "main"]);
  expect(again["error"]).toBe("The branch login exists: --from says where a new one begins.");
});

test("also from a bare repository", async () => {
  const stage = new Stage(redis.url);
  const repository = stage.repository("shop");
  repository.git("clone", "--quiet", "--bare", ".", "../store.git");
  const result = await repository.at("../store.git").json(["worktree", "add", "login"]);
  expect(result["root"]).toBe(path.join(stage.home, "store-login"));
});

test("errors of git are shown as they are, and nothing is left", async () => {
  const stage = new Stage(redis.url);
  const repository = stage.repository("shop");
  repository.write("../full/there.txt", "mine");
  const before = state(repository);
  // Words that every version of git has in it.
  const attempts: [args: string[], says: RegExp][] = [
    [["login", "--path", "../full"], /^error: fatal: '<home>\/full' already exists\nNothing was made\.\n$/],
    [["login", "--branch", "main"], /^error: fatal: 'main' is already .* '<home>\/shop'\n/],
    [["login", "--from", "nowhere"], /^error: fatal: .*nowhere/],
    [["a..b"], /^error: fatal: 'a\.\.b' is not a valid branch name\n/],
  ];
  for (const [args, says] of attempts) {
    const { code, stdout, stderr } = await repository.coord(["worktree", "add", ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(plain(stderr, stage)).toMatch(says);
    expect(state(repository)).toEqual(before);
  }
  const outside = await stage.folder("outside").coord(["worktree", "add", "login"]);
  expect(outside.code).toBe(1);
  expect(outside.stderr).toContain("fatal: not a git repository");
  expect((await repository.json(["worktree", "add", "all"]))["code"]).toBe("IDENTITY");
});

test("a later step that fails takes all of it back", async () => {
  const repository = new Stage(redis.url).repository("shop");
  repository.write(".mcp.json", "{ broken");
  repository.git("add", ".mcp.json");
  repository.git("commit", "--quiet", "--message", "broken");
  repository.git("branch", "mine");
  const before = state(repository);
  const { code, stderr } = await repository.coord(["worktree", "add", "login", "--path", "../new/deep/place"]);
  expect(code).toBe(1);
  expect(stderr).toContain("error: .mcp.json, line 1, column 3:");
  expect(state(repository)).toEqual(before);
  expect(existsSync(repository.at("../new").path)).toBe(false);
  // A branch that was there before stays.
  expect((await repository.coord(["worktree", "add", "login", "--branch", "mine"])).code).toBe(1);
  expect(state(repository)).toEqual(before);
});

test("a hook of the repository is not run", async () => {
  const repository = new Stage(redis.url).repository("shop");
  const hook = path.join(repository.path, ".git/hooks/post-checkout");
  mkdirSync(path.dirname(hook), { recursive: true });
  writeFileSync(hook, "#!/bin/sh\nexit 3\n");
  chmodSync(hook, 0o755);
  expect((await repository.coord(["worktree", "add", "login"])).code).toBe(0);
});
