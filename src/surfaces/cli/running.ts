/** What the commands have in common when they run: their client, and how a result is shown. */
import { CoordinationClient } from "../../client/client.ts";
import { identifyRun } from "../../client/agent-run.ts";
import type { Looking } from "../../client/checking.ts";
import { resolveSettings } from "../../client/settings.ts";
import { CoordinationError } from "../../protocol/errors.ts";
import { invalid } from "../../protocol/validation.ts";
import { successToWire } from "../../protocol/wire.ts";
import type { Shared } from "./grammar.ts";
import { flushed, print, printJson, printProgress, printWarnings } from "./outcome.ts";

export async function withClient(options: Shared, use: (client: CoordinationClient) => Promise<void>): Promise<void> {
  const client = new CoordinationClient(resolveSettings({ instanceId: options.instance }));
  try {
    await use(client);
  } finally {
    client.close();
  }
}

/** Options of commands that read. */
export interface ReadingOptions extends Shared {
  peek?: true;
  take?: true;
}

/** For a command that reads: outside of the agent's session it looks, unless it is told to take. */
export async function withReader(
  options: ReadingOptions,
  use: (client: CoordinationClient, look: Looking | undefined) => Promise<void>,
): Promise<void> {
  if (options.peek && options.take) throw invalid("--peek and --take exclude each other.", "Give one of them.");
  await withClient(options, async (client) => {
    client.session.belongTo(identifyRun({ env: process.env, cwd: process.cwd() }));
    await use(client, options.peek ? "peek" : options.take ? undefined : "look");
  });
}

/** Why nothing changes by having read this, on standard error; in JSON it is `looking`. */
export function saidLooking({ json }: Shared, { looking }: { looking?: true }): void {
  if (looking && !json)
    printProgress("You only looked: all stays as it was for the agent of this name. --take takes it.");
}

/** Prints the result as JSON where that was asked for, else the text. */
export function show(options: Shared, result: object, text: string): void {
  if (options.json) printJson(successToWire(result));
  else print(text);
}

/** Only what was written counts as shown; the rest comes again. */
export async function confirmWritten(confirm: () => Promise<void>): Promise<void> {
  await flushed();
  try {
    await confirm();
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    printWarnings([`This will be shown as new once more: ${error.message}`]);
  }
}
