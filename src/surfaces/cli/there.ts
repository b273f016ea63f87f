/** Who is there, in one line. */
import type { InstancePresence } from "../../protocol/results.ts";
import { visibleLine } from "../../protocol/text.ts";
import { colorsFor } from "./terminal.ts";

const { dim, green } = colorsFor(process.stdout);
const NAMES_LISTED = 6;

/** @param others whom it is about: everybody, or everybody else */
export function whoIsThere(others: readonly InstancePresence[], nobody = "nobody else"): string {
  const active = others.filter(({ status }) => status === "active");
  if (active.length === 0) return `There: ${dim(`${nobody} ${others.length === 0 ? "yet" : "right now"}`)}`;
  const names = active
    .slice(0, NAMES_LISTED)
    .map(({ instanceId, doing }) => `${green(visibleLine(instanceId))}${doing === "away" ? "" : dim(` (${doing})`)}`);
  const more = active.length > NAMES_LISTED ? ` and ${active.length - NAMES_LISTED} more` : "";
  return `There: ${names.join(", ")}${more}`;
}
