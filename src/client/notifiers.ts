/** Notifiers: where a person is told, outside of a terminal or page, that something happened. They stand in a private file of the user. */
import { dirname, join } from "node:path";
import { invalid } from "../protocol/validation.ts";
import { existsSync } from "node:fs";
import { readOwnFile } from "./own-file.ts";
import { registerFile } from "./register.ts";
import type { Variables } from "./variables.ts";

export const NOTIFIER_KINDS = ["desktop", "webhook", "command"] as const;
/** `needs-me`: what needs a person; `all`: also every event of the namespace. */
export const NOTIFIER_LEVELS = ["needs-me", "all"] as const;
export type NotifierLevel = (typeof NOTIFIER_LEVELS)[number];
export const NOTIFIERS_MAXIMUM = 20;

export type Notifier = {
  name: string;
  /** By which a namespace knows what it has told. */
  id: string;
  level: NotifierLevel;
} & ({ kind: "desktop" } | { kind: "webhook"; url: string; secret: string } | { kind: "command"; command: string[] });

/** Twenty commands of 64 words of 4 KiB would be more than anybody writes. */
const FILE_BYTES = 1_048_576;

export function notifiersFile(env: Variables): string {
  return join(dirname(registerFile(env)), "notifiers.json");
}

/** @throws CoordinationError INVALID for a file that is not as we have written it; no file are no notifiers */
export function readNotifiers(file: string): Notifier[] {
  if (!existsSync(file)) return [];
  const refusal = invalid(`${file} cannot be read.`, "Correct it, or remove it and add your notifiers again.");
  let whole: unknown;
  try {
    whole = JSON.parse(readOwnFile(file, FILE_BYTES) ?? "");
  } catch {
    throw refusal;
  }
  const { notifiers } = (whole ?? {}) as { notifiers?: unknown };
  if (!Array.isArray(notifiers) || !notifiers.every(isNotifier)) throw refusal;
  return notifiers;
}

function isNotifier(value: unknown): value is Notifier {
  if (typeof value !== "object" || value === null) return false;
  const { name, id, level, kind, url, secret, command } = value as Record<string, unknown>;
  const isText = (text: unknown): text is string => typeof text === "string" && text !== "";
  if (!isText(name) || !isText(id) || !(NOTIFIER_LEVELS as readonly unknown[]).includes(level)) return false;
  if (kind === "webhook") return isText(url) && isText(secret);
  if (kind === "command") return Array.isArray(command) && command.length > 0 && command.every(isText);
  return kind === "desktop";
}
