/** One table in a TOML file that is somebody else's: a block between two marks, so that it can be taken out again. */
import { parse, TomlError } from "smol-toml";
import { eolOf, unreadable } from "./text.ts";

const OPENING = "# >>> coord: added by `coord init`, taken out by `coord init --remove`";
const CLOSING = "# <<< coord";
const BLOCK = /^# >>> coord\b[^\n]*\n(?:[^\n]*\n)*?# <<< coord[^\n]*(?:\n|$)/m;

/** @throws CoordinationError INVALID with file, line and column */
export function parseToml(file: string, text: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw unreadable(file, 1, 1, "it is nested too deep"); // the stack has ended
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n", 1)[0]!.replace(/^Invalid TOML document: /, "");
    throw unreadable(file, error.line, error.column, reason);
  }
}

export function hasBlock(text: string): boolean {
  return BLOCK.test(text);
}

/** The text with the table's lines in its block: in the place of an earlier one, or at the end. */
export function withBlock(text: string, lines: readonly string[]): string {
  const eol = eolOf(text);
  const block = [OPENING, ...lines, CLOSING, ""].join(eol);
  // A function, since `$` in a replacement means something.
  if (hasBlock(text)) return text.replace(BLOCK, () => block);
  if (text.trim() === "") return block;
  return `${text}${text.endsWith("\n") ? "" : eol}${eol}${block}`;
}

/** The text without the block and the empty line that was put before it. */
export function withoutBlock(text: string): string {
  const at = text.search(BLOCK);
  if (at === -1) return text;
  return text.slice(0, at).replace(/(\n)\r?\n$/, "$1") + text.slice(at).replace(BLOCK, "");
}
