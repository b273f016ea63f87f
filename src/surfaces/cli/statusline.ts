/** `coord statusline`: what the status line of an agent shows. It never fails: a status line has no place for errors. */
import { CoordinationClient } from "../../client/client.ts";
import { resolveSettings } from "../../client/settings.ts";
import { CoordinationError } from "../../protocol/errors.ts";
import { colorsFor } from "./terminal.ts";
import { visible } from "../../protocol/text.ts";

const NAMES_LISTED = 5;

export async function statusLine(instanceId: string | undefined): Promise<string> {
  // The host reads it through a pipe and shows it on a terminal.
  const { bold, dim, green, yellow } = colorsFor({ isTTY: true });
  try {
    const settings = resolveSettings({ instanceId });
    // Read for nobody: a status line goes on also where its agent is gone.
    const client = new CoordinationClient({ ...settings, instanceId: undefined });
    try {
      const [{ instances }, stats] = await Promise.all([client.getPresence(), client.getStats()]);
      const me = settings.instanceId;
      const own = me === undefined ? undefined : stats.instances[me];
      const active = Object.values(instances).filter(
        ({ instanceId: name, status }) => status === "active" && name !== me,
      );
      const names = active.slice(0, NAMES_LISTED).map(({ instanceId: name }) => visible(name));
      if (active.length > NAMES_LISTED) names.push(`+${active.length - NAMES_LISTED}`);
      return [
        bold(me ?? "coord"),
        ...(own !== undefined && own.unread > 0 ? [green(`${own.unread} unread`)] : []),
        ...(own !== undefined && own.pending > 0 ? [yellow(`${own.pending} pending`)] : []),
        dim(names.length === 0 ? "nobody else active" : `active: ${names.join(", ")}`),
      ].join(" · ");
    } finally {
      client.close();
    }
  } catch (error) {
    return dim(CoordinationError.is(error) ? `coord: ${visible(error.message)}` : "coord: unavailable");
  }
}
