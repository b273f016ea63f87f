/** The commands: grammar, help, and what each calls. Texts of arguments come from the table of operations. */
import { Command, Option } from "commander";
import { CoordinationClient } from "../../client/client.ts";
import { resolveSettings } from "../../client/settings.ts";
import { LIMITS, MESSAGE_TYPES } from "../../protocol/definition.ts";
import { CoordinationError } from "../../protocol/errors.ts";
import { OPERATIONS, type OperationName } from "../../protocol/operations.ts";
import type { CheckRequest, PublishRequest } from "../../protocol/results.ts";
import { invalid, shown } from "../../protocol/validation.ts";
import { VERSION } from "../../protocol/version.ts";
import { successToWire } from "../../protocol/wire.ts";
import { completionScript } from "./completion.ts";
import { readText } from "./input.ts";
import { EXIT, flushed, print, printJson, printWarnings } from "./outcome.ts";
import * as render from "./render.ts";
import { AGENTS } from "../../setup/agents.ts";
import type * as SetUp from "./setup.ts";
import { statusLine } from "./statusline.ts";
import { addUpkeep } from "./upkeep.ts";
import { followEvents } from "./watch.ts";

/** Surfaces that are loaded only when they are asked for; src/main.ts knows where they are. */
export interface LazySurfaces {
  serveMcp(instanceId: string | undefined): Promise<void>;
  playDemo(): Promise<boolean>;
}

interface Shared {
  instance?: string;
  json?: true;
}

/**
 * @param asked the command that is to run
 * @param finish is told the exit code
 */
