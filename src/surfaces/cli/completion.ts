/** Shell completion, written from the commands themselves. */
import type { Command } from "commander";
import { MESSAGE_TYPES } from "../../protocol/definition.ts";

/** Words per command: its options, and the message types where it takes one. */
function wordsOf(command: Command): string[] {
  const options = command.options.filter((option) => !option.hidden).map((option) => option.long ?? "");
  return [...options, "--help"];
}

export function completionScript(program: Command, shell: string): string {
  if (shell === "bash") return bash(program);
  return shell === "zsh" ? `autoload -U +X bashcompinit && bashcompinit\n${bash(program)}` : fish(program);
}

function bash(program: Command): string {
  const names = program.commands.map((command) => command.name()).join(" ");
  const cases = program.commands.map((command) => `    ${command.name()}) words="${wordsOf(command).join(" ")}" ;;`);
  return `_coord() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words=""
  case \${COMP_WORDS[1]} in
${cases.join("\n")}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words="${names} --help --version"
  elif [ "$previous" = publish ] || [ "$previous" = --type ]; then words="${MESSAGE_TYPES.join(" ")}"
  elif [ "$previous" = completion ]; then words="bash zsh fish"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _coord coord`;
}

function fish(program: Command): string {
  const quote = (text: string): string => `'${text.replaceAll("'", String.raw`\'`)}'`;
  const lines = ["complete -c coord -f"];
  for (const command of program.commands) {
    const seen = `-n '__fish_seen_subcommand_from ${command.name()}'`;
    lines.push(`complete -c coord -n __fish_use_subcommand -a ${command.name()} -d ${quote(command.description())}`);
    for (const option of command.options) {
      const value = option.required ? " -r" : "";
      lines.push(`complete -c coord ${seen} -l ${option.long!.slice(2)}${value} -d ${quote(option.description)}`);
    }
  }
  const types = quote(MESSAGE_TYPES.join(" "));
  lines.push(`complete -c coord -n '__fish_seen_subcommand_from publish' -a ${types}`);
  lines.push(`complete -c coord -n '__fish_seen_subcommand_from check' -l type -r -a ${types}`);
  lines.push("complete -c coord -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'");
  return lines.join("\n");
}
