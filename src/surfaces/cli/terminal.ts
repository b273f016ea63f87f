/** What may reach a terminal. Text of messages is data: it never moves the cursor, sets a title or reverses a line. */
import pc from "picocolors";
import { writeOut } from "../../protocol/text.ts";

/** JSON that stays the same JSON and is safe to look at: `JSON.stringify` leaves C1 and reordering characters as they are. */
export function printableJson(value: unknown): string {
  return writeOut(JSON.stringify(value), (codePoint) => jsonEscape(String.fromCodePoint(codePoint)));
}

const jsonEscape = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
  ).join("");

type Colors = ReturnType<typeof pc.createColors>;

/** Colour on a terminal only, and not where NO_COLOR asks for none. */
export function colorsFor(stream: { isTTY?: boolean }): Colors {
  // In a pipe `isTTY` is undefined, and for that picocolors would look into the environment itself.
  return pc.createColors(stream.isTTY === true && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb");
}
