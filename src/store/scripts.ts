/** The state machine's scripts with their arguments by name, in the order the script unpacks them (a test compares). */
import { createHash } from "node:crypto";
import ack from "../../lua/ack.lua";
import check from "../../lua/check.lua";
import forget from "../../lua/forget.lua";
import notifications from "../../lua/notifications.lua";
import prelude from "../../lua/prelude.lua";
import presence from "../../lua/presence.lua";
import publish from "../../lua/publish.lua";
import show from "../../lua/show.lua";
import stats from "../../lua/stats.lua";
import touch from "../../lua/touch.lua";

export interface Script {
  readonly source: string;
  readonly sha: string;
  readonly args: readonly string[];
  /** Running it twice does no more than running it once, so it may be sent again when an answer was lost. */
  readonly repeatable: boolean;
}

// prettier-ignore
const ARGUMENTS = {
  publish: ["instance", "type", "to", "subject", "description", "requires_ack", "reply_to", "idempotency_key", "direction",
    "orchestrator", "unknown", "retention_days", "max_messages"],
  check: ["instance", "inbox", "from", "type", "thread", "since", "before", "pending", "unread", "limit", "budget", "cut"],
  show: ["instance", "message_id", "thread", "limit"],
  /** The ids follow as further arguments. */
  ack: ["instance", "comment"],
  notifications: ["instance", "limit", "budget"],
  presence: ["instance"],
  stats: ["instance"],
  touch: ["instance"],
  forget: ["instance"],
} as const;

export type ScriptName = keyof typeof ARGUMENTS;
export type ScriptArguments<N extends ScriptName> = Record<(typeof ARGUMENTS)[N][number], string>;

export const SCRIPTS: Readonly<Record<ScriptName, Script>> = {
  publish: script(publish, ARGUMENTS.publish),
  check: script(check, ARGUMENTS.check),
  show: script(show, ARGUMENTS.show),
  ack: script(ack, ARGUMENTS.ack),
  /** Takes events off the queue: a repeat would take the next ones. */
  notifications: script(notifications, ARGUMENTS.notifications, false),
  presence: script(presence, ARGUMENTS.presence),
  stats: script(stats, ARGUMENTS.stats),
  touch: script(touch, ARGUMENTS.touch),
  forget: script(forget, ARGUMENTS.forget),
};

/** The first line of a verb holds its flags and must come first; the prelude follows, then the verb. */
function script(verb: string, args: readonly string[], repeatable = true): Script {
  const end = verb.indexOf("\n") + 1;
  const source = verb.slice(0, end) + prelude + verb.slice(end);
  let sha: string | undefined;
  return {
    source,
    args,
    repeatable,
    get sha(): string {
      return (sha ??= createHash("sha1").update(source).digest("hex"));
    },
  };
}
