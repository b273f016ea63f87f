import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { KEY_KINDS } from "../../src/protocol/definition.ts";
import { accessRule, EXPORT_COMMANDS, SCRIPT_COMMANDS } from "../../src/store/acl.ts";
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
    expect([...new Set(names)].map((name) => name.toLowerCase()).sort()).toEqual(
      [...SCRIPT_COMMANDS, ...EXPORT_COMMANDS].sort(),
    );
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
      ["SCAN", "0"],
      ["GET", "other"],
      ["PUBLISH", "x", "y"],
    ]) {
      const verdict = await bench.raw.call("ACL", "DRYRUN", "default", ...command);
      expect([command[0], verdict]).toEqual([command[0], expect.stringMatching(/no permissions/)]);
    }
  });

  test("names every kind of key that the scripts name, as single or with a name behind it", () => {
    const sources = readdirSync(LUA, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".lua"))
      .map((name) => readFileSync(new URL(name, LUA), "utf8"));
    const named = sources.flatMap((source) => [...source.matchAll(/\bkey\('(\w+)'(,)?/g)]);
    const kinds = new Set(named.map(([, kind]) => kind!).filter((kind) => kind !== "events" && kind !== "notify"));
    expect([...kinds, "meta"].sort()).toEqual([...new Set(Object.values(KEY_KINDS).flat())].sort());
    for (const [, kind, behind] of named) {
      const list = behind === undefined ? KEY_KINDS.single : KEY_KINDS.named;
      if (kind !== "events" && kind !== "notify" && kind !== "once")
        expect([kind, list.includes(kind!)]).toEqual([kind, true]);
    }
  });

  test("the user of a namespace reaches none whose prefix begins with its own, in any database", async () => {
    const inner = `${PREFIX}:payroll`;
    const rule = accessRule(PREFIX, "agents").rule.replace(">PASSWORD", "nopass").split(" ");
    await bench.raw.call("ACL", "SETUSER", ...rule.slice(2));
    const keys = [
      ...KEY_KINDS.single.map((kind) => `${inner}:${kind}`),
      ...KEY_KINDS.named.map((kind) => `${inner}:${kind}:x`),
    ];
    for (const key of keys) {
      const verdict = await bench.raw.call("ACL", "DRYRUN", "agents", "HGET", key, "id");
      expect([key, verdict]).toEqual([key, expect.stringMatching(/no permissions/)]);
    }
    for (const channel of [`${inner}:events`, `${inner}:notify:x`]) {
      const verdict = await bench.raw.call("ACL", "DRYRUN", "agents", "PUBLISH", channel, "x");
      expect([channel, verdict]).toEqual([channel, expect.stringMatching(/no permissions/)]);
    }
    const own = await bench.raw.call("ACL", "DRYRUN", "agents", "HGET", `${PREFIX}:msg:x`, "id");
    expect(own).toBe("OK");
  });

  test("a prefix that would lie within the kinds of another is refused", async () => {
    for (const kind of [...KEY_KINDS.single, ...KEY_KINDS.named, "notify"]) {
      expect(() => bench.command("alice", { keyPrefix: `${PREFIX}:${kind}` })).toThrow(`${kind} is a kind of our keys`);
    }
  });

  test("an export is refused before its first line, and is the right of a user of its own", async () => {
    const alice = await bench.client("alice");
    await alice.publishMessage({ type: "GENERAL", subject: "s", description: "d", to: "bob" });
    const lines = alice.exportLines();
    expect(await refused(lines.next())).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringMatching(/may not do this \(.*script/),
      hint: expect.stringContaining("coord acl --export"),
    });
    const exported: string[] = [];
    await bench.admitExports();
    for await (const line of alice.exportLines()) exported.push((JSON.parse(line) as { kind: string }).kind);
    expect(exported).toEqual(["namespace", "instance", "message", "queue", "key", "end"]);
  });
});
