/** Right agent, right mail, as far as projects go: each with the built program, in repositories of its own. */
import { existsSync, mkdirSync, rmSync, symlinkSync, utimesSync, statSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CoordinationClient } from "../../src/client/client.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { leastPrivilege, PROJECTS } from "../least-privilege.ts";
import { type Folder, plain, Stage } from "./stage.ts";

let redis: ThrowawayRedis;
let other: ThrowawayRedis;
beforeAll(async () => {
  [redis, other] = await Promise.all([
    startThrowawayRedis({ args: leastPrivilege("coord", "mine", PROJECTS) }),
    startThrowawayRedis({ args: leastPrivilege("coord", PROJECTS) }),
  ]);
});
afterAll(async () => {
  await Promise.all([redis.stop(), other.stop()]);
});

async function who(folder: Folder, settings: Record<string, string> = {}): Promise<Record<string, unknown>> {
  return folder.json(["whoami"], settings);
}

async function subjects(folder: Folder, settings: Record<string, string> = {}): Promise<unknown[]> {
  const { messages } = await folder.json(["check", "--pending"], settings);
  return (messages as { subject: string }[]).map(({ subject }) => subject);
}

describe("two projects on one machine (1)", () => {
  test("are two namespaces: both have an orchestrator, and each gets its own mail", async () => {
    const stage = new Stage(redis.url);
    const [shop, blog] = [stage.repository("shop"), stage.repository("blog")];
    for (const repository of [shop, blog]) expect((await repository.coord(["init"])).stderr).toBe("");
    expect((await shop.json(["worktree", "add", "login"]))["instance"]).toBe("login");
    expect((await blog.json(["worktree", "add", "login"]))["instance"]).toBe("login");
    await shop.at("../shop-login").coord(["publish", "READY_FOR_REVIEW", "of the shop", "d"]);
    await blog.at("../blog-login").coord(["publish", "READY_FOR_REVIEW", "of the blog", "d"]);
    expect([await subjects(shop), await subjects(blog)]).toEqual([["of the shop"], ["of the blog"]]);
  });

  test("two clones of one repository share a namespace, and the second one gets its folder's name", async () => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    shop.git("remote", "set-url", "origin", "https://example.org/acme/clones");
    await shop.coord(["init"]);
    const settings = { instanceId: "orchestrator", redis: redis.url, keyPrefix: "coord-acme-clones", env: {} };
    await using first = new CoordinationClient(resolveSettings(settings));
    await first.join({ id: "s", host: hostname(), cwd: shop.path });
    shop.git("clone", "--quiet", ".", "../copy");
    const copy = shop.at("../copy");
    copy.git("remote", "set-url", "origin", "git@example.org:acme/clones.git");
    expect(await copy.json(["init"])).toMatchObject({ prefix: "coord-acme-clones", instance: "copy" });
    const { stderr } = await copy.coord(["init", "--instance", "orchestrator"]);
    expect(stderr).toContain(`warning: orchestrator is active elsewhere, ${shop.path}: only one agent at a time`);
  });

  test("a fork beside its upstream is the upstream's project", async () => {
    const stage = new Stage(redis.url);
    const fork = stage.repository("fork");
    fork.git("remote", "set-url", "origin", "git@example.org:me/shop.git");
    fork.git("remote", "add", "upstream", "ssh://git@example.org:2222/Acme/Shop.git/");
    expect((await fork.json(["init"]))["prefix"]).toBe("coord-acme-shop");
  });
});

describe("worktrees (7)", () => {
  test("have the project's settings, whoever made them; git clean takes nothing away", async () => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    await shop.coord(["init", "--prefix", "mine"]);
    await shop.coord(["worktree", "add", "login"]);
    shop.git("worktree", "add", "--quiet", "../by-git");
    const [login, byGit] = [shop.at("../shop-login"), shop.at("../by-git")];
    login.git("clean", "-fdxq");
    expect(await who(login)).toMatchObject({ instance: "login", prefix: "mine" });
    expect(await who(byGit)).toMatchObject({
      instance: "by-git",
      prefix: "mine",
      instance_source: "the name that git has for this worktree",
    });
    mkdirSync(path.join(byGit.path, "deep"));
    expect(await who(byGit.at("deep"))).toMatchObject({ instance: "by-git" });
  });

  test("removing one ends folder, merged branch and name", async () => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    await shop.coord(["init", "--prefix", "coord-removal"]);
    await shop.coord(["worktree", "add", "login"]);
    expect(await shop.json(["worktree", "remove", "login"])).toEqual({
      success: true,
      instance: "login",
      root: shop.at("../shop-login").path,
      branch: "login",
      branch_deleted: true,
      forgotten: true,
      warnings: [],
    });
    expect(shop.git("branch", "--list")).toBe("* main");
    expect(Object.keys((await shop.json(["presence"]))["instances"] as object)).toEqual(["orchestrator"]);
    expect(stage.project("shop")?.["worktrees"]).toEqual({ ".": "orchestrator" });
    expect((await shop.json(["worktree", "remove", "login"]))["code"]).toBe("NOT_FOUND");
  });

  test("a branch that is not merged stays, and so does a worktree with changes", async () => {
    const shop = new Stage(redis.url).repository("shop");
    await shop.coord(["init", "--prefix", "coord-kept"]);
    await shop.coord(["worktree", "add", "login"]);
    const login = shop.at("../shop-login");
    login.git("commit", "--quiet", "--allow-empty", "--message", "mine");
    login.write("work.txt", "mine");
    const before = login.files();
    expect((await shop.json(["worktree", "remove", "login"]))["code"]).toBe("INVALID");
    expect(login.files()).toEqual(before);
    rmSync(path.join(login.path, "work.txt"));
    expect(await shop.json(["worktree", "remove", "login"])).toMatchObject({ branch_deleted: false });
    expect(shop.git("branch", "--list", "login").trim()).toBe("login");
  });
});

