/** `coord watch`: a live tail of the namespace, or of what concerns one instance. */
import { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { onceToldToEnd } from "../../client/process.ts";
import { readEvent } from "../../client/replies.ts";
import type { Settings } from "../../client/settings.ts";
import type { CoordinationEvent } from "../../protocol/results.ts";
import { checkInstance } from "../../protocol/validation.ts";
import { toWire } from "../../protocol/wire.ts";
import { print, printJson, printProgress, watchOutput } from "./outcome.ts";
import { renderEvent } from "./render.ts";

/** Runs until it is interrupted. */
export async function followEvents(settings: Settings, only: string | undefined, json: boolean): Promise<void> {
  const concerned = only === undefined ? undefined : checkInstance(only, "only");
  const client = new CoordinationClient(settings);
  try {
    const stopFollowing = await new Mailbox(client).listenToAll((text) => {
      if (text === undefined) {
        printProgress("The connection was lost and is back; what happened in between is in coord check --all.");
        return;
      }
      const event = readEvent(text);
      if (concerned !== undefined && !concerns(event, concerned)) return;
      if (json) printJson(toWire(event));
      else print(renderEvent(event));
    });
    printProgress(`Following ${concerned ?? settings.keyPrefix}; end with Ctrl-C.`);
    await new Promise<void>((resolve) => {
      onceToldToEnd(resolve);
      watchOutput(resolve);
    });
    await stopFollowing();
  } finally {
    client.close();
  }
}

function concerns({ from, to }: CoordinationEvent, instance: string): boolean {
  return from === instance || to === instance || to === "all";
}
