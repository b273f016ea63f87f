/** A bad network: a proxy that strikes one connection at a time, at a random byte of what it carries. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "./load.ts";
import type { Random } from "./random.ts";

/**
 * What a strike does at the byte where it happens. `cut`: both sides end, properly or with a reset. `half-close`: only the
 * receiver is told the end. `stall`: nothing passes any more, for a moment or until the client gives up; what it had sent
 * arrives after that. `late`: one direction is held up for a moment. `trickle`: from here on byte by byte.
 */
export const STRIKES = ["cut", "half-close", "stall", "late", "trickle"] as const;
export type Strike = (typeof STRIKES)[number];

/** A strike waits so long for bytes on the chosen connection, then takes it as it is. */
const STRIKE_WITHIN_MILLISECONDS = 300;
const MOMENT_MILLISECONDS = 1200;
/** Enough for every client to give up before. */
const FOR_GOOD_MILLISECONDS = 7000;
const TRICKLE_BYTES = 2000;
/** All at once may stall for good. */
const WHOLE_WITHIN_MILLISECONDS = 2 * FOR_GOOD_MILLISECONDS;

type Direction = "request" | "reply";

export class Proxy {
  readonly #server: Server;
  readonly #random: Random;
  readonly #lines = new Set<Line>();
  /** How often each was done. */
  readonly struck: Record<Strike, number> = { cut: 0, "half-close": 0, stall: 0, late: 0, trickle: 0 };

  private constructor(server: Server, random: Random) {
    this.#server = server;
    this.#random = random;
  }

  static async start(socketPath: string, random: Random): Promise<Proxy> {
    const server = createServer({ allowHalfOpen: true });
    const proxy = new Proxy(server, random);
    server.on("connection", (near) => {
      const line = new Line(near, connect({ path: socketPath, allowHalfOpen: true }), random, () =>
        proxy.#lines.delete(line),
      );
      proxy.#lines.add(line);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Strikes a connection chosen at random, in the middle of what it carries next. Resolves when it has happened. */
  async strike(strike: Strike, { forGood = false }: { forGood?: boolean } = {}): Promise<void> {
    const whole = (): Line[] => [...this.#lines].filter((line) => line.isWhole);
    await eventually("a connection is whole", WHOLE_WITHIN_MILLISECONDS, () => whole().length > 0);
    await this.#random.pick(whole()).strike(strike, this.#random.pick(["request", "reply"]), forGood);
    this.struck[strike]++;
  }

  async stop(): Promise<void> {
    for (const line of this.#lines) line.cut();
    this.#server.close();
    await once(this.#server, "close");
  }
}

interface Armed {
  strike: Strike;
  forGood: boolean;
  done: () => void;
}

/** One connection. */
class Line {
  readonly #sockets: Readonly<Record<Direction, { from: Socket; to: Socket }>>;
  readonly #random: Random;
  readonly #armed: Partial<Record<Direction, Armed>> = {};
  /** Bytes of each direction go through one after the other. */
  readonly #passing: Record<Direction, Promise<void>> = { request: Promise.resolve(), reply: Promise.resolve() };
  readonly #trickling: Record<Direction, number> = { request: 0, reply: 0 };
  #stalled: Promise<void> = Promise.resolve();
  #whole = true;

  constructor(near: Socket, far: Socket, random: Random, onGone: () => void) {
    this.#sockets = { request: { from: near, to: far }, reply: { from: far, to: near } };
    this.#random = random;
    let open = 2;
    for (const direction of ["request", "reply"] as const) {
      const { from, to } = this.#sockets[direction];
      from.setNoDelay(true);
      from.on("error", () => undefined);
      from.on("data", (bytes: Buffer) => this.#then(direction, () => this.#carry(direction, bytes)));
      from.on("end", () => this.#then(direction, async () => void to.end()));
      from.on("close", () => {
        // What was already on its way arrives, also after the sender has given up.
        this.#then(direction, async () => void to.end());
        if (--open === 0) onGone();
      });
    }
  }

  get isWhole(): boolean {
    return this.#whole;
  }

  async strike(strike: Strike, direction: Direction, forGood: boolean): Promise<void> {
    this.#whole = false;
    await new Promise<void>((resolve) => {
      this.#armed[direction] = { strike, forGood, done: resolve };
      setTimeout(() => {
        if (this.#armed[direction] !== undefined) this.#then(direction, () => this.#carry(direction, Buffer.alloc(0)));
      }, STRIKE_WITHIN_MILLISECONDS);
    });
  }

  cut(): void {
    for (const { from } of Object.values(this.#sockets)) from.destroy();
  }

  #then(direction: Direction, step: () => Promise<void>): void {
    this.#passing[direction] = this.#passing[direction].then(step);
  }

  async #carry(direction: Direction, bytes: Buffer): Promise<void> {
    await this.#stalled;
    const armed = this.#armed[direction];
    if (armed === undefined) return this.#write(direction, bytes);
    delete this.#armed[direction];
    const at = this.#random.whole(0, bytes.length);
    await this.#write(direction, bytes.subarray(0, at));
    armed.done();
    await this.#suffer(direction, armed);
    await this.#write(direction, bytes.subarray(at));
  }

  async #suffer(direction: Direction, { strike, forGood }: Armed): Promise<void> {
    const { to } = this.#sockets[direction];
    const moment = this.#random.between(1, MOMENT_MILLISECONDS);
    if (strike === "cut" && this.#random.pick([true, false])) this.#sockets.request.from.resetAndDestroy();
    if (strike === "cut") this.cut();
    else if (strike === "half-close") to.end();
    else if (strike === "late") await sleep(moment);
    else if (strike === "trickle") this.#trickling.request = this.#trickling.reply = TRICKLE_BYTES;
    else if (strike === "stall")
      await (this.#stalled = sleep(forGood ? FOR_GOOD_MILLISECONDS : moment, undefined, { ref: false }));
    // A line that only was slow is whole again.
    this.#whole = strike !== "cut" && strike !== "half-close";
  }

  async #write(direction: Direction, bytes: Buffer): Promise<void> {
    const { to } = this.#sockets[direction];
    for (let i = 0; i < bytes.length && to.writable;) {
      const slow = this.#trickling[direction] > 0;
      const end = slow ? i + 1 : bytes.length;
      to.write(bytes.subarray(i, end));
      i = end;
      if (slow && --this.#trickling[direction] >= 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
