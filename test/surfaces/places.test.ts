/** Where and as what it is started: directories, links, an unbuilt checkout, who one is, help and completion. */
import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { useRedis } from "../harness.ts";
import { lacks } from "../needs.ts";
import { writeRegister } from "../register.ts";
import {
  COORD,
  type Environment,
  ROOT,
  type Wire,
  bash,
  coord,
  environment,
  json,
  run,
  script,
  temporaryFolder,
} from "./run.ts";

const bench = useRedis();
const env = (more: Environment = {}): Environment => environment({ REDIS_URL: bench.redis.url, ...more });

/** Every command, from the help of `coord` itself. */
async function commands(): Promise<string[]> {
  const { stdout } = await coord(["--help"]);
  const listed = stdout.slice(stdout.indexOf("\nSay and answer:\n"));
  return Array.from(listed.matchAll(/^ {2}([a-z]+) /gm), ([, name]) => name!);
}

describe("help", () => {
  it("of coord and of every command", async () => {
    const names = await commands();
    const helps = await Promise.all([coord(["--help"]), ...names.map((name) => coord([name, "--help"]))]);
    const texts = helps.map(({ code, stdout, stderr }, i) => {
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return `$ coord ${i === 0 ? "" : `${names[i - 1]} `}--help\n${stdout}`;
    });
    await expect(texts.join("\n")).toMatchFileSnapshot("../__snapshots__/help.txt");
  });

  it("names every command of the issue", async () => {
    const expected = ["publish", "check", "search", "ack", "presence", "notifications", "show", "stats", "forget"];
    expect(await commands()).toEqual(expect.arrayContaining([...expected, "mcp", "up", "down", "demo"]));
  });

  it("--version", async () => {
    const { code, stdout } = await coord(["--version"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "0.1.0\n" });
  });
});

