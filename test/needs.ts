/** What a test needs of the system. Whoever lacks it calls `skip` with the reason, which `npm test` counts as not checked. */
import { spawnSync } from "node:child_process";

/** Why the program cannot be started, if so. */
export function lacks(program: string): string | undefined {
  const { error } = spawnSync(program, ["--help"], { stdio: "ignore", timeout: 10_000 });
  return error !== undefined && "code" in error && error.code === "ENOENT" ? `there is no ${program} here` : undefined;
}
