/** The commands that say who is there and what goes on. */
import { Option } from "commander";
import { resolveSettings } from "../../../client/settings.ts";
import { whoAmI } from "../../../client/whoami.ts";
import { command, type Grammar, json, numberOrText, operation, type Shared } from "../grammar.ts";
import { print } from "../outcome.ts";
import { renderPresence, renderStats, renderWhoAmI } from "../render.ts";
import { show, withClient } from "../running.ts";
import { statusLine } from "../statusline.ts";
import { followEvents } from "../watch.ts";

export function presence(grammar: Grammar): void {
  operation(
    grammar,
    "presence",
    "coord presence",
    "coord presence --json | jq '.instances[].status'",
    'coord presence --activity "reviewing feat/login"',
  )
    .option("--activity <line>", "Say what you are doing; empty removes it")
    .addOption(json())
    .action(async (options: Shared & { activity?: string }) => {
      await withClient(options, async (client) => {
        if (options.activity !== undefined) await client.setActivity(options.activity);
        const result = await client.getPresence();
        show(options, result, renderPresence(result));
      });
    });
}

export function whoami(grammar: Grammar): void {
  command(
    grammar,
    "whoami",
    "Say who you are here, where that comes from, and what would change it",
    "coord whoami",
    "coord whoami --json | jq -r .instance",
  )
    .addOption(json())
    .action(async (options: Shared) => {
      const result = await whoAmI(resolveSettings({ instanceId: options.instance }));
      show(options, result, renderWhoAmI(result));
    });
}

export function stats(grammar: Grammar): void {
  command(
    grammar,
    "stats",
    "Count what the namespace holds, and measure how long messages take",
    "coord stats",
    "coord stats --hours 24             from stored to shown and to acknowledged: p50, p95",
    "coord stats --prometheus           for a monitoring system, as text",
    "coord stats --json | jq .pending",
  )
    .option("--hours <n>", "Also how long messages of the last hours took, 1-168", numberOrText)
    .addOption(
      new Option("--prometheus", "Print metrics in the text format of Prometheus").conflicts(["json", "hours"]),
    )
    .addOption(json())
    .action(async (options: Shared & { hours?: number; prometheus?: true }) => {
      const { hours } = options;
      if (options.prometheus) return (await import("../figures.ts")).showPrometheus(options);
      if (hours !== undefined) return (await import("../figures.ts")).showTimes(options, hours);
      await withClient(options, async (client) => {
        const result = await client.getStats();
        show(options, result, renderStats(result));
      });
    });
}

export function watch(grammar: Grammar): void {
  command(
    grammar,
    "watch",
    "Follow what happens, live",
    "coord watch                     everything in the namespace",
    "coord watch --only feature-auth  what concerns one instance",
  )
    .option("--only <instance>", "Only what is sent to or by this instance, or acknowledged by it")
    .option("--json", "One event a line")
    .action(async (options: Shared & { only?: string }) => {
      const settings = resolveSettings({ instanceId: options.instance });
      await followEvents(settings, options.only, options.json === true);
    });
}

export function statusline(grammar: Grammar): void {
  command(
    grammar,
    "statusline",
    "One line for the status line of an agent: unread, pending, who is active",
    "coord statusline",
  ).action(async (options: Shared) => print(await statusLine(options.instance)));
}