describe("completion", () => {
  it("in bash completes commands, options and types", async () => {
    const completed: [words: string, completions: string[]][] = [
      ["coord pub", ["publish"]],
      ["coord publish REVIEW", ["REVIEW_COMPLETE", "REVIEW_FAILED"]],
      ["coord publish GENERAL s d --reply", ["--reply-to"]],
      ["coord check --pen", ["--pending"]],
      ["coord check --type NOT", ["NOTIFICATION"]],
      ["coord sea", ["search"]],
      ["coord search login --be", ["--before"]],
      ["coord completion z", ["zsh"]],
      ["coord nope", []],
      ["coord ", [...(await commands()), "--help", "--version"]],
    ];
    const line = `source <(node "$1" completion bash); shift
      for words; do
        IFS=' ' read -ra COMP_WORDS <<<"$words."
        COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); COMP_WORDS[COMP_CWORD]=\${COMP_WORDS[COMP_CWORD]%.}
        _coord; echo "\${COMPREPLY[*]}"
      done`;
    const { code, stdout, stderr } = await bash(line, [COORD, ...completed.map(([words]) => words)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.split("\n").slice(0, -1)).toEqual(completed.map(([, completions]) => completions.join(" ")));
  });

  it.for(["bash", "zsh", "fish"])("for %s is a script its shell can read", async (shell, { skip }) => {
    const { code, stdout, stderr } = await coord(["completion", shell]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatchSnapshot();
    const missing = lacks(shell);
    skip(missing !== undefined, missing);
    // From a file: fish reads no script from a socket, which a pipe of Node's is.
    const file = path.join(await temporaryFolder(), "completion");
    writeFileSync(file, stdout);
    expect(await run(shell, ["-n", file])).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("who one is", () => {
  /** The instance that a command in this folder speaks for. */
  async function speaker(cwd: string, settings: Environment, ...args: string[]): Promise<unknown> {
    const sent = await coord(["publish", "GENERAL", "s", "d", "--json", ...args], { env: env(settings), cwd });
    return (JSON.parse(sent.stdout) as Wire)["from"] ?? (JSON.parse(sent.stdout) as Wire)["code"];
  }

  it("--instance wins over the environment, that over the register, and a file in the work tree counts for nothing", async () => {
    const folder = await temporaryFolder();
    const deep = path.join(folder, "work", "src", "deep");
    mkdirSync(deep, { recursive: true });
    mkdirSync(path.join(folder, "work", ".git"));
    writeFileSync(
      path.join(folder, "work", ".coord.json"),
      '{"instanceId": "by-file", "redis": "redis://127.0.0.1:1"}',
    );
    expect(await speaker(deep, {})).toBe("IDENTITY");
    const project = { keyPrefix: "coord", worktrees: { ".": "by-register" } };
    const XDG_CONFIG_HOME = writeRegister(folder, path.join(folder, "work"), project);
    expect(await speaker(deep, { XDG_CONFIG_HOME })).toBe("by-register");
    expect(await speaker(deep, { XDG_CONFIG_HOME, CLAUDE_INSTANCE_ID: "" })).toBe("by-register");
    const named = { XDG_CONFIG_HOME, CLAUDE_INSTANCE_ID: "by-variable" };
    expect(await speaker(deep, named)).toBe("by-variable");
    expect(await speaker(deep, named, "--instance", "by-option")).toBe("by-option");
  });

  it("the register names the Redis, the prefix and the orchestrator as well, before an application's REDIS_URL", async () => {
    const folder = await temporaryFolder();
    mkdirSync(path.join(folder, ".git"));
    await bench.admit("other");
    const server = { COORD_REDIS_URL: bench.redis.url };
    const project = { keyPrefix: "other", server, orchestrator: "boss", worktrees: { ".": "backend" } };
    const XDG_CONFIG_HOME = writeRegister(folder, folder, project);
    const settings = environment({ XDG_CONFIG_HOME, REDIS_URL: "redis://127.0.0.1:1" });
    const sent = await coord(["publish", "GENERAL", "s", "d", "--json"], { env: settings, cwd: folder });
    expect(JSON.parse(sent.stdout)).toMatchObject({ from: "backend", to: "boss" });
    expect(await bench.raw.zcard("other:timeline")).toBe(1);
  });

  it("a register that is malformed is refused by its path", async () => {
    const folder = await temporaryFolder();
    const XDG_CONFIG_HOME = writeRegister(folder, folder, { keyPrefix: 7 });
    const { code, stderr } = await coord(["check"], { env: env({ XDG_CONFIG_HOME }), cwd: folder });
    expect([code, stderr]).toEqual([
      1,
      `error: The register ${XDG_CONFIG_HOME}/cli-coordination/projects.json cannot be read: keyPrefix of ` +
        `"${folder}" is not what it should be.\nCorrect it, or remove it and run coord init.\n`,
    ]);
  });
});

describe("the scripts", () => {
  it("work from any directory, through links of every kind", async () => {
    const folder = await temporaryFolder();
    const scripts = path.join(ROOT, "scripts/coordination");
    const bin = path.join(folder, "bin with spaces");
    mkdirSync(bin);
    symlinkSync(path.join(scripts, "publish-message.sh"), path.join(bin, "absolute"));
    symlinkSync("absolute", path.join(bin, "relative"));
    symlinkSync(ROOT, path.join(folder, "checkout"));
    symlinkSync(scripts, path.join(folder, "linked"));
    const options = { env: env({ CLAUDE_INSTANCE_ID: "backend" }), cwd: folder };
    await bench.seen({ orchestrator: 0 });
    const ways: [line: string, ...args: string[]][] = [
      ['"$1" GENERAL s d --json', path.join(scripts, "publish-message.sh")],
      ['"$1/relative" GENERAL s d --json', bin],
      ['cd "$1" && ./absolute GENERAL s d --json', bin],
      ["checkout/scripts/coordination/publish-message.sh GENERAL s d --json"],
      ["linked/publish-message.sh GENERAL s d --json"],
      ["CDPATH=/tmp bash checkout/scripts/coordination/publish-message.sh GENERAL s d --json"],
    ];
    for (const [line, ...args] of ways) {
      expect(json(await bash(line, args, options)), line).toMatchObject({ success: true, from: "backend" });
    }
  });

  it("take every option of the commands they are named for", async () => {
    const options = { env: env({ CLAUDE_INSTANCE_ID: "backend" }) };
    const [backend] = await bench.clients("backend", "orchestrator");
    const content = { type: "GENERAL", subject: "s", description: "d" } as const;
    for (let i = 0; i < 5; i++) await backend.publishMessage(content);
    const all = ["--pending", "--all", "--from", "backend", "--type", "GENERAL", "--limit", "3", "--wait", "0.1"];
    const first = (await bench.raw.zrange("coord:timeline", "0", "0"))[0]!;
    expect(json(await script("check", [...all, "--since", first, "--json"], options))).toMatchObject({
      count: 3,
      more: true,
    });
    const answer = ["GENERAL", "s", "d", "--to", "orchestrator", "--no-ack", "--reply-to", first, "--json"];
    expect(json(await script("publish", answer, options))).toMatchObject({ requires_ack: false, to: "orchestrator" });
    const acks = ["--instance", "orchestrator", first, "--comment", "c", "--json"];
    expect(json(await script("ack", acks, options))).toMatchObject({ acknowledged_by: "orchestrator", comment: "c" });
  });

  it("coord too, through a link", async () => {
    const folder = await temporaryFolder();
    symlinkSync(COORD, path.join(folder, "coord"));
    const options = { env: env({ CLAUDE_INSTANCE_ID: "backend" }), cwd: folder };
    expect(json(await bash("./coord check --json", [], options))).toMatchObject({ count: 0 });
    expect(json(await bash('PATH="$PWD:$PATH"; cd /; coord check --json', [], options))).toMatchObject({ count: 0 });
  });

  it("in a checkout that is not built say so in one line, with what to do", async () => {
    const folder = path.join(await temporaryFolder(), "a checkout");
    cpSync(path.join(ROOT, "scripts"), path.join(folder, "scripts"), { recursive: true });
    for (const name of ["publish-message.sh", "check-messages.sh", "ack-message.sh"]) {
      const file = path.join(folder, "scripts/coordination", name);
      chmodSync(file, 0o755);
      const { code, stdout, stderr } = await run(file, [], { env: env({ CLAUDE_INSTANCE_ID: "backend" }) });
      expect({ code, stdout, stderr }).toEqual({
        code: 1,
        stdout: "",
        stderr: `cli-coordination is not built yet: run npm install in ${folder}\n`,
      });
    }
  });
});
