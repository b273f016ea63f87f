/**
 * Processes: what another one is, whether it lives, and when this one has to end. A number alone does not tell whether one
 * lives: in a container without an init a killed process stays a zombie that still takes signals, and elsewhere its number
 * goes to another process.
 */
import { existsSync, readFileSync, readlinkSync } from "node:fs";

/** How often it is looked whether a process still lives; nothing tells a background process that another was killed. */
const LOOK_MILLISECONDS = 5_000;
const PS_WITHIN_MS = 2_000;

export interface ProcessFacts {
  parent: number;
  /** The program and its first argument, which is the script where the program is an interpreter; never the other arguments. */
  command: string;
  /** When it began, in the words of the system; with its number it means one process. */
  started: string;
  zombie: boolean;
  /** Its process group: what a shell of an agent starts has another one than the agent. */
  group: number;
}

/** One process, also after it has ended; `started` is missing where the system does not tell. */
export interface KnownProcess {
  readonly pid: number;
  readonly started: string | undefined;
}

export function knowProcess(pid: number): KnownProcess {
  return { pid, started: readProcess(pid)?.started };
}

export function lives({ pid, started }: KnownProcess): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // One of another user lives and is not ours to signal.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const facts = readProcess(pid);
  // It takes signals and nothing can be read of it, as where /proc is hidden: no reason to call it dead.
  if (facts === undefined) return true;
  return !facts.zombie && (started === undefined || facts.started === started);
}

/** Calls back once, within five seconds after the process has ended. @returns what stops looking */
export function onceGone(known: KnownProcess, gone: () => void): () => void {
  const timer = setInterval(() => {
    if (lives(known)) return;
    clearInterval(timer);
    gone();
  }, LOOK_MILLISECONDS);
  timer.unref();
  return () => clearInterval(timer);
}

/** `undefined` for one that is not there, or that may not be looked at. */
export function readProcess(pid: number): ProcessFacts | undefined {
  try {
    return process.platform === "linux" ? readProc(pid) : askPs(pid);
  } catch {
    return undefined;
  }
}

/** How far up is looked: agents that start agents, each with npx, a shell or two, a version switcher. */
const ANCESTORS_MAXIMUM = 64;
const above: (ProcessFacts & { pid: number })[] = [];

/** The processes above this one, the nearest first. Each is read once: to ask `ps` for one costs as much as a small command. */
export function* ancestors(): Generator<ProcessFacts & { readonly pid: number }> {
  for (let i = 0; i < ANCESTORS_MAXIMUM; i++) {
    const pid = i === 0 ? process.ppid : above[i - 1]!.parent;
    const facts = above[i] ?? (pid > 1 ? readProcess(pid) : undefined);
    if (facts === undefined) return;
    above[i] ??= { ...facts, pid };
    yield above[i]!;
  }
}

/** proc(5): `pid (name) state ppid …`, the 22nd field is the start in ticks since boot. A name may hold spaces and parentheses. */
function readProc(pid: number): ProcessFacts {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const command = readArguments(pid).slice(0, 2).join(" ");
  const zombie = fields[0] === "Z" || fields[0] === "X";
  return { parent: Number(fields[1]), command, started: fields[19]!, zombie, group: Number(fields[2]) };
}

/** The program and its arguments; on other systems than Linux split at each space. None where they may not be looked at. */
export function readArguments(pid: number): string[] {
  try {
    if (process.platform === "linux") return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    return ps(pid, "command").trim().split(/\s+/);
  } catch {
    return [];
  }
}

/** The file that it runs, for an interpreter that one; undefined where it may not be looked at, or an update has taken the file away. */
export function programFile(pid: number): string | undefined {
  try {
    const file = process.platform === "linux" ? readlinkSync(`/proc/${pid}/exe`) : ps(pid, "comm").trim();
    return file.startsWith("/") && existsSync(file) ? file : undefined;
  } catch {
    return undefined;
  }
}

/** Within what the number of a process means one: a start of the system, and a container. One word. */
export function machine(): string {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return `${boot}/${readlinkSync("/proc/self/ns/pid").replaceAll(/\D/g, "")}`;
  } catch {
    return "one"; // as on other systems, where the start of a process tells it from one before a restart
  }
}

function askPs(pid: number): ProcessFacts | undefined {
  const output = ps(pid, "ppid", "pgid", "state", "lstart", "command");
  // "  1 1 Ss   Sun Nov 29 20:35:14 2026 /sbin/launchd": the start is five words.
  const [, parent, group, state, started, command] =
    /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+(\S+(?:\s+\S+)?)/.exec(output) ?? [];
  if (command === undefined) return undefined;
  const zombie = state!.startsWith("Z");
  return { parent: Number(parent), command, started: started!, zombie, group: Number(group) };
}

function ps(pid: number, ...columns: string[]): string {
  // Not imported: that would cost every start, also where nothing is started.
  const { execFileSync } = process.getBuiltinModule("node:child_process");
  return execFileSync("ps", [...columns.flatMap((column) => ["-o", `${column}=`]), "-p", String(pid)], {
    encoding: "utf8",
    timeout: PS_WITHIN_MS,
    env: { ...process.env, LC_ALL: "C" },
    stdio: ["ignore", "pipe", "ignore"],
  });
}

/** A terminal that is closed ends what runs in it like somebody who asks it to. */
const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Calls back when this process is told to end, which it then has to do by itself. */
export function onceToldToEnd(end: () => void): void {
  for (const signal of ENDING_SIGNALS) process.once(signal, end);
}
