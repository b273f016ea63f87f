/** The Redis protocol, version 2: commands as text to send, and replies out of the bytes that come. */
import { BadReply, ErrorReply } from "./errors.ts";

export type Reply = string | number | null | Reply[];

/** Bounds of one reply, all far above what our scripts return: a server that is none must not take our memory. */
const BYTES_MAXIMUM = 64 * 1024 * 1024;
const PARTS_MAXIMUM = 1_000_000;
/** Of arrays in arrays. */
const DEPTH_MAXIMUM = 32;
/** Of a number, a status, an error; those of our scripts quote what they refuse. */
const LINE_BYTES_MAXIMUM = 64 * 1024;

const [STATUS, ERROR, INTEGER, BULK, ARRAY] = [..."+-:$*"].map((character) => character.charCodeAt(0));
const [CR, LF, MINUS, ZERO] = [..."\r\n-0"].map((character) => character.charCodeAt(0)) as [
  number,
  number,
  number,
  number,
];

export function encodeCommand(words: readonly string[]): string {
  let text = `*${words.length}\r\n`;
  for (const word of words) text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`;
  return text;
}

/** Takes what comes in pieces of any size, and keeps of it what is not complete. */
export class ReplyReader {
  readonly #onReply: (reply: Reply | ErrorReply) => void;
  /** What came and is not read: it begins with a part of which the end is missing. */
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  /** So many it takes to go on: a text of many pieces is put together once. */
  #neededBytes = 0;
  /** Arrays that lack parts, each inside of the one before. */
  #arrays: { parts: Reply[]; length: number }[] = [];
  /** Of the reply under way: what was read, and what its arrays have promised. */
  #bytes = 0;
  #parts = 0;

  constructor(onReply: (reply: Reply | ErrorReply) => void) {
    this.#onReply = onReply;
  }

  /** @throws BadReply, after which this reader is of no use any more */
  read(piece: Buffer): void {
    this.#unread.push(piece);
    this.#unreadBytes += piece.length;
    if (this.#unreadBytes < this.#neededBytes) return;
    const bytes = this.#unread.length === 1 ? piece : Buffer.concat(this.#unread);
    this.#neededBytes = 0;
    let at = 0;
    while (at < bytes.length) {
      const end = this.#readPart(bytes, at);
      if (end === undefined) break;
      at = end;
    }
    this.#unread = at === bytes.length ? [] : [bytes.subarray(at)];
    this.#unreadBytes = bytes.length - at;
  }

  /** Returns where the part that begins at `at` ends, or undefined where not all of it is there. */
  #readPart(bytes: Buffer, at: number): number | undefined {
    const type = bytes[at];
    if (type !== STATUS && type !== ERROR && type !== INTEGER && type !== BULK && type !== ARRAY) throw new BadReply();
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd === -1) {
      if (bytes.length - at > LINE_BYTES_MAXIMUM) throw new BadReply();
      return undefined;
    }
    const end = lineEnd + 2;
    if (type === BULK) return this.#readText(bytes, at, end, readInteger(bytes, at + 1, lineEnd));
    this.#count(end - at);
    if (type === INTEGER) this.#put(readInteger(bytes, at + 1, lineEnd));
    else if (type === ARRAY) this.#beginArray(readInteger(bytes, at + 1, lineEnd));
    else if (type === STATUS) this.#put(bytes.toString("utf8", at + 1, lineEnd));
    else this.#refuse(bytes.toString("utf8", at + 1, lineEnd));
    return end;
  }

  #readText(bytes: Buffer, at: number, start: number, length: number): number | undefined {
    const end = length < 0 ? start : start + length + 2;
    if (end > bytes.length) {
      // Refused by the length that it promises, before it is waited for.
      if (this.#bytes + end - at > BYTES_MAXIMUM) throw tooLarge();
      this.#neededBytes = end - at;
      return undefined;
    }
    this.#count(end - at);
    if (length < 0) this.#put(null);
    else if (bytes[end - 2] !== CR || bytes[end - 1] !== LF) throw new BadReply();
    else this.#put(bytes.toString("utf8", start, end - 2));
    return end;
  }

  #beginArray(length: number): void {
    if (length < 0) return this.#put(null);
    if (length === 0) return this.#put([]);
    this.#parts += length;
    if (this.#parts > PARTS_MAXIMUM) throw new BadReply(`its answer has more than ${PARTS_MAXIMUM} parts`);
    if (this.#arrays.length === DEPTH_MAXIMUM)
      throw new BadReply(`its answer is nested more than ${DEPTH_MAXIMUM} deep`);
    this.#arrays.push({ parts: [], length });
  }

  /** An error is a reply of its own: one inside of an array comes from no script of ours. */
  #refuse(text: string): void {
    if (this.#arrays.length > 0) throw new BadReply();
    this.#finish(new ErrorReply(text));
  }

  /** Where a part is the last one of an array, that array is a part, and so on. */
  #put(part: Reply): void {
    let whole = part;
    for (let array = this.#arrays.at(-1); array !== undefined; array = this.#arrays.at(-1)) {
      array.parts.push(whole);
      if (array.parts.length < array.length) return;
      whole = array.parts;
      this.#arrays.pop();
    }
    this.#finish(whole);
  }

  #finish(reply: Reply | ErrorReply): void {
    this.#bytes = 0;
    this.#parts = 0;
    this.#onReply(reply);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > BYTES_MAXIMUM) throw tooLarge();
  }
}

function tooLarge(): BadReply {
  return new BadReply(`its answer is larger than ${BYTES_MAXIMUM / 1024 / 1024} MiB`);
}

function readInteger(bytes: Buffer, from: number, to: number): number {
  const first = bytes[from] === MINUS ? from + 1 : from;
  if (first === to) throw new BadReply();
  let value = 0;
  for (let at = first; at < to; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) throw new BadReply();
    value = value * 10 + digit;
  }
  return first === from ? value : -value;
}
