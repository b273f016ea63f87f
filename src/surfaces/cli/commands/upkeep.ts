/** Commands that keep a namespace in order: what is dead, what is due, and the settings that act on everyone. */
import { createReadStream } from "node:fs";
import { CoordinationClient } from "../../../client/client.ts";
import { moveMail } from "../../../client/moving.ts";
import { resolveSettings } from "../../../client/settings.ts";
import { LIMITS, NAMESPACE_SETTINGS, SENDERS } from "../../../protocol/definition.ts";
import type { CheckResult, ImportResult } from "../../../protocol/results.ts";
import { checkSettingName, invalid, shown } from "../../../protocol/validation.ts";
import { toWire } from "../../../protocol/wire.ts";
import { flushed, outputWaits, print, printProgress, printWarnings } from "../outcome.ts";
import { command, type Grammar, json, numberOrText, type Shared } from "../grammar.ts";
import { spanSeconds } from "../input.ts";
import { renderCheck, renderForget, renderForgetUnseen, renderMove, renderSettings, renderSweep } from "../render.ts";
import { show, withClient } from "../running.ts";

/** Each does at most 1,000 things: with so many sweeps a namespace of a million messages is done. */
const SWEEPS_MAXIMUM = 2000;
const PROGRESS_LINES = 10_000;

export function dead(grammar: Grammar): void {
  command(
    grammar,
    "dead",
    "Dead messages, not acknowledged in time: list, retry or drop them",
    "coord dead                      those that died first first",
    "coord dead retry msg-hoggrkz047  announce it again, with a new deadline",
    "coord dead drop msg-hoggrkz047   ask nobody for it any more",
  )
    .argument("[action]", "list, retry or drop", "list")
    .argument("[message-id...]", "Which to retry or drop")
    .option("--limit <n>", `How many to list, 1-${LIMITS.list_maximum}, default ${LIMITS.list_default}`, numberOrText)
    .addOption(json())
    .action(async (action: string, ids: string[], options: Shared & { limit?: number }) => {
      await withClient(options, async (client) => {
        const result = await actOnDead(client, action, ids, options.limit);
        const done = { retry: "Announced again:\n", drop: "Dropped:\n" }[action] ?? "";
        const more = result.more ? "\n\nMore: coord dead --limit 1000, or retry or drop these first." : "";
        show(options, result, `${done}${renderCheck(result, "Nothing is dead.")}${more}`);
      });
    });
}

export function drop(grammar: Grammar): void {
  command(
    grammar,
    "drop",
    "Settle messages that nobody will answer, though they were not acknowledged",
    "coord drop msg-hoggrkz047                      as its sender for all, as its recipient for yourself",
    "coord drop msg-hoggrkz047 --instance operator  as a person, whoever sent it",
  )
    .argument("<message-id...>", "Which")
    .addOption(json())
    .action(async (ids: string[], options: Shared) => {
      await withClient(options, async (client) => {
        const result = await client.dropMessages(ids);
        show(options, result, `Dropped:\n${renderCheck(result, "")}`);
      });
    });
}

export function sweep(grammar: Grammar): void {
  command(
    grammar,
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
}

export function exportNamespace(grammar: Grammar): void {
  command(
    grammar,
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
}

export function importNamespace(grammar: Grammar): void {
  command(
    grammar,
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
        const { messages, restored, present, settings = {} } = result;
        const taken = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
        if (taken.length > 0)
          printWarnings([`Settings of the file act on everyone here now: ${taken.join(", ")}. See coord settings.`]);
        show(options, result, `${messages} messages: ${restored} put back, ${present} here already`);
      });
    });
}

export function namespaceSettings(grammar: Grammar): void {
  command(
    grammar,
    "settings",
    "What acts on everyone in this namespace; with a name and a value, change it",
    "coord settings",
    "coord settings max_messages 20000",
  )
    .argument("[name]", [...Object.keys(NAMESPACE_SETTINGS), "senders"].join(", "))
    .argument("[value]", `A whole number; of senders ${SENDERS.join(", ")}`)
    .addOption(json())
    .action(async (name: string | undefined, value: string | undefined, options: Shared) => {
      if (name !== undefined && value === undefined) {
        const known = checkSettingName(name);
        throw invalid(
          `${known} needs a value.`,
          `For example: coord settings ${known} ${known === "senders" ? "proven" : NAMESPACE_SETTINGS[known].default}.`,
        );
      }
      await withClient(options, async (client) => {
        const settings =
          name === undefined
            ? await client.getNamespaceSettings()
            : await client.changeNamespaceSetting(name, numberOrText(value!));
        show(options, settings, renderSettings(toWire(settings) as Record<string, unknown>));
      });
    });
}

export function move(grammar: Grammar): void {
  command(
    grammar,
    "move",
    "Bring your open mail of another namespace along, as after coord init gave a project one of its own",
    "coord move --from coord",
  )
    .requiredOption("--from <prefix>", "The namespace it is in, on the same server")
    .addOption(json())
    .action(async (options: Shared & { from: string }) => {
      const here = { instanceId: options.instance };
      await using source = new CoordinationClient(resolveSettings({ ...here, keyPrefix: options.from }));
      await using target = new CoordinationClient(resolveSettings(here));
      const result = await moveMail(source, target);
      show(options, result, renderMove(result));
    });
}

export function forget(grammar: Grammar): void {
  command(
    grammar,
    "forget",
    "Take an instance out of presence and broadcasts; its messages stay",
    "coord forget old-feature",
    "coord forget --unseen 7d   all that were not seen for a week",
  )
    .argument("[name]", "The instance to forget")
    .option("--unseen <time>", "Instead of one: all that were not seen for so long, as 30m, 12h or 7d")
    .addOption(json())
    .action(async (name: string | undefined, options: Shared & { unseen?: string }) => {
      const seconds = unseenSeconds(name, options.unseen);
      await withClient(options, async (client) => {
        if (seconds !== undefined) {
          const result = await client.forgetUnseen(seconds);
          show(options, result, renderForgetUnseen(result));
          return;
        }
        const result = await client.forgetInstance(name!);
        show(options, result, renderForget(result));
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

/** @throws CoordinationError INVALID, also where both or neither of a name and a time are given */
function unseenSeconds(name: string | undefined, unseen: string | undefined): number | undefined {
  if ((name === undefined) === (unseen === undefined)) {
    throw invalid(
      name === undefined ? "name is missing." : `name is ${shown(name)} and unseen is ${shown(unseen)}: one of them.`,
      "Give a name, or --unseen with a time.",
    );
  }
  if (unseen === undefined) return undefined;
  const seconds = spanSeconds(unseen);
  if (seconds === undefined) throw invalid(`unseen is ${shown(unseen)}: not a time.`, "Write 30m, 12h or 7d.");
  return seconds;
}
