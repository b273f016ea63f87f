import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import definition from "../protocol.json" with { type: "json" };
import { MessageType } from "../src/protocol/definition.ts";

const root = new URL("..", import.meta.url);

function idsIn(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, id]) => id!))].toSorted();
}

test("every guarantee of docs/guarantees.md is cited by a test, and no test cites another", () => {
  const stated = idsIn(readFileSync(new URL("docs/guarantees.md", root), "utf8"), /^\| (G\d+) \|/gm);
  const inTests = readdirSync(new URL("test", root), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => `test/${file}`);
  const inCases = readdirSync(new URL("conformance", root)).map((file) => `conformance/${file}`);
  const tests = [...inTests, ...inCases].map((file) => readFileSync(new URL(file, root), "utf8"));
  expect(idsIn(tests.join("\n"), /["'`][^"'`\n]*\[(G\d+)\]/g)).toEqual(stated);
  expect(stated).toEqual(["G1", "G10", "G11", "G12", "G13", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9"]);
});

test("the message types of the library are those of protocol.json", () => {
  expect(Object.values(MessageType)).toEqual(Object.keys(definition.types));
  expect(Object.keys(MessageType)).toEqual(Object.values(MessageType));
});
