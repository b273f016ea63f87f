import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as fc from "fast-check";
import { Mailbox } from "../../src/client/mailbox.ts";
import {
  LIMITS,
  MESSAGE_TYPES,
  NAMESPACE_SETTINGS,
  PEOPLE_NAMES,
  PROTOCOL_VERSION,
  TYPE_RULES,
} from "../../src/protocol/definition.ts";
import { SCRIPTS, type ScriptName } from "../../src/store/scripts.ts";
import { ON_CLUSTER, PREFIX, idOf, stampOf, until, useRedis } from "../harness.ts";

const bench = useRedis();
const LUA = new URL("../../lua/", import.meta.url);
const read = (name: string): string => readFileSync(new URL(`${name}.lua`, LUA), "utf8");
const scriptsIn = (folder: URL): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".lua") && name !== "prelude.lua")
    .map((name) => name.slice(0, -".lua".length));
const verbs = scriptsIn(LUA);
const PARTS = scriptsIn(new URL("parts/", LUA));
const prelude = read("prelude");

/** The header of a verb: its sentence, and what stands behind each of the words. */
function header(source: string): { sentence: string; sections: Record<string, string[]> } {
  const lines = source.split("\n");
  const comment = lines
    .slice(
      1,
      lines.findIndex((line, i) => i > 0 && !line.startsWith("--")),
    )
    .map((line) => line.slice(3));
  const sections: Record<string, string[]> = {};
  let section: string[] = [];
  const sentence: string[] = [];
  for (const line of comment) {
    const [, word, rest] = /^(USES|KEYS|ARGV|Returns|Refuses) +(.*)$/.exec(line) ?? [];
    if (word !== undefined) sections[word] = section = [rest!];
    else if (Object.keys(sections).length === 0) sentence.push(line);
    else section.push(line.trim());
  }
  return { sentence: sentence.join(" ").trim(), sections };
}

/** `a b c…` as names; the last, with its ellipsis, stands for further values. */
function names(text: string): string[] {
  return text.split(/[\s,]+/).filter((name) => name !== "");
}

