/** The commands that say who is there and what goes on. */
import { Option } from "commander";
import { resolveSettings } from "../../../client/settings.ts";
import { whoAmI } from "../../../client/whoami.ts";
import {
  command,
  type Grammar,
  json,
  numberOrText,
  operation,
  type PageCommand,
  plainCommand,
  type Shared,
} from "../grammar.ts";
import { print, printJson, printProgress } from "../outcome.ts";
import { renderPresence, renderStats, renderWhoAmI } from "../render.ts";
import { show, withClient } from "../running.ts";
import { statusLine } from "../statusline.ts";

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

export function ui(grammar: Grammar): void {
  plainCommand(
    grammar,
    "ui",
    "Open the page for a person: who needs you, who waits for whom, what happened; and answer there",
    "coord ui",
    "coord ui --no-open                print the link only, for another browser of this machine",
    "coord ui --read-only              to look at on a screen for all",
    "ssh -L 8400:127.0.0.1:8400 host coord ui --port 8400 --no-open",
  )
    .option("--port <n>", "Default the same one each time for a project; 0 for any that is free", numberOrText)
    .option("--read-only", "Nothing can be written from it, and nothing counts as seen")
    .option("--no-open", "Open no browser")
    .addOption(new Option("--instance <name>", "A person's name; default operator"))
    .addOption(json())
    .action(async ({ open, ...options }: Shared & PageCommand & { open: boolean }) => {
      const { url, ended } = await grammar.surfaces.openPage(options);
      if (open) await grammar.surfaces.openBrowser(url);
      if (options.json) printJson({ url });
      else print(url);
      if (ended === undefined) return printProgress("It runs already; this link opens it once.");
      printProgress("The link opens it once, in one browser. End with Ctrl-C.");
      await ended;
    });
}

export function watch(grammar: Grammar): void {
  command(
    grammar,
    "watch",
    "Follow what happens, live",
    "coord watch                     everything in the namespace",
    "coord watch --only feature-auth  what concerns one instance",
    "coord watch --since 1h           first what was published in the last hour",
  )
    .option("--only <instance>", "Only what is sent to or by this instance, or acknowledged by it")
    .option("--since <when>", "First what was published since then: 30m, 12h, 7d, a message id, or a date in UTC")
    .option("--json", "One event a line")
    .action(async (options: Shared & { only?: string; since?: string }) => {
      const { followEvents } = await import("../watch.ts");
      await followEvents(resolveSettings({ instanceId: options.instance }), options);
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
