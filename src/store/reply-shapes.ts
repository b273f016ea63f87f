/**
 * Whether a reply is what the script returns. A server that is none, or a proxy that has lost count, may answer with
 * anything: what comes through here has every part that the client relies on, of its type, and everything behind it may do so.
 */
import declared from "../../lua/replies.json" with { type: "json" };
import { ErrorCode } from "../protocol/errors.ts";
import { BadReply } from "../redis/errors.ts";
import type { Reply } from "../redis/resp.ts";

/** The name of a part; names and shapes, where `?` may be absent and `*` is every other one; or a kind and what it is made of. */
type Shape = string | { readonly [name: string]: Shape } | readonly Shape[];

/** Returns what a value holds: JSON as what it says, names and values as an object. Throws WrongReply. */
type Reader = (value: unknown, asked: number) => unknown;

const { parts, ...verbs } = declared as unknown as { parts: Record<string, Shape> } & Record<string, Shape>;

/**
 * @param verb with the part that is asked for, where it has several
 * @param asked how many values stood behind the named arguments
 * @throws WrongReply
 */
export function readReply(verb: string, reply: Reply, asked: number): unknown {
  return (readers[verb] ??= readerOf(verbs[verb]!))(reply, asked);
}
const readers: Record<string, Reader> = {};

const WHOLE = /^-?\d{1,16}$/;

const SINGLE: Readonly<Record<string, (value: unknown) => boolean>> = {
  text: (value) => typeof value === "string",
  whole: (value) => typeof value === "string" && WHOLE.test(value),
  number: (value) => Number.isFinite(value),
  flag: (value) => typeof value === "boolean",
  yes: (value) => value === true,
  no: (value) => value === false,
  code: (value) => typeof value === "string" && Object.hasOwn(ErrorCode, value),
};

/** It speaks the protocol of Redis, and says something else than a script of ours. */
export class WrongReply extends BadReply {
  constructor() {
    super("its answer is not what the script returns");
  }
}

function required(right: boolean): asserts right {
  if (!right) throw new WrongReply();
}

function asList(value: unknown): unknown[] {
  required(Array.isArray(value));
  return value;
}

function readerOf(shape: Shape): Reader {
  if (typeof shape === "string") {
    const is = SINGLE[shape];
    if (is === undefined) return readerOf(parts[shape]!);
    return (value) => {
      required(is(value));
      return value;
    };
  }
  if (!isList(shape)) return recordReader(shape);
  const [kind, ...shapes] = shape;
  return KINDS[kind as string]!(shapes);
}

/** Array.isArray knows no readonly lists. */
function isList(shape: Exclude<Shape, string>): shape is readonly Shape[] {
  return Array.isArray(shape);
}

/** What a shape has no name for belongs to a newer version, and passes. */
function recordReader(shape: { readonly [name: string]: Shape }): Reader {
  const { "*": others, ...named } = shape;
  const readOther = others === undefined ? undefined : readerOf(others);
  const fields = Object.entries(named).map(([written, of]) => {
    const name = written.replace(/\?$/, "");
    return { name, optional: name !== written, read: readerOf(of) };
  });
  const names = new Set(fields.map(({ name }) => name));
  return (value, asked) => {
    required(typeof value === "object" && value !== null && !Array.isArray(value));
    const record = value as Record<string, unknown>;
    for (const { name, optional, read } of fields) {
      if (Object.hasOwn(record, name)) record[name] = read(record[name], asked);
      else required(optional);
    }
    if (readOther !== undefined)
      for (const [name, other] of Object.entries(record)) if (!names.has(name)) readOther(other, asked);
    return record;
  };
}

function listReader(of: Shape): Reader {
  const read = readerOf(of);
  return (value, asked) => {
    const list = asList(value);
    for (let i = 0; i < list.length; i++) list[i] = read(list[i], asked);
    return list;
  };
}

const KINDS: Readonly<Record<string, (shapes: Shape[]) => Reader>> = {
  /** One of these texts. */
  word: (words) => (value) => {
    required(words.includes(value as string));
    return value;
  },
  list: ([of]) => listReader(of!),
  /** One for each value that was asked for. */
  each: ([of]) => {
    const read = listReader(of!);
    return (value, asked) => {
      required(asList(value).length === asked);
      return read(value, asked);
    };
  },
  tuple: (shapes) => {
    const reads = shapes.map(readerOf);
    return (value, asked) => {
      const list = asList(value);
      required(list.length === reads.length);
      for (let i = 0; i < list.length; i++) list[i] = reads[i]!(list[i], asked);
      return list;
    };
  },
  /** In one list, so many at a time. */
  rows: (shapes) => {
    const reads = shapes.map(readerOf);
    return (value, asked) => {
      const list = asList(value);
      required(list.length % reads.length === 0);
      const rows: unknown[][] = [];
      for (let at = 0; at < list.length; at += reads.length)
        rows.push(reads.map((read, i) => read(list[at + i], asked)));
      return rows;
    };
  },
  /** Names and values in turn. */
  pairs: ([of]) => {
    const read = readerOf(of!);
    return (value, asked) => {
      const list = asList(value);
      required(list.length % 2 === 0);
      const record: Record<string, unknown> = {};
      for (let i = 0; i < list.length; i += 2) {
        required(typeof list[i] === "string");
        record[list[i] as string] = list[i + 1];
      }
      return read(record, asked);
    };
  },
  /** The cursor of the next page, and behind it this one. */
  cursor: ([of]) => {
    const read = readerOf(of!);
    return (value, asked) => {
      const [next, ...page] = asList(value);
      required(typeof next === "string");
      return [next, read(page, asked)];
    };
  },
  /** Texts, and at the end what is said about each of them: its lists have as many parts. */
  entries: ([of]) => {
    const read = KINDS["json"]!([of!]);
    return (value, asked) => {
      const texts = asList(value);
      required(texts.every((text) => typeof text === "string"));
      const about = read(texts.pop(), asked) as Record<string, unknown>;
      const lists = Object.values(about).filter((list) => Array.isArray(list));
      required(lists.every((list) => list.length === texts.length) && (lists.length > 0 || texts.length === 0));
      return { ...about, entries: texts };
    };
  },
  json: ([of]) => {
    const read = readerOf(of!);
    return (value, asked) => {
      required(typeof value === "string");
      return read(parsed(value), asked);
    };
  },
  /** The first that fits. */
  either: (shapes) => {
    const last = readerOf(shapes.at(-1)!);
    const others = shapes.slice(0, -1).map((shape) => ({ is: SINGLE[shape as string], read: readerOf(shape) }));
    return (value, asked) => {
      for (const { is, read } of others) {
        if (is !== undefined && !is(value)) continue; // most messages: an error for each would be most of a check
        try {
          return read(value, asked);
        } catch (error) {
          if (!(error instanceof WrongReply)) throw error;
        }
      }
      return last(value, asked);
    };
  },
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return required(false);
  }
}
