/**
 * The operations as agents and people meet them: names, one-line descriptions, arguments. MCP tools, command help and
 * the reference in docs are derived from this table, so that they cannot disagree.
 */
import { LIMITS, MESSAGE_TYPES } from "./definition.ts";

/** A fragment of JSON Schema. It advertises; what answers a wrong value is our own validation. */
export type ArgumentSchema = {
  readonly type: "string" | "boolean" | "integer" | "number";
  readonly description?: string;
  readonly enum?: string[];
  readonly minimum?: number;
  readonly maximum?: number;
};

export interface Argument {
  /** Its name in a request of the client. */
  readonly field: string;
  readonly required?: true;
  readonly schema: ArgumentSchema;
}

export interface Operation {
  /** Name of the MCP tool. */
  readonly tool: string;
  readonly title: string;
  readonly description: string;
  /** It changes nothing that anybody else can see but receipts. */
  readonly readOnly: boolean;
  readonly idempotent: boolean;
  /** By their names on MCP and in Python. */
  readonly arguments: Readonly<Record<string, Argument>>;
  /** Fields of the result besides `success`, with their JSON types. */
  readonly result: Readonly<Record<string, "string" | "boolean" | "integer" | "array" | "object">>;
}

const text = (field: string, description?: string): Argument => ({
  field,
  schema: { type: "string", ...(description === undefined ? {} : { description }) },
});
const flag = (field: string, description: string): Argument => ({ field, schema: { type: "boolean", description } });
const type: Argument = { field: "type", schema: { type: "string", enum: [...MESSAGE_TYPES] } };
const limit: Argument = { field: "limit", schema: { type: "integer", minimum: 1, maximum: LIMITS.list_maximum } };

export type OperationName = "publish" | "check" | "ack" | "presence" | "notifications";

export const OPERATIONS: Readonly<Record<OperationName, Operation>> = {
  publish: {
    tool: "coord_publish_message",
    title: "Publish a message",
    description: "Send a message to another agent instance, or to all. Success means it is stored for every recipient.",
    readOnly: false,
    idempotent: false,
    arguments: {
      msg_type: { ...type, required: true },
      subject: { ...text("subject", `One line, up to ${LIMITS.subject_characters} characters`), required: true },
      description: { ...text("description", "The text, up to 64 KiB"), required: true },
      to_instance: text("to", 'Instance name or "all". Default: whom reply_to answers, else by type'),
      requires_ack: flag("requiresAck", "Default: true; false for NOTIFICATION and for a reply that asks for no work"),
      reply_to: text("replyTo", "Id of the message this answers; acknowledges it"),
    },
    result: {
      message_id: "string",
      to: "string",
      timestamp: "string",
      recipients: "array",
      warnings: "array",
      acknowledged: "boolean",
    },
  },
  check: {
    tool: "coord_check_messages",
    title: "Check messages",
    description:
      "Read messages: your inbox, newest first. pending_only: what you still have to acknowledge, oldest first. " +
      "from_instance with your own name: what you sent, with receipts. Filters combine.",
    readOnly: true,
    idempotent: true,
    arguments: {
      to_instance: text("to", "Somebody else's inbox"),
      from_instance: text("from"),
      msg_type: type,
      pending_only: flag("pendingOnly", "Only what is not acknowledged yet"),
      all: flag("all", "Everybody's messages"),
      since: text("since", "Message id (next_since): only newer, oldest first"),
      before: text("before", "Message id (next_before): only older"),
      thread: text("thread", "Id of any message of a conversation"),
      message_id: text("messageId", "Only this message, uncut, with receipts"),
      limit,
      query: text(
        "query",
        'Search all: words, "a phrase", -not, from: to: type: is:pending|dead|unread before: after:',
      ),
      wait_seconds: {
        field: "waitSeconds",
        schema: { type: "number", minimum: 0, maximum: LIMITS.wait_seconds_maximum, description: "Wait for a match" },
      },
    },
    result: { count: "integer", messages: "array", more: "boolean", unreadable: "array" },
  },
  ack: {
    tool: "coord_ack_message",
    title: "Acknowledge a message",
    description:
      "Tell the sender that you have dealt with a message addressed to you. A reply with reply_to does it too.",
    readOnly: false,
    idempotent: true,
    arguments: {
      message_id: { ...text("messageId"), required: true },
      comment: text("comment", "For the sender, up to 4 KiB"),
    },
    result: { message_id: "string", acknowledged_by: "string", timestamp: "string", already: "boolean" },
  },
  presence: {
    tool: "coord_get_presence",
    title: "See who is there",
    description: "List the instances: active, stale or offline, and how many messages each has pending.",
    readOnly: true,
    idempotent: true,
    arguments: {},
    result: { instances: "object" },
  },
  notifications: {
    tool: "coord_get_notifications",
    title: "Get notifications",
    description:
      "Take what happened since you last looked (messages, acknowledgements), oldest first; each is given once.",
    readOnly: false,
    idempotent: false,
    arguments: { limit },
    result: { count: "integer", notifications: "array", remaining: "integer" },
  },
};
