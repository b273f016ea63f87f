/** What may reach a terminal. Text of messages is data: it never moves the cursor, sets a title or reverses a line. */
import pc from "picocolors";

/** C0 (but tab and newline), DEL, C1, and the characters that reorder text on the screen. */
// oxlint-disable-next-line no-control-regex
const DANGEROUS = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

export function printable(text: string): string {
  return text.replaceAll(DANGEROUS, escaped);
}

/** JSON that stays the same JSON and is safe to look at: `JSON.stringify` leaves C1 and reordering characters as they are. */
export function printableJson(value: unknown): string {
  return printable(JSON.stringify(value));
}

type Colors = ReturnType<typeof pc.createColors>;

/** Colour on a terminal only, and not where NO_COLOR asks for none. */
export function colorsFor(stream: { isTTY?: boolean }): Colors {
  // In a pipe `isTTY` is undefined, and for that picocolors would look into the environment itself.
  return pc.createColors(stream.isTTY === true && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb");
}
