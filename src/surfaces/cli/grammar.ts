/** How a command is described: its words, its options and its examples. Texts of arguments come from the table of operations. */
import { type Command, Option } from "commander";
import { OPERATIONS, type OperationName } from "../../protocol/operations.ts";

/** Surfaces that are loaded only when they are asked for; src/main.ts knows where they are. */
export interface LazySurfaces {
  serveMcp(instanceId: string | undefined): Promise<void>;
  playDemo(): Promise<boolean>;
  /** Of `coord` alone. @returns the exit code */
  showOverview(): Promise<number>;
  /** Serves the page of `coord ui`, or finds the one that runs, which is not waited for. */
  openPage(options: PageCommand): Promise<{ url: string; ended?: Promise<void> }>;
  openBrowser(url: string): Promise<void>;
}

/** Options of most commands. */
export interface Shared {
  instance?: string;
  json?: true;
}

/** Options of `coord ui` that its server takes. */
export interface PageCommand {
  instance?: string | undefined;
  port?: unknown;
  readOnly?: boolean | undefined;
}

/** What a file of commands is given to add its own. */
export interface Grammar {
  program: Command;
  surfaces: LazySurfaces;
  /** Is told the exit code. */
  finish: (code: number) => void;
}

/** A command that concerns no instance. */
export function plainCommand({ program }: Grammar, words: string, description: string, ...lines: string[]): Command {
  return program
    .command(words)
    .description(description)
    .addHelpText("before", examples(...lines));
}

/** A command that speaks or reads for an instance. */
export function command(grammar: Grammar, words: string, description: string, ...lines: string[]): Command {
  return plainCommand(grammar, words, description, ...lines).addOption(
    new Option("--instance <name>", "Who you are; default CLAUDE_INSTANCE_ID"),
  );
}

/** A command that is an operation of the protocol, by its name. */
export function operation(grammar: Grammar, name: OperationName, ...lines: string[]): Command {
  return command(grammar, name, OPERATIONS[name].title, ...lines);
}

/** What the table of operations says of an argument. */
export function about(name: OperationName, argument: string): string {
  const { description, minimum, maximum } = OPERATIONS[name].arguments[argument]!.schema;
  return description ?? (minimum === undefined ? "" : `${minimum}-${maximum}`);
}

export function peek(): Option {
  return new Option("--peek", "Only look: nothing is marked as presented, and nothing taken");
}

export function take(): Option {
  return new Option(
    "--take",
    "Read for the agent of this name, though it has not asked: it is not shown this any more",
  );
}

export function json(): Option {
  return new Option("--json", "Print JSON");
}

export function examples(...lines: string[]): string {
  return `Examples:\n${lines.map((line) => `  ${line}\n`).join("")}`;
}

/** What is no number goes to the validation as it is, which names the field and the limit. */
export function numberOrText(value: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}
