/** Text of others, on its way to the eyes of a person or a model. */
import { INVISIBLE } from "./definition.ts";

const INVISIBLE_CHARACTERS = new RegExp(
  `[${INVISIBLE.map((range) => range.replaceAll(/[0-9a-f]+/g, (point) => `\\u{${point}}`)).join("")}]`,
  "gu",
);

/** With each character that nobody sees written in the given form. */
export function writeOut(text: string, form: (codePoint: number) => string): string {
  return text.replaceAll(INVISIBLE_CHARACTERS, (found) => form(found.codePointAt(0)!));
}

/** With them like `\u{202e}`: the text moves no cursor, turns no line around, and hides nothing. */
export function visible(text: string): string {
  return writeOut(text.toWellFormed(), (codePoint) => `\\u{${codePoint.toString(16)}}`);
}

/** In one line, as a title. */
export function visibleLine(text: string): string {
  return visible(text).replaceAll(/\s+/g, " ");
}

/** The first so many characters; half of a pair of surrogates is no text that a strict reader takes. */
export function cut(text: string, characters: number): string {
  if (text.length <= characters) return text;
  const end = text.codePointAt(characters - 1)! > 0xffff ? characters - 1 : characters;
  return text.slice(0, end);
}
