/** What needs a person, as a line of text. Subjects are those of messages: data, in one visible line. */
import type { Need } from "../../client/attention.ts";
import { visibleLine } from "../../protocol/text.ts";

const NAMES_LISTED = 3;

/** Who, and what about it: `bob has not answered GENERAL "tests" from alice`. */
export function describeNeed(
  { kind, message, instances, pending = 0 }: Need,
  { subject = true }: { subject?: boolean } = {},
): string {
  const who = listed(instances);
  const is = instances.length === 1 ? "is" : "are";
  const what =
    message === undefined
      ? ""
      : `${visibleLine(message.type)}${subject ? ` "${visibleLine(message.subject)}"` : ""} from ${visibleLine(message.from)}`;
  switch (kind) {
    case "addressed":
      return `${what} is for ${who}`;
    case "waiting":
      return `${who} waits for a permission`;
    case "dead":
      return `${who} ${is} reminded no more of ${what}`;
    case "overdue":
      return `${who} ${instances.length === 1 ? "has" : "have"} not answered ${what}`;
    case "undelivered":
      return `${who} ${is} not there for ${what}`;
    case "idle":
      return `${who} is idle with ${pending} unanswered ${pending === 1 ? "message" : "messages"}`;
  }
}

/** What a person may do about it, as a command. */
export function remedyOf({ kind, message, instances }: Need): string {
  if (kind === "dead") return `coord dead retry ${visibleLine(message!.id)}`;
  if (message !== undefined) return `coord show ${visibleLine(message.id)}`;
  return kind === "waiting" ? "coord presence" : `coord check --pending --to ${visibleLine(instances[0]!)}`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_LISTED).map(visibleLine).join(", ");
  return names.length > NAMES_LISTED ? `${shown} and ${names.length - NAMES_LISTED} more` : shown;
}
