/** `coord show`: what became of one message for each recipient, and who owes what in a conversation. */
import { expect, test } from "vitest";
import { PREFIX, useRedis } from "../harness.ts";
import { coord, environment } from "./run.ts";

const bench = useRedis();
const SENT = Date.UTC(2026, 10, 30, 9);

/** So many seconds after the message was sent, as a receipt stores a time. */
const at = (seconds: number): string => String((SENT + seconds * 1000) * 1000);

async function shown(...args: string[]): Promise<string[]> {
  const env = environment({ REDIS_URL: bench.redis.url, CLAUDE_INSTANCE_ID: "alice" });
  const { stdout, stderr, code } = await coord(["show", ...args], { env });
  expect([stderr, code]).toEqual(["", 0]);
  return stdout.trimEnd().split("\n");
}

/** A broadcast in each state that a receipt may come to, at known times. */
async function broadcast(): Promise<string> {
  await bench.seen({ forgotten: 0, gone: 0, late: 0, quick: 0, silent: 0 });
  const [alice] = await bench.clients("alice");
  const request = { type: "GENERAL", subject: "tests", description: "", requiresAck: true } as const;
  const { messageId } = await alice.publishMessage({ ...request, to: "all" });
  const fields = {
    timestamp: new Date(SENT).toISOString(),
    "receipt:quick": `${at(3)} ${at(9)} done`,
    "receipt:late": `${at(61)} ${at(90_000)}o late`,
    "history:late": `a${at(900)} a${at(1200)} t${at(1500)} d${at(1800)} r${at(7300)}`,
    "history:gone": `o${at(900)}`,
    "history:forgotten": `a${at(900)} f${at(1000)}`,
    open: "3",
    dropped: "1",
  };
  await bench.raw.hset(`${PREFIX}:msg:${messageId}`, ...Object.entries(fields).flat());
  return messageId;
}

test("each step that a recipient's copy went through has its time, and how long after the message was sent it came", async () => {
  const id = await broadcast();
  expect(await shown(id)).toEqual([
    "GENERAL alice → all  2026-11-30T09:00:00.000Z  to be acknowledged",
    `  ID: ${id}`,
    "  Subject: tests",
    "  Receipts:",
    "    forgotten dead: forgotten was forgotten.",
    "      announced again  2026-11-30T09:15:00.000Z  after 15 min",
    "      forgotten        2026-11-30T09:16:40.000Z  after 16 min",
    "    gone stored",
    "      sender told: it is offline  2026-11-30T09:15:00.000Z  after 15 min",
    "    silent stored",
    "    late acknowledged from outside: late",
    "      presented               2026-11-30T09:01:01.000Z  after 1 min",
    "      announced again         2026-11-30T09:15:00.000Z  after 15 min",
    "      announced again         2026-11-30T09:20:00.000Z  after 20 min",
    "      sender told: no answer  2026-11-30T09:25:00.000Z  after 25 min",
    "      dead                    2026-11-30T09:30:00.000Z  after 30 min",
    "      retried                 2026-11-30T11:01:40.000Z  after 2 h",
    "      acknowledged            2026-12-01T10:00:00.000Z  after 1 d",
    "    quick acknowledged: done",
    "      presented     2026-11-30T09:00:03.000Z  after 3 s",
    "      acknowledged  2026-11-30T09:00:09.000Z  after 9 s",
  ]);
});

test("a conversation ends with who has still to acknowledge what, or that nobody has", async () => {
  const id = await broadcast();
  const lines = await shown(id, "--thread");
  expect(lines.slice(lines.indexOf("Still to be acknowledged"))).toEqual([
    "Still to be acknowledged",
    `  forgotten  dead    GENERAL of alice  ${id}  2026-11-30T09:00:00.000Z`,
    `  gone       stored  GENERAL of alice  ${id}  2026-11-30T09:00:00.000Z`,
    `  silent     stored  GENERAL of alice  ${id}  2026-11-30T09:00:00.000Z`,
  ]);
  for (const name of ["forgotten", "gone", "silent"]) {
    const [client] = await bench.clients(name);
    await client.ackMessage(id);
  }
  expect((await shown(id, "--thread")).at(-1)).toBe("Nobody owes an answer.");
});
