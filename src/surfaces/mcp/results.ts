/** Results cut to what an agent should be shown: under 20 KB, always saying what was left out and how to get it. */
import type {
  CheckResult,
  Message,
  PresenceResult,
  PublishResult,
  Receipt,
  ReceiptState,
} from "../../protocol/results.ts";
import { cut } from "../../protocol/text.ts";
import type { ResultBound } from "../../client/checking.ts";

/** Claude Code shows 20 KB inline; the rest of the envelope and the escapes of JSON need room. */
export const RESULT_BOUND: ResultBound = { bytes: 16_000, descriptionBytes: 4_000 };
const LISTED_MAXIMUM = 50;

/** Of all comments of one message together, where it is asked for by id; in a list each has a fraction of that. */
const COMMENTS_CHARACTERS = 8_000;
const COMMENT_CHARACTERS = 200;

export function boundedCheck(result: CheckResult): object {
  const messages = result.messages.map((message) => cutReceipts(cutDescription(message), COMMENT_CHARACTERS));
  return { ...result, messages };
}

/** By id a message is shown whole; only an endless list of receipts and comments is not. */
export function boundedShow(result: CheckResult): object {
  const each = (message: Message): number =>
    Math.floor(COMMENTS_CHARACTERS / Math.min(message.receipts?.length ?? 1, LISTED_MAXIMUM));
  return { ...result, messages: result.messages.map((message) => cutReceipts(message, each(message))) };
}

function cutDescription(message: Message): Message & { truncated?: boolean } {
  const bytes = Buffer.from(message.description);
  if (bytes.length <= RESULT_BOUND.descriptionBytes) return message;
  // A cut through a character leaves U+FFFD at the end.
  const description = bytes
    .subarray(0, RESULT_BOUND.descriptionBytes)
    .toString()
    .replace(/\uFFFD+$/, "");
  return { ...message, description, truncated: true };
}

/** Who is missing stands first. */
function cutReceipts(message: Message, commentCharacters: number): object {
  const { receipts } = message;
  if (receipts === undefined) return message;
  const listed = receipts.slice(0, LISTED_MAXIMUM).map((receipt) => cutComment(receipt, commentCharacters));
  if (receipts.length <= LISTED_MAXIMUM) return { ...message, receipts: listed };
  const count = (which: ReceiptState): number => receipts.filter(({ state }) => state === which).length;
  const [acknowledged, dead, dropped] = [count("acknowledged"), count("dead"), count("dropped")];
  return { ...message, receipts: listed, receiptTotals: { recipients: receipts.length, acknowledged, dead, dropped } };
}

function cutComment(receipt: Receipt, characters: number): Receipt & { truncated?: boolean } {
  const { comment } = receipt;
  if (comment === undefined || comment.length <= characters) return receipt;
  return { ...receipt, comment: cut(comment, characters), truncated: true };
}

const ABSENT_FIRST = { unknown: 0, offline: 1, stale: 2, active: 3 };

export function boundedPublish(result: PublishResult): object {
  if (result.recipients.length <= LISTED_MAXIMUM) return result;
  const recipients = result.recipients.toSorted((a, b) => ABSENT_FIRST[a.presence] - ABSENT_FIRST[b.presence]);
  return { ...result, recipients: recipients.slice(0, LISTED_MAXIMUM), recipientsTotal: recipients.length };
}

/** Here those who are there come first. */
export function boundedPresence({ instances }: PresenceResult): object {
  const entries = Object.entries(instances);
  if (entries.length <= LISTED_MAXIMUM) return { instances };
  entries.sort(([, a], [, b]) => ABSENT_FIRST[b.status] - ABSENT_FIRST[a.status]);
  return { instances: Object.fromEntries(entries.slice(0, LISTED_MAXIMUM)), instancesTotal: entries.length };
}
