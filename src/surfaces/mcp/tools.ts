/** The five tools: their schemas from the table of operations, their calls to the client, their refusals as JSON. */
import type { CallToolResult, Tool } from "@modelcontextprotocol/server";
import type { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { OPERATIONS, type Operation, type OperationName } from "../../protocol/operations.ts";
import type { PublishRequest } from "../../protocol/results.ts";
import { invalid, shown } from "../../protocol/validation.ts";
import { refusalToWire, successToWire, toWire } from "../../protocol/wire.ts";
import { RESULT_BOUND, boundedCheck, boundedPresence, boundedPublish, boundedShow } from "./results.ts";

type Request = Record<string, unknown>;

/** Takes what is to be done once the answer has been written. */
export type AfterSending = (confirm: () => Promise<void>) => void;

// The client validates every value, so what arrives here may be of any type.
const CALLS: Record<
  OperationName,
  (client: CoordinationClient, request: Request, afterSending: AfterSending) => Promise<object>
> = {
  publish: async (client, request) => boundedPublish(await client.publishMessage(request as unknown as PublishRequest)),
  check: async (client, request) => {
    const mailbox = new Mailbox(client);
    if (request["messageId"] !== undefined) return boundedShow(await mailbox.checkMessages(request, RESULT_BOUND));
    const { query, ...filters } = request;
    if (query === undefined) return boundedCheck(await mailbox.checkMessages(request, RESULT_BOUND));
    return boundedCheck(await mailbox.searchMessages(query, filters, { bound: RESULT_BOUND }));
  },
  ack: (client, { messageId, comment }) =>
    client.ackMessage(messageId as string, { comment: comment as string | undefined }),
  presence: async (client) => boundedPresence(await client.getPresence()),
  notifications: async (client, request, afterSending) => {
    const { result, confirm } = await new Mailbox(client).takeNotifications(request, RESULT_BOUND);
    afterSending(confirm);
    return result;
  },
};

export function describeTools(): Tool[] {
  return Object.values(OPERATIONS).map((operation) => ({
    name: operation.tool,
    title: operation.title,
    description: operation.description,
    inputSchema: {
      type: "object",
      properties: Object.fromEntries(Object.entries(operation.arguments).map(([name, { schema }]) => [name, schema])),
      ...required(operation),
    } as Tool["inputSchema"],
    // Refusals have other fields, and newer versions may add some: only `success` is promised.
    outputSchema: {
      type: "object",
      properties: {
        success: { type: "boolean" },
        ...Object.fromEntries(Object.entries(operation.result).map(([name, type]) => [name, { type }])),
      },
      required: ["success"],
    },
    annotations: {
      readOnlyHint: operation.readOnly,
      destructiveHint: false,
      idempotentHint: operation.idempotent,
      openWorldHint: false,
    },
  }));
}

function required(operation: Operation): { required?: string[] } {
  const names = Object.entries(operation.arguments).filter(([, argument]) => argument.required);
  return names.length === 0 ? {} : { required: names.map(([name]) => name) };
}

export async function callTool(
  client: CoordinationClient,
  tool: string,
  given: unknown,
  signal: AbortSignal,
  afterSending: AfterSending,
): Promise<CallToolResult> {
  try {
    const [name, operation] = findOperation(tool);
    const request = readArguments(operation, given);
    await client.session.claim();
    const call = CALLS[name](client, name === "check" ? { ...request, signal } : request, afterSending);
    const result = successToWire(await call);
    return { content: [{ type: "text", text: JSON.stringify(result) }], structuredContent: result };
  } catch (error) {
    const refusal = CoordinationError.is(error) ? error : unexpected(error);
    const { receipt } = refusal;
    const wire = { ...refusalToWire(refusal), ...(receipt && { receipt: toWire(boundedPublish(receipt)) }) };
    return { content: [{ type: "text", text: JSON.stringify(wire) }], isError: true };
  }
}

function findOperation(tool: string): [OperationName, Operation] {
  const found = Object.entries(OPERATIONS).find(([, operation]) => operation.tool === tool);
  if (found !== undefined) return found as [OperationName, Operation];
  const names = Object.values(OPERATIONS).map((operation) => operation.tool);
  throw invalid(`There is no tool ${shown(tool)}.`, `Use one of ${names.join(", ")}.`);
}

/** An unknown argument is refused: a misspelt recipient must not send the message to the default one. */
function readArguments(operation: Operation, given: unknown): Request {
  const request: Request = {};
  for (const [name, value] of Object.entries(given ?? {})) {
    const argument = Object.hasOwn(operation.arguments, name) ? operation.arguments[name] : undefined;
    if (argument === undefined) {
      const names = Object.keys(operation.arguments).join(", ");
      throw invalid(
        `${operation.tool} has no argument ${shown(name)}.`,
        names === "" ? "It takes none." : `It takes ${names}.`,
      );
    }
    // Some models spell an absent argument as null.
    if (value !== null) request[argument.field] = value;
  }
  return request;
}

function unexpected(error: unknown): CoordinationError {
  const message = error instanceof Error ? error.message : String(error);
  return new CoordinationError(ErrorCode.INTERNAL, `Unexpected: ${message}`, {
    hint: "This is a defect of cli-coordination: please report it.",
    cause: error,
  });
}
