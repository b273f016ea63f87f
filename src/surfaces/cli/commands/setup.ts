/** The commands that set a project up for its agents; what they do is a program of its own. */
import { Option } from "commander";
import { AGENTS } from "../../../setup/agents.ts";
import { command, type Grammar, json, plainCommand, type Shared } from "../grammar.ts";
import type * as SetUp from "../setup.ts";

export function init(grammar: Grammar): void {
  command(
    grammar,
    "init",
    "Set up this worktree: a name, the tools and the hooks for its agent",
    "coord init",
    "coord init --instance backend --agent codex",
    "coord init --prefix coord-acme-shop  another namespace than that of the repository's name",
    "coord init --dry-run       what would change",
    "coord init --remove        take it out again",
  )
    .addOption(agentOption())
    .option("--prefix <prefix>", "The namespace of the project; default from the name of its remote")
    .option("--local", "Claude Code's hooks into .claude/settings.local.json, which is yours alone")
    .option(
      "--no-allow",
      "Have Claude Code ask before it calls a tool of coord; one that is woken then stands at a dialog",
    )
    .option("--take-over", "Take over what a .coord.json here holds, which is not read any more")
    .option("--dry-run", "Show the difference, write nothing")
    .option("--remove", "Take out what init added, of all agents or those given")
    .addOption(json())
    .action(async (options: SetUp.InitCommand) => grammar.finish(await (await loadSetUp()).init(options)));
}

export function worktree(grammar: Grammar): void {
  plainCommand(
    grammar,
    "worktree",
    "Make a git worktree with its branch and instance, ready for its agent; or remove all three",
    "coord worktree add login",
    "coord worktree add login --branch feat/login --from main --agent codex",
    "coord worktree remove login       the branch goes where it is merged",
  )
    .addArgument(grammar.program.createArgument("<action>").choices(["add", "remove"]))
    .argument("<name>", "The name of the instance, and of the branch unless that is given")
    .option("--branch <branch>", "Created unless it exists")
    .option("--path <folder>", "Default ../<repository>-<name>")
    .option("--from <ref>", "Where a new branch begins; default what is checked out")
    .addOption(agentOption())
    .addOption(json())
    .action(async (action: string, name: string, options: SetUp.WorktreeCommand) => {
      const { worktreeAdd, worktreeRemove } = await loadSetUp();
      grammar.finish(await (action === "add" ? worktreeAdd(name, options) : worktreeRemove(name, options)));
    });
}

export function join(grammar: Grammar): void {
  plainCommand(
    grammar,
    "join",
    "Set up this clone as coord invite on another machine says, which is read from standard input",
    "coord join            and paste what coord invite has printed",
    "coord join <invitation",
  )
    .addOption(agentOption())
    .addOption(json())
    .action(async (options: SetUp.JoinCommand) => grammar.finish(await (await loadSetUp()).join(options)));
}

export function doctor(grammar: Grammar): void {
  command(grammar, "doctor", "Check everything that has to be right; exit 1 when something is wrong", "coord doctor")
    .addOption(json())
    .action(async (options: Shared) => grammar.finish(await (await loadSetUp()).doctor(options)));
}

/** Repeated for several. */
function agentOption(): Option {
  return new Option(
    "--agent <agent...>",
    "Which agent works here, repeated for several; default claude; none where a plugin sets it up",
  ).choices([...AGENTS, "none"]);
}

/** A program of its own: only these commands need git and the parsers. */
function loadSetUp(): Promise<typeof SetUp> {
  return import("../setup.ts");
}