describe("a cloned repository decides nothing (8)", () => {
  test.each<[string, (clone: Folder) => void]>([
    [".coord.json", (clone) => clone.write(".coord.json", '{"instanceId":"orchestrator","keyPrefix":"evil"}')],
    ["a server", (clone) => clone.write(".coord.json", '{"instanceId":"a","redis":"redis://evil.invalid"}')],
    ["a register", (clone) => clone.write("cli-coordination/projects.json", '{"version":1,"projects":{}}')],
    ["the shape of a git directory", (clone) => clone.write("sub/HEAD", "ref: refs/heads/main\n")],
  ])("%s", async (_, prepare) => {
    const stage = new Stage(redis.url);
    const clone = stage.repository("clone");
    const before = await who(clone);
    prepare(clone);
    expect(await who(clone)).toEqual(before);
    expect(before).toMatchObject({ instance: null, prefix: "coord", server_source: "REDIS_URL", register: null });
  });

  test("an archive with a git directory that names another's as the common one is no worktree of it", async () => {
    const stage = new Stage(redis.url);
    await stage.repository("shop").coord(["init", "--prefix", "mine"]);
    const archive = stage.folder("archive");
    archive.write(".git", "gitdir: bait/login\n");
    archive.write("bait/login/HEAD", "ref: refs/heads/main\n");
    archive.write("bait/login/commondir", "../../../shop/.git\n");
    archive.write("bait/login/gitdir", "../../.git\n");
    expect(await who(archive)).toMatchObject({
      instance: null,
      prefix: "coord",
      register: null,
      instance_source: expect.stringContaining("is no worktree of") as string,
    });
  });

  test("a link to itself in the place of .git, and a relative HOME or XDG_CONFIG_HOME", async () => {
    const stage = new Stage(redis.url);
    const clone = stage.folder("clone");
    const text = JSON.stringify({ projects: { [clone.path]: { keyPrefix: "evil", worktrees: { ".": "evil" } } } });
    for (const folder of ["", ".config/"]) clone.write(`${folder}cli-coordination/projects.json`, text);
    for (const variables of [{ HOME: "." }, { HOME: ".", XDG_CONFIG_HOME: "." }, { XDG_CONFIG_HOME: "./" }]) {
      expect(await who(clone, variables)).toMatchObject({ instance: null, prefix: "coord", register: null });
    }
    symlinkSync(".git", path.join(clone.path, ".git"));
    expect(await who(clone)).toMatchObject({ instance: null, prefix: "coord", register: null });
  });
});

describe("an application's own REDIS_URL (11)", () => {
  test("comes behind the project's server, which doctor and init say; COORD_REDIS_URL comes before", async () => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    await shop.coord(["init"]);
    const ofProject = redis.url.slice("unix:".length);
    const ofApplication = other.url.slice("unix:".length);
    expect((await who(shop, { REDIS_URL: other.url }))["server"]).toBe(ofProject);
    expect((await who(shop, { REDIS_URL: other.url, COORD_REDIS_URL: other.url }))["server"]).toBe(ofApplication);
    const { findings } = await shop.json(["doctor"], { REDIS_URL: other.url });
    expect(findings).toContainEqual({
      level: "warning",
      about: "REDIS_*",
      message: "REDIS_URL in this shell names another server, which is not used",
      remedy: "To use it, set COORD_REDIS_URL or COORD_REDIS_HOST, and run coord init.",
    });
    const { stderr } = await shop.coord(["init"], { REDIS_URL: other.url });
    expect(stderr).toBe(
      `warning: REDIS_* name ${ofApplication}: they come behind the project's server, ${ofProject}.\n`,
    );
  });

  test("is written down with its login, which a hook of Codex has from nowhere else", async () => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    const login = { REDIS_URL: redis.url, REDIS_USERNAME: "default", REDIS_PASSWORD: "secret" };
    const { stdout, stderr } = await shop.coord(["init"], login);
    const server = { COORD_REDIS_URL: redis.url, COORD_REDIS_USERNAME: "default", COORD_REDIS_PASSWORD: "secret" };
    expect(stage.project("shop")).toMatchObject({ server });
    expect(stdout + stderr).not.toContain("secret");
    const file = path.join(stage.home, ".config/cli-coordination/projects.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test("in a project that is not set up names the server as ever", async () => {
    const folder = new Stage(redis.url).folder("notes");
    expect(await who(folder)).toMatchObject({ server: redis.url.slice("unix:".length), server_source: "REDIS_URL" });
  });
});

