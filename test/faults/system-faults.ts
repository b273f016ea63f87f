/** Faults that need something of the system: another clock, a disk that can be full. */
import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { eventually } from "./load.ts";
import { onServer } from "./server-faults.ts";
import { DurableRedis } from "./server.ts";
import type { Fault } from "./trial.ts";

const run = promisify(execFile);

const LIBRARIES = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
/** libfaketime and jemalloc initialise each other for ever (wolfcw/libfaketime#130): another allocator goes before it. */
const PRELOAD = [`${LIBRARIES}/faketime/libfaketime.so.1`, `${LIBRARIES}/libtcmalloc_minimal.so.4`];
const STEP_SECONDS_MAXIMUM = 7200;
const DISK_BYTES = 1 << 20;
const DISK_BYTES_ENLARGED = 64 << 20;
const FULL_WITHIN_MILLISECONDS = 60_000;

export const CLOCK: Fault = {
  name: "clock",
  title: "the server's clock stepped back and forward, by up to two hours (libfaketime)",
  trials: 20,
  trialsAScene: 10,
  load: {},
  missing: async () =>
    PRELOAD.every((library) => existsSync(library))
      ? undefined
      : "it needs the Debian packages faketime and libtcmalloc-minimal4",
  prepare: async () => {
    let clock = "";
    const set = async (seconds: number): Promise<void> => {
      // Never half a file: Redis reads it all the time.
      await writeFile(`${clock}.new`, `${seconds < 0 ? "" : "+"}${seconds}`);
      await rename(`${clock}.new`, clock);
    };
    const server = await DurableRedis.start({
      env: async (folder) => {
        clock = path.join(folder, "clock");
        await set(0);
        return {
          ...process.env,
          LD_PRELOAD: PRELOAD.join(" "),
          FAKETIME_TIMESTAMP_FILE: clock,
          FAKETIME_NO_CACHE: "1",
          FAKETIME_DONT_FAKE_MONOTONIC: "1",
        };
      },
    });
    return onServer(server, async ({ raw }, _scene, random) => {
      const seconds = random.whole(-STEP_SECONDS_MAXIMUM, STEP_SECONDS_MAXIMUM);
      await set(seconds);
      const ahead = Number((await raw.time())[0]) - Date.now() / 1000;
      if (Math.abs(ahead - seconds) > 5) throw new Error(`the clock is ${ahead} s ahead, not ${seconds}`);
    });
  },
};

export const DISK: Fault = {
  name: "disk",
  title: "disk full under the append-only file, which ends Redis; enlarged, and Redis started again",
  trials: 5,
  trialsAScene: 1,
  load: { descriptionBytes: 4000 },
  missing: async () => {
    // Tried: root in a container may not mount either.
    const folder = await mkdtemp(path.join(tmpdir(), "coord-disk-"));
    try {
      await run("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "faults", folder]);
      await run("umount", [folder]);
      return undefined;
    } catch (error) {
      return `it needs the right to mount a small disk (${(error as Error).message.trim().split("\n").at(-1)})`;
    } finally {
      await rmdir(folder);
    }
  },
  prepare: async () => {
    let disk = "";
    const server = await DurableRedis.start({
      data: async (folder) => {
        disk = path.join(folder, "disk");
        await mkdir(disk);
        process.on("exit", () => spawnSync("umount", ["--lazy", disk])); // also when it is interrupted
        await run("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "faults", disk]);
        return disk;
      },
      onStop: async () => void (await run("umount", [disk])),
    });
    return onServer(server, async () => {
      await eventually("Redis ends", FULL_WITHIN_MILLISECONDS, () => server.hasEnded);
      await sleep(100);
      await run("mount", ["-o", `remount,size=${DISK_BYTES_ENLARGED}`, disk]);
      await server.start();
    });
  },
};
