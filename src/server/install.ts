/**
 * A Redis server for a machine that has none, without touching the system: Debian's own packages are unpacked into the
 * user's data folder. That needs no root, and unlike `apt-get install` leaves no service running on port 6379.
 */
import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { findRedisServer, installFolder } from "./find.ts";
import { run } from "./run.ts";

/** Package indexes and archives come over the network; beyond this the mirror is as good as gone. */
const DOWNLOAD_WITHIN_MS = 180_000;
const UNPACK_WITHIN_MS = 30_000;
/** Homebrew may first update itself and then compile. */
const BREW_WITHIN_MS = 900_000;

/** Starts the unpacked server with the libraries that came with it; relative to itself, so that the folder can move. */
const WRAPPER = `#!/bin/sh
here=\${0%/*}
for libraries in "$here"/usr/lib/*-linux-* "$here"/lib/*-linux-*; do
  LD_LIBRARY_PATH=$libraries\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$here/usr/bin/redis-server" "$@"
`;

export interface EnsureOptions {
  env?: NodeJS.ProcessEnv;
  /** Told, in one sentence each, what takes time. */
  onProgress?: (sentence: string) => void;
}

/** The path of a usable server program, installed first where there is none. Throws UNAVAILABLE with the ways out. */
export async function ensureRedisServer(options: EnsureOptions = {}): Promise<string> {
  const { env = process.env, onProgress = () => {} } = options;
  const unusable: string[] = [];
  const found = await findRedisServer(env, (what) => unusable.push(what));
  if (found !== undefined) return found;
  try {
    await install(env, onProgress);
    const installed = await findRedisServer(env, (what) => unusable.push(what));
    if (installed !== undefined) return installed;
    throw new Error("what was installed is no usable server");
  } catch (error) {
    const passedOver = unusable.length === 0 ? "" : ` Passed over: ${[...new Set(unusable)].join("; ")}.`;
    throw new CoordinationError(
      ErrorCode.UNAVAILABLE,
      `There is no Redis 7.0 or Valkey 7.2 server program on this machine, and installing one failed: ` +
        `${(error as Error).message}.${passedOver}`,
      {
        hint:
          "Install the package redis-server or valkey, or set COORD_REDIS_SERVER to a server program. " +
          "With a Redis that already runs somewhere, set REDIS_URL to it instead: " +
          "only coord up, the demo and the tests start a server of their own.",
        cause: error,
      },
    );
  }
}

async function install(env: NodeJS.ProcessEnv, onProgress: (sentence: string) => void): Promise<void> {
  if (process.platform === "linux" && (await hasProgram("apt-get", env))) {
    onProgress(`No Redis server here: unpacking Debian's into ${installFolder(env)}.`);
    return unpackDebianPackages(env);
  }
  if (process.platform === "darwin" && (await hasProgram("brew", env))) {
    onProgress("No Redis server here: installing it with Homebrew.");
    await run("brew", ["install", "redis"], { env, withinMs: BREW_WITHIN_MS });
    return;
  }
  throw new Error("neither apt-get (Linux) nor brew (macOS) is here to do it");
}

function hasProgram(name: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  return run(name, ["--version"], { env, withinMs: UNPACK_WITHIN_MS }).then(
    () => true,
    () => false,
  );
}

async function unpackDebianPackages(env: NodeJS.ProcessEnv): Promise<void> {
  const target = installFolder(env);
  await mkdir(join(target, ".."), { recursive: true });
  // Beside the target, so that the finished folder appears in one rename and never half unpacked.
  const work = await mkdtemp(`${target}.`);
  try {
    const archives = join(work, "archives");
    await mkdir(archives);
    await downloadPackages(archives, work, env);
    const root = join(work, "root");
    for (const archive of await readdir(archives)) {
      await run("dpkg-deb", ["-x", join(archives, archive), root], { env, withinMs: UNPACK_WITHIN_MS });
    }
    const wrapper = join(root, "redis-server");
    await writeFile(wrapper, WRAPPER);
    await chmod(wrapper, 0o755);
    // dpkg-deb gives the folder the mode that the archive's own root has.
    await chmod(root, 0o700);
    await putInPlace(root, target, env);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Another process may have put the same there first; then that stays, since a server may be running from it. */
async function putInPlace(root: string, target: string, env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await rename(root, target);
  } catch {
    if ((await findRedisServer(env)) !== undefined) return;
    await rm(target, { recursive: true, force: true });
    await rename(root, target);
  }
}

/** With the system's package index, and if that is missing or outdated with one of our own, which needs no root. */
async function downloadPackages(archives: string, work: string, env: NodeJS.ProcessEnv): Promise<void> {
  const apt = (settings: readonly string[], ...args: readonly string[]): Promise<string> =>
    run("apt-get", [...settings.flatMap((setting) => ["-o", setting]), ...args], {
      env: { ...env, LC_ALL: "C" },
      cwd: archives,
      withinMs: DOWNLOAD_WITHIN_MS,
    });
  const download = async (settings: readonly string[]): Promise<void> => {
    const plan = await apt(settings, "install", "--simulate", "--no-install-recommends", "redis-server");
    const missing = Array.from(plan.matchAll(/^Inst (\S+)/gm), ([, name]) => name as string);
    // The simulation leaves out what is installed, and Debian keeps the server program in redis-tools.
    await apt(settings, "download", ...new Set(["redis-server", "redis-tools", ...missing]));
  };

  // As root apt downloads as user _apt, which may not enter our folder.
  const asOurselves = "APT::Sandbox::User=";
  try {
    await download([asOurselves]);
  } catch {
    const lists = join(work, "lists");
    const cache = join(work, "cache");
    await mkdir(join(lists, "partial"), { recursive: true });
    await mkdir(join(cache, "archives/partial"), { recursive: true });
    const settings = [asOurselves, `Dir::State::Lists=${lists}`, `Dir::Cache=${cache}`];
    await apt(settings, "update");
    await download(settings);
  }
}
