/** Results for eyes. Every message id stands on a line of its own, so that it can be copied or cut out by a script. */
import type { AckRefusal } from "../../protocol/errors.ts";
import type {
  AckResult,
  CheckResult,
  Debt,
  ForgetResult,
  ForgetUnseenResult,
  LifeStep,
  Message,
  PresenceResult,
  PresenceStatus,
  PublishResult,
  Receipt,
  StatsResult,
  SweepResult,
  Unreadable,
} from "../../protocol/results.ts";
import { isSettled, lifeOf } from "../../protocol/receipts.ts";
import type { MoveResult } from "../../client/moving.ts";
import type { WhoAmI } from "../../client/whoami.ts";
import { colorsFor } from "./terminal.ts";
import { visible, visibleLine } from "../../protocol/text.ts";

const colors = colorsFor(process.stdout);
const { bold, dim, cyan, green, yellow, red } = colors;
const STATUS_COLORS = { active: green, stale: yellow, offline: dim, unknown: red };
/** How many names one line lists. */
export const LISTED_NAMES = 10;

const colored = (status: PresenceStatus): string => STATUS_COLORS[status](status);
/** Also of what another program wrote: a line break could begin a line that looks like ours. */
export const idLine = (id: string): string => `  ID: ${cyan(visibleLine(id))}`;

export function renderPublish(result: PublishResult): string {
  const { type, to, recipients, repeated, acknowledged, messageId, requiresAck, replicas } = result;
  const listed = recipients
    .slice(0, LISTED_NAMES)
    .map(({ instance, presence }) =>
      to === instance ? colored(presence) : `${visibleLine(instance)} ${colored(presence)}`,
    );
  if (recipients.length > LISTED_NAMES) listed.push(`${recipients.length - LISTED_NAMES} more`);
  return [
    `${bold(repeated ? "Already sent" : "Sent")} ${visibleLine(type)} to ${visibleLine(to)}${listed.length === 0 ? "" : ` (${listed.join(", ")})`}`,
    idLine(messageId),
    ...(acknowledged ? ["  The message it answers is acknowledged."] : []),
    ...(replicas === undefined ? [] : [`  Replicas that have it: ${replicas}`]),
    ...(requiresAck ? [dim(`  Who has acknowledged: coord show ${visibleLine(messageId)}`)] : []),
  ].join("\n");
}

export function renderCheck(result: CheckResult, nothing: string): string {
  const blocks = result.messages.map((message) => renderMessage(message));
  if (blocks.length === 0 && result.unreadable.length === 0) blocks.push(nothing);
  for (const unreadable of result.unreadable) blocks.push(renderUnreadable(unreadable));
  if (result.stoppedEarly === true)
    blocks.push(yellow("The search stopped after 20,000 messages; go on from the cursor."));
  return blocks.join("\n\n");
}

/** One message, or a conversation, with the life of each receipt. */
export function renderShown(result: CheckResult): string {
  const blocks = result.messages.map((message) => renderMessage(message, { life: true }));
  for (const unreadable of result.unreadable) blocks.push(renderUnreadable(unreadable));
  if (result.owed !== undefined) blocks.push(renderDebts(result.owed));
  return blocks.join("\n\n");
}

function renderDebts(debts: readonly Debt[]): string {
  if (debts.length === 0) return green("Nobody owes an answer.");
  const rows = debts.map(({ instance, state, type, from, messageId, since }) => [
    `  ${visibleLine(instance)}`,
    STATE_COLORS[state](state),
    `${visibleLine(type)} of ${visibleLine(from)}`,
    visibleLine(messageId),
    dim(visibleLine(since)),
  ]);
  return `${bold("Still to be acknowledged")}\n${columns(rows)}`;
}

export function renderSearch({ stoppedEarly, ...result }: CheckResult): string {
  const found = renderCheck(result, stoppedEarly ? "Nothing found so far." : "No message matches.");
  if (!stoppedEarly) return found;
  const reached = /^msg-([0-9a-z]{10})$/.exec(result.nextBefore ?? "")?.[1];
  const until = reached && `, at what was sent ${new Date(Number.parseInt(reached, 36) / 1000).toISOString()}`;
  return `${found}\n\n${yellow(`The search stopped after 2 seconds${until ?? ""}; go on from the cursor.`)}`;
}

function renderUnreadable({ id, reason }: Unreadable): string {
  return `${red("Unreadable message")}: ${visibleLine(reason)}\n${idLine(id)}`;
}

