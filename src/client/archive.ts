/**
 * A namespace as lines of JSON, and back. Each line is put back by one script that changes nothing which is there already,
 * so a file may be imported again after an interruption, or into a namespace that has gone on meanwhile.
 */
import { steps } from "./steps.ts";
import {
  BROADCAST,
  INSTANCE_PATTERN,
  LIMITS,
  NAMESPACE_SETTINGS,
  type NamespaceSetting,
  PROTOCOL_VERSION,
  SENDERS,
} from "../protocol/definition.ts";
import { CoordinationError } from "../protocol/errors.ts";
import type { ImportResult } from "../protocol/results.ts";
import { checkSetting, invalid, shown } from "../protocol/validation.ts";
import { newKey } from "./publishing.ts";
import { checkWhole } from "./variables.ts";
import { FIRST, type Session } from "./session.ts";

const FORMAT = 1;
/** A message with 4,096 bytes of comment from each of a thousand recipients. */
const LINE_CHARACTERS_MAXIMUM = 16 * 1024 * 1024;

type Line =
  | {
      kind: "namespace";
      format: number;
      protocol: number;
      export: string;
      prefix: string;
      meta: Record<string, string>;
    }
  | { kind: "instance"; instance: string; entry: string }
  | { kind: "message"; id: string; fields: Record<string, string>; new_for: string[] }
  | { kind: "queue"; instance: string; events: string[] }
  | { kind: "key"; instance: string; key: string; message_id: string; seconds: number }
  | { kind: "end"; messages: number };

/** With the names of those for whom it is new. */
type StoredMessage = [id: string, fields: Record<string, string>, newFor: string[]];

/**
 * @param repeats whether with the keys by which publishes are repeated, for which Redis lists the names of all keys, of every
 *   namespace: that takes a user of its own (`coord acl --export`)
 * @throws CoordinationError UNAVAILABLE, before the first line where the user may not
 */
export async function* exportLines(
  session: Session,
  { repeats = true }: { repeats?: boolean } = {},
): AsyncGenerator<string, void, undefined> {
  const page = async (part: string, cursor: string): Promise<unknown> => session.read("export", { part, cursor });
  const line = (value: Line): string => JSON.stringify(value);
  if (repeats) await page("keys", FIRST);

  const kept = Object.entries((await page("head", "")) as Record<string, string>).filter(([name]) => isKept(name));
  const prefix = session.settings.keyPrefix;
  const head = { format: FORMAT, protocol: PROTOCOL_VERSION, export: newKey(), prefix };
  yield line({ kind: "namespace", ...head, meta: Object.fromEntries(kept) });
  const names = new Set<string>();
  let cursor = FIRST;
  for (const _ of steps()) {
    const [next, presence] = (await page("presence", cursor)) as [string, [string, string][]];
    for (const [instance, entry] of presence) {
      if (names.has(instance)) continue;
      names.add(instance);
      yield line({ kind: "instance", instance, entry });
    }
    cursor = next;
    if (cursor === FIRST) break;
  }
  let messages = 0;
  let after = "";
  for (const _ of steps()) {
    const [next, stored] = (await page("messages", after)) as [string, StoredMessage[]];
    for (const [id, fields, newFor] of stored) {
      for (const name of [fields["from"], fields["to"], ...(fields["recipients"] ?? "").split(" ")]) {
        if (name !== undefined && name !== "" && name !== "all") names.add(name);
      }
      messages++;
      yield line({ kind: "message", id, fields, new_for: newFor });
    }
    after = next;
    if (after === "") break;
  }
  for (const instance of names) {
    const events = (await page("queue", instance)) as string[];
    if (events.length > 0) yield line({ kind: "queue", instance, events });
  }
  for (const _ of repeats ? steps() : []) {
    const [next, keys] = (await page("keys", cursor)) as [string, [string, string, string, string][]];
    for (const [instance, key, id, seconds] of keys) {
      yield line({ kind: "key", instance, key, message_id: id, seconds: Math.max(1, Number(seconds)) });
    }
    cursor = next;
    if (cursor === FIRST) break;
  }
  yield line({ kind: "end", messages });
}

const RULES: Readonly<Record<string, NamespaceSetting>> = NAMESPACE_SETTINGS;

function settingsIn(meta: Record<string, string>): [name: string, value: number | string][] {
  return Object.entries(meta).flatMap(([name, text]): [string, number | string][] =>
    Object.hasOwn(RULES, name) ? [[name, Number(text)]] : name === "senders" ? [[name, text]] : [],
  );
}

/** @throws CoordinationError INVALID for a setting that `coord settings` would refuse */
function checkSettings(meta: Record<string, string>): void {
  for (const [name, value] of settingsIn(meta)) {
    const rule = RULES[name];
    if (rule === undefined) checkSetting(value, "senders");
    else checkWhole(value, name, rule.minimum, rule.maximum);
  }
}

/** Of `P:meta`; the rest belongs to running sessions, or to the retention of that very namespace. */
function isKept(name: string): boolean {
  return (
    ["protocol", "stamp", "sessions", "senders", ...Object.keys(NAMESPACE_SETTINGS)].includes(name) ||
    name.startsWith("published:")
  );
}

/**
 * @param onProgress told after each line
 * @throws CoordinationError INVALID for a line that no export has written, or a file that ends too early; what stood before
 *   it has been put back
 */
