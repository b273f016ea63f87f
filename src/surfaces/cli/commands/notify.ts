/** The command that tells a person outside of a terminal. */
import { command, type Grammar, json } from "../grammar.ts";
import type { NotifyCommand } from "../notify.ts";

export function notify(grammar: Grammar): void {
  command(
    grammar,
    "notify",
    "Be told on the desktop, by a webhook or a command of yours what needs you",
    "coord notify add desktop",
    "coord notify add webhook https://example.org/hook --level all",
    "coord notify add command -- ./tell-me.sh   gets JSON on its standard input",
    "coord notify test                          tells each once, and says what went wrong",
    "coord notify run                           tells, until it is ended",
  )
    .addArgument(grammar.program.createArgument("<action>").choices(["add", "list", "remove", "test", "run"]))
    .argument("[words...]", "Of add what and where; of the others names")
    .option("--level <level>", "needs-me, or all for every event too; default needs-me")
    .option("--name <name>", "What it is called; default its kind")
    .option("--secret-file <path>", "Of a webhook: what its requests are signed with; default a new secret")
    .addOption(json())
    .action(async (action: string, words: string[], options: NotifyCommand) => {
      grammar.finish(await (await import("../notify.ts")).notify(action, words, options));
    });
}