function renderMessage(message: Message, { life = false } = {}): string {
  const { id, type, from, to, timestamp, requiresAck, acknowledged, subject, description, replyTo } = message;
  const { waitingSeconds, outside, via, proven, acknowledgedOutside, receipts, receiptTotals: totals } = message;
  const asked = requiresAck && !isSettled(message);
  const state = acknowledged ? green("acknowledged") : asked ? yellow("to be acknowledged") : dim("no answer needed");
  return [
    `${bold(visibleLine(type))} ${visibleLine(from)} → ${visibleLine(to)}  ${dim(visibleLine(timestamp))}  ${state}`,
    idLine(id),
    ...(replyTo === undefined ? [] : [`  Reply to: ${visibleLine(replyTo)}`]),
    ...(outside === true ? [dim("  Sent from outside of its sender's session.")] : []),
    ...(via === undefined ? [] : [dim(`  Written by a person, in: ${visibleLine(via)}`)]),
    ...(proven === undefined ? [] : [proven ? dim("  Sender: proven") : yellow("  Sender: NOT PROVEN")]),
    ...(acknowledgedOutside === true ? [dim("  Acknowledged from outside of its agent's session.")] : []),
    ...(waitingSeconds === undefined
      ? []
      : [yellow(`  Announced again: it has been waiting for ${duration(waitingSeconds)}.`)]),
    `  Subject: ${bold(visibleLine(subject))}`,
    // Deeper than the lines of ours: no text can pose as an id line.
    ...(description === ""
      ? []
      : visible(description)
          .split("\n")
          .map((line) => `    ${line}`)),
    ...(totals === undefined ? [] : [`  Acknowledged by ${totals.acknowledged} of ${totals.recipients}`]),
    ...(receipts === undefined ? [] : ["  Receipts:", ...receipts.flatMap(receiptLines)]),
  ].join("\n");

  function receiptLines(receipt: Receipt): string[] {
    return life ? [renderReceipt(receipt, ""), ...renderLife(message, receipt)] : [renderReceipt(receipt)];
  }
}

/** A line for each step after the store, whose time the message's own line has. */
function renderLife(message: Message, receipt: Receipt): string[] {
  const [stored, ...steps] = lifeOf(message, receipt);
  const rows = steps.map(({ step, timestamp }) => {
    const seconds = Math.floor((Date.parse(timestamp) - Date.parse(stored!.timestamp)) / 1000);
    const after = Number.isNaN(seconds) ? "" : `after ${duration(Math.max(0, seconds))}`;
    return [`      ${STEP_WORDS[step] ?? step}`, visibleLine(timestamp), after];
  });
  return rows.length === 0 ? [] : [dim(columns(rows))];
}
const STEP_WORDS: Readonly<Partial<Record<LifeStep["step"], string>>> = {
  announced: "announced again",
  offline: "sender told: it is offline",
  unanswered: "sender told: no answer",
};

const STATE_COLORS = { dead: red, stored: yellow, presented: cyan, dropped: dim, acknowledged: green };

function renderReceipt(receipt: Receipt, when = lastTime(receipt)): string {
  const { instance, state, comment, asleep, outside, proven, reason } = receipt;
  const color = STATE_COLORS[state];
  const said = comment ?? reason;
  const words = said === undefined ? "" : `: ${visibleLine(said)}`;
  const unproven = proven === false ? yellow(" (not proven)") : "";
  const where = (outside === true ? " from outside" : asleep === true ? ", idle, nobody wakes it" : "") + unproven;
  return `    ${visibleLine(instance)} ${color(state)}${where}${when === "" ? "" : dim(` ${visibleLine(when)}`)}${words}`;
}

function lastTime({ state, presentedAt, acknowledgedAt, history }: Receipt): string {
  const ended = state === "dead" || state === "dropped" ? history?.at(-1)?.timestamp : undefined;
  return acknowledgedAt ?? ended ?? presentedAt ?? "";
}

export function renderAck(result: AckResult | AckRefusal): string {
  if ("code" in result) return `${red("Not acknowledged")}: ${visibleLine(result.error)}\n${idLine(result.messageId)}`;
  const { already, timestamp, comment, outside, messageId } = result;
  const words = comment === undefined ? "" : `: ${visibleLine(comment)}`;
  const still =
    outside === true ? `\n${dim("  From outside of its agent's session, which is shown the message once.")}` : "";
  return `${green(already ? "Already acknowledged" : "Acknowledged")} ${dim(visibleLine(timestamp))}${words}\n${idLine(messageId)}${still}`;
}