describe("the headers", () => {
  test("every verb has a declaration and every declaration a verb", () => {
    expect(verbs).toEqual(Object.keys(SCRIPTS).sort());
  });

  test.each(verbs)("%s: the header, the line that unpacks and the declaration agree", (verb) => {
    const source = read(verb);
    const { sentence, sections } = header(source);
    expect(source.split("\n")[0]).toMatch(/^#!lua( flags=[a-z-]+(,[a-z-]+)*)?$/);
    expect(sentence).toMatch(/\.$/);
    expect(Object.keys(sections).filter((word) => word !== "USES")).toEqual(["KEYS", "ARGV", "Returns", "Refuses"]);
    // A part that is not used would be compiled for nothing; one that is missing fails at the first call.
    const used = [...source.matchAll(/^-- USES +(.+)$/gm)].flatMap(([, parts]) => parts!.split(" "));
    const code = (name: string): string => read(name).replaceAll(/^ *--.*$/gm, "");
    for (const part of PARTS) {
      const named = [...read(`parts/${part}`).matchAll(/^local (?:function )?(\w+)/gm)].map(([, name]) => name!);
      const others = used.filter((other) => other !== part).map((other) => code(`parts/${other}`));
      const uses = [code(verb), ...others].some((text) => named.some((name) => new RegExp(`\\b${name}\\b`).test(text)));
      expect([part, used.includes(part)]).toEqual([part, uses]);
    }
    expect(sections["KEYS"]).toEqual(["P:meta"]);
    for (const word of ["Returns", "Refuses"]) expect(sections[word]?.[0]).not.toBe("");

    const { args } = SCRIPTS[verb as ScriptName];
    const unpacked = names(/^local ([^=]*)= unpack\(ARGV\)$/m.exec(source)?.[1] ?? "");
    // Further ones may be read from ARGV by their place.
    expect(unpacked.map((name) => (name === "me" ? "instance" : name === "kind" ? "type" : name))).toEqual(
      args.slice(0, unpacked.length),
    );
    // Behind the names may come an explanation, `name: …`, and further values, `name…`.
    const listed = sections["ARGV"]!.flatMap((line) => (line.includes(":") ? ["."] : names(line)));
    const end = listed.indexOf(".");
    const declared = end === -1 ? listed : listed.slice(0, end);
    expect(declared.filter((name) => !name.endsWith("…"))).toEqual([...args]);
  });

  test("only what stores messages may be refused for lack of memory", () => {
    for (const verb of verbs) {
      expect([verb, read(verb).startsWith("#!lua flags=allow-oom\n")]).toEqual([
        verb,
        verb !== "publish" && verb !== "restore",
      ]);
    }
  });

  test.each(verbs)("%s: the codes it refuses with stand in its header, and those there are used", (verb) => {
    const source = read(verb);
    const used = [...source.matchAll(/\brefus(?:e|al)\('([A-Z_]+)'/g)].map(([, code]) => code!);
    if (source.includes("brake(")) used.push("LOOP"); // refused in a part, as the next
    if (source.includes("SEALS.problem(")) used.push("IDENTITY");
    if (source.includes("superseded(")) used.push("SUPERSEDED", "TAKEN"); // refused in the prelude
    const stated =
      header(source)
        .sections["Refuses"]!.join(" ")
        .match(/\b[A-Z_]{4,}\b/g) ?? [];
    for (const code of used) expect(stated).toContain(code);
    for (const code of stated.filter((name) => name !== "INTERNAL")) expect(used).toContain(code);
  });
});

describe("the prelude", () => {
  test("its bounds are those of protocol.json", () => {
    const bounds = Object.fromEntries(
      [...prelude.matchAll(/^local ([A-Z_]+) = (\d+)$/gm)].map(([, name, value]) => [name!, Number(value)]),
    );
    const expected: Record<string, number> = { PROTOCOL_VERSION };
    for (const name of Object.keys(bounds)) {
      if (name !== "PROTOCOL_VERSION")
        expected[name] = Object.entries(LIMITS).find(([limit]) => limit === name.toLowerCase())?.[1] as number;
    }
    expect(bounds).toEqual(expected);
    expect(Object.keys(bounds).length).toBeGreaterThanOrEqual(4);
  });

  test("the bounds of settings are those of protocol.json", () => {
    const table = /local SETTING_BOUNDS = (\{.*?\})/s.exec(read("parts/settings"))![1]!;
    const bounds = [...table.matchAll(/(\w+) = '(\d+) (\d+) (\d+)'/g)].map(([, name, ...numbers]) => [
      name,
      numbers.map(Number),
    ]);
    const expected = Object.entries(NAMESPACE_SETTINGS).map(([name, of]) => [
      name,
      [of.minimum, of.maximum, of.default],
    ]);
    expect(bounds).toEqual(expected);
  });

  test("the types that ask for work are those of protocol.json", () => {
    const table = /local ASKS_FOR_WORK = (\{.*?\})/s.exec(read("parts/governor"))![1]!;
    const types = [...table.matchAll(/([A-Z_]+) = true/g)].map(([, type]) => type);
    expect(types.sort()).toEqual(MESSAGE_TYPES.filter((type) => TYPE_RULES[type].asks_for_work).sort());
  });

  test("the name of the people is that of protocol.json", () => {
    const [, name] = /local OPERATOR = '(\w+)'/.exec(read("parts/recipients"))!;
    expect([name]).toEqual(PEOPLE_NAMES);
  });

  /** Runs an expression of Lua with the prelude around it. */
  const evaluate = async (expression: string, ...args: string[]): Promise<unknown> =>
    bench.raw.eval(`${prelude}\nreturn ${expression}`, 1, `${PREFIX}:meta`, ...args);

  test("it writes a time as JavaScript does, in every year until 2100", async () => {
    const times = [0, 951_782_399_999, 951_782_400_000, 1_709_164_800_000, 1_709_251_199_999, 4_107_542_399_999];
    const more = fc.sample(fc.integer({ min: 0, max: 4_102_444_800_000 }), 500);
    for (const time of [...times, ...more]) {
      const microseconds = String(time * 1000 + (time % 1000));
      expect(await evaluate("iso(tonumber(ARGV[1]))", microseconds)).toBe(new Date(time).toISOString());
    }
  });

  test("a stamp becomes an id and an id its stamp again, exactly", async () => {
    const stamps = [0, 1, 35, 36, 2 ** 51 + 1, 36 ** 10 - 1, Date.now() * 1000 + 1];
    for (const stamp of [...stamps, ...fc.sample(fc.integer({ min: 0, max: 36 ** 10 - 1 }), 300)]) {
      expect(await evaluate("string.format('%.0f', stamp_of(ARGV[1]))", idOf(stamp))).toBe(String(stamp));
      expect(stampOf(idOf(stamp))).toBe(stamp);
    }
  });

  test("every script is what its sum says, and all differ", async () => {
    const sums = Object.values(SCRIPTS).map(({ sha }) => sha);
    expect(new Set(sums).size).toBe(sums.length);
    for (const { sha, text } of Object.values(SCRIPTS)) {
      const script = await text();
      expect(script).toContain(prelude);
      expect(createHash("sha1").update(script).digest("hex")).toBe(sha);
    }
  });
});

describe("one round trip", () => {
  /** What clients, not scripts, send to Redis during an action. */
  async function sent(action: (commands: readonly string[]) => Promise<unknown>): Promise<string[]> {
    await bench.raw.ping(); // logs our own connection in, which is not what is counted
    const commands: string[] = [];
    const stop = await bench.raw.monitor((words, source) => {
      if (source !== "lua") commands.push(words[0]!.toLowerCase());
    });
    await action(commands);
    await bench.raw.echo("end");
    while (commands.at(-1) !== "echo") await new Promise((resolve) => setTimeout(resolve, 2));
    stop();
    return commands.slice(0, -1);
  }

  test("[G12] every operation is one script call, or as many as what it reads takes, and nothing else", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    await bench.seen(Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`i${n}`, 0])));
    const general = { type: "GENERAL", subject: "s", description: "d" } as const;
    const { messageId } = await alice.publishMessage({ ...general, to: "bob" });
    for (let n = 0; n < 200; n++) await alice.publishMessage({ ...general, to: "bob" });
    const ids = (await bob.checkMessages({ limit: 100 })).messages.map(({ id }) => id);
    const operations: [ScriptName, () => Promise<unknown>, steps?: number][] = [
      ["touch", () => alice.touch()],
      ["publish", () => alice.publishMessage({ ...general, to: "bob" })],
      ["publish", () => alice.publishMessage({ ...general, to: "all", description: "x".repeat(65_536) })],
      ["publish", () => bob.publishMessage({ ...general, replyTo: messageId })],
      ["publish", () => alice.publishMessage({ ...general, to: "ghost" })],
      ["check", () => bob.checkMessages({ limit: 1000 }), 3],
      ["check", () => bob.checkMessages({ all: true, pendingOnly: true, thread: messageId, limit: 1000 })],
      ["check", () => bob.checkMessages({ since: messageId, type: "META_CHANGE_REQUEST" })],
      ["search", () => bob.searchMessages("nowhere is:pending")],
      ["search", () => bob.searchMessages("s", { limit: 1000 }), 3],
      ["show", () => bob.showMessage(messageId, { thread: true })],
      ["ack", () => bob.ackMessage(ids)],
      ["ack", () => bob.ackMessage(ids[0]!)],
      ["notifications", () => bob.getNotifications({ limit: 1000 })],
      ["presence", () => bob.getPresence()],
      ["stats", () => bob.getStats(), 6],
      ["forget", () => bob.forgetInstance("i1")],
    ];
    for (const [name, run, steps = 1] of operations) {
      await run().catch(() => undefined); // its script is cached now, whatever ran before
      await bench.seen({ i1: 0 });
      const calls = await sent(run);
      expect([name, [...new Set(calls)], calls.length <= steps]).toEqual([name, ["evalsha"], true]);
    }
  });

  test("a script that is not cached is loaded and run in one further step, once for all clients", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    await bench.raw.script("FLUSH");
    expect(await sent(() => alice.getStats())).toEqual(["evalsha", "eval"]);
    expect(await sent(() => bob.getStats())).toEqual(["evalsha"]);
  });

  test("a new client asks once whether Redis is there, and a single command no more than that", async () => {
    await (await bench.client("alice")).getStats();
    const single = bench.command("alice");
    expect(await sent(() => single.getStats())).toEqual([ON_CLUSTER ? "exists" : "ping", "evalsha"]);
    expect(await sent(() => single.getStats())).toEqual(["evalsha"]);
  });

  test("a wait does not poll: it subscribes, looks, and looks again when it was woken", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    await bob.checkMessages({ waitSeconds: 0.01 }); // opens the second connection
    await new Mailbox(bob).sweepWhenDue();
    expect(await sent(() => bob.checkMessages({ waitSeconds: 0.5 }))).toEqual([
      "subscribe",
      "evalsha",
      "evalsha",
      "unsubscribe",
    ]);
    const request = { type: "GENERAL", subject: "s", description: "" } as const;
    for (let i = 0; i < 2; i++) await alice.publishMessage({ ...request, to: "carol" }); // the second asks which namespace it is
    const commands = await sent(async (sofar) => {
      const result = bob.checkMessages({ waitSeconds: 20 });
      await until(async () => sofar.includes("evalsha"));
      await alice.publishMessage({ ...request, to: "bob" });
      await result;
    });
    expect(commands).toEqual(["subscribe", "evalsha", "evalsha", "evalsha", "unsubscribe"]);
  });
});
