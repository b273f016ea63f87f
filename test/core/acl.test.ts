import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { SCRIPT_COMMANDS } from "../../src/store/acl.ts";
import { PREFIX, refused, useRedis } from "../harness.ts";

const bench = useRedis();
const LUA = new URL("../../lua/", import.meta.url);

describe("coord acl", () => {
  test("names exactly the commands that the scripts call", () => {
    const sources = readdirSync(LUA, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".lua"))
      .map((name) => readFileSync(new URL(name, LUA), "utf8"));
    const called = sources.flatMap((source) =>
      [...source.matchAll(/\b(?:redis\.p?call|call|try)\(([^,)]*)/g)].map(([, name]) => name!),
    );
    // By the type of a key it is asked how much is in it.
    const table = /local CARDINALITY = \{(.*)\}/.exec(sources.join("\n"))?.[1] ?? "";
    const indirect = [...table.matchAll(/'(\w+)'/g)].map(([, name]) => `'${name}'`);
    expect(new Set(called.filter((name) => !/^'\w+'$/.test(name)))).toEqual(new Set(["CARDINALITY[kind]"]));
    const names = [...called, ...indirect].filter((name) => name.startsWith("'")).map((name) => name.slice(1, -1));
    expect([...new Set(names)].map((name) => name.toLowerCase()).sort()).toEqual(SCRIPT_COMMANDS);
  });

  test("the user it describes reaches this namespace and nothing else", async () => {
    const alice = await bench.client("alice");
    await alice.publishMessage({ type: "GENERAL", subject: "s", description: "d", to: "bob" });
    const other = bench.command("alice", { keyPrefix: `${PREFIX}2` });
    const refusal = await refused(other.publishMessage({ type: "GENERAL", subject: "s", description: "d", to: "bob" }));
    expect(refusal).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("may not do this (NOPERM") });
    expect(await bench.raw.keys(`${PREFIX}2:*`)).toEqual([]);
    for (const command of [
      ["FLUSHALL"],
      ["KEYS", "*"],
      ["CONFIG", "GET", "*"],
      ["GET", "other"],
      ["PUBLISH", "x", "y"],
    ]) {
      const verdict = await bench.raw.call("ACL", "DRYRUN", "default", ...command);
      expect([command[0], verdict]).toEqual([command[0], expect.stringMatching(/no permissions/)]);
    }
  });
});