export function buildProgram(
  asked: string | undefined,
  surfaces: LazySurfaces,
  finish: (code: number) => void,
): Command {
  const program = new Command("coord")
    .description("Messages between parallel CLI coding agents, over Redis.")
    .version(VERSION, "-v, --version")
    .helpCommand(false)
    .addHelpText(
      "before",
      examples(
        "coord up                                                    a Redis of your own, if you have none",
        "export CLAUDE_INSTANCE_ID=backend                           who you are",
        'coord publish READY_FOR_REVIEW "login" "Branch feat/login"  to the orchestrator',
        "coord check --pending                                       what waits for you",
        'coord ack msg-hoggrkz047 --comment "merged"                 it is done',
        "coord presence                                              who is there",
      ),
    )
    .addHelpText("after", EPILOGUE);

  const command = (grammar: string, description: string, ...lines: string[]): Command =>
    program
      .command(grammar)
      .description(description)
      .addHelpText("before", examples(...lines))
      .addOption(instanceOption());
  const operation = (name: OperationName, grammar: string, ...lines: string[]): Command =>
    command(grammar, OPERATIONS[name].title, ...lines);
  const about = (name: OperationName, argument: string): string => {
    const { description, minimum, maximum } = OPERATIONS[name].arguments[argument]!.schema;
    return description ?? (minimum === undefined ? "" : `${minimum}-${maximum}`);
  };
  const json = (): Option => new Option("--json", "Print JSON");
  const types = MESSAGE_TYPES.join(", ");

  // The commands that run all the time: each is described alone, and does not wait for the rest.
  const daily: Record<string, () => Command> = {
    publish: () =>
      operation(
        "publish",
        "publish",
        'coord publish READY_FOR_REVIEW "login form" "Branch feat/login, tests pass"',
        'coord publish REVIEW_FAILED "login form" "No tests for logout" --reply-to msg-hoggrkz047',
        'git diff main | coord publish GENERAL "my diff" - --to backend',
      )
        .argument("<type>", types)
        .argument("<subject>", about("publish", "subject"))
        .argument("<description>", 'The text, up to 64 KiB; "-" reads standard input')
        .option("--to <instance>", about("publish", "to_instance"))
        .option("--no-ack", "Ask for no acknowledgement")
        .option("--reply-to <id>", about("publish", "reply_to"))
        .option(
          "--ack-within <seconds>",
          "Announce it again where it is not acknowledged by then; 0 never",
          numberOrText,
        )
        .option("--idempotency-key <key>", "Repeat safely for 24 hours: the same key and content is stored once")
        .addOption(json())
        .action(async (type: string, subject: string, description: string, options: Shared & PublishOptions) => {
          const request = {
            type,
            subject,
            description: description === "-" ? await readText(process.stdin) : description,
            to: options.to,
            requiresAck: options.ack ? undefined : false,
            replyTo: options.replyTo,
            ackWithin: options.ackWithin,
            idempotencyKey: options.idempotencyKey,
          } as PublishRequest;
          await withClient(options, async (client) => {
            const result = await client.publishMessage(request);
            show(options, result, render.renderPublish(result));
            printWarnings(result.warnings);
          });
        }),
    check: () =>
      operation(
        "check",
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
        .option("--type <type>", `Only this type: ${types}`)
        .option("--thread <id>", about("check", "thread"))
        .option("--since <id>", "Only newer messages, oldest first")
        .option("--before <id>", "Only older messages")
        .option("--limit <n>", `${about("check", "limit")}, default ${LIMITS.list_default}`, numberOrText)
        .option(
          "--wait <seconds>",
          `Wait for a match, up to ${LIMITS.wait_seconds_maximum}; exit 75 when none came`,
          numberOrText,
        )
        .addOption(json())
        .action(async ({ pending, wait, ...options }: Shared & CheckOptions) => {
          const request: CheckRequest = { ...options, pendingOnly: pending, waitSeconds: wait };
          await withClient(options, async (client) => {
            const { result, confirm } = await client.takeMessages(request);
            show(options, result, render.renderCheck(result, pending ? "Nothing pending." : "No messages."));
            if (!options.json && result.more) print(`\nMore: coord check with ${moreHint(request, result)}`);
            await confirmWritten(confirm);
            if (wait !== undefined && result.count + result.unreadable.length === 0) finish(EXIT.timedOut);
          });
        }),
    ack: () =>
      operation(
        "ack",
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
            show(options, result, results.map(render.renderAck).join("\n"));
            if (refused.length === 0) return;
            printWarnings([`${refused.length} of ${ids.length} messages were not acknowledged.`]);
            finish(EXIT.refused);
          });
        }),
  };
  if (asked !== undefined && Object.hasOwn(daily, asked)) {
    daily[asked]!();
    return program;
  }
  for (const describe of Object.values(daily)) describe();

  operation(
    "presence",
    "presence",
    "coord presence",
    "coord presence --json | jq '.instances[].status'",
    'coord presence --activity "reviewing feat/login"',
  )
    .option("--activity <line>", "Say what you are doing; empty removes it")
    .addOption(json())
    .action(async (options: Shared & { activity?: string }) => {
      await withClient(options, async (client) => {
        if (options.activity !== undefined) await client.setActivity(options.activity);
        const result = await client.getPresence();
        show(options, result, render.renderPresence(result));
      });
    });

  operation("notifications", "notifications", "coord notifications", "coord notifications --limit 10 --json")
    .option("--limit <n>", `${about("notifications", "limit")}, default ${LIMITS.list_default}`, numberOrText)
    .addOption(json())
    .action(async (options: Shared & { limit?: number }) => {
      await withClient(options, async (client) => {
        const { result, confirm } = await client.takeNotifications({ limit: options.limit });
        show(options, result, render.renderNotifications(result));
        await confirmWritten(confirm);
      });
    });

  command(
    "show",
    "Show one message with everybody's receipts",
    "coord show msg-hoggrkz047",
    "coord show msg-hoggrkz047 --thread",
  )
    .argument("<message-id>")
    .option("--thread", "The whole conversation, oldest first")
    .addOption(json())
    .action(async (id: string, options: Shared & { thread?: true }) => {
      await withClient(options, async (client) => {
        const result = await client.showMessage(id, { thread: options.thread === true, mark: false });
        show(options, result, render.renderCheck(result, ""));
        if (client.settings.instanceId !== undefined) await confirmWritten(() => client.confirmShown(result));
      });
    });

  command("stats", "Count what the namespace holds", "coord stats", "coord stats --json | jq .pending")
    .addOption(json())
    .action(async (options: Shared) => {
      await withClient(options, async (client) => {
        const result = await client.getStats();
        show(options, result, render.renderStats(result));
      });
    });

  addUpkeep({ command, json, number: numberOrText, withClient, show });

  command(
    "forget",
    "Take an instance out of presence and broadcasts; its messages stay",
    "coord forget old-feature",
    "coord forget --unseen 7d   all that were not seen for a week",
  )
    .argument("[name]", "The instance to forget")
    .option("--unseen <time>", "Instead of one: all that were not seen for so long, as 30m, 12h or 7d")
    .addOption(json())
    .action(async (name: string | undefined, options: Shared & { unseen?: string }) => {
      const seconds = unseenSeconds(name, options.unseen);
      await withClient(options, async (client) => {
        if (seconds !== undefined) {
          const result = await client.forgetUnseen(seconds);
          show(options, result, render.renderForgetUnseen(result));
          return;
        }
        const result = await client.forgetInstance(name!);
        show(options, result, render.renderForget(result));
      });
    });

  command(
    "watch",
    "Follow what happens, live",
    "coord watch                     everything in the namespace",
    "coord watch --only feature-auth  what concerns one instance",
  )
    .option("--only <instance>", "Only what is sent to or by this instance, or acknowledged by it")
    .option("--json", "One event a line")
    .action(async (options: Shared & { only?: string }) => {
      const settings = resolveSettings({ instanceId: options.instance });
      await followEvents(settings, options.only, options.json === true);
    });

  command(
    "statusline",
    "One line for the status line of an agent: unread, pending, who is active",
    "coord statusline",
  ).action(async (options: Shared) => print(await statusLine(options.instance)));

  command(
    "mcp",
    "Serve the MCP tools on standard input and output",
    "claude mcp add coord -e CLAUDE_INSTANCE_ID=backend -- coord mcp",
  ).action((options: Shared) => surfaces.serveMcp(options.instance));

  command(
    "init",
    "Set up this worktree: a name, the tools and the hooks for its agent",
    "coord init",
    "coord init --instance backend --agent codex",
    "coord init --dry-run       what would change",
    "coord init --remove        take it out again",
  )
    .addOption(agentOption())
    .option("--dry-run", "Show the difference, write nothing")
    .option("--remove", "Take out what init added, of all agents or those given")
    .addOption(json())
    .action(async (options: SetUp.InitCommand) => finish(await (await loadSetUp()).init(options)));

  program
    .command("worktree")
    .description("Make a git worktree with its branch and instance, ready for its agent")
    .addHelpText(
      "before",
      examples("coord worktree add login", "coord worktree add login --branch feat/login --from main --agent codex"),
    )
    .addArgument(program.createArgument("<action>").choices(["add"]))
    .argument("<name>", "The name of the instance, and of the branch unless that is given")
    .option("--branch <branch>", "Created unless it exists")
    .option("--path <folder>", "Default ../<repository>-<name>")
    .option("--from <ref>", "Where a new branch begins; default what is checked out")
    .addOption(agentOption())
    .addOption(json())
    .action(async (_action: string, name: string, options: SetUp.WorktreeCommand) =>
      finish(await (await loadSetUp()).worktreeAdd(name, options)),
    );

  command("doctor", "Check everything that has to be right; exit 1 when something is wrong", "coord doctor")
    .addOption(json())
    .action(async (options: Shared) => finish(await (await loadSetUp()).doctor(options)));

  program
    .command("acl")
    .description("Print the Redis user that this namespace needs, and no more; PASSWORD stands for one of your own")
    .addHelpText(
      "before",
      examples(
        "coord acl --user agents | sed s/PASSWORD/s3cret/ | redis-cli",
        "REDIS_USERNAME=agents REDIS_PASSWORD=s3cret coord doctor",
      ),
    )
    .option("--user <name>", "Its name", "coord")
    .addOption(json())
    .action((options: Shared & { user: string }) => {
      const result = new CoordinationClient(resolveSettings()).accessRule(options.user);
      show(options, result, result.rule);
    });

  program
    .command("up")
    .description("Start a Redis of your own on REDIS_PORT, durable, on loopback only")
    .addHelpText("before", examples("coord up", "REDIS_PORT=6400 coord up"))
    .addOption(json())
    .action(async (options: Shared) =>
      finish(await (await import("./local-redis.ts")).startRedis(options.json === true)),
    );

  program
    .command("down")
    .description("Stop it again; its data stay")
    .addHelpText("before", examples("coord down"))
    .addOption(json())
    .action(async (options: Shared) =>
      finish(await (await import("./local-redis.ts")).stopRedis(options.json === true)),
    );

  program
    .command("demo")
    .description("Play a review and a contract between three agents, on a throwaway Redis")
    .addHelpText("before", examples("coord demo"))
    .action(async () => finish((await surfaces.playDemo()) ? EXIT.done : EXIT.refused));

  program
    .command("completion")
    .description("Print the completion script of a shell")
    .addHelpText("before", examples('eval "$(coord completion bash)"', "coord completion fish | source"))
    .addArgument(program.createArgument("<shell>").choices(["bash", "zsh", "fish"]))
    .action((shell: string) => print(completionScript(program, shell)));

  return program;
}

