/** Where a message goes when nobody says, and whether it goes the way its type is meant to go. */
import { BROADCAST, TYPE_RULES, type MessageType, type Role } from "./definition.ts";

/** The default recipient of a type from this sender; `undefined` when one must be given. */
export function defaultRecipient(type: MessageType, sender: string, orchestrator: string): string | undefined {
  switch (TYPE_RULES[type].default_to) {
    case "orchestrator":
      return orchestrator;
    case "all":
      return BROADCAST;
    case "counterpart":
      return sender === orchestrator ? BROADCAST : orchestrator;
    case null:
      return undefined;
  }
}

/**
 * Whether a message asks for an acknowledgement when its sender does not say. A reply to one instance ends a matter, unless its
 * type asks for work: two agents would else thank each other for ever.
 */
export function asksForAcknowledgement(type: MessageType, { replies, to }: { replies: boolean; to: string }): boolean {
  const rule = TYPE_RULES[type];
  return replies && to !== BROADCAST ? (rule.asks_for_work ?? false) : (rule.requires_ack ?? true);
}

/** What is against the direction of the type, as a sentence, or `undefined`. Without `to` only the sender is judged. */
export function directionProblem(
  type: MessageType,
  from: string,
  to: string | undefined,
  orchestrator: string,
): string | undefined {
  const rule = TYPE_RULES[type];
  if (plays(rule.from, from, orchestrator) && (to === undefined || plays(rule.to, to, orchestrator))) return undefined;
  const named = (role: Role): string => (role === "orchestrator" ? `the orchestrator (${orchestrator})` : `a ${role}`);
  const direction = `${type} goes from ${named(rule.from)} to ${rule.to === "all" ? "all" : named(rule.to)}`;
  return `${direction}, not from ${from}${to === undefined ? "" : ` to ${to}`}`;
}

function plays(role: Role, name: string, orchestrator: string): boolean {
  if (role === "any") return true;
  if (role === "all") return name === BROADCAST;
  if (role === "orchestrator") return name === orchestrator;
  return name !== orchestrator && name !== BROADCAST;
}

/** How many names a warning about an unknown recipient offers. */
const NEAREST_NAMES = 3;

/** The known names most like `name`, nearest first, by edit distance; none that differs in more than half of it. */
export function nearestNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  return known
    .map((other) => ({ other, distance: editDistance(wanted, other.toLowerCase()) }))
    .filter(({ other, distance }) => distance <= Math.max(wanted.length, other.length) / 2)
    .sort((a, b) => a.distance - b.distance || (a.other < b.other ? -1 : 1))
    .slice(0, NEAREST_NAMES)
    .map(({ other }) => other);
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
