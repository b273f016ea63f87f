/** `.coord.json`, from which earlier versions read who they are: shown, and taken over only when told to [G13]. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { invalid } from "../protocol/validation.ts";

export const LEGACY_FILE = ".coord.json";
const LEGACY_BYTES = 65_536;
const FIELDS = ["instanceId", "keyPrefix", "redis", "orchestrator"] as const;

export type Legacy = Partial<Record<(typeof FIELDS)[number], string>>;

/** @throws CoordinationError INVALID for what cannot be taken over */
export function readLegacy(folder: string): Legacy | undefined {
  const path = join(folder, LEGACY_FILE);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const refused = (problem: string): Error =>
    invalid(`${path} ${problem}.`, "It is not read any more: remove it, and run coord init again.");
  if (!stat.isFile() || stat.size > LEGACY_BYTES) throw refused(`is no file of at most ${LEGACY_BYTES} bytes`);
  let values: unknown;
  try {
    values = JSON.parse(readFileSync(path, "utf8"));
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

/** What it holds, without the password that a URL may have. */
export function describeLegacy(legacy: Legacy): string {
  const shown = Object.entries(legacy).map(([field, value]) => `${field} ${JSON.stringify(withoutPassword(value))}`);
  return shown.length === 0 ? "nothing of ours" : shown.join(", ");
}

function withoutPassword(text: string): string {
  return text.replace(/(:\/\/[^:/@]*):.*@/s, "$1:…@");
}
