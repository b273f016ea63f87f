/**
 * Channel push for Claude Code sessions that allow it: a doorbell without the message. Nobody says whether it was heard, so
 * it counts as nothing: the message stays unread, and hooks and tools show it.
 */
import type { Server } from "@modelcontextprotocol/server";
import type { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";

const RETRY_MILLISECONDS = 30_000;

interface PublishedEvent {
  event: string;
  message_id: string;
  type: string;
  from: string;
}

export async function ringChannel(server: Server, client: CoordinationClient): Promise<void> {
  const ring = (text: string | undefined): void => {
    const event = text === undefined ? undefined : parse(text);
    if (event?.event !== "message_published") return;
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

function parse(text: string): PublishedEvent | undefined {
  try {
    return JSON.parse(text) as PublishedEvent;
  } catch {
    return undefined;
  }
}
