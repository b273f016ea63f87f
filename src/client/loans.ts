/** What is handed out on loan: events of the queue, and messages that have still to be shown. Not confirmed, it comes again. */
import { LIMITS } from "../protocol/definition.ts";
import { CoordinationError } from "../protocol/errors.ts";
import type { CheckResult, CoordinationEvent, NotificationsResult } from "../protocol/results.ts";
import { checkLimit } from "../protocol/validation.ts";
import type { Looking, Reading, ResultBound } from "./checking.ts";
import { readNotifications } from "./replies.ts";
import type { Session } from "./session.ts";
import { AWAY, takeForever } from "./waiting.ts";

/** How many events the iterator takes at a time. They are confirmed together, so more would come twice after a crash. */
const EVENTS_AT_ONCE = 1;

/** What was handed out, and what is to be called once it has been shown. */
export interface Loan<T> {
  result: T;
  confirm: () => Promise<void>;
}

export async function takeNotifications(
  session: Session,
  limit: number | undefined,
  { bound, look }: Pick<Partial<Reading>, "look"> & { bound?: Pick<ResultBound, "bytes"> } = {},
): Promise<Loan<NotificationsResult>> {
  const { result, loan } = await takeEvents(session, limit, "", bound, look);
  return { result, confirm: () => confirm(session, loan, [], 0, 0) };
}

/** Confirms the events of one loan, and takes the next ones. */
async function takeEvents(
  session: Session,
  limit: number = LIMITS.list_default,
  confirmed: string,
  bound?: Pick<ResultBound, "bytes">,
  look: Looking | "" = "",
): Promise<{ result: NotificationsResult; loan: string }> {
  const args = { limit: String(checkLimit(limit)), bytes: String(bound?.bytes ?? 0), confirmed, look };
  return readNotifications(await session.run("notifications", { ...args, loan_seconds: loanSeconds(session) }));
}

/** Those that wait and those to come, in order. One is confirmed when the next is asked for. */
export async function* eachEvent(
  session: Session,
  signal: AbortSignal | undefined,
): AsyncGenerator<CoordinationEvent, void, undefined> {
  let loan = "";
  const take = async (): Promise<NotificationsResult> => {
    const taken = await takeEvents(session, EVENTS_AT_ONCE, loan);
    loan = taken.loan;
    return taken.result;
  };
  const milliseconds = session.settings.loanSeconds * 1000;
  const hasSome = ({ count }: NotificationsResult): boolean => count > 0;
  const taken = takeForever(session, session.instance, milliseconds, signal, take, hasSome);
  try {
    for await (const { notifications } of taken) yield* notifications;
  } finally {
    // Also when the loop is left: this event has been handed over. With Redis away it comes again after its loan.
    await confirm(session, loan, [], 0, 0).catch((error: unknown) => {
      if (!CoordinationError.is(error) || !AWAY.has(error.code)) throw error;
    });
  }
}

/** Messages that were read without marking have reached whoever asked. */
export async function confirmShown(session: Session, { messages, unreadable, looking }: CheckResult): Promise<void> {
  if (looking) return;
  const ids = [...messages, ...unreadable].map(({ id }) => id);
  for (let at = 0; at < ids.length; at += LIMITS.write_maximum) {
    const step = ids.slice(at, at + LIMITS.write_maximum);
    await confirm(session, "", step, 0, step.length);
  }
}

/** See lua/confirm.lua. */
export async function confirm(
  session: Session,
  loan: string,
  ids: readonly string[],
  reminded: number,
  shown: number,
): Promise<void> {
  if (loan === "" && ids.length === 0) return;
  await session.run("confirm", { loan, reminded: String(reminded), shown: String(shown) }, ids);
}

export function loanSeconds({ settings }: Session): string {
  return String(settings.loanSeconds);
}
