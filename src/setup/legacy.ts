/** `.coord.json`, from which earlier versions read who they are: shown, and taken over only when told to [G13]. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { invalid } from "../protocol/validation.ts";

export const LEGACY_FILE = ".coord.json";
const LEGACY_BYTES = 65_536;
const FIELDS = ["instanceId", "keyPrefix", "redis", "orchestrator"] as const;

export type Legacy = Partial<Record<(typeof FIELDS)[number], string>>;

/** @throws CoordinationError INVALID for what cannot be taken over */
export function readLegacy(folder: string): Legacy | undefined {
  const path = join(folder, LEGACY_FILE);
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  const refused = (problem: string): Error =>
    invalid(`${path} ${problem}.`, "It is not read any more: remove it, and run coord init again.");
  const text = readPlainFile(path);
  if (text === undefined) throw refused(`is no file of at most ${LEGACY_BYTES} bytes, or a link`);
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch {
    throw refused("is not JSON");
  }
  if (typeof values !== "object" || values === null || Array.isArray(values)) throw refused("is not a JSON object");
  const given = values as Record<string, unknown>;
  const legacy: Legacy = {};
  for (const field of FIELDS) {
    const value = given[field];
    if (value === undefined) continue;
    if (typeof value !== "string") throw refused(`has a ${field} that is not text`);
    legacy[field] = value;
  }
  return legacy;
}

/** A link that a clone brings is not followed, since what is read is shown; a pipe is not waited for. */
function readPlainFile(path: string): string | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size > LEGACY_BYTES) return undefined;
    const content = Buffer.alloc(LEGACY_BYTES);
    return content.toString("utf8", 0, readSync(file, content));
  } catch {
    return undefined; // a link, or not to be read by this user
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** What it holds, without the password that a URL may have. */
export function describeLegacy(legacy: Legacy): string {
  const shown = Object.entries(legacy).map(([field, value]) => `${field} ${JSON.stringify(withoutPassword(value))}`);
  return shown.length === 0 ? "nothing of ours" : shown.join(", ");
}

function withoutPassword(text: string): string {
  return text.replace(/^([a-z]+:\/\/)?.*@/is, (_, scheme = "") => `${scheme}…@`).replace(/[?#].*/s, "?…");
}
