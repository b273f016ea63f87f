/** Changes to text files, planned first and then made together: all of them, or none. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { rmdirSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { invalid } from "../protocol/validation.ts";

export interface Change {
  readonly path: string;
  /** Undefined where the file does not exist. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export type ChangeState = "created" | "changed" | "removed" | "unchanged";

/** Settings that people write have kilobytes. */
const TEXT_BYTES_MAXIMUM = 4 * 1024 * 1024;
/** As many links as Linux follows. */
const LINKS_MAXIMUM = 40;

export function stateOf({ before, after }: Change): ChangeState {
  if (before === after) return "unchanged";
  if (before === undefined) return "created";
  return after === undefined ? "removed" : "changed";
}

/**
 * What `edit` makes of the file's text.
 *
 * @param within folders whose links a clone or an archive may have brought: a file below one of them has to lie in one of them
 * @throws CoordinationError INVALID when it cannot be read as text, or a link leads out
 */
export function planChange(
  path: string,
  edit: (text: string | undefined) => string | undefined,
  within: readonly string[] = [],
): Change {
  try {
    refuseLinkOut(path, within);
  } catch (error) {
    throw isSystemError(error) ? unreadable(path, error.message) : error; // a file or a circle in the place of a folder
  }
  const before = readText(path);
  const mark = before?.startsWith("\uFEFF") === true ? "\uFEFF" : "";
  let after = edit(before?.slice(mark.length));
  // A link is its owner's: what it leads to is emptied, not removed.
  if (after === undefined && before !== undefined && behindLinks(path) !== path)
    after = path.endsWith(".json") ? "{}\n" : "";
  return { path, before, after: after === undefined ? undefined : mark + after };
}

/** @throws CoordinationError INVALID when a file cannot be written; the ones written before are put back */
export function makeChanges(changes: readonly Change[], root: string): void {
  const made: Change[] = [];
  try {
    for (const change of changes) {
      if (stateOf(change) === "unchanged") continue;
      put(change.path, change.after, root);
      made.push(change);
    }
  } catch (error) {
    for (const { path, before } of made.toReversed()) put(path, before, root);
    const { message } = error as Error;
    throw invalid(`The set-up could not be written: ${message}.`, "Make it writable; everything is as it was before.");
  }
}

function readText(path: string): string | undefined {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new Error("it is no file"); // to open a pipe or a terminal would wait
    if (stat.size > TEXT_BYTES_MAXIMUM) throw new Error(`it has more than ${TEXT_BYTES_MAXIMUM} bytes`);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readFileSync(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    const reason = code === "ERR_ENCODING_INVALID_ENCODED_DATA" ? "it is not UTF-8" : message;
    throw unreadable(path, reason);
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}

function unreadable(path: string, reason: string): Error {
  return invalid(`${path} cannot be read: ${reason}.`, "Correct it and run the command again; nothing was changed.");
}

/** Nobody ever reads half a file, and its mode stays. */
function put(path: string, text: string | undefined, root: string): void {
  const target = behindLinks(path);
  if (text === undefined) {
    rmSync(target, { force: true });
    const folder = dirname(path);
    for (const each of [folder, dirname(folder)]) if (each !== root) removeIfEmpty(each);
    return;
  }
  const mode = statSync(target, { throwIfNoEntry: false })?.mode;
  const temporary = `${target}.${process.pid}.tmp`;
  mkdirSync(dirname(target), { recursive: true });
  try {
    writeFileSync(temporary, text, { flag: "wx" });
    if (mode !== undefined) chmodSync(temporary, mode & 0o7777);
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function refuseLinkOut(path: string, within: readonly string[]): void {
  const isBelow = (folder: string, whole: string): boolean => whole.startsWith(folder + sep);
  if (!within.some((folder) => isBelow(folder, path))) return;
  const target = realTarget(path);
  if (within.some((folder) => isBelow(realTarget(folder), target))) return;
  throw invalid(
    `${path} leads out of this repository, to ${target}: a clone may have brought that link.`,
    "Nothing was changed. Remove the link, or put the file in its place.",
  );
}

/** Where a file is or would be, with every link of its folders followed. */
function realTarget(path: string): string {
  let target = behindLinks(path);
  const missing: string[] = [];
  for (let i = 0; i < LINKS_MAXIMUM && !existsSync(target) && dirname(target) !== target; i++) {
    missing.unshift(basename(target));
    target = behindLinks(dirname(target));
  }
  return existsSync(target) ? join(realpathSync(target), ...missing) : join(target, ...missing);
}

function behindLinks(path: string): string {
  let target = path;
  for (let links = 0; links < LINKS_MAXIMUM; links++) {
    if (lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return target;
    target = resolve(dirname(target), readlinkSync(target));
  }
  return target; // reading or writing it will say what is wrong
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // something else is in it
  }
}
