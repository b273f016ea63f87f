/** A person's machine for one test: repositories, a PATH, and `coord` as built; nothing of the real one is seen. */
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { onTestFinished } from "vitest";
import { PATIENCE_MS } from "../patience.ts";

const DIST = path.resolve(import.meta.dirname, "../../dist");

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export class Stage {
  /** Everything of this test is below it. It has a space, as some people's folders do. */
  readonly home: string;
  readonly env: Record<string, string>;

  /** @param installed whether coord and coord-hook are on PATH */
  constructor(redis: string, { installed = true }: { installed?: boolean } = {}) {
    this.home = realpathSync(mkdtempSync(path.join(tmpdir(), "coord s-")));
    onTestFinished(() => rmSync(this.home, { recursive: true, force: true }));
    const bin = path.join(this.home, "bin");
    mkdirSync(bin);
    // As npm does it.
    for (const [name, file] of installed
      ? [
          ["coord", "coord.cjs"],
          ["coord-hook", "coord-hook"],
        ]
      : []) {
      symlinkSync(path.join(DIST, file!), path.join(bin, name!));
    }
    const config = path.join(this.home, "gitconfig");
    writeFileSync(config, "[user]\n\tname = a\n\temail = a@example.org\n[init]\n\tdefaultBranch = main\n");
    this.env = {
      PATH: `${bin}${path.delimiter}${path.dirname(process.execPath)}${path.delimiter}/usr/bin:/bin`,
      HOME: this.home,
      GIT_CONFIG_GLOBAL: config,
      GIT_CONFIG_NOSYSTEM: "1",
      REDIS_URL: redis,
      NO_COLOR: "1",
    };
  }

  /** A repository with one commit and a remote, in a folder of this name. */
  repository(name: string, branch = "main"): Folder {
    const folder = this.folder(name);
    folder.git("init", "--quiet", "--initial-branch", branch);
    folder.git("commit", "--quiet", "--allow-empty", "--message", "first");
    folder.git("remote", "add", "origin", `git@example.org:acme/${name.replaceAll(" ", "-")}.git`);
    return folder;
  }

  /** What the register has of one project, that of a repository by its folder's name. */
  project(name: string): Record<string, unknown> | undefined {
    const file = path.join(this.home, ".config/cli-coordination/projects.json");
    if (!existsSync(file)) return undefined;
    const { projects } = JSON.parse(readFileSync(file, "utf8")) as {
      projects: Record<string, Record<string, unknown>>;
    };
    return projects[path.join(this.home, name, ".git")] ?? projects[path.join(this.home, name)];
  }

  folder(name: string): Folder {
    const folder = path.join(this.home, name);
    mkdirSync(folder, { recursive: true });
    return new Folder(folder, this.env);
  }
}

export class Folder {
  readonly path: string;
  readonly env: Record<string, string>;

  constructor(where: string, env: Record<string, string>) {
    this.path = where;
    this.env = env;
  }

  at(name: string): Folder {
    return new Folder(path.resolve(this.path, name), this.env);
  }

  coord(args: readonly string[], settings: Record<string, string> = {}): Promise<Ended> {
    return this.run(path.join(DIST, "coord.cjs"), args, settings);
  }

  /** @param program a file of JavaScript */
  async run(program: string, args: readonly string[], settings: Record<string, string> = {}): Promise<Ended> {
    const options = { cwd: this.path, env: { ...this.env, ...settings }, timeout: PATIENCE_MS } as const;
    const child = spawn(process.execPath, [program, ...args], { ...options, stdio: "pipe" });
    child.stdin.end();
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    return { code, stdout, stderr };
  }

  /** The object that a command prints with `--json`, whatever its exit code. */
  async json(args: readonly string[], settings: Record<string, string> = {}): Promise<Record<string, unknown>> {
    return JSON.parse((await this.coord([...args, "--json"], settings)).stdout) as Record<string, unknown>;
  }

  git(...args: readonly string[]): string {
    return execFileSync("git", args, {
      cwd: this.path,
      env: this.env,
      encoding: "utf8",
      stdio: "pipe",
      timeout: PATIENCE_MS,
    }).trim();
  }

  write(name: string, text: string): void {
    const file = path.join(this.path, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  chmod(name: string, mode: number): void {
    chmodSync(path.join(this.path, name), mode);
  }

  read(name: string): string {
    return readFileSync(path.join(this.path, name), "utf8");
  }

  /** Every file with its text, those of git excepted. */
  files(): Record<string, string> {
    const entries = readdirSync(this.path, { recursive: true, withFileTypes: true });
    const names = entries
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(this.path, path.join(entry.parentPath, entry.name)))
      .filter((name) => !name.startsWith(".git/") && name !== ".git");
    return Object.fromEntries(names.sort().map((name) => [name, this.read(name)]));
  }

  /** Everything there is, folders and git's list of ignored paths included: what a removal has to leave as it was. */
  everything(): Record<string, string> {
    const names = readdirSync(this.path, { recursive: true, encoding: "utf8" }).filter(
      (name) => !name.startsWith(".git/"),
    );
    const exclude = this.read(path.join(this.git("rev-parse", "--git-path", "info/exclude")));
    return { ...this.files(), folders: names.sort().join("\n"), exclude };
  }
}

/** Texts of this test's machine, the same on every machine. */
export function plain(text: string, { home }: Stage): string {
  return text.replaceAll(home, "<home>").replaceAll(DIST, "<dist>");
}
