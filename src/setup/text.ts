/** Lines of a text, for edits that keep the layout of everything else. */
import { invalid } from "../protocol/validation.ts";

/** Whitespace and comments, as far as no other token comes on the line. */
const REST_OF_LINE = /(?:[ \t]*\/\*(?:(?!\*\/)[^\n])*\*\/)*[ \t]*(?:\/\/[^\r\n]*)?(?=\r?\n|$)/y;

export function eolOf(text: string): string {
  return text.includes("\r\n") ? "\r\n" : "\n";
}

/** Line and column, from 1, as editors count. */
export function positionOf(text: string, offset: number): [line: number, column: number] {
  const before = text.slice(0, offset).split("\n");
  return [before.length, before.at(-1)!.length + 1];
}

/** The whitespace that the offset's line begins with. */
export function indentAt(text: string, offset: number): string {
  return /^[ \t]*/.exec(text.slice(lineStart(text, offset), offset))![0];
}

/** Whether nothing stands before the offset on its line; the first line does not count. */
export function startsLine(text: string, offset: number): boolean {
  const start = lineStart(text, offset);
  return start > 0 && text.slice(start, offset).trim() === "";
}

/** Where the end of the line before begins. */
export function lineBreakBefore(text: string, offset: number): number {
  const newline = lineStart(text, offset) - 1;
  return text[newline - 1] === "\r" ? newline - 1 : newline;
}

/** A comment that ends the line behind the offset; empty where something else does. */
export function restOfLine(text: string, offset: number): string {
  REST_OF_LINE.lastIndex = offset;
  return REST_OF_LINE.exec(text)?.[0].trimEnd() ?? "";
}

export function unreadable(file: string, line: number, column: number, reason: string): Error {
  return invalid(
    `${file}, line ${line}, column ${column}: ${reason}.`,
    "Correct it there and run the command again; nothing was changed.",
  );
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf("\n", offset - 1) + 1;
}
