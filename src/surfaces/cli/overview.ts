/** `coord` alone: where one is, who is there, what waits, and what comes next. It looks only, and is no sign of life. */
import { type Attention, type Need, whatNeedsAttention } from "../../client/attention.ts";
import { CoordinationClient } from "../../client/client.ts";
import { serverAddress } from "../../client/inspection.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { resolveSettings, type Settings } from "../../client/settings.ts";
import { LIMITS, PEOPLE_NAMES } from "../../protocol/definition.ts";
import { CoordinationError } from "../../protocol/errors.ts";
import type { InstancePresence, InstanceStats } from "../../protocol/results.ts";
import { visible, visibleLine } from "../../protocol/text.ts";
import { describeNeed, remedyOf } from "./needs.ts";
import { EXIT, exitCodeOf, print } from "./outcome.ts";
import { colorsFor } from "./terminal.ts";
import { whoIsThere } from "./there.ts";

const { bold, dim, yellow, red } = colorsFor(process.stdout);
const NEEDS_LISTED = 5;
const NEXT_LISTED = 3;

type OwnMail = Pick<InstanceStats, "unread" | "pending">;
/** A command and what it does. */
type Next = readonly [command: string, does: string];

const BEGIN: readonly Next[] = [
  ["coord up", "start a Redis of your own, where none runs yet"],
  ["coord init", "in a repository: a name, the tools and the hooks for its agent"],
  ["coord demo", "see three agents review and agree on a contract"],
];

/** @returns the exit code */
export async function showOverview(): Promise<number> {
  const settings = resolveSettings();
  const { instanceId, sources } = settings;
  if (sources.surroundings.project === undefined && instanceId === undefined && sources.keyPrefix === undefined) {
    print(`Messages between parallel CLI coding agents, over Redis.\nThis folder is in no project yet. To begin:\n`);
    print(`${commands(BEGIN)}\n\n${HELP}`);
    return EXIT.done;
  }
  print(whereAmI(settings));
  try {
    print(await whatGoesOn(settings));
    return EXIT.done;
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    const { message, hint } = error;
    print(`\n${red("Redis does not answer")}: ${visible(message)}\n${visible(hint)}\n\nNext:`);
    print(`${commands([["coord doctor", "what is wrong, and what to do about it"]])}\n\n${HELP}`);
    return exitCodeOf(error);
  }
}

const HELP = "All commands by task: coord --help";

function whereAmI(settings: Settings): string {
  const { instanceId, keyPrefix, sources } = settings;
  const name = instanceId === undefined ? yellow("without a name here") : `as ${bold(instanceId)}`;
  const lines = [`${bold(visibleLine(keyPrefix))} on ${visibleLine(serverAddress(settings))}, ${name}`];
  const { reason } = sources.nameless;
  if (instanceId === undefined && reason !== undefined) lines.push(dim(`  ${visibleLine(reason)}`));
  return lines.join("\n");
}

async function whatGoesOn(settings: Settings): Promise<string> {
  const nobody = { ...settings, agentSessionId: undefined, instanceId: undefined };
  await using person = new CoordinationClient({ ...nobody, instanceId: PEOPLE_NAMES[0] });
  await using client = new CoordinationClient(nobody);
  const [{ instances }, stats, attention] = await Promise.all([
    client.getPresence(),
    client.getStats(),
    whatNeedsAttention(person),
  ]);
  const me = settings.instanceId;
  const own = me === undefined ? undefined : (stats.instances[me] ?? (await firstMail({ ...nobody, instanceId: me })));
  const others = Object.values(instances).filter(({ instanceId }) => instanceId !== me);
  return [
    "",
    whoIsThere(others),
    ...whatWaits(own, attention),
    "",
    "Next:",
    commands(nextOf(own, attention, others, me)),
    "",
    HELP,
  ].join("\n");
}

/** Who was never seen is not among those that are counted, and may have mail all the same. */
async function firstMail(settings: Settings): Promise<OwnMail> {
  await using client = new CoordinationClient(settings);
  const { result } = await new Mailbox(client).lookAtMessages({ limit: LIMITS.list_maximum }, "peek");
  return { unread: result.count, pending: result.messages.filter(({ requiresAck }) => requiresAck).length };
}

function whatWaits(own: OwnMail | undefined, { needs, more }: Attention): string[] {
  const lines: string[] = [];
  if (own !== undefined && own.unread + own.pending > 0)
    lines.push(`For you: ${own.unread} unread, ${own.pending} to be acknowledged`);
  if (needs.length > 0) lines.push("", yellow(`Needs a person: ${needs.length}${more ? " or more" : ""}`));
  for (const need of needs.slice(0, NEEDS_LISTED)) lines.push(`  ${describeNeed(need)}`);
  if (needs.length > NEEDS_LISTED) lines.push(dim(`  and ${needs.length - NEEDS_LISTED} more`));
  if (lines.length === 0) lines.push(`Waits: ${dim("nothing")}`);
  return lines;
}

/** What has to be done first, filled up with what can always be done. */
function nextOf(
  own: OwnMail | undefined,
  { needs }: Attention,
  others: readonly InstancePresence[],
  me: string | undefined,
): readonly Next[] {
  const next: Next[] = [];
  if (own !== undefined && own.pending > 0) next.push(["coord check --pending", "what you have to acknowledge"]);
  else if (own !== undefined && own.unread > 0) next.push(["coord check", "what is new for you"]);
  const first: Need | undefined = needs[0];
  if (first !== undefined) next.push([remedyOf(first), describeNeed(first)]);
  if (me === undefined) next.push(["coord init", "give this worktree a name"]);
  if (others.length === 0) next.push(["coord worktree add login", "a worktree with an agent of its own"]);
  next.push(
    ["coord watch", "follow what happens, live"],
    ["coord publish GENERAL hello hi --to all", "say something to everybody"],
    ["coord presence", "who is there, and what they do"],
  );
  return next.slice(0, NEXT_LISTED);
}

function commands(next: readonly Next[]): string {
  const width = Math.max(...next.map(([command]) => command.length));
  return next.map(([command, does]) => `  ${bold(command.padEnd(width))}  ${dim(does)}`).join("\n");
}
