/** Checked values, each refused by the name of where it stands. */
import { closeSync, openSync, readSync } from "node:fs";
import { invalid, shown } from "../protocol/validation.ts";

/** An empty variable counts as unset, since `${NAME:-}` in a configuration makes one. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** @throws CoordinationError INVALID */
export function checkWhole(value: unknown, source: string, least: number, most: number): number {
  const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= least && number <= most) return number;
  throw invalid(
    `${source} is ${shown(value)}: it must be a whole number from ${least} to ${most}.`,
    "Correct the value, or unset it for the default.",
  );
}

/** @throws CoordinationError INVALID */
export function variableWhole(env: Variables, name: string, otherwise: number, least: number, most: number): number {
  return env[name] ? checkWhole(env[name], name, least, most) : otherwise;
}

/** The first choice is the default. @throws CoordinationError INVALID */
export function variableChoice<const C extends readonly [string, ...string[]]>(
  env: Variables,
  name: string,
  choices: C,
): C[number] {
  const value = env[name];
  if (!value) return choices[0];
  if (choices.includes(value)) return value;
  throw invalid(`${name} is ${shown(value)}: it must be ${choices.join(" or ")}.`, `Unset it for ${choices[0]}.`);
}

/** Certificates of all authorities together have a quarter of it. */
const FILE_BYTES_MAXIMUM = 4 * 1024 * 1024;

/**
 * Of what is sent to a server or looked up: a line break would end it there. The value is not shown, which may be a secret.
 *
 * @throws CoordinationError INVALID
 */
export function checkPlain(value: string | undefined, name: string): string | undefined {
  // oxlint-disable-next-line no-control-regex
  if (value === undefined || !/[\u0000-\u001f\u007f]/.test(value)) return value;
  throw invalid(`${name} holds a control character.`, "Correct the value: it is one line.");
}

/** The text of the file that a variable names. @throws CoordinationError INVALID when it cannot be read, or is empty */
export function variableFile(env: Variables, name: string): string | undefined {
  const path = env[name];
  if (!path) return undefined;
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    throw invalid(`${name} cannot be read: ${(error as Error).message}.`, "Correct the path, or make it readable.");
  }
  if (text.trim() === "") throw invalid(`${name} names ${shown(path)}, which is empty.`, "Correct the path.");
  return text;
}

/** Of whatever kind: a shell gives the output of a program as a pipe. */
function readText(path: string): string {
  const file = openSync(path, "r");
  try {
    const pieces: Buffer[] = [];
    for (let bytes = 0; ;) {
      const piece = Buffer.alloc(65_536);
      const read = readSync(file, piece);
      if (read === 0) return Buffer.concat(pieces).toString("utf8");
      bytes += read;
      if (bytes > FILE_BYTES_MAXIMUM) throw new Error(`it has more than ${FILE_BYTES_MAXIMUM} bytes`);
      pieces.push(piece.subarray(0, read));
    }
  } finally {
    closeSync(file);
  }
}
