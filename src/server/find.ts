/** Where a Redis server program is on this machine, and where we keep what is ours. */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { run } from "./run.ts";

/** The Lua scripts need Redis 7.0 or Valkey 7.2; Valkey began with 7.2, so one number serves for both. */
const OLDEST_MAJOR = 7;
const VERSION_WITHIN_MS = 5000;

/** Our folder among the user's data: `XDG_DATA_HOME` where it is set, else where the platform keeps such things. */
export function dataFolder(env: NodeJS.ProcessEnv): string {
  const given = env["XDG_DATA_HOME"];
  // The XDG specification says to ignore a relative path.
  if (given !== undefined && isAbsolute(given)) return join(given, "cli-coordination");
  const platformFolder = process.platform === "darwin" ? "Library/Application Support" : ".local/share";
  return join(env["HOME"] || home(), platformFolder, "cli-coordination");
}

/** The system knows no home for a user without an entry of its own, as containers make them. */
function home(): string {
  try {
    return homedir();
  } catch {
    throw new CoordinationError(
      ErrorCode.INVALID,
      "HOME is not set, and the system knows no home folder of this user.",
      {
        hint: "Set HOME, or XDG_DATA_HOME, to a folder that you may write.",
      },
    );
  }
}

/** Where `install.ts` unpacks a server; the program to start is `redis-server` directly in it. */
export function installFolder(env: NodeJS.ProcessEnv): string {
  return join(dataFolder(env), "redis");
}

/**
 * The path of a usable server program: `COORD_REDIS_SERVER`, else redis-server, then valkey-server on the PATH, else
 * the one we installed. Undefined when there is none; `onUnusable` is told each that was passed over, and why.
 * Throws UNAVAILABLE when `COORD_REDIS_SERVER` is set and of no use: falling back would run what was not asked for.
 */
export async function findRedisServer(
  env: NodeJS.ProcessEnv,
  onUnusable: (what: string) => void = () => {},
): Promise<string | undefined> {
  const named = env["COORD_REDIS_SERVER"];
  if (named) {
    const path = resolve(named);
    const problem = (await isExecutable(path)) ? await whyUnusable(path, env) : "is not an executable file";
    if (problem === undefined) return path;
    throw new CoordinationError(ErrorCode.UNAVAILABLE, `COORD_REDIS_SERVER is "${named}", which ${problem}.`, {
      hint: "Set it to the path of a redis-server 7.0 or valkey-server 7.2 or newer, or unset it to have one found.",
    });
  }
  for (const path of candidates(env)) {
    if (!(await isExecutable(path))) continue;
    const problem = await whyUnusable(path, env);
    if (problem === undefined) return path;
    onUnusable(`${path} ${problem}`);
  }
  return undefined;
}

function candidates(env: NodeJS.ProcessEnv): string[] {
  const folders = (env["PATH"] ?? "").split(delimiter).filter(isAbsolute);
  const onPath = ["redis-server", "valkey-server"].flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...onPath, join(installFolder(env), "redis-server")];
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Asks the program itself (`Redis server v=7.0.15 …`), so that a broken or foreign one is found out here. */
async function whyUnusable(path: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    const [, version, major] = /\bv=((\d+)[\d.]*)/.exec(
      await run(path, ["--version"], { env, withinMs: VERSION_WITHIN_MS }),
    ) ?? [undefined, "unknown", "0"];
    return Number(major) >= OLDEST_MAJOR ? undefined : `is too old or no Redis server (version ${version})`;
  } catch (error) {
    return `does not run: ${(error as Error).message}`;
  }
}
