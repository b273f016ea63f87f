/** Adds and removes notifiers of the user. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { resolve } from "node:path";
import {
  type Notifier,
  NOTIFIER_KINDS,
  NOTIFIER_LEVELS,
  type NotifierLevel,
  NOTIFIERS_MAXIMUM,
  readNotifiers,
} from "../client/notifiers.ts";
import { INSTANCE_PATTERN } from "../protocol/definition.ts";
import { invalid, shown } from "../protocol/validation.ts";
import { changeLocked } from "./locked-file.ts";

const WORDS_MAXIMUM = 64;
const WORD_CHARACTERS = 4096;
const SECRET_BYTES = 32;
const SECRET_CHARACTERS = { minimum: 16, maximum: 1024 };

export interface NotifierDraft {
  /** `desktop`, `webhook` with its URL, or `command` with its words. */
  words: readonly string[];
  level?: string | undefined;
  name?: string | undefined;
  /** For a webhook: who gets it can tell by it that it comes from here. By default a new one. */
  secretFile?: string | undefined;
}

/** @throws CoordinationError INVALID, TIMEOUT */
export function addNotifier(file: string, draft: NotifierDraft): Notifier {
  let added: Notifier | undefined;
  changeNotifiers(file, (notifiers) => {
    if (notifiers.length >= NOTIFIERS_MAXIMUM) {
      throw invalid(
        `There are ${NOTIFIERS_MAXIMUM} notifiers: that is the limit.`,
        "coord notify remove <name> first.",
      );
    }
    added = notifierFrom(draft, new Set(notifiers.map(({ name }) => name)));
    return [...notifiers, added];
  });
  return added!;
}

/** @throws CoordinationError INVALID, TIMEOUT */
export function removeNotifier(file: string, name: string): void {
  changeNotifiers(file, (notifiers) => {
    const left = notifiers.filter((notifier) => notifier.name !== name);
    if (left.length < notifiers.length) return left;
    throw invalid(`name is ${shown(name)}: no such notifier.`, "coord notify list shows their names.");
  });
}

function changeNotifiers(file: string, edit: (notifiers: Notifier[]) => Notifier[]): void {
  changeLocked(file, () => `${JSON.stringify({ version: 1, notifiers: edit(readNotifiers(file)) }, undefined, 2)}\n`);
}

function notifierFrom({ words, level = "needs-me", name, secretFile }: NotifierDraft, taken: Set<string>): Notifier {
  const [kind = "", ...rest] = words;
  const known = NOTIFIER_KINDS.find((one) => one === kind);
  if (known === undefined) {
    throw invalid(`${shown(kind)} is no kind of notifier.`, `Use one of ${NOTIFIER_KINDS.join(", ")}.`);
  }
  if (!(NOTIFIER_LEVELS as readonly string[]).includes(level)) {
    throw invalid(`level is ${shown(level)}: no such level.`, `Use one of ${NOTIFIER_LEVELS.join(", ")}.`);
  }
  if (secretFile !== undefined && known !== "webhook") {
    throw invalid("--secret-file is for a webhook.", "Leave it out.");
  }
  const common = {
    name: nameFor(known, name, taken),
    id: randomBytes(8).toString("hex"),
    level: level as NotifierLevel,
  };
  if (known === "webhook") return { ...common, kind: known, url: urlFrom(rest), secret: secretFrom(secretFile) };
  if (known === "command") return { ...common, kind: known, command: commandFrom(rest) };
  if (rest.length > 0) throw invalid(`desktop takes no ${shown(rest[0])}.`, "coord notify add desktop");
  return { ...common, kind: known };
}

function nameFor(kind: string, wanted: string | undefined, taken: ReadonlySet<string>): string {
  if (wanted !== undefined) {
    if (!INSTANCE_PATTERN.test(wanted)) {
      throw invalid(`name is ${shown(wanted)}.`, "A name has 1-64 letters, digits, dots, underscores or hyphens.");
    }
    if (taken.has(wanted)) throw invalid(`name is ${shown(wanted)}: there is one of that name.`, "Give another name.");
    return wanted;
  }
  let name = kind;
  for (let n = 2; taken.has(name); n++) name = `${kind}-${n}`;
  return name;
}

/** Subjects of messages go there: not in the clear over a network. */
function urlFrom([text, ...others]: readonly string[]): string {
  const example = "coord notify add webhook https://example.org/hook";
  if (text === undefined || others.length > 0) throw invalid("A webhook has one URL.", example);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid(`${shown(text)} is no URL.`, example);
  }
  const here = url.hostname === "localhost" || url.hostname === "[::1]" || isLoopback(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && here)) {
    throw invalid(`${shown(text)} is not https, nor of this machine: what it is told could be read.`, example);
  }
  if (url.username !== "" || url.password !== "") {
    throw invalid("A webhook's URL has no login.", "It is signed with its secret: check that there.");
  }
  return url.href;
}

function isLoopback(host: string): boolean {
  return isIP(host) === 4 && host.startsWith("127.");
}

function secretFrom(file: string | undefined): string {
  if (file === undefined) return randomBytes(SECRET_BYTES).toString("hex");
  let secret: string;
  try {
    secret = readFileSync(file, "utf8").trim();
  } catch (error) {
    throw invalid(`${shown(file)} cannot be read: ${(error as Error).message}.`, "Correct the path.");
  }
  const { minimum, maximum } = SECRET_CHARACTERS;
  if (secret.length >= minimum && secret.length <= maximum) return secret;
  throw invalid(`${shown(file)} has ${secret.length} characters.`, `A secret has ${minimum} to ${maximum}.`);
}

/** As a path it is where it was named, wherever it is run from. */
function commandFrom([program, ...args]: readonly string[]): string[] {
  const words = program === undefined ? [] : [program.includes("/") ? resolve(program) : program, ...args];
  if (words.length > 0 && words.length <= WORDS_MAXIMUM && words.every(isWord)) return words;
  throw invalid(
    words.length === 0 ? "The command is missing." : "The command is too long, or has an empty word.",
    `coord notify add command -- ./tell-me.sh --loud, with at most ${WORDS_MAXIMUM} words of ${WORD_CHARACTERS} characters.`,
  );
}

function isWord(word: string): boolean {
  return word !== "" && word.length <= WORD_CHARACTERS;
}
