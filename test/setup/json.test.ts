import * as fc from "fast-check";
import { expect, test } from "vitest";
import { JsonText } from "../../src/setup/json.ts";

/** A value as people lay it out: on one line or many, with comments, trailing commas, tabs, Windows ends. */
interface Layout {
  indent: string;
  eol: string;
  oneLine: boolean;
  comma: boolean;
  comment: string;
}

const layouts = fc.record<Layout>({
  indent: fc.constantFrom("  ", "    ", "\t"),
  eol: fc.constantFrom("\n", "\r\n"),
  oneLine: fc.boolean(),
  comma: fc.boolean(),
  comment: fc.constantFrom("", " // note, {", " /* a */ /* b */"),
});

function laidOut(value: unknown, layout: Layout, depth = 0): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const list = Array.isArray(value);
  const items = list ? value.map((item) => laidOut(item, layout, depth + 1)) : pairs(value, layout, depth);
  const [open, close] = list ? ["[", "]"] : ["{", "}"];
  // The deepest ones stand on one line, as people write them.
  if (layout.oneLine || items.length === 0 || depth > 1) return `${open}${items.join(", ")}${close}`;
  const { indent, eol, comma, comment } = layout;
  const lines = items.map((item, i) => {
    const end = comma || i < items.length - 1 ? "," : "";
    return `${indent.repeat(depth + 1)}${item}${end}${comment}${eol}`;
  });
  return `${open}${eol}${lines.join("")}${indent.repeat(depth)}${close}`;
}

function pairs(value: object, layout: Layout, depth: number): string[] {
  return Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${laidOut(item, layout, depth + 1)}`);
}

const keys = fc.constantFrom("a", "b", "hooks", "x y", '"', "//", "{");
const values = fc.oneof(
  fc.integer(),
  fc.constantFrom("text", "// no comment", "a\nb", ""),
  fc.array(fc.integer(), { maxLength: 2 }),
);
const documents = fc.dictionary(
  keys,
  fc.oneof(values, fc.dictionary(keys, values, { minKeys: 1, noNullPrototype: true })),
  {
    noNullPrototype: true,
  },
);

test("what is added is there, nothing else changes, and taking it out gives the same bytes", () => {
  fc.assert(
    fc.property(documents, layouts, fc.boolean(), (document, layout, nested) => {
      const text = laidOut(document, layout);
      const at = nested ? ["servers", "coord"] : ["coord"];
      const added = { command: "coord", args: ["mcp"] };
      const json = new JsonText("f", text);
      json.set(at, added);
      expect(json.get([])).toEqual({ ...document, ...(nested ? { servers: { coord: added } } : { coord: added }) });
      if (layout.eol === "\r\n" && text.includes("\n")) expect(json.text).not.toMatch(/[^\r]\n/);
      json.remove(at);
      expect(json.text).toBe(text);
    }),
    { numRuns: 500 },
  );
});

test("the same for entries of lists, which may come first, between and last", () => {
  const lists = fc.array(fc.oneof(fc.integer(), fc.dictionary(keys, values, { noNullPrototype: true })), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(lists, layouts, fc.nat(), (list, layout, place) => {
      const text = laidOut({ hooks: { Stop: list } }, layout);
      const json = new JsonText("f", text);
      json.append(["hooks", "Stop"], { ours: true });
      expect(json.get(["hooks", "Stop"])).toEqual([...list, { ours: true }]);
      json.remove(["hooks", "Stop", list.length]);
      expect(json.text).toBe(text);
      const i = place % list.length;
      json.remove(["hooks", "Stop", i]);
      expect(json.list(["hooks", "Stop"])).toEqual(list.toSpliced(i, 1));
    }),
    { numRuns: 500 },
  );
});

test("a key that stands there twice is read and changed as every reader does: the last one counts", () => {
  const json = new JsonText("f", '{ "a": 1, "a": 2 }');
  json.set(["a"], 3);
  expect(json.text).toBe('{ "a": 1, "a": 3 }');
});

test("a comment stays behind the value it is about", () => {
  const json = new JsonText("f", '{\n  "a": 1 // one\n}\n');
  json.set(["b"], 2);
  expect(json.text).toBe('{\n  "a": 1, // one\n  "b": 2\n}\n');
});
