/** Programs that the git configuration of a repository names, as an archive may bring one: git runs them, coord does not. */
import { existsSync, rmSync, symlinkSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { leastPrivilege, PROJECTS } from "../least-privilege.ts";
import { type Folder, Stage } from "./stage.ts";

let redis: ThrowawayRedis;
beforeAll(async () => {
  redis = await startThrowawayRedis({ args: leastPrivilege("coord", "mine", PROJECTS) });
});
afterAll(() => redis.stop());

interface Trap {
  attributes?: string;
  set: (repository: Folder, program: (then: "cat" | "exit 1") => string) => void;
  /** What coord worktree add says where it refuses. */
  refusal?: string;
}

const TRAPS: Record<string, Trap> = {
  "a watcher of files": { set: (repository, program) => repository.git("config", "core.fsmonitor", program("exit 1")) },
  "a hook": {
    set: (repository, program) => {
      repository.write("../hooks/reference-transaction", `#!/bin/sh\n${program("exit 1")}\n`);
      repository.git("config", "core.hooksPath", "../hooks");
      repository.chmod("../hooks/reference-transaction", 0o755);
    },
  },
  "a filter": { set: (repository, program) => repository.git("config", "filter.evil.smudge", program("cat")) },
  "a filter that is required": {
    set: (repository, program) => {
      repository.git("config", "filter.evil.process", program("exit 1"));
      repository.git("config", "filter.evil.required", "true");
    },
  },
  "a filter with an equals sign in its name": {
    attributes: "* filter=a=b\n",
    set: (repository, program) => repository.git("config", "filter.a=b.smudge", program("cat")),
    refusal: 'has "filter.a=b.smudge", a program that cannot be switched off.',
  },
  "a filter that is there on the new branch only": {
    set: (repository, program) => {
      repository.git("config", "--file", ".git/evil", "filter.evil.smudge", program("cat"));
      repository.git("config", "includeIf.onbranch:login*.path", "evil");
    },
  },
  "a filter that is there in linked worktrees only": {
    set: (repository, program) => {
      repository.git("config", "--file", ".git/evil", "filter.evil.smudge", program("cat"));
      repository.git("config", "includeIf.gitdir:**/worktrees/**.path", "evil");
    },
  },
  "a filter of the configuration of worktrees": {
    set: (repository, program) => {
      repository.git("config", "extensions.worktreeConfig", "true");
      repository.git("config", "--worktree", "filter.evil.smudge", program("cat"));
    },
  },
  "a program that brings missing objects": {
    set: (repository, program) => {
      const blob = repository.git("rev-parse", "HEAD:file");
      rmSync(path.join(repository.path, `.git/objects/${blob.slice(0, 2)}/${blob.slice(2)}`));
      repository.git("config", "core.repositoryFormatVersion", "1");
      repository.git("config", "extensions.partialClone", "origin");
      repository.git("config", "remote.origin.promisor", "true");
      repository.git("config", "remote.origin.url", repository.path);
      repository.git("config", "remote.origin.uploadpack", program("exit 1"));
    },
    refusal: "make it with git worktree add, then run coord init in it.",
  },
};

/** A repository with a trap, and whether it has snapped since the last call. */
function trapped({ attributes = "* filter=evil\n", set }: Trap): { repository: Folder; snapped: () => boolean } {
  const repository = new Stage(redis.url).repository("shop");
  repository.write(".gitattributes", attributes);
  repository.write("file", "text\n");
  repository.git("add", ".");
  repository.git("commit", "--quiet", "--message", "x");
  const trace = path.join(repository.path, "../trace");
  // Only a filter of one file ends when its input does.
  set(repository, (then) => `sh -c 'echo run >>"${trace}"; ${then}'`);
  const snapped = (): boolean => {
    const is = existsSync(trace);
    rmSync(trace, { force: true });
    return is;
  };
  snapped();
  return { repository, snapped };
}

test.each(Object.entries(TRAPS))("%s: git runs it, coord init, worktree add and remove do not", async (_, trap) => {
  const { repository, snapped } = trapped(trap);
  expect((await repository.coord(["init"])).code).toBe(0);
  const { code, stderr } = await repository.coord(["worktree", "add", "login"]);
  expect([code, stderr]).toEqual([trap.refusal === undefined ? 0 : 1, expect.stringContaining(trap.refusal ?? "")]);
  if (code === 0) expect(repository.at("../shop-login").read("file")).toBe("text\n");
  else expect(repository.git("worktree", "list").split("\n")).toHaveLength(1);
  if (code === 0) expect((await repository.coord(["worktree", "remove", "login"])).code).toBe(0);
  expect(snapped()).toBe(false);
  try {
    repository.git("worktree", "add", "-b", "login-by-git", "../by-git");
  } catch {
    // it lacks an object, or a filter is none
  }
  expect(snapped()).toBe(true);
});

test("a filter that compares is not run by the removal of a worktree, as git's own would", async () => {
  const { repository, snapped } = trapped({
    set: (made, program) => made.git("config", "filter.evil.clean", program("cat")),
  });
  for (const name of ["login", "other"]) {
    expect((await repository.coord(["worktree", "add", name])).code).toBe(0);
    // Newer than git knows it, and as long: it has to be compared.
    repository.at(`../shop-${name}`).write("file", "text\n");
  }
  expect((await repository.coord(["worktree", "remove", "login"])).code).toBe(0);
  expect(snapped()).toBe(false);
  repository.at("../shop-other").git("status");
  expect(snapped()).toBe(true);
});

test.each(["HEAD", "commondir", "config", "index", "packed-refs"])(
  "a .git/%s without end is not read by git, which would take all memory",
  async (name) => {
    const repository = new Stage(redis.url).repository("shop");
    const file = path.join(repository.path, ".git", name);
    rmSync(file, { force: true });
    symlinkSync("/dev/zero", file);
    for (const command of [["init"], ["doctor"], ["worktree", "add", "login"], ["init", "--remove"]]) {
      const { code, stdout, stderr } = await repository.coord(command);
      expect([command, code, stdout + stderr]).toEqual([command, 1, expect.stringContaining(`${file} is no file.`)]);
    }
  },
);

test("filters of the user's own configuration run, as those of git-lfs have to", async () => {
  const { repository, snapped } = trapped({
    set: (made, program) => made.git("config", "--file", "../.gitconfig", "filter.evil.smudge", program("cat")),
  });
  expect((await repository.coord(["worktree", "add", "login"])).code).toBe(0);
  expect(snapped()).toBe(true);
});
