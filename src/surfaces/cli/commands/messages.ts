/** The commands that carry messages: publish, read, acknowledge, and one message whole. */
import { Mailbox } from "../../../client/mailbox.ts";
import { LIMITS, MESSAGE_TYPES } from "../../../protocol/definition.ts";
import type { CheckRequest, PublishRequest } from "../../../protocol/results.ts";
import { about, command, type Grammar, json, numberOrText, operation, peek, type Shared, take } from "../grammar.ts";
import { readText } from "../input.ts";
import { EXIT, print, printWarnings } from "../outcome.ts";
import { renderNotifications } from "../events.ts";
import { renderAck, renderCheck, renderPublish, renderSearch, renderShown } from "../render.ts";
import { confirmWritten, type ReadingOptions, saidLooking, show, withClient, withReader } from "../running.ts";

const TYPES = MESSAGE_TYPES.join(", ");

interface PublishOptions {
  to?: string;
  /** Absent where neither --ack nor --no-ack is given. */
  ack: boolean;
  replyTo?: string;
  ackWithin?: number;
  idempotencyKey?: string;
}

interface CheckOptions extends Omit<CheckRequest, "pendingOnly" | "waitSeconds"> {
  pending?: true;
  wait?: number;
}

export function publish(grammar: Grammar): void {
  operation(
    grammar,
    "publish",
    'coord publish READY_FOR_REVIEW "login form" "Branch feat/login, tests pass"',
    'coord publish REVIEW_FAILED "login form" "No tests for logout" --reply-to msg-hoggrkz047',
    'git diff main | coord publish GENERAL "my diff" - --to backend',
  )
    .argument("<type>", TYPES)
    .argument("<subject>", about("publish", "subject"))
    .argument("<description>", 'The text, up to 64 KiB; "-" reads standard input')
    .option("--to <instance>", about("publish", "to_instance"))
    .option("--ack", "Ask for an acknowledgement, also as a reply that would ask for none")
    .option("--no-ack", "Ask for no acknowledgement")
    .option("--reply-to <id>", about("publish", "reply_to"))
    .option("--ack-within <seconds>", "Announce it again where it is not acknowledged by then; 0 never", numberOrText)
    .option("--idempotency-key <key>", "Repeat safely for 24 hours: the same key and content is stored once")
    .addOption(json())
    .action(async (type: string, subject: string, description: string, options: Shared & PublishOptions) => {
      const request = {
        type,
        subject,
        description: description === "-" ? await readText(process.stdin) : description,
        to: options.to,
        requiresAck: options.ack,
        replyTo: options.replyTo,
        ackWithin: options.ackWithin,
        idempotencyKey: options.idempotencyKey,
      } as PublishRequest;
      await withClient(options, async (client) => {
        client.session.governed = true; // an agent may be the caller
        const result = await client.publishMessage(request);
        show(options, result, renderPublish(result));
        printWarnings(result.warnings);
      });
    });
}

export function check(grammar: Grammar): void {
  operation(
    grammar,
    "check",
    "coord check --pending                   what you still have to acknowledge, oldest first",
    "coord check --wait 50                   wait for a message",
    "coord check --from backend --limit 5    the newest five from backend",
    "coord check --from $CLAUDE_INSTANCE_ID  what you sent, and who has acknowledged it",
    "coord check --all --since msg-hoggrkz047",
  )
    .option("--pending", about("check", "pending_only"))
    .option("--all", about("check", "all"))
    .option("--to <instance>", about("check", "to_instance"))
    .option("--from <instance>", "Only from this sender")
    .option("--type <type>", `Only this type: ${TYPES}`)
    .option("--thread <id>", about("check", "thread"))
    .option("--since <id>", "Only newer messages, oldest first")
    .option("--before <id>", "Only older messages")
    .option("--limit <n>", `${about("check", "limit")}, default ${LIMITS.list_default}`, numberOrText)
    .option(
      "--wait <seconds>",
      `Wait for a match, up to ${LIMITS.wait_seconds_maximum}; exit 75 when none came`,
      numberOrText,
    )
    .addOption(peek())
    .addOption(take())
    .addOption(json())
    .action(async ({ pending, wait, ...options }: ReadingOptions & CheckOptions) => {
      const request: CheckRequest = { ...options, pendingOnly: pending, waitSeconds: wait };
      await withReader(options, async (client, look) => {
        const { result, confirm } = await new Mailbox(client).lookAtMessages(request, look);
        show(options, result, renderCheck(result, pending ? "Nothing pending." : "No messages."));
        if (!options.json && result.more) print(`\nMore: coord check with ${moreHint(request, result)}`);
        await confirmWritten(confirm);
        saidLooking(options, result);
        if (wait !== undefined && result.count + result.unreadable.length === 0) grammar.finish(EXIT.timedOut);
      });
    });
}

