/** Events for eyes, of a queue or as they happen. */
import type { CoordinationEvent, NotificationsResult } from "../../protocol/results.ts";
import { visibleLine } from "../../protocol/text.ts";
import { duration, idLine, LISTED_NAMES } from "./render.ts";
import { colorsFor } from "./terminal.ts";

const { bold, dim, red } = colorsFor(process.stdout);

export function renderNotifications({ notifications, remaining }: NotificationsResult): string {
  const lines = notifications.map((event) => renderEvent(event));
  if (lines.length === 0) lines.push("Nothing new.");
  if (remaining > 0) lines.push(dim(`${remaining} more: coord notifications`));
  return lines.join("\n");
}

/** What happened in one line, and the id of its message in another. */
export function renderEvent(event: CoordinationEvent, time: string = event.timestamp ?? ""): string {
  const line = `${dim(visibleLine(time))} ${describe(event)}`.trimStart();
  return event.messageId === undefined ? line : `${line}\n${idLine(event.messageId)}`;
}

/** Who and to whom comes first: the rest of a line may be cut off. */
function describe(event: CoordinationEvent): string {
  const { type, subject, comment, outside, count, reason, waitingSeconds, instances, instancesTotal } = event;
  const [from, to] = [visibleLine(event.from ?? ""), visibleLine(event.to ?? "")];
  const what = `${bold(visibleLine(type ?? ""))} ${visibleLine(subject ?? "")}`;
  const names = (instances ?? []).slice(0, LISTED_NAMES).map(visibleLine);
  const others = (instancesTotal ?? names.length) - names.length;
  const silent = `${names.join(", ")}${others > 0 ? ` and ${others} more` : ""} ${names.length + others === 1 ? "is" : "are"}`;
  const waiting = waitingSeconds === undefined ? "an unknown time" : duration(waitingSeconds);
  switch (event.event) {
    case "message_published":
      return `${from} → ${to}: ${what}`;
    case "message_acknowledged":
      return `${from} acknowledged ${what}${outside === true ? " from outside of its session" : ""}${comment === undefined ? "" : `: ${visibleLine(comment)}`}`;
    case "message_overdue":
      return `${from} has been waiting ${waiting} for ${to}: ${what}`;
    case "message_undelivered":
      return `${silent} offline: ${what} waits there`;
    case "message_unanswered":
      return `${silent} silent for ${waiting} on ${what}`;
    case "message_dead":
      return `${silent} no longer reminded of ${what}: coord dead`;
    case "sender_braked":
      return `${from} would send ${to} ever more, and is braked`;
    case "instance_joined":
      return `${from} joined`;
    case "instance_left":
      return `${from} left`;
    case "events_skipped":
      return `${count ?? "some"} older events were dropped; coord check still lists their messages`;
    case "unreadable":
      return `${red("Unreadable event")}: ${visibleLine(reason ?? "")}`;
    default:
      return visibleLine(`${event.event} ${type ?? ""} ${subject ?? ""}`);
  }
}
