/** What the page asks for and does, each a path: a thin cover of the client, with its refusals. */
import type { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { LIMITS } from "../../protocol/definition.ts";
import type { CheckRequest, CheckResult, PublishRequest } from "../../protocol/results.ts";
import { invalid } from "../../protocol/validation.ts";
import { listed } from "./texts.ts";

/** The texts of one list. */
const LIST_BYTES = 512 * 1024;
const LIST_BOUND = { bytes: LIST_BYTES, descriptionBytes: LIMITS.description_bytes };

/** The question after the `?`. */
type Query = URLSearchParams;
/** The fields of a write, unchecked: the client refuses what is wrong, by its name. */
type Body = Readonly<Record<string, unknown>>;

type Read = (client: CoordinationClient, query: Query, readOnly: boolean) => Promise<object>;
type Write = (client: CoordinationClient, body: Body) => Promise<object>;

export const READS: Readonly<Record<string, Read>> = {
  /** The whole namespace, or one instance's inbox; newest first, with `since` oldest first. */
  "/api/messages": async (client, query) => {
    const request: CheckRequest = {
      ...optional("to", query),
      ...optional("from", query),
      ...optional("before", query),
      ...optional("since", query),
      ...(query.has("to") ? {} : { all: true }),
      limit: limitOf(query),
    };
    return asList((await new Mailbox(client).lookAtMessages(request, "peek")).result);
  },
  /** One, whole; to open one that is addressed to the person presents it to the person. */
  "/api/message": (client, query, readOnly) => shown(client, query, { thread: false, readOnly }),
  "/api/thread": (client, query, readOnly) => shown(client, query, { thread: true, readOnly }),
  "/api/search": async (client, query) => {
    const before = optional("before", query);
    const searching = { look: "peek", bound: LIST_BOUND } as const;
    const request = { ...before, limit: limitOf(query) };
    return asList(await new Mailbox(client).searchMessages(query.get("q") ?? "", request, searching));
  },
};

export const WRITES: Readonly<Record<string, Write>> = {
  "/api/publish": (client, body) => client.publishMessage(body as unknown as PublishRequest),
  "/api/acknowledge": (client, { messageId, comment }) =>
    client.ackMessage(messageId as string, comment === undefined ? {} : { comment: comment as string }),
  "/api/retry": (client, { messageIds }) => client.retryDead(idsOf(messageIds)),
  "/api/drop": (client, { messageIds }) => client.dropMessages(idsOf(messageIds)),
};

async function shown(
  client: CoordinationClient,
  query: Query,
  { thread, readOnly }: { thread: boolean; readOnly: boolean },
): Promise<CheckResult> {
  const id = query.get("id") ?? "";
  if (!readOnly) return client.showMessage(id, { thread });
  return (await new Mailbox(client).takeShown(id, thread, "peek")).result;
}

function asList(result: CheckResult): CheckResult {
  return { ...result, messages: result.messages.map(listed) };
}

function optional<const N extends string>(name: N, query: Query): { [K in N]?: string } {
  const value = query.get(name);
  return (value === null ? {} : { [name]: value }) as { [K in N]?: string };
}

function limitOf(query: Query): number {
  return query.has("limit") ? Number(query.get("limit")) : LIMITS.list_default;
}

function idsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value as string[];
  throw invalid("messageIds is missing.", "Give a list of message ids.");
}