export async function importLines(
  session: Session,
  lines: AsyncIterable<string>,
  onProgress: (result: ImportResult) => void,
): Promise<ImportResult> {
  const result: ImportResult = { messages: 0, restored: 0, present: 0 };
  let exported = "";
  let ended = false;
  let number = 0;
  const restore = async (part: string, name: string, ...values: string[]): Promise<boolean> =>
    (await session.read("restore", { part, name }, values)) === "1";
  for await (const text of lines) {
    number++;
    if (text.trim() === "") continue;
    const line = readLine(text, number);
    if ((number === 1) !== (line.kind === "namespace")) throw unknownFile(number);
    try {
      if (line.kind === "namespace") {
        exported = line.export;
        const kept = Object.entries(line.meta).filter(([name]) => isKept(name));
        const isNew = await restore("meta", "", ...kept.flat());
        const unusual = isNew
          ? settingsIn(line.meta).filter(([name, value]) => value !== (RULES[name]?.default ?? SENDERS[0]))
          : [];
        if (unusual.length > 0) result.settings = Object.fromEntries(unusual);
      } else if (line.kind === "instance") await restore("presence", line.instance, line.entry);
      else if (line.kind === "queue") await restore("queue", line.instance, exported, ...line.events);
      else if (line.kind === "key") {
        await restore("key", line.instance, line.key, line.message_id, String(line.seconds));
      } else if (line.kind === "message") {
        const put = await restoreMessage(line, (values) =>
          session.read("restore", { part: "message", name: line.id }, values),
        );
        result.messages++;
        result[put ? "restored" : "present"]++;
      } else ended = true;
    } catch (error) {
      if (!CoordinationError.is(error)) throw error;
      throw new CoordinationError(error.code, `Line ${number}: ${error.message}`, { hint: error.hint, cause: error });
    }
    onProgress(result);
  }
  if (!ended) {
    throw invalid(
      `The file ends after line ${number}, before its last line: ${result.messages} messages were read.`,
      "Export again, then import that: what is here already is not put back twice.",
    );
  }
  return result;
}

/** In steps of so many recipients as one call may write; says whether anything was put back. */
async function restoreMessage(
  { fields, new_for: newFor }: Line & { kind: "message" },
  restore: (values: string[]) => Promise<unknown>,
): Promise<boolean> {
  const { to, recipients = "" } = fields;
  const names = to === BROADCAST ? recipients.split(" ").filter((name) => name !== "") : [];
  const common = Object.entries(fields).filter(([name]) => !isOfReceipt(name));
  for (let place = 0; ;) {
    const next = names.slice(place, place + LIMITS.write_maximum);
    // A message to one has few receipts, whatever they are called.
    const own = ([name]: [string, string]): boolean =>
      names.length === 0 || next.includes(name.slice(name.indexOf(":") + 1));
    const receipts = Object.entries(fields)
      .filter(([name]) => isOfReceipt(name))
      .filter(own);
    const restored = await restore([newFor.join(" "), String(place), ...[...common, ...receipts].flat()]);
    if (restored === "") return place > 0;
    const before = place;
    place = Number(restored);
    if (place >= names.length || place <= before) return true; // the second comes from no script of ours
  }
}

function isOfReceipt(field: string): boolean {
  return field.startsWith("receipt:") || field.startsWith("history:");
}

function unknownFile(number: number): CoordinationError {
  return invalid(`Line ${number} is not what coord export writes there.`, "Give a file that coord export has written.");
}

function readLine(text: string, number: number): Line {
  if (text.length > LINE_CHARACTERS_MAXIMUM) throw unknownFile(number);
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    throw unknownFile(number);
  }
  if (!isLine(line)) throw unknownFile(number);
  if (line.kind === "namespace" && (line.format > FORMAT || line.protocol > PROTOCOL_VERSION)) {
    throw invalid(
      `The file has format ${shown(line.format)} of protocol ${shown(line.protocol)}: it is from a newer version.`,
      "Update cli-coordination here.",
    );
  }
  if (line.kind === "namespace") checkSettings(line.meta);
  return line;
}

function isLine(line: unknown): line is Line {
  if (typeof line !== "object" || line === null) return false;
  const values = line as Record<string, unknown>;
  const isName = (value: unknown): boolean => typeof value === "string" && INSTANCE_PATTERN.test(value);
  const isText = (value: unknown): boolean => typeof value === "string";
  const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
  const isTable = (value: unknown): boolean =>
    typeof value === "object" && value !== null && Object.values(value).every(isText) && !Array.isArray(value);
  switch (values["kind"]) {
    case "namespace":
      return (
        isWhole(values["format"]) && isWhole(values["protocol"]) && isText(values["export"]) && isTable(values["meta"])
      );
    case "instance":
      return isName(values["instance"]) && isText(values["entry"]);
    case "message":
      return isText(values["id"]) && isTable(values["fields"]) && isTexts(values["new_for"]);
    case "queue":
      return isName(values["instance"]) && isTexts(values["events"]);
    case "key":
      return ["instance", "key", "message_id"].every((name) => isText(values[name])) && isWhole(values["seconds"]);
    default:
      return values["kind"] === "end" && isWhole(values["messages"]);
  }
}