describe("a set-up of earlier versions", () => {
  const settings = { instanceId: "backend", keyPrefix: "mine", redis: "", orchestrator: "boss" };

  test("is shown, and taken over with --take-over, in words and once", async () => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    shop.write(".coord.json", JSON.stringify({ ...settings, redis: redis.url }));
    const refused = await shop.coord(["init"]);
    expect(refused.code).toBe(1);
    expect(plain(refused.stderr, stage).replace(redis.url, "<url>")).toBe(
      'error: <home>/shop/.coord.json, which is not read any more, holds instanceId "backend", keyPrefix "mine", ' +
        'redis "<url>", orchestrator "boss".\n' +
        "coord init --take-over keeps all that; coord init --prefix <prefix> begins anew; or remove the file. " +
        "Nothing was changed.\n",
    );
    expect(stage.project("shop")).toBeUndefined();
    const taken = await shop.json(["init", "--take-over"]);
    expect(taken).toMatchObject({ instance: "backend", prefix: "mine", warnings: [] });
    expect(stage.project("shop")).toEqual({
      keyPrefix: "mine",
      server: { COORD_REDIS_URL: redis.url },
      orchestrator: "boss",
      worktrees: { ".": "backend" },
    });
    expect(Object.keys(shop.files())).not.toContain(".coord.json");
    expect((await shop.coord(["init"])).stderr).toBe("");
  });

  test("move brings the open mail of a name along, once, and says there where it went", async () => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    await shop.coord(["init", "--prefix", "coord-after"]);
    const old = { COORD_KEY_PREFIX: "coord-before" };
    const sender = { ...old, CLAUDE_INSTANCE_ID: "login" };
    for (const name of ["orchestrator", "third"]) await shop.coord(["presence"], { ...old, CLAUDE_INSTANCE_ID: name });
    await shop.coord(["publish", "READY_FOR_REVIEW", "open", "d", "--to", "orchestrator"], sender);
    await shop.coord(["publish", "GENERAL", "to all", "d", "--to", "all"], sender);
    await shop.coord(["publish", "READY_FOR_REVIEW", "done", "d", "--to", "orchestrator"], sender);
    const { messages } = await shop.json(["check"], old);
    const done = (messages as { id: string; subject: string }[]).find(({ subject }) => subject === "done")!;
    await shop.coord(["ack", done.id], old);
    const first = await shop.json(["move", "--from", "coord-before"]);
    expect(first).toMatchObject({ success: true, from: "coord-before", to: "coord-after", kept: [] });
    expect(await subjects(shop)).toEqual(["open", "to all"]);
    expect(await subjects(shop, old)).toEqual([]);
    expect(await subjects(shop, { ...old, CLAUDE_INSTANCE_ID: "third" })).toEqual(["to all"]);
    expect((await shop.json(["move", "--from", "coord-before"]))["moved"]).toEqual([]);
    expect(await subjects(shop)).toEqual(["open", "to all"]);
    const { notifications } = await shop.json(["notifications"], sender);
    expect((notifications as { comment?: string }[]).map(({ comment }) => comment)).toContain(
      "Moved to the namespace coord-after.",
    );
    expect((await shop.json(["move", "--from", "coord-after"]))["code"]).toBe("INVALID");
  });
});

