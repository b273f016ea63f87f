/** The reader of replies, alone: every piece that a network may make of them, and what no Redis sends. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BadReply, ErrorReply } from "../../src/redis/errors.ts";
import { encodeCommand, type Reply, ReplyReader } from "../../src/redis/resp.ts";

const MIB = 1024 * 1024;

/** As Redis writes it. */
function written(reply: Reply | ErrorReply): string {
  if (reply === null) return "$-1\r\n";
  if (reply instanceof ErrorReply) return `-${reply.message}\r\n`;
  if (typeof reply === "number") return `:${reply}\r\n`;
  if (typeof reply === "string") return `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`;
  return `*${reply.length}\r\n${reply.map(written).join("")}`;
}

/** What is read of these pieces, and what the reading ended with. */
function read(...pieces: (string | Buffer)[]): { replies: (Reply | ErrorReply)[]; refusal?: string } {
  const replies: (Reply | ErrorReply)[] = [];
  const reader = new ReplyReader((reply) => replies.push(reply));
  try {
    for (const piece of pieces) reader.read(Buffer.from(piece));
  } catch (error) {
    if (!(error instanceof BadReply)) throw error;
    return { replies, refusal: error.message };
  }
  return { replies };
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b);
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 5 },
    fc.string({ unit: "binary" }),
    fc.maxSafeInteger(),
    fc.constant(null),
    fc.array(tie("reply"), { maxLength: 5 }),
  ),
}));
const error = fc.string({ unit: "grapheme" }).map((text) => new ErrorReply(text.replace(/[\r\n]/g, " ")));

test("whatever Redis sends is read as it was sent, in whatever pieces it comes", () => {
  const replies = fc.array(fc.oneof({ weight: 4, arbitrary: reply }, error), { maxLength: 5 });
  fc.assert(
    fc.property(replies, fc.array(fc.nat(), { maxLength: 20 }), (sent, places) => {
      const bytes = Buffer.from(sent.map(written).join(""));
      expect(read(...cut(bytes, places))).toEqual({ replies: sent });
      expect(read(...cut(bytes, [...bytes.keys()]))).toEqual({ replies: sent });
    }),
    { numRuns: 300 },
  );
});

test("statuses, empty and absent arrays", () => {
  expect(read("+OK\r\n*0\r\n*-1\r\n$0\r\n\r\n:-7\r\n*2\r\n*0\r\n$-1\r\n")).toEqual({
    replies: ["OK", [], null, "", -7, [[], null]],
  });
});

test("a text of many pieces takes time in proportion to its length", () => {
  const text = "x".repeat(32 * MIB);
  const piece = 16 * 1024;
  const bytes = Buffer.from(written([text, 1]));
  const pieces = Array.from({ length: Math.ceil(bytes.length / piece) }, (_, i) => i * piece);
  // With each piece put to all those before it, 30 GB would be copied: minutes.
  expect(read(...cut(bytes, pieces)).replies).toEqual([[text, 1]]);
});

describe("what no Redis sends is refused, by a sentence", () => {
  const NOT_REDIS = "what answers there is not Redis";
  test.each<[what: string, bytes: string, refusal: string]>([
    ["another protocol", "HTTP/1.1 400 Bad Request\r\n", NOT_REDIS],
    ["one byte of it", "H", NOT_REDIS],
    ["no length", "$\r\n", NOT_REDIS],
    ["a length that is none", "*1e3\r\n", NOT_REDIS],
    ["a number that is none", ":12a\r\n", NOT_REDIS],
    ["a sign alone", ":-\r\n", NOT_REDIS],
    ["a text that does not end where it says", "$2\r\nabc\r\n", NOT_REDIS],
    ["a line without an end", `+${"x".repeat(70_000)}`, NOT_REDIS],
    ["an error inside of an array", "*1\r\n-ERR no\r\n", NOT_REDIS],
    ["a text of 5 GB", "$5368709120\r\n", "its answer is larger than 64 MiB"],
    ["a text of a number that is too large for any", `$${"9".repeat(400)}\r\n`, "its answer is larger than 64 MiB"],
    ["a billion parts", "*1000000000\r\n", "its answer has more than 1000000 parts"],
    ["arrays that promise a billion together", "*900000\r\n*900000\r\n", "its answer has more than 1000000 parts"],
    ["100,000 arrays in each other", "*1\r\n".repeat(100_000), "its answer is nested more than 32 deep"],
  ])("%s", (_, bytes, refusal) => {
    expect(read(bytes)).toEqual({ replies: [], refusal });
    expect(read("+OK\r\n", ...cut(Buffer.from(bytes), [1, 3]))).toEqual({ replies: ["OK"], refusal });
  });

  test("many texts that are too large together, as soon as the one that is too much begins", () => {
    const text = written("x".repeat(MIB));
    const sixtyThree = text.repeat(63);
    expect(read(`*100\r\n${sixtyThree}`).refusal).toBeUndefined();
    expect(read(`*100\r\n${sixtyThree}`, "$1048576\r\n")).toEqual({
      replies: [],
      refusal: "its answer is larger than 64 MiB",
    });
    // Each of its own they are as many as there are.
    expect(read(sixtyThree, text, text).replies).toHaveLength(65);
  });
});

test("a command is written with the bytes of each word, not its characters", () => {
  expect(encodeCommand(["SET", "", "grün"])).toBe("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$5\r\ngrün\r\n");
});