export function search(grammar: Grammar): void {
  command(
    grammar,
    "search",
    "Find messages by their words, newest first; nothing is marked",
    "coord search login form                       both words, in any order",
    `coord search '"login form"' -draft            this phrase, without that word`,
    "coord search login from:backend to:frontend   also to:all, type:GENERAL, thread:<id>, id:<id>",
    "coord search is:pending before:2026-11-30     is:pending, is:dead or is:unread; an id or a date in UTC",
    "coord search -from:backend after:msg-hoggrkz047",
  )
    .argument("<query...>", "What to look for, in subjects, descriptions and comments")
    .option("--before <id>", "Only older messages: goes on where a search has ended")
    .option("--limit <n>", `${about("check", "limit")}, default ${LIMITS.list_default}`, numberOrText)
    .addOption(json())
    .action(async (words: string[], options: Shared & { before?: string; limit?: number }) => {
      const { before, limit } = options;
      await withReader(options, async (client, look) => {
        const result = await new Mailbox(client).searchMessages(words.join(" "), { before, limit }, { look });
        show(options, result, renderSearch(result));
        if (!options.json && result.more) print(`\nMore: coord search with --before ${result.nextBefore}`);
      });
    });
}

export function ack(grammar: Grammar): void {
  operation(
    grammar,
    "ack",
    "coord ack msg-hoggrkz047",
    'coord ack msg-hoggrkz047 msg-hoggrkz5ww --comment "done in 3f2a1c"',
  )
    .argument("<message-id...>", "Ids of messages addressed to you")
    .option("--comment <comment>", about("ack", "comment"))
    .addOption(json())
    .action(async (ids: string[], options: Shared & { comment?: string }) => {
      await withClient(options, async (client) => {
        // One id is one operation: its refusal is the refusal of the command.
        const results =
          ids.length === 1 ? [await client.ackMessage(ids[0]!, options)] : await client.ackMessage(ids, options);
        const refused = results.filter((result) => "code" in result);
        const result = ids.length === 1 ? results[0]! : { success: refused.length === 0, results };
        show(options, result, results.map(renderAck).join("\n"));
        if (refused.length === 0) return;
        printWarnings([`${refused.length} of ${ids.length} messages were not acknowledged.`]);
        grammar.finish(EXIT.refused);
      });
    });
}

export function notifications(grammar: Grammar): void {
  operation(grammar, "notifications", "coord notifications", "coord notifications --limit 10 --json")
    .option("--limit <n>", `${about("notifications", "limit")}, default ${LIMITS.list_default}`, numberOrText)
    .addOption(peek())
    .addOption(take())
    .addOption(json())
    .action(async (options: ReadingOptions & { limit?: number }) => {
      await withReader(options, async (client, look) => {
        const { result, confirm } = await new Mailbox(client).lookAtNotifications(options.limit, look);
        show(options, result, renderNotifications(result));
        await confirmWritten(confirm);
        saidLooking(options, result);
      });
    });
}

export function showMessage(grammar: Grammar): void {
  command(
    grammar,
    "show",
    "Show one message and what became of it for each recipient",
    "coord show msg-hoggrkz047",
    "coord show msg-hoggrkz047 --thread",
  )
    .argument("<message-id>")
    .option("--thread", "The whole conversation, oldest first, and who still has to acknowledge what")
    .addOption(peek())
    .addOption(take())
    .addOption(json())
    .action(async (id: string, options: ReadingOptions & { thread?: true }) => {
      await withReader(options, async (client, look) => {
        const { result, confirm } = await new Mailbox(client).takeShown(id, options.thread === true, look);
        show(options, result, renderShown(result));
        await confirmWritten(confirm);
        saidLooking(options, result);
      });
    });
}

function moreHint(
  request: CheckRequest,
  { nextSince, nextBefore }: { nextSince?: string; nextBefore?: string },
): string {
  return request.pendingOnly || request.since !== undefined ? `--since ${nextSince}` : `--before ${nextBefore}`;
}
