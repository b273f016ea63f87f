/** What a process holds in memory. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** From the kernel on Linux, where a small system has no `ps`. */
export function residentKilobytes(pid: number): number {
  if (process.platform !== "linux")
    return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" }));
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}
