/** Brings the open mail of one name from another namespace along, as `coord move` does after a project got one of its own. */
import { steps } from "./steps.ts";
import { LIMITS } from "../protocol/definition.ts";
import type { Message } from "../protocol/results.ts";
import { invalid } from "../protocol/validation.ts";
import { exportLines, importLines } from "./archive.ts";
import { check, showMessage } from "./checking.ts";
import type { CoordinationClient } from "./client.ts";

export interface MoveResult {
  instance: string;
  from: string;
  to: string;
  /** Ids of what is open here now, and settled there. */
  moved: string[];
  /** Ids of what stays there: another message here has the same id. */
  kept: string[];
}

interface Exported {
  kind: string;
  id: string;
  fields: Record<string, string>;
  new_for: string[];
}

/**
 * First put here, then acknowledged there with a comment that says where it went: an interrupted move is just called again,
 * and nothing is lost or comes twice.
 *
 * @throws CoordinationError IDENTITY, INVALID, UNAVAILABLE, TIMEOUT
 */
export async function moveMail(source: CoordinationClient, target: CoordinationClient): Promise<MoveResult> {
  const me = target.session.instance;
  const [from, to] = [source.session.settings.keyPrefix, target.session.settings.keyPrefix];
  if (from === to) throw invalid(`--from is ${from}: that is this namespace.`, "Name the one that the mail is in.");
  const pending = await pendingOf(source);
  const found = new Map<string, string>();
  const lines = async function* (): AsyncGenerator<string> {
    for await (const line of exportLines(source.session, { repeats: false })) {
      const part = JSON.parse(line) as Exported;
      if (part.kind === "namespace") yield JSON.stringify({ ...part, meta: {} }); // what acts on everyone there does not here
      if (part.kind === "end") yield line;
      if (part.kind !== "message" || !(pending.has(part.id) || part.new_for.includes(me))) continue;
      found.set(part.id, contentOf(part.fields));
      const newFor = part.new_for.filter((name) => name === me);
      yield JSON.stringify({ ...part, fields: addressedTo(me, part.fields), new_for: newFor });
    }
  };
  await importLines(target.session, lines(), () => undefined);
  const moved: string[] = [];
  for (const [id, content] of found) {
    // Ids are of one namespace: here it may be another message.
    const { messages } = await showMessage(target.session, id, { mark: false });
    if (messages[0] !== undefined && contentOf(messages[0]) === content) moved.push(id);
  }
  for (let i = 0; i < moved.length; i += LIMITS.ack_ids_maximum) {
    const ids = moved.slice(i, i + LIMITS.ack_ids_maximum);
    await source.ackMessage(ids, { comment: `Moved to the namespace ${to}.` });
  }
  return { instance: me, from, to, moved, kept: [...found.keys()].filter((id) => !moved.includes(id)) };
}

async function pendingOf({ session }: CoordinationClient): Promise<Set<string>> {
  const ids = new Set<string>();
  let since: string | undefined;
  for (const _ of steps()) {
    const request = { pendingOnly: true, limit: LIMITS.list_maximum, since };
    const { messages, more, nextSince } = await check(session, request, { mark: false });
    for (const { id } of messages) ids.add(id);
    if (!more || nextSince === undefined) break;
    since = nextSince;
  }
  return ids;
}

/** Of a broadcast this one's copy: the others have theirs. */
function addressedTo(me: string, fields: Record<string, string>): Record<string, string> {
  const own = ["id", "type", "from", "subject", "description", "timestamp", "requires_ack", "reply_to", "thread"];
  const kept = [...own, "ack_within", `receipt:${me}`].flatMap((name) =>
    fields[name] === undefined ? [] : [[name, fields[name]] as const],
  );
  return { ...Object.fromEntries(kept), to: me };
}

function contentOf({ from, type, subject, description }: Partial<Message>): string {
  return JSON.stringify([from, type, subject, description]);
}
