/**
 * The one language of searches: words and `"phrases"`, all of them required, filters such as `from:backend`, and `-` before
 * any of them for its opposite. What it means is docs/protocol.md; lua/search.lua carries it out.
 */
import { BROADCAST, LIMITS } from "./definition.ts";
import { checkInstance, checkLength, checkMessageId, checkType, invalid, shown } from "./validation.ts";

/** One thing that has to be true of a message, or with `excludes` must not be. */
export interface Condition {
  readonly excludes: boolean;
  readonly name: ConditionName;
  readonly value: string;
}

/** As lua/search.lua takes them. `before_time` is in microseconds since 1970; `broadcast`, `pending`, `dead` and `unread` need no value. */
export type ConditionName =
  | "text"
  | "from"
  | "to"
  | "type"
  | "thread"
  | "id"
  | "before"
  | "after"
  | "before_time"
  | "broadcast"
  | "pending"
  | "dead"
  | "unread";

type Reader = (value: string, excludes: boolean) => Condition;

/** By the name of the filter; each refuses the values that it does not take. */
const FILTERS: Readonly<Record<string, Reader>> = {
  from: (value, excludes) => ({ excludes, name: "from", value: checkInstance(value, "from") }),
  to: (value, excludes) =>
    value === BROADCAST
      ? { excludes, name: "broadcast", value: "" }
      : { excludes, name: "to", value: checkInstance(value, "to") },
  type: (value, excludes) => ({ excludes, name: "type", value: checkType(value.toUpperCase()) }),
  thread: (value, excludes) => ({ excludes, name: "thread", value: checkMessageId(value, "thread") }),
  is: (value, excludes) => ({ excludes, name: checkState(value), value: "" }),
  before: (value, excludes) =>
    isId(value)
      ? { excludes, name: "before", value: checkMessageId(value, "before") }
      : { excludes, name: "before_time", value: readDate(value, "before") },
  // A date is a moment, and what was sent at it was sent "after" it: so nothing lies between two searches that share a date.
  after: (value, excludes) =>
    isId(value)
      ? { excludes, name: "after", value: checkMessageId(value, "after") }
      : { excludes: !excludes, name: "before_time", value: readDate(value, "after") },
  id: (value, excludes) => ({ excludes, name: "id", value: checkMessageId(value, "id") }),
};

const STATES = ["pending", "dead", "unread"] as const;

const QUERY_HINT = 'Write words, "a phrase" or filters, as in: login -draft from:backend';
const FILTERS_HINT = `Filters are ${Object.keys(FILTERS)
  .map((name) => `${name}:`)
  .join(" ")}; text with a colon goes in quotation marks.`;
const DATE_HINT = "Give the id of a message, or a date in UTC, as 2026-11-30 or 2026-11-30T09:07.";

/** A dash, and either a phrase up to its closing mark, or what stands up to the next space. */
const TERM = /(-(?=[^ \t\r\n]))?(?:"((?:\\["\\]|[^"])*)("?)|([^ \t\r\n]+))/g;

/** @throws CoordinationError INVALID, naming what it does not understand */
export function parseQuery(query: unknown): Condition[] {
  const text = checkLength(query, "query", LIMITS.query_characters, QUERY_HINT);
  const terms = [...text.matchAll(TERM)];
  if (terms.length === 0) throw invalid(`query is ${shown(text)}: it has no words.`, QUERY_HINT);
  const maximum = LIMITS.query_terms_maximum;
  if (terms.length > maximum) {
    throw invalid(
      `query has ${terms.length} words and filters: the limit is ${maximum}.`,
      "Leave some out, or join words to a phrase.",
    );
  }
  return terms.map(([term, dash, phrase, closing, word]) => {
    const excludes = dash !== undefined;
    if (phrase === undefined) return readWord(word!, excludes);
    if (closing === "")
      throw invalid(`query has ${shown(term)}: the phrase does not end.`, 'Close it with ", or write \\" within it.');
    if (phrase === "") throw invalid("query has an empty phrase.", QUERY_HINT);
    return { excludes, name: "text", value: phrase.replaceAll(/\\(["\\])/g, "$1") };
  });
}

function readWord(word: string, excludes: boolean): Condition {
  const [, name, value] = /^([A-Za-z]+):(.*)$/s.exec(word) ?? [];
  if (name === undefined) return { excludes, name: "text", value: word };
  const filter = name.toLowerCase();
  if (!Object.hasOwn(FILTERS, filter)) throw invalid(`query has ${shown(`${name}:`)}: no such filter.`, FILTERS_HINT);
  return FILTERS[filter]!(value!, excludes);
}

function checkState(value: string): (typeof STATES)[number] {
  const state = STATES.find((name) => name === value.toLowerCase());
  if (state !== undefined) return state;
  throw invalid(`query has ${shown(`is:${value}`)}: no such state.`, `Use one of ${STATES.join(", ")}.`);
}

function isId(value: string): boolean {
  return value.startsWith("msg-");
}

const DATE = /^(\d{4}-\d\d-\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(?:Z|([+-])(\d\d):(\d\d))?)?$/;

/** In microseconds since 1970, as text: a double would round those of far years. */
function readDate(value: string, field: string): string {
  const [, day, hour = "00", minute = "00", second = "00", fraction = "", sign, hours = "00", minutes = "00"] =
    DATE.exec(value) ?? [];
  const written = `${day}T${hour}:${minute}:${second}.000Z`;
  const time = Date.parse(written);
  // Date takes the 31st of February for the third of March.
  const real = !Number.isNaN(time) && new Date(time).toISOString() === written && hours < "24" && minutes < "60";
  const seconds = time / 1000 - (sign === "-" ? -60 : 60) * (Number(hours) * 60 + Number(minutes));
  if (!real || seconds < 0) throw invalid(`${field} is ${shown(value)}: no id, and no date since 1970.`, DATE_HINT);
  return `${seconds}${fraction.padEnd(6, "0")}`;
}
