/** Checked values, each refused by the name of where it stands. */
import { readFileSync } from "node:fs";
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

/** The text of the file that a variable names. @throws CoordinationError INVALID when it cannot be read, or is empty */
export function variableFile(env: Variables, name: string): string | undefined {
  const path = env[name];
  if (!path) return undefined;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw invalid(`${name} cannot be read: ${(error as Error).message}.`, "Correct the path, or make it readable.");
  }
  if (text.trim() === "") throw invalid(`${name} names ${shown(path)}, which is empty.`, "Correct the path.");
  return text;
}
