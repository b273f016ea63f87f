/** The state machine's scripts with their arguments by name, in the order the script unpacks them (a test compares). */
import ack from "../../lua/ack.lua";
import beat from "../../lua/beat.lua";
import check from "../../lua/check.lua";
import collect from "../../lua/collect.lua";
import confirm from "../../lua/confirm.lua";
import dead from "../../lua/dead.lua";
import exportPage from "../../lua/export.lua";
import forget from "../../lua/forget.lua";
import glance from "../../lua/glance.lua";
import join from "../../lua/join.lua";
import leave from "../../lua/leave.lua";
import notifications from "../../lua/notifications.lua";
import presence from "../../lua/presence.lua";
import publish from "../../lua/publish.lua";
import register from "../../lua/register.lua";
import restore from "../../lua/restore.lua";
import settings from "../../lua/settings.lua";
import show from "../../lua/show.lua";
import stats from "../../lua/stats.lua";
import sweep from "../../lua/sweep.lua";
import touch from "../../lua/touch.lua";
import waker from "../../lua/waker.lua";

/** As the build and the test runner import it, see tools/lua.mjs. */
interface LuaScript {
  readonly sha: string;
  readonly source: string;
}

/** A class, since a getter of its own for each took more memory at the start of every command. */
export class Script {
  readonly #verb: LuaScript;
  readonly sha: string;
  readonly args: readonly string[];
  /** Running it twice does no more than running it once, so it may be sent again when an answer was lost. */
  readonly repeatable: boolean;

  constructor(verb: LuaScript, args: readonly string[], repeatable = true) {
    this.#verb = verb;
    this.sha = verb.sha;
    this.args = args;
    this.repeatable = repeatable;
  }

  /** Put together where it is asked for: where Redis does not have the script. */
  get source(): string {
    return this.#verb.source;
  }
}

// prettier-ignore
const ARGUMENTS = {
  publish: ["instance", "session", "type", "to", "subject", "description", "requires_ack", "ack_within", "reply_to",
    "idempotency_key", "direction", "orchestrator", "unknown", "settings"],
  check: ["instance", "session", "inbox", "from", "type", "thread", "since", "before", "pending", "unread", "limit",
    "bytes", "description_bytes", "mark"],
  show: ["instance", "session", "message_id", "thread", "since", "limit", "mark"],
  /** The ids follow as further arguments; likewise for confirm and dead, and the values for restore. */
  ack: ["instance", "session", "comment"],
  notifications: ["instance", "session", "limit", "bytes", "loan_seconds", "confirmed"],
  collect: ["instance", "session", "moment", "waker", "limit", "bytes", "description_bytes", "loan_seconds"],
  confirm: ["instance", "session", "loan", "reminded", "shown"],
  presence: ["instance", "session", "cursor"],
  stats: ["instance", "session", "cursor"],
  touch: ["instance", "session"],
  glance: ["instance", "session"],
  join: ["instance", "facts", "id", "host", "agent_pid", "yield", "offline_seconds", "tell"],
  beat: ["instance", "session", "activity"],
  leave: ["instance", "session"],
  waker: ["instance", "session", "waker", "seconds"],
  sweep: ["instance", "session", "orchestrator"],
  dead: ["instance", "session", "action", "limit", "cursor"],
  settings: ["instance", "session", "name", "value", "settings"],
  export: ["instance", "session", "part", "cursor"],
  restore: ["instance", "session", "part", "name"],
  register: ["instance"],
  forget: ["instance", "unseen_seconds"],
} as const;

export type ScriptName = keyof typeof ARGUMENTS;
export type ScriptArguments<N extends ScriptName> = Record<(typeof ARGUMENTS)[N][number], string>;

export const SCRIPTS: Readonly<Record<ScriptName, Script>> = {
  publish: new Script(publish, ARGUMENTS.publish),
  check: new Script(check, ARGUMENTS.check),
  show: new Script(show, ARGUMENTS.show),
  ack: new Script(ack, ARGUMENTS.ack),
  // Taking events: a repeat takes the next ones, and the first come again only when their loan has run out.
  notifications: new Script(notifications, ARGUMENTS.notifications, false),
  collect: new Script(collect, ARGUMENTS.collect, false),
  confirm: new Script(confirm, ARGUMENTS.confirm),
  presence: new Script(presence, ARGUMENTS.presence),
  stats: new Script(stats, ARGUMENTS.stats),
  touch: new Script(touch, ARGUMENTS.touch),
  glance: new Script(glance, ARGUMENTS.glance),
  join: new Script(join, ARGUMENTS.join),
  beat: new Script(beat, ARGUMENTS.beat),
  leave: new Script(leave, ARGUMENTS.leave),
  waker: new Script(waker, ARGUMENTS.waker),
  sweep: new Script(sweep, ARGUMENTS.sweep),
  // Retried twice, a message that has died again in between would be retried twice: it is then not listed any more.
  dead: new Script(dead, ARGUMENTS.dead, false),
  settings: new Script(settings, ARGUMENTS.settings),
  export: new Script(exportPage, ARGUMENTS.export),
  restore: new Script(restore, ARGUMENTS.restore),
  register: new Script(register, ARGUMENTS.register),
  forget: new Script(forget, ARGUMENTS.forget),
};
