/**
 * Channel push for Claude Code sessions that allow it: a doorbell without the message. Nobody says whether it was heard, so
 * it counts as nothing: the message stays unread, and hooks and tools show it.
 */
import type { Server } from "@modelcontextprotocol/server";
import type { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { readArguments } from "../../client/process.ts";
import { INSTANCE_PATTERN, MESSAGE_TYPES, type MessageType } from "../../protocol/definition.ts";

/** How it is told that a server may ring. */
const CHANNELS = /^--(dangerously-load-development-)?channels(=|$)/;
const RETRY_MILLISECONDS = 30_000;

interface PublishedEvent {
  message_id: string;
  type: MessageType;
  from: string;
}

/** As we make them; an imported message may have another one, and rings no bell here. */
const MESSAGE_ID = /^[A-Za-z0-9._-]{1,128}$/;

/** Whether Claude Code was started with channels: without, it throws away what rings. */
export function hearsChannels(agentPid: number | undefined): boolean {
  return agentPid !== undefined && readArguments(agentPid).some((argument) => CHANNELS.test(argument));
}

export async function ringChannel(server: Server, client: CoordinationClient): Promise<void> {
  const ring = (text: string | undefined): void => {
    const event = text === undefined ? undefined : parse(text);
    if (event === undefined) return;
    const { message_id, type, from } = event;
    const params = {
      content: `New message ${message_id} (${type}) from ${from}: read it with coord_check_messages.`,
      meta: { message_id, type, from },
    };
    const push = async (): Promise<void> => {
      // A superseded session gets no mail for the name any more.
      if (await client.speaks()) await server.notification({ method: "notifications/claude/channel", params });
    };
    push().catch(() => undefined);
  };
  try {
    await new Mailbox(client).listen(ring);
  } catch {
    // No Redis yet. Once it was there, the subscription comes back by itself.
    setTimeout(() => void ringChannel(server, client), RETRY_MILLISECONDS).unref();
  }
}

/** Anybody who may publish on the channel writes there: only ids, types and names that we would give are shown. */
function parse(text: string): PublishedEvent | undefined {
  try {
    const { event, message_id, type, from } = JSON.parse(text) as Record<string, unknown>;
    const known = event === "message_published" && typeof message_id === "string" && MESSAGE_ID.test(message_id);
    if (!known || !MESSAGE_TYPES.includes(type as MessageType)) return undefined;
    if (typeof from !== "string" || !INSTANCE_PATTERN.test(from)) return undefined;
    return { message_id, type: type as MessageType, from };
  } catch {
    return undefined;
  }
}
