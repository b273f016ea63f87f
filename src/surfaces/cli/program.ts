/** `coord`: its commands in the order of its help, and what is said of all of them. */
import { Command } from "commander";
import { VERSION } from "../../protocol/version.ts";
import * as messages from "./commands/messages.ts";
import { notify } from "./commands/notify.ts";
import * as presence from "./commands/presence.ts";
import * as server from "./commands/server.ts";
import * as setup from "./commands/setup.ts";
import * as upkeep from "./commands/upkeep.ts";
import { completionScript } from "./completion.ts";
import { command, examples, type Grammar, type LazySurfaces, plainCommand, type Shared } from "./grammar.ts";
import { print } from "./outcome.ts";

type Add = (grammar: Grammar) => void;

/** By what somebody wants to do. */
const TASKS: Readonly<Record<string, Readonly<Record<string, Add>>>> = {
  "Say and answer:": {
    publish: messages.publish,
    check: messages.check,
    search: messages.search,
    show: messages.showMessage,
    ack: messages.ack,
    notifications: messages.notifications,
  },
  "See who is there and what goes on:": {
    presence: presence.presence,
    ui: presence.ui,
    watch: presence.watch,
    notify,
    stats: presence.stats,
    whoami: presence.whoami,
    statusline: presence.statusline,
  },
  "Set up a project and its agents:": {
    init: setup.init,
    worktree: setup.worktree,
    join: setup.join,
    doctor: setup.doctor,
    mcp,
    completion,
  },
  "Look after what nobody answers:": {
    dead: upkeep.dead,
    drop: upkeep.drop,
    forget: upkeep.forget,
    sweep: upkeep.sweep,
    settings: upkeep.namespaceSettings,
  },
  "Take along, and Redis:": {
    move: upkeep.move,
    export: upkeep.exportNamespace,
    import: upkeep.importNamespace,
    up: server.up,
    down: server.down,
    acl: server.acl,
    invite: server.invite,
    demo: server.demo,
  },
};
const COMMANDS: Readonly<Record<string, Add>> = Object.assign({}, ...Object.values(TASKS));

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
        "coord                                                       where am I, who is there, what waits, what comes next",
        "coord up                                                    a Redis of your own, if you have none",
        "coord init                                                  a name, the tools and the hooks for the agent here",
        'coord publish READY_FOR_REVIEW "login" "Branch feat/login"  to the orchestrator',
        "coord check --pending                                       what waits for you",
        'coord ack msg-hoggrkz047 --comment "merged"                 it is done',
        "coord presence                                              who is there",
      ),
    )
    .addHelpText("after", EPILOGUE);

  const grammar = { program, surfaces, finish };
  // The one that is asked for is described alone, and does not wait for the rest; only the completion script tells of all.
  if (asked !== undefined && asked !== "completion" && Object.hasOwn(COMMANDS, asked)) COMMANDS[asked]!(grammar);
  else {
    for (const [task, commands] of Object.entries(TASKS)) {
      program.commandsGroup(task);
      for (const add of Object.values(commands)) add(grammar);
    }
  }
  return program;
}

const EPILOGUE = `
Environment: CLAUDE_INSTANCE_ID, REDIS_URL or REDIS_HOST and REDIS_PORT, COORD_KEY_PREFIX;
in a project of coord init its register, and COORD_REDIS_URL or COORD_REDIS_HOST and COORD_REDIS_PORT before it.
Exit codes: 0 done, 1 refused, 64 usage, 69 Redis unreachable, 74 output not written, 75 timed out.`;

function mcp(grammar: Grammar): void {
  command(
    grammar,
    "mcp",
    "Serve the MCP tools on standard input and output",
    "claude mcp add coord -e CLAUDE_INSTANCE_ID=backend -- coord mcp",
  ).action((options: Shared) => grammar.surfaces.serveMcp(options.instance));
}

function completion(grammar: Grammar): void {
  plainCommand(
    grammar,
    "completion",
    "Print the completion script of a shell",
    'eval "$(coord completion bash)"',
    "coord completion fish | source",
  )
    .addArgument(grammar.program.createArgument("<shell>").choices(["bash", "zsh", "fish"]))
    .action((shell: string) => print(completionScript(grammar.program, shell)));
}
