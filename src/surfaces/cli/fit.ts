/** Lines that fit a terminal. */
import { eastAsianWidth } from "get-east-asian-width";

// oxlint-disable-next-line no-control-regex
const STYLE = /\x1b\[[\d;]*m/y;
const COLUMNS_DEFAULT = 80;
const COLUMNS_MINIMUM = 20;

/** What a line may take: of the terminal that it goes to, where it goes to one. */
export function columnsOf({ columns = COLUMNS_DEFAULT }: { columns?: number }): number {
  return Math.max(columns || COLUMNS_DEFAULT, COLUMNS_MINIMUM);
}

/** One line, cut where it would be wider; colours take no room, and a character of the Far East takes two columns. */
export function fitted(line: string, columns: number): string {
  let [width, fits, styled] = [0, 0, false];
  for (let at = 0; at < line.length;) {
    STYLE.lastIndex = at;
    const [style] = STYLE.exec(line) ?? [];
    if (style !== undefined) {
      styled = true;
      at += style.length;
      continue;
    }
    const codePoint = line.codePointAt(at)!;
    width += eastAsianWidth(codePoint);
    if (width > columns) return `${line.slice(0, fits)}…${styled ? "\u001b[0m" : ""}`;
    at += codePoint > 0xffff ? 2 : 1;
    if (width < columns) fits = at; // there is room for the sign that it was cut
  }
  return line;
}