export function renderPresence({ instances }: PresenceResult): string {
  const rows = Object.values(instances).map((presence) => {
    const { instanceId, status, doing, secondsSinceHeartbeat: age, pending, guests, session, unreadable } = presence;
    const facts = [session.agent, session.host, session.cwd, session.branch, session.activity].filter(
      (fact) => fact !== undefined,
    );
    const waiting = [
      ...(pending === 0 ? [] : [`${pending} pending`]),
      ...(guests === 0 ? [] : [`${guests} ${guests === 1 ? "guest" : "guests"}`]),
    ].join(", ");
    return [
      visibleLine(instanceId),
      doing === "away" ? colored(status) : `${colored(status)}, ${doing}`,
      age === null ? "" : `seen ${duration(age)} ago`,
      waiting,
      visibleLine(unreadable ?? facts.join(" · ")),
    ];
  });
  return rows.length === 0 ? "Nobody has been seen yet." : columns(rows);
}

export function renderWhoAmI(me: WhoAmI): string {
  const { instance, project, register, prefix, server, session, standing, status } = me;
  const from = (source: string): string => dim(`(${visibleLine(source)})`);
  const run = session && [
    session.agent,
    session.id,
    session.pid === null ? null : `pid ${session.pid}`,
    session.workTree,
  ];
  const rows: [string, string][] = [
    ["name", `${instance === null ? yellow("none") : bold(instance)} ${from(me.instanceSource)}`],
    ["project", `${visibleLine(project)} ${from(register ?? "not in the register: coord init")}`],
    ["namespace", `${visibleLine(prefix)} ${from(me.prefixSource)}`],
    ["server", `${visibleLine(server)} ${from(me.serverSource)}`],
    [
      "session",
      run === null
        ? "none: a plain shell"
        : run
            .filter((fact) => fact !== null)
            .map(visibleLine)
            .join(", "),
    ],
    ["standing", standing],
  ];
  if (instance !== null) rows.push(["presence", status === null ? "Redis does not answer" : colored(status)]);
  return [columns(rows.map(([name, value]) => [dim(name), value])), me.change].join("\n");
}

export function renderMove({ instance, from, to, moved, kept }: MoveResult): string {
  const lines = [
    `${moved.length} of ${visibleLine(instance)}'s messages moved from ${visibleLine(from)} to ${visibleLine(to)}`,
  ];
  lines.push(...moved.map(idLine));
  if (kept.length > 0)
    lines.push(yellow(`${kept.length} stay there, since other messages here have their ids:`), ...kept.map(idLine));
  return lines.join("\n");
}

export function renderStats(result: StatsResult): string {
  const { total, pending, dead, settled, byType, oldestPending, instances } = result;
  const lines = [`${bold(String(total))} messages: ${settled} settled, ${pending} pending, ${dead} dead`];
  if (oldestPending !== null)
    lines.push(`Oldest pending: ${visibleLine(oldestPending.timestamp)}`.trimEnd(), idLine(oldestPending.id));
  const types = Object.entries(byType).map(([type, count]) => [visibleLine(type), String(count)]);
  if (types.length > 0) lines.push("", columns([[dim("ever published"), ""], ...types]));
  const rows = Object.entries(instances).map(
    ([name, { inbox, outbox, pending: open, unread, notifications, oldestPending: oldest = "" }]) =>
      [visibleLine(name), inbox, outbox, open, unread, notifications, visibleLine(oldest)].map(String),
  );
  if (rows.length > 0) {
    lines.push(
      "",
      columns([
        ["instance", "inbox", "outbox", "pending", "unread", "notifications", "oldest pending"].map((title) =>
          dim(title),
        ),
        ...rows,
      ]),
    );
  }
  return lines.join("\n");
}

export function renderSweep({ announced, told, dead, removed }: SweepResult): string {
  return `${announced} announced again, ${told} told of, ${dead} listed as dead, ${removed} removed`;
}

export function renderSettings(settings: Readonly<Record<string, unknown>>): string {
  return columns(Object.entries(settings).map(([name, value]) => [name, String(value)]));
}

export function renderForget({ instance, pending }: ForgetResult): string {
  const open =
    pending === 0
      ? ""
      : ` It had not acknowledged ${pending} ${pending === 1 ? "message" : "messages"}; nobody waits for that any more.`;
  return `Forgot ${visibleLine(instance)}: nothing can be sent to it, until it is seen again.${open}`;
}

export function renderForgetUnseen({ forgotten }: ForgetUnseenResult): string {
  return forgotten.length === 0 ? "Everybody was seen since then." : forgotten.map(renderForget).join("\n");
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** Left-aligned columns; colour codes take no width. */
export function columns(rows: readonly (readonly string[])[]): string {
  // oxlint-disable-next-line no-control-regex
  const width = (cell: string): number => cell.replaceAll(/\x1b\[\d+m/g, "").length;
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => width(row[i] ?? ""))));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell + " ".repeat(widths[i]! - width(cell)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
