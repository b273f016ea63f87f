/**
 * One command to a Redis server, on a connection of its own: what this room needs to ask who answers on a port, whether
 * a server is ready, and to shut it down. Not a client: it reads single-line and bulk replies and nothing else.
 */
import { connect } from "node:net";

export type Address = { path: string } | { host: string; port: number };

/** The server said no (`NOAUTH …`, `LOADING …`): a Redis is there, which silence would not show. */
export class RedisRefusal extends Error {}

/**
 * Sends `command` and resolves with the reply's text, or with "" when the server closes the connection without one, as
 * it does after SHUTDOWN. Rejects with a RedisRefusal on an error reply, with the system's error (`ECONNREFUSED`,
 * `ENOENT`) when nothing listens, and with a plain Error on anything that is not Redis or takes over `withinMs`.
 */
export function askRedis(address: Address, command: readonly string[], withinMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(address);
    // A timer, not socket.setTimeout, which a peer that sends a byte now and then would put off for ever.
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${withinMs / 1000} s`)), withinMs);
    let received: Buffer = Buffer.alloc(0);
    socket.on("connect", () => socket.write(encode(command)));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      try {
        const reply = decode(received);
        if (reply === undefined) return;
        resolve(reply);
        socket.destroy();
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // A reset is the rough way to close without a reply; `close` follows.
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
    });
    socket.on("close", () => {
      clearTimeout(timer);
      resolve("");
    });
  });
}

function encode(command: readonly string[]): string {
  return `*${command.length}\r\n${command.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}

/** The reply, or undefined while it is incomplete. */
function decode(received: Buffer): string | undefined {
  const lineEnd = received.indexOf("\r\n");
  if (lineEnd < 0) return undefined;
  const line = received.toString("utf8", 1, lineEnd);
  switch (received.toString("latin1", 0, 1)) {
    case "+":
      return line;
    case "-":
      throw new RedisRefusal(line);
    case "$": {
      const start = lineEnd + 2;
      const end = start + Number(line);
      return received.length < end ? undefined : received.toString("utf8", start, end);
    }
    default:
      throw new Error("the answer is not in the Redis protocol");
  }
}
