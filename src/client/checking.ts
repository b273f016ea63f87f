/** Reading messages: a check as the script takes it, its wait, and one message whole. */
import { steps } from "./steps.ts";
import { BROADCAST, LIMITS } from "../protocol/definition.ts";
import { debtsIn } from "../protocol/receipts.ts";
import type { CheckRequest, CheckResult } from "../protocol/results.ts";
import {
  checkFlag,
  checkInstance,
  checkLimit,
  checkMessageId,
  checkType,
  checkWaitSeconds,
} from "../protocol/validation.ts";
import { readPage, readPages } from "./replies.ts";
import type { OwnArguments, Session } from "./session.ts";
import { lookUntil } from "./waiting.ts";

/** An id before all others. */
const BEGINNING = "msg-0000000000";

/**
 * `peek` marks and takes nothing, whoever reads; `look` only where whoever reads stands outside of the session of a name
 * that has an agent, as a person does in a terminal: the agent has still to be shown what is new.
 */
export type Looking = "look" | "peek";

/** How a read is marked and bounded. */
export interface Reading {
  /** What it returns to one of its recipients counts as presented. */
  mark: boolean;
  /** Goes before `mark`. */
  look?: Looking | undefined;
  bound?: ResultBound | undefined;
}

/** What bounds a result that an agent is shown. */
export interface ResultBound {
  /** Of the whole list, in bytes. At least one message is always returned. */
  bytes: number;
  /** Up to here a description counts, since the surface cuts it there. */
  descriptionBytes: number;
}

/** With `waitSeconds` as soon as something matches. @throws CoordinationError */
export async function check(session: Session, request: CheckRequest, reading: Reading): Promise<CheckResult> {
  if (request.messageId !== undefined) return showMessage(session, request.messageId, reading);
  const me = session.instance;
  const args = checkArguments(request, me, reading);
  const look = async (): Promise<CheckResult> => {
    const result = await checkInSteps((step) => session.run("check", step), args);
    if (result.count > 0) session.known.saw();
    return result;
  };
  const seconds = request.waitSeconds === undefined ? 0 : checkWaitSeconds(request.waitSeconds);
  if (seconds === 0) return look();
  if (args.since === "" && args.pending === "0") {
    const own = args.inbox === me;
    if (own && !(await looksOnly(session, reading.look))) args.unread = "1";
    // Nothing is new to a reader of other people's messages, nor to one who looks: it waits for what comes from now on. Read for nobody, since
    // this look must not count as presented.
    else {
      const newest = { instance: "", session: "", ...newestArguments(args) };
      args.since = readPage(await session.store.run("check", newest)).next_since || BEGINNING;
    }
  }
  // What cannot be read is told as well; but where it stays pending, only when it fills the result: else nobody could wait.
  const found = ({ count, unreadable, more }: CheckResult): boolean =>
    count > 0 || (unreadable.length > 0 && (args.pending === "0" || more));
  const instance = args.inbox === "" ? undefined : args.inbox;
  return lookUntil(session, instance, seconds, request.signal, look, found);
}

/** One message whole, or its conversation. @throws CoordinationError */
export async function showMessage(
  session: Session,
  messageId: string,
  { thread = false, ...reading }: Reading & { thread?: boolean },
): Promise<CheckResult> {
  const id = checkMessageId(messageId, "message_id");
  const pages = [];
  let since = "";
  let left: number = LIMITS.list_maximum;
  for (const _ of steps()) {
    const args = { message_id: id, thread: thread ? "1" : "0", since, limit: String(left), mark: markOf(reading) };
    const page = readPage(await session.read("show", args));
    pages.push(page);
    since = page.next_since ?? "";
    left -= page.messages.length + page.unreadable.length;
    if (left <= 0) page.step = false;
    if (!page.step) break;
  }
  const result = readPages(pages, true);
  return thread ? { ...result, owed: debtsIn(result.messages) } : result;
}

function checkArguments(request: CheckRequest, me: string, reading: Reading): OwnArguments<"check"> {
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
    bytes: String(reading.bound?.bytes ?? 0),
    description_bytes: String(reading.bound?.descriptionBytes ?? 0),
    mark: markOf(reading),
  };
}

/** Reads on while one call may not read enough (G12), until the result is full or so many entries have been looked at. */
async function checkInSteps(
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
    examined += Math.max(1, page.examined);
    limit -= page.messages.length + page.unreadable.length;
    bytes -= page.bytes;
    const full = limit <= 0 || (bounded && bytes <= 0);
    if (full) page.step = false; // it is not the search that ended
    const cursor = ascending ? page.next_since : page.next_before;
    if (!page.step || examined >= LIMITS.examined_maximum || !cursor) return readPages(pages, ascending);
    const from = ascending ? { since: cursor } : { before: cursor };
    rest = { ...args, limit: String(limit), bytes: bounded ? String(bytes) : "0", ...from };
  }
}

function markOf({ look, mark }: Reading): string {
  return look ?? (mark ? "1" : "0");
}

/** Whether this reader's looking goes before everything else, asked with the smallest of all reads. */
async function looksOnly(session: Session, look: Looking | undefined): Promise<boolean> {
  if (look !== "look") return look === "peek";
  const newest = newestArguments({ inbox: session.instance });
  return readPage(await session.run("check", { ...newest, mark: look })).looking === true;
}

/** The newest message of the same inbox. */
function newestArguments({ inbox }: Pick<OwnArguments<"check">, "inbox">): OwnArguments<"check"> {
  const all = { from: "", type: "", thread: "", since: "", before: "", pending: "0", unread: "0" };
  return { inbox, ...all, limit: "1", bytes: "0", description_bytes: "0", mark: "0" };
}

function text<T>(value: T | undefined, checked: (value: T) => string): string {
  return value === undefined ? "" : checked(value);
}

function flag(value: boolean | undefined, field: string): boolean {
  return value !== undefined && checkFlag(value, field);
}
