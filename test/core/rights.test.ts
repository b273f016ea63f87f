/** What a Redis user of each kind may do with what is another instance's: SECURITY.md has the table, Redis itself the verdicts. */
import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { accessRule, instanceRule, SCRIPT_COMMANDS } from "../../src/store/acl.ts";
import { PREFIX, useRedis } from "../harness.ts";

const bench = useRedis();

const RULES: Record<string, string> = {
  any: "ACL SETUSER any reset on >PASSWORD ~* &* +@all",
  export: accessRule(PREFIX, "export", true).rule,
  plain: accessRule(PREFIX, "plain").rule,
  mallory: instanceRule(PREFIX, "mallory", "mallory").rule,
  alice: instanceRule(PREFIX, "alice", "alice").rule,
};
const USERS = Object.keys(RULES);
beforeAll(async () => {
  for (const rule of Object.values(RULES))
    await bench.raw.call("ACL", ...rule.replace("PASSWORD", "x").split(" ").slice(1));
});

const may = async (user: string, command: string): Promise<boolean> =>
  (await bench.raw.call("ACL", "DRYRUN", user, ...command.replaceAll("P:", `${PREFIX}:`).split(" "))) === "OK";

/** What mallory may want of alice, and the commands for it. */
const WANTED: readonly (readonly [what: string, ...commands: string[]])[] = [
  ["seal a message or acknowledgement as alice", "HSET P:seal:alice msg-1 x"],
  ["remove alice's seals", "HDEL P:seal:alice msg-1", "DEL P:seal:alice"],
  [
    "read everything, subscribe to every event",
    "HGETALL P:msg:msg-1",
    "HGETALL P:seal:alice",
    "SUBSCRIBE P:notify:alice",
  ],
  ["set or free an idempotency key of alice", "SET P:once:alice:k msg-1", "DEL P:once:alice:k"],
  ["list a message as sent by alice", "ZADD P:outbox:alice 1 msg-1"],
  ["take one from that list", "ZREM P:outbox:alice msg-1"],
  ["hold events or mail as if alice's hook showed it", "HSET P:loans:alice 1 x", "ZADD P:loaned:alice 1 msg-1"],
  ["end that", "ZREM P:loaned:alice msg-1"],
  ["keep alice from being reminded at a stop", "SADD P:reminded:alice msg-1"],
  ["end alice's waker, or pose as it", "DEL P:waker:alice", "SET P:waker:alice x"],
  ["say that alice was braked", "SET P:braked:alice:bob 1"],
  [
    "pop alice's events, queue false ones",
    "LPOP P:notifications:alice 1",
    "RPUSH P:notifications:alice x",
    "PUBLISH P:notify:alice x",
  ],
  ["mark alice's mail as read", "ZREM P:unread:alice msg-1", "HSET P:msg:msg-1 receipt:alice 1"],
  ["put mail before alice, or take it from its inbox", "ZADD P:inbox:alice 1 msg-1", "ZREM P:inbox:alice msg-1"],
  [
    "change, forge or delete a message",
    "HSET P:msg:msg-1 description x",
    "UNLINK P:msg:msg-1",
    "ZREM P:timeline msg-1",
  ],
  ["make alice look active, or gone", "HSET P:presence alice x", "HDEL P:presence alice"],
  ["change what acts on everyone, `senders` too", "HSET P:meta senders off"],
  ["list the names of all keys", "SCAN 0"],
  [
    "reach another namespace",
    "HGETALL P2:msg:msg-1",
    "HSET P2:meta stamp 1",
    "HGETALL P:payroll:meta",
    "SUBSCRIBE P2:events",
  ],
  [
    "change the server or its users",
    "CONFIG SET maxmemory 1",
    "ACL SETUSER alice on",
    "FLUSHALL",
    "SHUTDOWN",
    "SCRIPT FLUSH",
  ],
];

test("the table of SECURITY.md says what Redis says", async () => {
  const rows: string[] = [];
  for (const [what, ...commands] of WANTED) {
    const cells = [];
    for (const user of USERS) {
      const verdicts = await Promise.all(commands.map((command) => may(user, command)));
      cells.push(verdicts.every(Boolean) ? "yes" : verdicts.some(Boolean) ? "in part" : "no");
    }
    rows.push(`| ${what} | ${commands.map((command) => `\`${command}\``).join("<br>")} | ${cells.join(" | ")} |`);
  }
  const text = readFileSync(new URL("../../SECURITY.md", import.meta.url), "utf8");
  expect(text).toContain(rows.join("\n"));
});

/** What stands behind the key in each command that the scripts call, and where the key stands. */
const ARGUMENTS: Record<string, string> = {
  del: "K",
  exists: "K",
  get: "K",
  hdel: "K f",
  hexists: "K f",
  hget: "K f",
  hgetall: "K",
  hincrby: "K f 1",
  hlen: "K",
  hmget: "K f",
  hrandfield: "K",
  hscan: "K 0",
  hset: "K f v",
  hsetnx: "K f v",
  llen: "K",
  lpop: "K",
  lpos: "K v",
  lpush: "K v",
  lrange: "K 0 1",
  lrem: "K 1 v",
  ltrim: "K 0 1",
  rpush: "K v",
  sadd: "K v",
  scard: "K",
  set: "K v",
  sismember: "K v",
  strlen: "K",
  ttl: "K",
  type: "K",
  unlink: "K",
  zadd: "K 1 v",
  zcard: "K",
  zintercard: "1 K",
  zmscore: "K v",
  zrange: "K 0 1",
  zrem: "K v",
  zremrangebyrank: "K 0 1",
  zremrangebyscore: "K 0 1",
  zscore: "K v",
};
const READS =
  "exists get hexists hget hgetall hlen hmget hrandfield hscan llen lpos lrange scard sismember strlen ttl type zcard zintercard zmscore zrange zscore".split(
    " ",
  );

test("of all commands that a user has, those that write a seal are its own instance's alone", async () => {
  const keyless = ["publish", "time"];
  expect(Object.keys(ARGUMENTS).sort()).toEqual(SCRIPT_COMMANDS.filter((name) => !keyless.includes(name)).sort());
  const allowed = async (user: string, key: string): Promise<string[]> => {
    const names = Object.keys(ARGUMENTS);
    const verdicts = await Promise.all(names.map((name) => may(user, `${name} ${ARGUMENTS[name]!.replace("K", key)}`)));
    return names.filter((_, i) => verdicts[i]);
  };
  const every = Object.keys(ARGUMENTS);
  expect(await Promise.all(USERS.map((user) => allowed(user, "P:seal:alice")))).toEqual([
    every,
    READS,
    READS,
    READS,
    every,
  ]);
  // Nor with a command that copies, renames or restores into it.
  const others =
    "COPY P:msg:x K, RENAME P:msg:x K, RESTORE K 0 x, SUNIONSTORE K P:imported, ZUNIONSTORE K 1 P:dead, SORT P:dead STORE K, " +
    "APPEND K x, SETRANGE K 0 x, GETSET K x, HINCRBYFLOAT K f 1, HMSET K f v, MIGRATE h 1 K 0 1, FCALL f 1 K, EXPIRE K 1, MOVE K 1";
  for (const command of others.replaceAll("K", "P:seal:alice").split(", ")) {
    expect([command, await may("mallory", command)]).toEqual([command, false]);
    expect([command, await may("alice", command)]).toEqual([command, false]);
  }
});
