/** What the first screen shows: what needs a person, who is there, who waits for whom. Read as the person, and marks nothing. */
import { type Attention, whatNeedsAttention } from "../../client/attention.ts";
import type { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import type { InstancePresence, InstanceStats, Message } from "../../protocol/results.ts";
import { listed } from "./texts.ts";

/** An instance, without what changes with each heartbeat: the page would be told of all of them all the time. */
export interface AgentRow extends Omit<InstancePresence, "lastHeartbeat" | "secondsSinceHeartbeat" | "unreadable"> {
  /** Where it is not active: when it was last seen, ISO 8601. */
  lastSeen?: string;
  unread: number;
}

/** An answer that is owed, the oldest first. */
export type Waiting = Pick<Message, "id" | "type" | "from" | "to" | "subject" | "timestamp">;

export interface Home {
  attention: Attention;
  agents: AgentRow[];
  waiting: { messages: Waiting[]; more: boolean };
  totals: { total: number; pending: number; dead: number };
}

const WAITING_LISTED = 12;

/**
 * @param person reads what is its own, and looks only
 * @param nobody reads the rest: a look is no sign of life
 * @throws CoordinationError UNAVAILABLE, TIMEOUT
 */
export async function readHome(person: CoordinationClient, nobody: CoordinationClient): Promise<Home> {
  const pending = { all: true, pendingOnly: true, limit: WAITING_LISTED };
  const [attention, { instances }, stats, { result }] = await Promise.all([
    whatNeedsAttention(person),
    nobody.session.presences(""),
    nobody.getStats(),
    new Mailbox(person).lookAtMessages(pending, "peek"),
  ]);
  const { total, pending: open, dead } = stats;
  const me = person.session.settings.instanceId;
  return {
    attention: {
      ...attention,
      needs: attention.needs.map((need) =>
        need.message === undefined ? need : { ...need, message: listed(need.message) },
      ),
    },
    agents: Object.values(instances)
      .filter(({ instanceId }) => instanceId !== me)
      .map((presence) => agentRow(presence, stats.instances[presence.instanceId])),
    waiting: {
      messages: result.messages.map(({ id, type, from, to, subject, timestamp }) => ({
        id,
        type,
        from,
        to,
        subject,
        timestamp,
      })),
      more: result.more,
    },
    totals: { total, pending: open, dead },
  };
}

function agentRow(presence: InstancePresence, stats: InstanceStats | undefined): AgentRow {
  const { instanceId, status, doing, doingSince, session, pending, guests, asleep, lastHeartbeat } = presence;
  return {
    instanceId,
    status,
    doing,
    ...(doingSince === undefined ? {} : { doingSince }),
    session,
    pending,
    unread: stats?.unread ?? 0,
    guests,
    ...(asleep === undefined ? {} : { asleep }),
    ...(status === "active" || lastHeartbeat === null ? {} : { lastSeen: lastHeartbeat }),
  };
}
