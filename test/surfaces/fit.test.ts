/** Lines of a terminal: counted in columns, not in characters. */
import { expect, it } from "vitest";
import { columnsOf, fitted } from "../../src/surfaces/cli/fit.ts";

it("cuts a line that is wider, says so with a sign, and ends the colour in which it was cut", () => {
  expect(fitted("abcdef", 6)).toBe("abcdef");
  expect(fitted("abcdefg", 6)).toBe("abcde…");
  expect(fitted("\u001b[1mabcdef\u001b[22m", 6)).toBe("\u001b[1mabcdef\u001b[22m");
  expect(fitted("\u001b[1mabcdefg\u001b[22m", 6)).toBe("\u001b[1mabcde…\u001b[0m");
  expect(fitted("語語語", 6)).toBe("語語語");
  expect(fitted("語語語語", 6)).toBe("語語…");
  expect(fitted("語語語語", 7)).toBe("語語語…");
  expect(fitted("🚀🚀a", 4)).toBe("🚀…");
  expect(fitted("", 6)).toBe("");
});

it("takes 80 columns where nobody says how wide it is, and no less than 20", () => {
  expect([columnsOf({}), columnsOf({ columns: 0 }), columnsOf({ columns: 5 }), columnsOf({ columns: 132 })]).toEqual([
    80, 80, 20, 132,
  ]);
});
