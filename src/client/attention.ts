/**
 * What needs a person now: one definition for everybody who shows or tells it (the home screen of the page, `coord notify`,
 * `coord` alone). It is read from what is stored, and so is the same for whoever was away in the meantime.
 *
 * - `addressed`: a message to the person itself that it has not seen, or has still to acknowledge.
 * - `waiting`: an agent asks for a permission, which only a person can give.
 * - `dead`: somebody was asked to acknowledge, did not, and is not reminded any more.
 * - `overdue`: it was announced again, and is still not acknowledged.
 * - `undelivered`: its recipient was not there at its deadline, and is not there now.
 * - `idle`: an agent has ended its turn, a minute ago or more, and has not acknowledged its mail.
 *
 * A broadcast `to: all` is not addressed to the person. What is addressed to it is nothing else besides.
 */
import { LIMITS } from "../protocol/definition.ts";
import type { CheckResult, InstancePresence, Message, PresenceResult, Receipt } from "../protocol/results.ts";
import type { CoordinationClient } from "./client.ts";
import { Mailbox } from "./mailbox.ts";
import { readPage, readPages } from "./replies.ts";

/** In the order in which they are listed: who has to act first is first. */
export const NEED_KINDS = ["addressed", "waiting", "dead", "overdue", "undelivered", "idle"] as const;
export type NeedKind = (typeof NEED_KINDS)[number];

/** One thing that needs a person. */
export interface Need {
  kind: NeedKind;
  /** Names this need for as long as it lasts, and no other: also when the same agent waits once more. No text of a message. */
  key: string;
  /** ISO 8601; null where nobody told. */
  since: string | null;
  /** What it is about, of all but `waiting` and `idle`; with its receipts where it is about those. */
  message?: Message;
  /** Who waits or idles; or who has not acknowledged, at most 50. */
  instances: string[];
  /** Of `idle`: how many messages it has not acknowledged. */
  pending?: number;
}

export interface Attention {
  /** By kind, then the oldest first. */
  needs: Need[];
  /** At one kind the bound of 100 messages was reached: there may be more. */
  more: boolean;
}

/** So many messages of each kind are looked for. */
const LISTED = 100;
/** Shorter, and every turn that ends with mail on its way to the agent would need a person. */
const IDLE_SECONDS = 60;

/**
 * Reads it as the person that the client is named for, and marks nothing; without a name nothing is addressed to anybody.
 *
 * @throws CoordinationError UNAVAILABLE, TIMEOUT
 */
export async function whatNeedsAttention(client: CoordinationClient): Promise<Attention> {
  const person = client.session.settings.instanceId;
  const mailbox = new Mailbox(client);
  const [presence, dead, late, pending, unread] = await Promise.all([
    client.session.presences(""),
    list(client, "dead"),
    list(client, "overdue"),
    person === undefined ? NOTHING : mailbox.lookAtMessages({ pendingOnly: true, limit: LISTED }, "peek"),
    person === undefined ? NOTHING : mailbox.searchMessages("is:unread", { limit: LISTED }, { look: "peek" }),
  ]);
  const addressed = new Map<string, Message>();
  for (const { messages } of [resultOf(pending), resultOf(unread)]) {
    for (const message of messages) if (message.to === person) addressed.set(message.id, message);
  }
  const needs = [
    ...[...addressed.values()].map((message) => aboutMessage("addressed", message, [message.to])),
    ...dead.messages.map(aboutDead),
    ...late.messages.flatMap((message) => aboutLate(message, presence)),
    ...Object.values(presence.instances).flatMap(aboutInstance),
  ].filter(({ kind, message }) => kind === "addressed" || message === undefined || !addressed.has(message.id));
  const more = [dead, late, resultOf(pending), resultOf(unread)].some((result) => result.more);
  return { needs: needs.sort(byUrgency), more };
}

const NOTHING: CheckResult = { count: 0, messages: [], more: false, unreadable: [] };

function resultOf(read: CheckResult | { result: CheckResult }): CheckResult {
  return "result" in read ? read.result : read;
}