const EPILOGUE = `
Environment: CLAUDE_INSTANCE_ID, REDIS_URL or REDIS_HOST and REDIS_PORT, COORD_KEY_PREFIX; or .coord.json in the project.
Exit codes: 0 done, 1 refused, 64 usage, 69 Redis unreachable, 74 output not written, 75 timed out.`;

interface PublishOptions {
  to?: string;
  /** False with --no-ack. */
  ack: boolean;
  replyTo?: string;
  ackWithin?: number;
  idempotencyKey?: string;
}

interface CheckOptions extends Omit<CheckRequest, "pendingOnly" | "waitSeconds"> {
  pending?: true;
  wait?: number;
}

function instanceOption(): Option {
  return new Option("--instance <name>", "Who you are; default CLAUDE_INSTANCE_ID");
}

/** Repeated for several. */
function agentOption(): Option {
  return new Option("--agent <agent...>", "Which agent works here, repeated for several; default claude").choices(
    AGENTS,
  );
}

/** A program of its own: only these commands need git and the parsers. */
function loadSetUp(): Promise<typeof SetUp> {
  return import("./setup.ts");
}

function examples(...lines: string[]): string {
  return `Examples:\n${lines.map((line) => `  ${line}\n`).join("")}`;
}

/** What is no number goes to the validation as it is, which names the field and the limit. */
function numberOrText(value: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}

