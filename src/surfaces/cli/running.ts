/** What the commands have in common when they run: their client, and how a result is shown. */
import { CoordinationClient } from "../../client/client.ts";
import { resolveSettings } from "../../client/settings.ts";
import { CoordinationError } from "../../protocol/errors.ts";
import { successToWire } from "../../protocol/wire.ts";
import type { Shared } from "./grammar.ts";
import { flushed, print, printJson, printWarnings } from "./outcome.ts";

export async function withClient(options: Shared, use: (client: CoordinationClient) => Promise<void>): Promise<void> {
  const client = new CoordinationClient(resolveSettings({ instanceId: options.instance }));
  try {
    await use(client);
  } finally {
    client.close();
  }
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
