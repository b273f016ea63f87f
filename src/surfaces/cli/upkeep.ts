/** Commands that keep a namespace in order: what is dead, what is due, and the settings that act on everyone. */
import { createReadStream } from "node:fs";
import type { Command, Option } from "commander";
import type { CoordinationClient } from "../../client/client.ts";
import { LIMITS, NAMESPACE_SETTINGS } from "../../protocol/definition.ts";
import type { CheckResult, ImportResult } from "../../protocol/results.ts";
import { checkSettingName, invalid, shown } from "../../protocol/validation.ts";
import { toWire } from "../../protocol/wire.ts";
import { flushed, outputWaits, print, printProgress } from "./outcome.ts";
import { renderCheck, renderSettings, renderSweep } from "./render.ts";

interface Shared {
  instance?: string;
  json?: true;
}

/** What the commands are made with; program.ts has it. */
export interface Grammar {
  command: (grammar: string, description: string, ...examples: string[]) => Command;
  json: () => Option;
  number: (value: string) => number | string;
  withClient: (options: Shared, use: (client: CoordinationClient) => Promise<void>) => Promise<void>;
  /** Prints the result as JSON where that was asked for, else the text. */
  show: (options: Shared, result: object, text: string) => void;
}

/** Each does at most 1,000 things: with so many sweeps a namespace of a million messages is done. */
const SWEEPS_MAXIMUM = 2000;
const PROGRESS_LINES = 10_000;

export function addUpkeep({ command, json, number, withClient, show }: Grammar): void {
  command(
    "dead",
    "Messages that nobody is reminded of any more: list, retry or drop them",
    "coord dead                      those that died first first",
    "coord dead retry msg-hoggrkz047  announce it again, with a new deadline",
    "coord dead drop msg-hoggrkz047   ask nobody for it any more",
  )
    .argument("[action]", "list, retry or drop", "list")
    .argument("[message-id...]", "Which to retry or drop")
    .option("--limit <n>", `How many to list, 1-${LIMITS.list_maximum}, default ${LIMITS.list_default}`, number)
    .addOption(json())
    .action(async (action: string, ids: string[], options: Shared & { limit?: number }) => {
      await withClient(options, async (client) => {
        const result = await actOnDead(client, action, ids, options.limit);
        const done = { retry: "Announced again:\n", drop: "Dropped:\n" }[action] ?? "";
        const more = result.more ? "\n\nMore: coord dead --limit 1000, or retry or drop these first." : "";
        show(options, result, `${done}${renderCheck(result, "Nothing is dead.")}${more}`);
      });
    });

  command(
    "sweep",
    "Do what is due: deadlines that have passed, and retention; for cron, where no agent runs",
    "coord sweep",
    "*/5 * * * * coord sweep >/dev/null   # a line for crontab",
  )
    .addOption(json())
    .action(async (options: Shared) => {
      await withClient(options, async (client) => {
        const total = { announced: 0, told: 0, dead: 0, removed: 0, more: true };
        for (let sweeps = 1; total.more && sweeps <= SWEEPS_MAXIMUM; sweeps++) {
          const result = await client.sweep();
          for (const name of ["announced", "told", "dead", "removed"] as const) total[name] += result[name];
          total.more = result.more;
          if (sweeps % 100 === 0) printProgress(`${renderSweep(total)} …`);
        }
        show(options, total, renderSweep(total));
      });
    });

  command(
    "export",
    "Write the whole namespace to standard output, as lines of JSON",
    "coord export > coord.jsonl",
    "coord export | COORD_KEY_PREFIX=copy coord import",
  ).action(async (options: Shared) => {
    await withClient(options, async (client) => {
      let lines = 0;
      for await (const line of client.exportLines()) {
        print(line);
        // Not faster than it is read: a namespace may be larger than the memory.
        if (outputWaits()) await flushed();
        if (++lines % PROGRESS_LINES === 0) printProgress(`${lines} lines …`);
      }
    });
  });

  command(
    "import",
    "Put back what was exported; what is here already stays as it is, so it may be run again",
    "coord import coord.jsonl",
    "coord import - < coord.jsonl",
  )
    .argument("[file]", "What coord export has written; default standard input", "-")
    .addOption(json())
    .action(async (file: string, options: Shared) => {
      await withClient(options, async (client) => {
        const input = file === "-" ? process.stdin : createReadStream(file);
        const failed = new Promise<never>((_, reject) => {
          input.once("error", ({ message }: Error) =>
            reject(invalid(`${file} cannot be read: ${message}.`, "Give a file that coord export has written.")),
          );
        });
        const progress = ({ messages }: ImportResult): void => {
          if (messages > 0 && messages % PROGRESS_LINES === 0) printProgress(`${messages} messages …`);
        };
        const { createInterface } = await import("node:readline");
        const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
        const result = await Promise.race([client.importLines(lines, progress), failed]);
        const { messages, restored, present } = result;
        show(options, result, `${messages} messages: ${restored} put back, ${present} here already`);
      });
    });

  command(
    "settings",
    "What acts on everyone in this namespace; with a name and a value, change it",
    "coord settings",
    "coord settings max_messages 20000",
  )
    .argument("[name]", Object.keys(NAMESPACE_SETTINGS).join(", "))
    .argument("[value]", "A whole number")
    .addOption(json())
    .action(async (name: string | undefined, value: string | undefined, options: Shared) => {
      if (name !== undefined && value === undefined) {
        const known = checkSettingName(name);
        throw invalid(
          `${known} needs a value.`,
          `For example: coord settings ${known} ${NAMESPACE_SETTINGS[known].default}.`,
        );
      }
      await withClient(options, async (client) => {
        const settings =
          name === undefined
            ? await client.getNamespaceSettings()
            : await client.changeNamespaceSetting(name, number(value!) as number);
        show(options, settings, renderSettings(toWire(settings) as Record<string, unknown>));
      });
    });
}

function actOnDead(
  client: CoordinationClient,
  action: string,
  ids: readonly string[],
  limit: number | undefined,
): Promise<CheckResult> {
  if (action === "list" && ids.length === 0) return client.listDead({ limit });
  if (action === "retry") return client.retryDead(ids);
  if (action === "drop") return client.dropDead(ids);
  throw invalid(
    action === "list" ? "list takes no message ids." : `action is ${shown(action)}: it is list, retry or drop.`,
    "coord dead --help shows examples.",
  );
}
