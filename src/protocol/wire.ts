/** Results and refusals as JSON: snake case, the same on MCP and with `--json`. */
import type { CoordinationError } from "./errors.ts";

/** Objects whose keys are names of instances or types, which no case conversion may touch; in an event `instances` is a list. */
const DICTIONARIES = new Set(["instances", "byType"]);

export function successToWire(result: object): Record<string, unknown> {
  return { success: true, ...(toWire(result) as object) };
}

export function refusalToWire({
  code,
  message,
  hint,
  validTypes,
  retryAfterSeconds,
  receipt,
}: CoordinationError): Record<string, unknown> {
  return {
    success: false,
    code,
    error: message,
    hint,
    ...(validTypes === undefined ? {} : { valid_types: validTypes }),
    ...(retryAfterSeconds === undefined ? {} : { retry_after_seconds: retryAfterSeconds }),
    ...(receipt === undefined ? {} : { receipt: toWire(receipt) }),
  };
}

export function toWire(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toWire);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      DICTIONARIES.has(name) && !Array.isArray(field) ? mapValues(field as Record<string, unknown>) : toWire(field),
    ]),
  );
}

function mapValues(dictionary: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(dictionary).map(([name, field]) => [name, toWire(field)]));
}
