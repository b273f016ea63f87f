/** What hosts and registries install, as it is committed. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { packages } from "../tools/packages.mjs";

const read = (name: string): string => readFileSync(path.join(import.meta.dirname, "..", name), "utf8");

describe("the packages", () => {
  it("are made from package.json and what coord init writes: npm run packages makes them again", async () => {
    const made = await packages();
    const committed = Object.keys(made).map((name) => [
      name,
      name.endsWith(".json") ? (JSON.parse(read(name)) as unknown) : read(name),
    ]);
    expect(Object.fromEntries(committed)).toEqual(JSON.parse(JSON.stringify(made)));
  });

  it("start only programs by name", async () => {
    const made = JSON.stringify(await packages());
    expect(made).not.toContain("/dist/");
    expect(made.match(/"command":"(?!command -v coord-hook )[^"]*"/g)).toEqual(
      expect.arrayContaining(['"command":"coord"', '"command":"sh"']),
    );
    expect(new Set(made.match(/"command":"(?!command -v coord-hook )[^"]*"/g))).toHaveLength(2);
  });
});

describe("server.json", () => {
  const manifest = JSON.parse(read("package.json")) as { mcpName: string; description: string };

  it("keeps the bounds of the MCP registry", () => {
    expect(manifest.mcpName).toMatch(/^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/);
    expect(manifest.description.length).toBeLessThanOrEqual(100);
  });
});
