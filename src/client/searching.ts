/** Searching: a query as the script takes it, in as many steps as two seconds allow. */
import { BROADCAST, LIMITS } from "../protocol/definition.ts";
import { type Condition, type ConditionName, parseQuery } from "../protocol/query.ts";
import type { CheckRequest, CheckResult } from "../protocol/results.ts";
import { checkFlag, checkInstance, checkLimit, checkMessageId, checkType, invalid } from "../protocol/validation.ts";
import type { Looking, ResultBound } from "./checking.ts";
import { readPage, readPages } from "./replies.ts";
import type { Session } from "./session.ts";
import { steps } from "./steps.ts";

/** How a search is read and bounded; nothing is ever marked. */
export interface Searching {
  look?: Looking | undefined;
  bound?: ResultBound | undefined;
  /** After so many milliseconds it ends, and says how far it has come. */
  milliseconds?: number;
}

/** @throws CoordinationError */
export async function search(
  session: Session,
  query: unknown,
  { limit, before, ...filters }: CheckRequest,
  { look, bound, milliseconds = LIMITS.search_milliseconds }: Searching = {},
): Promise<CheckResult> {
  const conditions = [...parseQuery(query), ...conditionsBeside(filters)];
  const further = conditions.flatMap(({ excludes, name, value }) => [excludes ? `-${name}` : name, value]);
  // Only what is unread is somebody's; all else may be looked for without a name.
  const named = session.settings.instanceId !== undefined || conditions.some(({ name }) => name === "unread");
  let left = limit === undefined ? LIMITS.list_default : checkLimit(limit);
  let bytes = bound?.bytes ?? 0;
  let cursor = { before: before === undefined ? "" : checkMessageId(before, "before"), cursor: "" };
  const deadline = performance.now() + milliseconds;
  const pages = [];
  let found = 0;
  for (const _ of steps()) {
    const args = {
      ...cursor,
      limit: String(left),
      bytes: String(bytes),
      description_bytes: String(bound?.descriptionBytes ?? 0),
      continued: found > 0 ? "1" : "0",
      look: look ?? "",
    };
    const page = readPage(await (named ? session.run("search", args, further) : session.read("search", args, further)));
    pages.push(page);
    const count = page.messages.length + page.unreadable.length;
    found += count;
    left -= count;
    bytes -= page.bytes;
    if (left <= 0 || (bound !== undefined && bytes <= 0)) page.step = false; // it is not the time that ended it
    cursor = { before: page.next_before ?? "", cursor: page.cursor ?? "" };
    // Not within a message: the caller's cursor knows nothing of that, and it would begin with this one again.
    const over = performance.now() >= deadline && cursor.cursor === "";
    if (!page.step || over) break;
  }
  return readPages(pages, false);
}

/** What the filters of a check ask for beside a query. @throws CoordinationError INVALID for what does not go with one */
function conditionsBeside({ from, to, type, thread, since, pendingOnly, waitSeconds }: CheckRequest): Condition[] {
  if (waitSeconds !== undefined && waitSeconds !== 0)
    throw invalid("query does not go with wait_seconds.", "Search without waiting, or wait without a query.");
  if (pendingOnly !== undefined && checkFlag(pendingOnly, "pending_only"))
    throw invalid("query does not go with pending_only.", "Write is:pending into the query.");
  const conditions: Condition[] = [];
  const add = <T>(name: ConditionName, value: T | undefined, checked: (value: T) => string): void => {
    if (value !== undefined) conditions.push({ excludes: false, name, value: checked(value) });
  };
  add("from", from, (value) => checkInstance(value, "from"));
  if (to !== BROADCAST) add("to", to, (value) => checkInstance(value, "to"));
  add("type", type, checkType);
  add("thread", thread, (value) => checkMessageId(value, "thread"));
  add("after", since, (value) => checkMessageId(value, "since"));
  return conditions;
}