describe("places", () => {
  test("a submodule that is not set up is its superproject's; set up itself it is a project of its own", async () => {
    const stage = new Stage(redis.url);
    const [part, shop] = [stage.repository("part"), stage.repository("shop")];
    shop.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", part.path, "part");
    await shop.coord(["init", "--prefix", "mine"]);
    const inside = shop.at("part");
    expect(await who(inside)).toMatchObject({ instance: "orchestrator", prefix: "mine" });
    await inside.coord(["init", "--instance", "part", "--prefix", "coord-part"]);
    expect(await who(inside)).toMatchObject({ instance: "part", prefix: "coord-part" });
  });

  test("a bare repository is refused with what to do; its worktrees have names", async () => {
    const stage = new Stage(redis.url);
    stage.repository("shop").git("clone", "--quiet", "--bare", ".", "../store.git");
    const bare = stage.folder("store.git");
    expect((await bare.json(["init"]))["hint"]).toBe(
      "Make a worktree with a name: coord worktree add <name>, or run coord init in one.",
    );
    expect((await bare.json(["worktree", "add", "login"]))["instance"]).toBe("login");
  });

  test("the layout with .bare: a worktree on main reviews", async () => {
    const stage = new Stage(redis.url);
    stage.repository("shop").git("clone", "--quiet", "--bare", ".", "../layout/.bare");
    const layout = stage.folder("layout");
    layout.write(".git", "gitdir: ./.bare\n");
    layout.git("worktree", "add", "--quiet", "main");
    expect((await layout.json(["init"]))["code"]).toBe("INVALID");
    expect((await layout.at("main").json(["init", "--prefix", "mine"]))["instance"]).toBe("orchestrator");
  });

  test("a folder without a usable letter needs a name, and the sentence says how to give it", async () => {
    const folder = new Stage(redis.url).folder("登录");
    expect(await folder.json(["init"])).toMatchObject({
      code: "INVALID",
      hint: "Give one: coord init --instance <name>.",
    });
    expect((await folder.json(["init", "--instance", "notes"]))["success"]).toBe(true);
  });
});

describe("names", () => {
  test("that differ only in case are refused, naming forget", async () => {
    const shop = new Stage(redis.url).repository("shop");
    await shop.coord(["init", "--prefix", "coord-case", "--instance", "Backend"]);
    shop.git("worktree", "add", "--quiet", "../two");
    expect(await shop.at("../two").json(["init", "--instance", "backend"])).toMatchObject({
      code: "IDENTITY",
      hint: expect.stringContaining("coord forget Backend") as string,
    });
  });

  test("reserved ones are refused, those for people too", async () => {
    const shop = new Stage(redis.url).repository("shop");
    for (const name of ["all", "Unknown", "user", "system", "human", "assistant", "coord", "operator"]) {
      expect((await shop.json(["init", "--instance", name]))["code"]).toBe("IDENTITY");
    }
  });

  test("a worktree may be called as what every object has", async () => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    await shop.coord(["init", "--prefix", "mine"]);
    for (const name of ["constructor", "toString"]) {
      shop.git("worktree", "add", "--quiet", `../${name}`);
      expect(await who(shop.at(`../${name}`))).toMatchObject({ instance: name });
      expect((await shop.at(`../${name}`).json(["init"]))["instance"]).toBe(name);
    }
    expect(stage.project("shop")?.["worktrees"]).toEqual({
      ".": "orchestrator",
      constructor: "constructor",
      toString: "toString",
    });
  });

  test.each([
    ["a process that was killed", '{"pid":4194304,"started":"1"}', 0],
    ["one that was killed before it had said who it is", "", 120],
    ["one of whom nothing can be known here", `{"pid":${process.pid}}`, 120],
  ])("the register's lock, left by %s, is taken", async (_, text, age) => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    const folder = stage.folder(".config/cli-coordination");
    folder.write("projects.json.lock", text);
    const lock = path.join(folder.path, "projects.json.lock");
    const then = new Date(Date.now() - age * 1000);
    utimesSync(lock, then, then);
    expect((await shop.coord(["init", "--prefix", "mine"])).code).toBe(0);
    expect(stage.project("shop")?.["worktrees"]).toEqual({ ".": "orchestrator" });
    expect(existsSync(lock)).toBe(false);
  });

  test("the register may be a link to where its owner keeps such files", async () => {
    const stage = new Stage(redis.url);
    const kept = stage.folder("dotfiles");
    kept.write("projects.json", '{"projects":{}}');
    symlinkSync(
      path.join(kept.path, "projects.json"),
      path.join(stage.folder(".config/cli-coordination").path, "projects.json"),
    );
    await stage.repository("shop").coord(["init", "--prefix", "mine"]);
    expect(kept.read("projects.json")).toContain('"keyPrefix": "mine"');
    expect(Object.keys(kept.files())).toEqual(["projects.json"]);
  });

  test("concurrent coord init in many worktrees loses none", async () => {
    const stage = new Stage(redis.url);
    const shop = stage.repository("shop");
    const names = ["a", "b", "c", "d", "e", "f"];
    for (const name of names) shop.git("worktree", "add", "--quiet", `../${name}`);
    const ended = await Promise.all(
      names.map(async (name) => shop.at(`../${name}`).coord(["init", "--prefix", "mine"])),
    );
    expect(ended.map(({ code }) => code)).toEqual(names.map(() => 0));
    expect(stage.project("shop")?.["worktrees"]).toEqual(Object.fromEntries(names.map((name) => [name, name])));
  });
});