/**
 * What is dead, or pending past its deadline, with receipts; a message stands in it once. Read for nobody: a look is no sign of
 * life of the person.
 */
async function list({ session }: CoordinationClient, what: "dead" | "overdue"): Promise<CheckResult> {
  const nobody = { instance: "", session: "" };
  const pages = [];
  for (let cursor = "", left = LISTED, steps = 1; ; steps++) {
    const step = { ...nobody, limit: String(left), cursor };
    const reply =
      what === "dead"
        ? session.store.run("dead", { ...step, action: "list", orchestrator: "" })
        : session.store.run("overdue", step);
    const page = readPage(await reply);
    pages.push(page);
    left -= page.messages.length + page.unreadable.length;
    cursor = page.cursor ?? "";
    if (cursor !== "" && left > 0 && steps < STEPS_MAXIMUM) continue;
    const result = readPages(pages, true);
    const once = new Map(result.messages.map((message) => [message.id, message]));
    return { ...result, messages: [...once.values()], more: result.more || cursor !== "" };
  }
}
/** Deadlines that are not over yet stand between those that are: so many of them, and the look ends. */
const STEPS_MAXIMUM: number = LIMITS.examined_maximum / LIMITS.read_maximum;

function aboutMessage(kind: NeedKind, message: Message, instances: string[], since = message.timestamp): Need {
  return { kind, key: `${kind} ${message.id}`, since, message, instances };
}

function aboutDead(message: Message): Need {
  const dead = (message.receipts ?? []).filter(({ state }) => state === "dead");
  const since = dead.map(lastStep).find((step) => step !== undefined)?.timestamp;
  const need = aboutMessage("dead", message, names(dead), since);
  // Retried, it may die again, and that is another time.
  return { ...need, key: `${need.key} ${need.since}` };
}

function aboutLate(message: Message, { instances }: PresenceResult): Need[] {
  const open = (message.receipts ?? []).filter(({ state }) => state === "stored" || state === "presented");
  const overdue = open.filter((receipt) => ["announced", "unanswered"].includes(lastStep(receipt)?.step ?? ""));
  if (overdue.length > 0) return [aboutMessage("overdue", message, names(overdue), lastStep(overdue[0]!)?.timestamp)];
  // Who is back is given time anew, and that it was away stands in the history for ever.
  const away = open.filter((receipt) => {
    const status = instances[receipt.instance]?.status ?? "offline";
    return lastStep(receipt)?.step === "offline" && status !== "active";
  });
  if (away.length === 0) return [];
  return [aboutMessage("undelivered", message, names(away), lastStep(away[0]!)?.timestamp)];
}

function aboutInstance(presence: InstancePresence): Need[] {
  const { instanceId, doing, doingSince: since = null, pending } = presence;
  const key = `${doing} ${instanceId} ${since}`;
  if (doing === "waiting") return [{ kind: doing, key, since, instances: [instanceId] }];
  const rested = since === null || idleSeconds(presence, since) >= IDLE_SECONDS;
  if (doing !== "idle" || pending === 0 || !rested) return [];
  return [{ kind: doing, key, since, instances: [instanceId], pending }];
}

/** By Redis' clock alone, which stands in the last heartbeat and its age. */
function idleSeconds({ lastHeartbeat, secondsSinceHeartbeat }: InstancePresence, since: string): number {
  return (Date.parse(lastHeartbeat ?? since) - Date.parse(since)) / 1000 + (secondsSinceHeartbeat ?? 0);
}

function lastStep({ history = [] }: Receipt): NonNullable<Receipt["history"]>[number] | undefined {
  return history.at(-1);
}

function names(receipts: readonly Receipt[]): string[] {
  return receipts.map(({ instance }) => instance);
}

function byUrgency(a: Need, b: Need): number {
  return (
    NEED_KINDS.indexOf(a.kind) - NEED_KINDS.indexOf(b.kind) ||
    compare(a.since ?? "", b.since ?? "") ||
    compare(a.key, b.key)
  );
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
