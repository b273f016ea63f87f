/** One connection to one Redis server, over TCP, TLS or a unix socket. It queues nothing and sends nothing again. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { within } from "./deadline.ts";
import { BadReply, ConnectionLost, ErrorReply, NeverSent } from "./errors.ts";
import { encodeCommand, type Reply, ReplyReader } from "./resp.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Login {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

export interface TlsCertificates {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface Server extends Address, Login {
  readonly db: number;
  readonly tls: boolean;
  /** In PEM: whom to trust instead of the system's authorities, and who we are. */
  readonly certificates?: TlsCertificates | undefined;
  /** A unix socket; wins over host and port. */
  readonly path?: string | undefined;
}

/** Routers forget a connection on which nothing is said, and tell nobody. */
const KEEP_ALIVE_MILLISECONDS = 30_000;
/** How long a connection that is given up may take to send what was written before it is cut. */
const CLOSE_MILLISECONDS = 100;

/** How long a link may take to be made. */
export interface Patience {
  /** Of performance.now(). */
  readonly deadline: number;
  /** For each step: TCP, TLS, login with the first answer. A server that is far away takes as long as each of them takes. */
  readonly silentMilliseconds: number;
}

/** A command that was sent. */
interface Waiting {
  /** How many replies are to come: to `SUBSCRIBE` one for each channel. */
  replies: number;
  resolve: (reply: Reply) => void;
  reject: (error: Error) => void;
}

/**
 * Connects, logs in, and asks the first question: a port that accepts and stays silent is no Redis. Resolves to the answer,
 * after which the link is open unless the question has closed it. Rejects with the reason, of whatever kind, when patience has
 * ended at the latest; the link is closed then.
 */
export async function dial<T>(server: Server, patience: Patience, ask: (link: Link) => Promise<T>): Promise<T> {
  // Loaded where it is needed: it takes as long as the rest of a command.
  const tls = server.tls ? await import("node:tls") : undefined;
  const { path, host, port } = server;
  const place = path === undefined ? { host, port } : { path };
  const socket = tls === undefined ? connect(place) : tls.connect({ ...place, ...server.certificates });
  const link = new Link(server, socket);
  const step = <R>(answer: Promise<R>): Promise<R> =>
    within(Math.min(patience.deadline, performance.now() + patience.silentMilliseconds), answer);
  try {
    await step(once(socket, "connect"));
    // Not before the handshake: whether the certificate is right is known only then.
    if (tls !== undefined) await step(once(socket, "secureConnect"));
    // In one go with the question, which therefore must change nothing: a refused SELECT leaves it in database 0. And in one
    // write: where a server without our certificate has closed already, a second one would fail before the reason is read.
    socket.cork();
    const login = logIn(link);
    const answer = ask(link);
    // Where the login is refused, the question is as well, and its refusal says less.
    answer.catch(() => undefined);
    socket.uncork();
    return await step(login.then(() => answer));
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

export class Link {
  readonly server: Server;
  /** Settled when nothing can be sent any more. */
  readonly closed: Promise<void>;
  /** Told of what is published to the channels of `subscribe`. */
  onMessage: (channel: string, text: string) => void = () => undefined;
  readonly #socket: Socket;
  /** In the order in which they were sent, which is that of their replies. */
  readonly #waiting: Waiting[] = [];
  #subscribed = false;

  constructor(server: Server, socket: Socket) {
    this.server = server;
    this.#socket = socket;
    const reader = new ReplyReader((reply) => this.#take(reply));
    socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MILLISECONDS);
    let failure: NodeJS.ErrnoException | undefined;
    socket.on("error", (error) => (failure = error));
    socket.on("data", (piece: Buffer) => {
      try {
        reader.read(piece);
      } catch (error) {
        if (!(error instanceof BadReply)) throw error;
        socket.destroy(error);
      }
    });
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        const reset = failure === undefined || failure.code === "ECONNRESET" || failure.code === "EPIPE";
        const reason = reset ? new ConnectionLost(failure) : failure!;
        for (const { reject } of this.#waiting.splice(0)) reject(reason);
        resolve();
      });
    });
  }

  /**
   * Sends one command, before this returns, and resolves to the reply.
   * @throws ErrorReply when Redis refuses it; NeverSent when it was not sent; ConnectionLost, BadReply or what the system
   *   says when it may have been executed
   */
  call(...command: string[]): Promise<Reply> {
    return this.#send(command, 1);
  }

  /** Resolves when Redis has confirmed all of them. */
  async subscribe(channels: readonly string[]): Promise<void> {
    this.#subscribed = true;
    await this.#send(["SUBSCRIBE", ...channels], channels.length);
  }

  #send(command: readonly string[], replies: number): Promise<Reply> {
    if (!this.#socket.writable) return Promise.reject(new NeverSent());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ replies, resolve, reject });
      this.#socket.write(encodeCommand(command));
    });
  }

  #take(reply: Reply | ErrorReply): void {
    if (this.#subscribed && Array.isArray(reply) && reply[0] === "message") {
      return this.onMessage(String(reply[1]), String(reply[2]));
    }
    const first = this.#waiting[0];
    if (first === undefined) throw new BadReply();
    // A SUBSCRIBE that is refused gets one reply, for all of its channels.
    if (!(reply instanceof ErrorReply) && --first.replies > 0) return;
    this.#waiting.shift();
    if (reply instanceof ErrorReply) first.reject(reply);
    else first.resolve(reply);
  }

  /** What was written before still goes out. */
  close(): void {
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), CLOSE_MILLISECONDS).unref();
  }
}

/** Sends what there is to send. No further handshake: each command of it would be work at the start of every program. */
async function logIn(link: Link): Promise<void> {
  const { username, password, db } = link.server;
  const sent: Promise<unknown>[] = [];
  if (password !== undefined) {
    const names = username === undefined ? [] : [username];
    sent.push(link.call("AUTH", ...names, password).catch(ignoreNoPassword));
  }
  if (db !== 0) sent.push(link.call("SELECT", String(db)));
  await Promise.all(sent);
}

/** A server that asks for none is open to everybody, and so to us. */
function ignoreNoPassword(error: Error): void {
  if (!error.message.includes("without any password configured")) throw error;
}