const SECONDS: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400 };

/** @throws CoordinationError INVALID, also where both or neither of a name and a time are given */
function unseenSeconds(name: string | undefined, unseen: string | undefined): number | undefined {
  if ((name === undefined) === (unseen === undefined)) {
    throw invalid(
      name === undefined ? "name is missing." : `name is ${shown(name)} and unseen is ${shown(unseen)}: one of them.`,
      "Give a name, or --unseen with a time.",
    );
  }
  if (unseen === undefined) return undefined;
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(unseen) ?? [];
  if (count === undefined) throw invalid(`unseen is ${shown(unseen)}: not a time.`, "Write 30m, 12h or 7d.");
  return Number(count) * SECONDS[unit!]!;
}

function moreHint(
  request: CheckRequest,
  { nextSince, nextBefore }: { nextSince?: string; nextBefore?: string },
): string {
  return request.pendingOnly || request.since !== undefined ? `--since ${nextSince}` : `--before ${nextBefore}`;
}

async function withClient(options: Shared, use: (client: CoordinationClient) => Promise<void>): Promise<void> {
  const client = new CoordinationClient(resolveSettings({ instanceId: options.instance }));
  try {
    await use(client);
  } finally {
    client.close();
  }
}

/** Only what was written counts as shown; the rest comes again. */
async function confirmWritten(confirm: () => Promise<void>): Promise<void> {
  await flushed();
  try {
    await confirm();
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    printWarnings([`This will be shown as new once more: ${error.message}`]);
  }
}

function show(options: Shared, result: object, text: string): void {
  if (options.json) printJson(successToWire(result));
  else print(text);
}
