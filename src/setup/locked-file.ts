/** Changes a file of the user that several of our programs may change at once: one at a time, and nobody ever reads half of it. */
import { randomUUID } from "node:crypto";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { type KnownProcess, knowProcess, lives } from "../client/process.ts";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { invalid } from "../protocol/validation.ts";

/** Another `coord init` asks git and writes some files meanwhile. */
const LOCK_WITHIN_MS = 10_000;
/** Held for so long, it was left by one of whom nothing can be known: of another container, or killed before it had said who it is. */
const LOCK_ABANDONED_MS = 60_000;
const LOOK_MILLISECONDS = 50;

/**
 * @param compose makes the new text, while nobody else changes the file
 * @param besides what is to be done with the change or not at all: where it throws, the file is as it was
 * @throws CoordinationError INVALID where it cannot be written, TIMEOUT where another holds it
 */
export function changeLocked(file: string, compose: () => string, besides = (): void => undefined): void {
  const place = target(file);
  const temporary = `${place}.${randomUUID()}`;
  let unlock: (() => void) | undefined;
  try {
    fs.mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    unlock = lock(`${file}.lock`);
    fs.writeFileSync(temporary, compose(), { mode: 0o600, flag: "wx" });
    besides();
    fs.renameSync(temporary, place);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    if (CoordinationError.is(error)) throw error;
    throw invalid(
      `${file} could not be written: ${(error as Error).message}.`,
      "Make it writable; nothing was changed.",
    );
  } finally {
    unlock?.();
  }
}

/** People keep such files elsewhere and link to them. */
function target(file: string): string {
  try {
    return fs.realpathSync(file);
  } catch {
    return file;
  }
}

function lock(path: string): () => void {
  const until = performance.now() + LOCK_WITHIN_MS;
  for (;;) {
    try {
      fs.writeFileSync(path, JSON.stringify(knowProcess(process.pid)), { flag: "wx", mode: 0o600 });
      return () => fs.rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const held = readLock(path);
    if (held !== undefined && isAbandoned(held)) moveAway(path, held);
    if (performance.now() > until) {
      throw new CoordinationError(ErrorCode.TIMEOUT, `${path} is held by another process.`, {
        hint: "Try again; remove it where no coord runs.",
      });
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MILLISECONDS);
  }
}

interface Lock {
  readonly text: string;
  readonly since: number;
}

function readLock(path: string): Lock | undefined {
  try {
    return { text: fs.readFileSync(path, "utf8"), since: fs.statSync(path).mtimeMs };
  } catch {
    return undefined; // gone
  }
}

function isAbandoned({ text, since }: Lock): boolean {
  if (Date.now() - since > LOCK_ABANDONED_MS) return true;
  try {
    return !lives(JSON.parse(text) as KnownProcess);
  } catch {
    return false; // not written yet
  }
}

/** Renamed and not removed: of two that find it abandoned, one gets it, and the other nobody's new one. */
function moveAway(path: string, abandoned: Lock): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    fs.renameSync(path, aside);
    // Somebody else was faster and this one is theirs: it is put back, unless there is another by now.
    if (readLock(aside)?.text !== abandoned.text) fs.linkSync(aside, path);
  } catch {
    // another was faster
  }
  fs.rmSync(aside, { force: true });
}
