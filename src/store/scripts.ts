/** The state machine's scripts with their arguments by name, in the order the script unpacks them (a test compares). */
import { sums } from "lua:sums";

// prettier-ignore
const ARGUMENTS = {
  publish: ["instance", "session", "type", "to", "subject", "description", "requires_ack", "ack_within", "reply_to",
    "idempotency_key", "direction", "orchestrator", "unknown", "settings", "governed", "via"],
  check: ["instance", "session", "inbox", "from", "type", "thread", "since", "before", "pending", "unread", "limit",
    "bytes", "description_bytes", "mark"],
  /** The conditions follow as further arguments, names and values in turn. */
  search: [
    "instance",
    "session",
    "before",
    "limit",
    "bytes",
    "description_bytes",
    "continued",
    "look",
    "cursor",
  ],
  show: ["instance", "session", "message_id", "thread", "since", "limit", "mark"],
  /** The ids follow as further arguments; likewise for confirm and dead, and the values for restore. */
  ack: ["instance", "session", "comment"],
  notifications: ["instance", "session", "limit", "bytes", "loan_seconds", "confirmed", "look"],
  collect: ["instance", "session", "moment", "waker", "limit", "bytes", "description_bytes", "loan_seconds"],
  confirm: ["instance", "session", "loan", "reminded", "shown"],
  presence: ["instance", "session", "cursor"],
  stats: ["instance", "session", "cursor"],
  touch: ["instance", "session"],
  glance: ["instance", "session"],
  join: [
    "instance",
    "facts",
    "id",
    "run",
    "surface",
    "mode",
    "named",
    "gone",
    "offline_seconds",
    "alive_seconds",
    "tell",
  ],
  beat: ["instance", "session", "activity", "doing"],
  leave: ["instance", "session", "server", "run"],
  waker: ["instance", "session", "waker", "again"],
  sweep: ["instance", "session", "orchestrator"],
  overdue: ["instance", "session", "limit", "cursor"],
  times: ["instance", "session", "seconds", "cursor"],
  claim: ["instance", "session", "notifier", "thing", "seconds", "told"],
  dead: ["instance", "session", "action", "limit", "cursor", "orchestrator"],
  settings: ["instance", "session", "name", "value", "settings"],
  export: ["instance", "session", "part", "cursor"],
  restore: ["instance", "session", "part", "name"],
  register: ["instance"],
  forget: ["instance", "unseen_seconds"],
} as const;

export type ScriptName = keyof typeof ARGUMENTS;
export type ScriptArguments<N extends ScriptName> = Record<(typeof ARGUMENTS)[N][number], string>;

/** All others may be sent again when an answer was lost: running them twice does no more than running them once. */
const ONCE: readonly string[] = [
  // Taking events: a repeat takes the next ones, and the first come again only when their loan has run out.
  "notifications",
  "collect",
  // Retried twice, a message that has died again in between would be retried twice: it is then not listed any more.
  "dead",
] satisfies ScriptName[];

export interface Script {
  /** By which Redis knows it. */
  readonly sha: string;
  readonly args: readonly string[];
  readonly repeatable: boolean;
  /** Loaded where Redis does not have the script: a third of what a command would load. */
  readonly text: () => Promise<string>;
}

export const SCRIPTS: Readonly<Record<ScriptName, Script>> = Object.fromEntries(
  Object.entries(ARGUMENTS).map(([name, args]) => [name, describe(name, args)]),
) as Record<ScriptName, Script>;

function describe(name: string, args: readonly string[]): Script {
  const text = async (): Promise<string> => (await import("lua:texts")).texts[name]!;
  return { sha: sums[name]!, args, repeatable: !ONCE.includes(name), text };
}
