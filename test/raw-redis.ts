/** How the tests look at Redis: a small client of their own, so that an error of src/redis shows. */
import { connect, type Socket } from "node:net";

type Word = string | number | Buffer;
/** Lists stand for their words, records for their names and values. */
type Words = Word | readonly Word[] | Readonly<Record<string, Word>>;
/** As it came: texts as bytes. */
type Reply = Buffer | number | null | Error | Reply[];

export interface Place {
  readonly path?: string;
  readonly host?: string;
  readonly port?: number;
  readonly username?: string;
  readonly password?: string;
}

/** The commands that the tests send, by what their replies are read as. */
// prettier-ignore
const NUMBERS = [
  "dbsize", "del", "exists", "hdel", "hlen", "hset", "llen", "lpush", "publish", "rpush", "sadd", "ttl", "unlink", "wait",
  "zadd", "zcard", "zrem",
] as const;
const TEXTS = ["echo", "flushall", "info", "lset", "ltrim", "ping", "replicaof", "restore", "type", "zincrby"] as const;
const TEXTS_OR_NOTHING = ["get", "hget", "lindex", "lpop", "set", "spop", "zscore"] as const;
const LISTS = ["config", "hkeys", "keys", "lrange", "pubsub", "smembers", "time", "zrange"] as const;
const LISTS_WITH_GAPS = ["hmget"] as const;
const RECORDS = ["hgetall"] as const;
const OTHERS = ["client", "cluster", "eval", "script"] as const;

type Commands<N extends readonly string[], R> = { readonly [Name in N[number]]: (...words: Words[]) => Promise<R> };

/** Connects with its first command, and with the next one after it was cut off. */
export type Redis = Connections &
  Commands<typeof NUMBERS, number> &
  Commands<typeof TEXTS, string> &
  Commands<typeof TEXTS_OR_NOTHING, string | null> &
  Commands<typeof LISTS, string[]> &
  Commands<typeof LISTS_WITH_GAPS, (string | null)[]> &
  Commands<typeof RECORDS, Record<string, string>> &
  Commands<typeof OTHERS, unknown>;

export function openRedis(place: Place): Redis {
  const connections = new Connections(place);
  const call =
    (name: string) =>
    async (...words: Words[]) =>
      connections.call(name, ...words);
  const plain = [...NUMBERS, ...TEXTS, ...TEXTS_OR_NOTHING, ...LISTS, ...LISTS_WITH_GAPS, ...OTHERS];
  return Object.assign(connections, Object.fromEntries(plain.map((name) => [name, call(name)])), {
    hgetall: async (...words: Words[]) => pairs((await connections.call("hgetall", ...words)) as string[]),
  }) as unknown as Redis;
}

function anything(reply: Reply): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString();
  return Array.isArray(reply) ? reply.map(anything) : reply;
}

function pairs(flat: readonly string[]): Record<string, string> {
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]!]] : [])));
}

class Connections {
  readonly #place: Place;
  #connection: Connection | undefined;

  constructor(place: Place) {
    this.#place = place;
  }

  async call(...words: Words[]): Promise<unknown> {
    return anything(await this.bytes(...words));
  }

  /** The reply with texts as they are stored. */
  async bytes(...words: Words[]): Promise<Reply> {
    if (this.#connection?.open !== true) this.#connection = new Connection(this.#place);
    const reply = await this.#connection.send(words);
    if (reply instanceof Error) throw reply;
    return reply;
  }

  /** On a connection of its own: tells of every reply behind the first, until the returned function is called. */
  async watch(words: readonly Words[], onReply: (reply: unknown) => void): Promise<() => void> {
    const connection = new Connection(this.#place, (reply) => onReply(anything(reply)));
    await connection.send(words);
    return () => connection.close();
  }

  /** Tells of every command that the server executes; `lua` is where those of scripts come from. */
  async monitor(onCommand: (words: string[], source: string) => void): Promise<() => void> {
    return this.watch(["MONITOR"], (line) => {
      const [, source = "", words = ""] = /^\S+ \[\d+ (\S+)\] (.*)$/s.exec(line as string) ?? [];
      onCommand(
        (words.match(/"(\\.|[^"\\])*"/gs) ?? []).map((word) => word.slice(1, -1)),
        source,
      );
    });
  }

  disconnect(): void {
    this.#connection?.close();
  }
}

class Connection {
  open = true;
  readonly #socket: Socket;
  readonly #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = [];

  constructor({ path, host = "127.0.0.1", port = 0, username, password }: Place, onFurther?: (reply: Reply) => void) {
    this.#socket = path === undefined ? connect(port, host) : connect(path);
    let unread = Buffer.alloc(0);
    this.#socket.on("data", (piece) => {
      unread = Buffer.concat([unread, piece]);
      for (let read = readReply(unread, 0); read !== undefined; read = readReply(unread, 0)) {
        unread = unread.subarray(read.end);
        const first = this.#waiting.shift();
        if (first === undefined) onFurther?.(read.reply);
        else first.resolve(read.reply);
      }
    });
    let reason = new Error("the connection was closed");
    this.#socket.on("error", (error) => (reason = error));
    this.#socket.on("close", () => {
      this.open = false;
      for (const { reject } of this.#waiting) reject(reason);
    });
    // Where the login is refused, what comes behind it says so.
    if (password !== undefined) this.send(["AUTH", username!, password]).catch(() => undefined);
  }

  send(words: readonly Words[]): Promise<Reply> {
    const flat = words.flatMap((word): Word[] => {
      if (typeof word !== "object" || Buffer.isBuffer(word)) return [word];
      return Array.isArray(word) ? (word as Word[]) : Object.entries(word).flat();
    });
    const parts = flat.flatMap((word) => {
      const bytes = Buffer.isBuffer(word) ? word : Buffer.from(String(word));
      return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n")];
    });
    this.#socket.write(Buffer.concat([Buffer.from(`*${flat.length}\r\n`), ...parts]));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close(): void {
    this.open = false;
    this.#socket.destroy();
  }
}

/** The reply that begins there and where it ends, or undefined where it is not complete. */
function readReply(bytes: Buffer, at: number): { reply: Reply; end: number } | undefined {
  const lineEnd = bytes.indexOf("\r\n", at);
  if (lineEnd === -1) return undefined;
  const [kind, line] = [String.fromCharCode(bytes[at]!), bytes.subarray(at + 1, lineEnd)];
  let end = lineEnd + 2;
  if (kind === "+") return { reply: line, end };
  if (kind === "-") return { reply: new Error(line.toString()), end };
  const count = Number(line);
  if (kind === ":") return { reply: count, end };
  if (count < 0) return { reply: null, end };
  if (kind === "$") {
    const next = end + count + 2;
    return next > bytes.length ? undefined : { reply: bytes.subarray(end, end + count), end: next };
  }
  const parts: Reply[] = [];
  while (parts.length < count) {
    const part = readReply(bytes, end);
    if (part === undefined) return undefined;
    parts.push(part.reply);
    end = part.end;
  }
  return { reply: parts, end };
}
