/** A check as the script takes it. */
import { BROADCAST, LIMITS } from "../protocol/definition.ts";
import type { CheckRequest, CheckResult } from "../protocol/results.ts";
import { checkFlag, checkInstance, checkLimit, checkMessageId, checkType } from "../protocol/validation.ts";
import { readPage, readPages } from "./replies.ts";
import type { OwnArguments } from "./speaker.ts";

/** What bounds a result that an agent is shown. */
export interface ResultBound {
  /** Of the whole list, in bytes. At least one message is always returned. */
  bytes: number;
  /** Up to here a description counts, since the surface cuts it there. */
  descriptionBytes: number;
}

/** @throws CoordinationError INVALID */
export function checkArguments(
  request: CheckRequest,
  me: string,
  bound: ResultBound | undefined,
): OwnArguments<"check"> {
  const everything = flag(request.all, "all") || request.to === BROADCAST;
  const from = text(request.from, (value) => checkInstance(value, "from"));
  const to = request.to === BROADCAST ? "" : text(request.to, (value) => checkInstance(value, "to"));
  return {
    inbox: to || (everything || from === me ? "" : me),
    from,
    type: text(request.type, checkType),
    thread: text(request.thread, (value) => checkMessageId(value, "thread")),
    since: text(request.since, (value) => checkMessageId(value, "since")),
    before: text(request.before, (value) => checkMessageId(value, "before")),
    pending: flag(request.pendingOnly, "pending_only") ? "1" : "0",
    unread: "0",
    limit: String(request.limit === undefined ? LIMITS.list_default : checkLimit(request.limit)),
    bytes: String(bound?.bytes ?? 0),
    description_bytes: String(bound?.descriptionBytes ?? 0),
    mark: "1",
  };
}

/** Reads on while one call may not read enough (G12), until the result is full or so many entries have been looked at. */
export async function checkInSteps(
  call: (args: OwnArguments<"check">) => Promise<unknown>,
  args: OwnArguments<"check">,
): Promise<CheckResult> {
  const ascending = args.pending === "1" || args.unread === "1" || args.since !== "";
  let [limit, bytes, examined] = [Number(args.limit), Number(args.bytes), 0];
  const bounded = bytes > 0;
  const pages = [];
  for (let rest = args; ;) {
    const page = readPage(await call(rest));
    pages.push(page);
    examined += page.examined;
    limit -= page.messages.length + page.unreadable.length;
    bytes -= page.bytes;
    const full = limit <= 0 || (bounded && bytes <= 0);
    if (full) page.step = false; // it is not the search that ended
    if (!page.step || examined >= LIMITS.examined_maximum) return readPages(pages, ascending);
    const cursor = ascending ? { since: page.next_since! } : { before: page.next_before! };
    rest = { ...args, limit: String(limit), bytes: bounded ? String(bytes) : "0", ...cursor };
  }
}

/** The newest message of the same inbox. */
export function newestArguments({ inbox }: OwnArguments<"check">): OwnArguments<"check"> {
  const all = { from: "", type: "", thread: "", since: "", before: "", pending: "0", unread: "0" };
  return { inbox, ...all, limit: "1", bytes: "0", description_bytes: "0", mark: "0" };
}

function text<T>(value: T | undefined, check: (value: T) => string): string {
  return value === undefined ? "" : check(value);
}

function flag(value: boolean | undefined, field: string): boolean {
  return value !== undefined && checkFlag(value, field);
}
