/** Mail as an agent is shown it, bounded, oldest first. */
import type { Mail } from "../../client/replies.ts";
import type { CoordinationEvent, Message, SessionFacts } from "../../protocol/results.ts";
import type { ResultBound } from "../../client/checking.ts";
import { ageOf, FRAME_END, HEADING, name, openFrame, quoted, renderFrame } from "../../protocol/frame.ts";
import { cut, visibleLine } from "../../protocol/text.ts";

/** Claude Code puts up to about 10,000 characters of hook output inline, and more into a file. */
const CHARACTERS_MAXIMUM = 8_900;
/** The heading, and the line that says how many more there are. */
const LINES_OF_OURS = 250;
/** Of comments, with each character that is written out. */
const COMMENT_CHARACTERS = 200;
/** What is asked for; as many of these are shown as there is room for. */
export const MESSAGES_MAXIMUM = 10;
export const MAIL_BOUND: ResultBound = { bytes: 7_500, descriptionBytes: 6_000 };
const EVENTS_LISTED = 5;
/** Then their number; an agent that has more to answer asks for them. Fewer where their names are long. */
const REMINDERS_LISTED = 20;
const REMINDERS_CHARACTERS = 2_500;
const NAMES_LISTED = 10;

export interface MailText {
  text: string;
  /** The same in a line, for the person at the terminal. */
  notice?: string;
  /** How many of the messages the text shows, the oldest; the rest has to be given back. */
  shown: number;
}

/** @returns `undefined` when there is nothing to say */
export function renderMail(mail: Mail, before: readonly string[] = []): MailText | undefined {
  const around = [...renderEvents(mail.events), ...renderReminders(mail.reminders, mail.now)];
  let room = CHARACTERS_MAXIMUM - LINES_OF_OURS;
  for (const line of [...before, ...around]) room -= line.length + 1;
  const frames: string[] = [];
  for (const message of mail.messages) {
    const frame = renderFrame(message, mail.now, frames.length === 0 ? room : Number.POSITIVE_INFINITY);
    if (frame.length > room) break;
    frames.push(frame);
    room -= frame.length + 1;
  }
  const waiting = mail.waiting + mail.messages.length - frames.length;
  const lines = [
    ...before,
    ...(frames.length === 0 ? [] : [HEADING, ...frames]),
    ...(waiting === 0 || frames.length === 0 ? [] : [`${waiting} more: coord_check_messages {"wait_seconds": 1}.`]),
    ...around,
  ];
  if (lines.length === 0) return undefined;
  const notice = renderNotice(mail.messages.slice(0, frames.length), mail.reminders);
  return { text: lines.join("\n"), ...(notice === undefined ? {} : { notice }), shown: frames.length };
}

function renderNotice(messages: readonly Message[], reminders: readonly Message[]): string | undefined {
  const listed = messages
    .slice(0, EVENTS_LISTED)
    .map(({ type, id, from }) => `${name(type)} from ${name(from)} (${name(id)})`);
  const more = messages.length - listed.length;
  if (more > 0) listed.push(`${more} more`);
  if (reminders.length > 0) listed.push(`${reminders.length} unanswered`);
  return listed.length === 0 ? undefined : `coord: ${listed.join(", ")}`;
}

function renderEvents(events: readonly CoordinationEvent[]): string[] {
  const lines = events.slice(-EVENTS_LISTED).map((said) => {
    const { event, from = "", type = "", messageId = "", comment, outside, count } = said;
    if (event === "events_skipped") return `${count ?? "Some"} older events were dropped.`;
    if (Object.hasOwn(UNANSWERED, event)) return renderUnanswered(said);
    if (event === "sender_braked")
      return `${name(from)} would send you ever more: it is braked. Answer nothing that asks nothing.`;
    // Of a newer version, or damaged: it must not pass for an acknowledgement.
    if (event !== "message_acknowledged") return `An event that is not known here: ${name(event)}.`;
    const where = outside === true ? " from outside of its session" : "";
    const sentence = `${name(from)} acknowledged your ${name(type)} ${name(messageId)}${where}.`;
    if (comment === undefined) return sentence;
    const words = visibleLine(comment);
    const frame = [openFrame({ from, comment_on: messageId }), quoted(shortened(words)), FRAME_END];
    return [sentence, ...frame].join("\n");
  });
  const earlier = events.length - lines.length;
  return earlier > 0 ? [`${earlier} earlier events.`, ...lines] : lines;
}

const shortened = (text: string): string =>
  text.length > COMMENT_CHARACTERS ? `${cut(text, COMMENT_CHARACTERS)}…` : text;

const UNANSWERED: Readonly<Record<string, string>> = {
  message_undelivered: "offline",
  message_unanswered: "silent",
  message_dead: "given up",
};

function renderUnanswered({ event, type, messageId, instances = [], waitingSeconds }: CoordinationEvent): string {
  const what = `${name(type ?? "")} ${name(messageId ?? "")}`;
  return `No answer to your ${what} for ${waitingSeconds ?? "some"} s, ${UNANSWERED[event]}: ${listNames(instances)}.`;
}

function listNames(names: readonly string[]): string {
  const listed = names.slice(0, NAMES_LISTED).map(name);
  const more = names.length - listed.length;
  return more > 0 ? `${listed.join(", ")} and ${more} more` : listed.join(", ");
}

function renderReminders(reminders: readonly Message[], now: string): string[] {
  if (reminders.length === 0) return [];
  const listed: string[] = [];
  for (const message of reminders.slice(0, REMINDERS_LISTED)) {
    if (listed.join("; ").length > REMINDERS_CHARACTERS) break;
    const words = `${name(message.id)} ${name(message.type)} from ${name(message.from)}`;
    const age = ageOf(message, now);
    listed.push(age === undefined ? words : `${words}, ${age}`);
  }
  const more = reminders.length - listed.length;
  const rest = more === 0 ? "" : `; ${more} more: coord_check_messages {"pending_only": true}`;
  return [`Still waiting for your answer or acknowledgement: ${listed.join("; ")}${rest}.`];
}

export function renderSuperseded(instance: string, { agent, host, cwd }: SessionFacts): string {
  const before = ["another session", agent && `(${name(agent)})`, host && `on ${name(host)}`, cwd && `in ${name(cwd)}`];
  return `You now speak for ${instance} and get its messages; until now ${before.filter(Boolean).join(" ")} did.`;
}

export const CONTRACTS_HINT =
  'Contracts approved before you came: coord_check_messages {"all": true, "msg_type": "CONTRACT_APPROVED"}.';

export const LEGACY_HINT =
  "The .coord.json of this project is not read any more: tell your user to run coord init here, which shows what it holds.";
