import { expect, test } from "vitest";
import * as fc from "fast-check";
import { PREFIX, useRedis } from "../harness.ts";

const bench = useRedis();
const LINE_BREAKS = /[\n\r\v\f\u0085\u2028\u2029]/g;

/** Text of all that is odd: control characters, NUL, bidi marks, emoji with joiners, quotes, shell and Lua syntax. */
const piece = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom(
    "\u0000",
    "\u001b[31m",
    "\u007f",
    "\u009b",
    "\u202e",
    "\u2066",
    "\ufeff",
    "\uffff",
    "\u{10ffff}",
    "👩‍👩‍👧‍👦",
    "e\u0301",
    '"',
    "'",
    "\\",
    "\\u0000",
    "\t",
    "$(touch /tmp/x)",
    "`id`",
    "${HOME}",
    "%s%n",
    "--all",
    "-",
    "]]",
    "\r\n",
    "\n",
    "null",
    "0",
    "1000000000000000 1000000000000000",
    "msg-0000000000",
    "__proto__",
    "<b>",
    "\u2028",
    "{}",
    "[]",
  ),
);
const text = (bytes: number): fc.Arbitrary<string> =>
  fc
    .array(piece, { maxLength: 20 })
    .map((pieces) => pieces.join(""))
    .filter((value) => value.isWellFormed() && Buffer.byteLength(value) <= bytes);
const subject = text(800)
  .map((value) => [...value.replace(LINE_BREAKS, "")].slice(0, 200).join(""))
  .filter((value) => value !== "");

const bytes = (value: string | undefined): string => Buffer.from(value ?? "", "utf8").toString("hex");

test("[G10] any text comes back byte for byte, as subject, description, comment, id or key", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  await fc.assert(
    fc.asyncProperty(subject, text(65_536), text(4096), text(128), async (title, body, comment, key) => {
      const idempotencyKey = key === "" || key.length > 128 ? undefined : key;
      const request = { type: "GENERAL", subject: title, description: body, to: "bob", idempotencyKey } as const;
      const { messageId } = await alice.publishMessage(request);
      expect(await alice.publishMessage({ ...request, idempotencyKey: idempotencyKey ?? messageId })).toMatchObject({
        repeated: idempotencyKey !== undefined,
      });
      const events = (await bob.getNotifications()).notifications;
      expect(bytes(events[0]?.subject)).toBe(bytes(title));
      const [message] = (await bob.checkMessages({ pendingOnly: true, limit: 1 })).messages;
      expect([message?.id, bytes(message?.subject), bytes(message?.description)]).toEqual([
        messageId,
        bytes(title),
        bytes(body),
      ]);
      expect(bytes((await bob.ackMessage(messageId, { comment })).comment)).toBe(bytes(comment));
      expect(bytes((await bob.ackMessage(messageId, { comment: "other" })).comment)).toBe(bytes(comment));
      const [shown] = (await alice.showMessage(messageId)).messages;
      expect(bytes(shown?.receipts?.[0]?.comment)).toBe(bytes(comment));
      expect(bytes(shown?.description)).toBe(bytes(body));
      const [event] = (await alice.getNotifications()).notifications;
      expect([bytes(event?.subject), bytes(event?.comment)]).toEqual([bytes(title), bytes(comment)]);
      const stored = await bench.raw.bytes("HMGET", `${PREFIX}:msg:${messageId}`, "subject", "description");
      expect((stored as Buffer[]).map((field) => field.toString("hex"))).toEqual([bytes(title), bytes(body)]);
      await bench.raw.flushall();
      for (const { session } of [alice, bob]) session.known.forget();
      // An odd id is looked up like any other.
      if (idempotencyKey !== undefined) {
        await expect(bob.ackMessage(idempotencyKey)).rejects.toMatchObject({ code: "NOT_FOUND" });
      }
    }),
    { numRuns: 150, interruptAfterTimeLimit: 8000 },
  );
});

test("[G10] every single character up to U+FFFF, and 64 KiB of the longest, come back as they are", async () => {
  const [alice, bob] = await bench.clients("alice", "bob");
  const characters = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code)).filter((c) =>
    c.isWellFormed(),
  );
  const descriptions = ["\u0000".repeat(65_536), "\u0001".repeat(61_440), "😀".repeat(16_384), '"'.repeat(65_536)];
  for (let at = 0; at < characters.length; at += 16_384) descriptions.push(characters.slice(at, at + 16_384).join(""));
  for (const description of descriptions) {
    await alice.publishMessage({ type: "GENERAL", subject: "s", description, to: "bob" });
    const { messages } = await bob.checkMessages({ limit: 1 });
    expect(messages[0]?.description === description).toBe(true);
  }
});
