/** What has become of a message for each recipient, and who still owes an answer: read from its receipts alone. */
import type { Debt, LifeStep, Message, Receipt } from "./results.ts";

/** Whether all that were asked have answered, or are not asked any more. False where nothing is known of the receipts. */
export function isSettled({ receipts, receiptTotals: totals }: Message): boolean {
  if (totals !== undefined) return totals.acknowledged + totals.dropped === totals.recipients;
  return receipts?.every(({ state }) => state === "acknowledged" || state === "dropped") === true;
}

/** All that has happened to one receipt since its message was stored, in the order of its times. */
export function lifeOf({ timestamp }: Message, receipt: Receipt): LifeStep[] {
  const { presentedAt, acknowledgedAt, history = [] } = receipt;
  const life: LifeStep[] = [
    { step: "stored", timestamp },
    ...(presentedAt === undefined ? [] : [{ step: "presented" as const, timestamp: presentedAt }]),
    ...history,
    ...(acknowledgedAt === undefined ? [] : [{ step: "acknowledged" as const, timestamp: acknowledgedAt }]),
  ];
  // What is presented by its acknowledgement has the same time twice: the sort is stable. Nothing comes before the store,
  // whatever the clock did then.
  const [stored, ...rest] = life;
  return [stored!, ...rest.sort((a, b) => (a.timestamp < b.timestamp ? -1 : Number(a.timestamp > b.timestamp)))];
}

/** Who has still to acknowledge which of these messages, in their order; the dead ones, whom nobody reminds, among them. */
export function debtsIn(messages: readonly Message[]): Debt[] {
  return messages.flatMap(({ id, type, from, timestamp, requiresAck, receipts = [] }) =>
    receipts.flatMap(({ instance, state }) => {
      if (!requiresAck || state === "acknowledged" || state === "dropped") return [];
      return [{ instance, messageId: id, type, from, state, since: timestamp }];
    }),
  );
}
