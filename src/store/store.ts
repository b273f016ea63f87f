/** The only door to Redis: runs the scripts of the state machine, one round trip each, and listens. */
import { LIMITS } from "../protocol/definition.ts";
import type { CoordinationError } from "../protocol/errors.ts";
import { pause, within } from "../redis/deadline.ts";
import { ErrorReply, NeverSent, NoAnswer } from "../redis/errors.ts";
import type { Link } from "../redis/link.ts";
import type { Reply } from "../redis/resp.ts";
import { Connection, FAILOVER_PAUSE_MILLISECONDS } from "./connection.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { isPassing, refusal, timedOut, tooOld, unavailable } from "./failures.ts";
import { eventsChannel, metaKey, notifyChannel } from "./keys.ts";
import { readReply, WrongReply } from "./reply-shapes.ts";
import { SCRIPTS, type Script, type ScriptArguments, type ScriptName } from "./scripts.ts";
import { type Listener, Subscription } from "./subscription.ts";

/** How often a repeatable script is sent when the connection is lost before the answer. */
const SENDS_MAXIMUM = 3;

/** How many replicas must have a write, and how long that is waited for. */
export interface Replication {
  readonly replicas: number;
  readonly milliseconds: number;
}
const NO_REPLICAS: Replication = { replicas: 0, milliseconds: 0 };

export interface Replicated {
  readonly reply: unknown;
  /** Undefined where none were asked for. */
  readonly replicas: number | undefined;
}

export class Store {
  readonly #settings: ConnectionSettings;
  readonly #prefix: string;
  readonly #connection: Connection;
  #subscription: Subscription | undefined;
  #closed = false;

  constructor(settings: ConnectionSettings, prefix: string) {
    this.#settings = settings;
    this.#prefix = prefix;
    this.#connection = new Connection(settings, prefix);
  }

  /** After `close` every call is refused. */
  get closed(): boolean {
    return this.#closed;
  }

  /** @throws CoordinationError UNAVAILABLE */
  async open(): Promise<void> {
    await this.#connection.open();
  }

  /** Which namespace this is; null where nothing was ever published. @throws CoordinationError UNAVAILABLE, or what the link says */
  async namespaceId(): Promise<string | null> {
    const link = this.#connection.opened ?? (await this.#connection.open());
    const id = await link.call("HGET", metaKey(this.#prefix), "id");
    return typeof id === "string" ? id : null;
  }

  /**
   * Runs one script. What it refuses is thrown as the CoordinationError it stands for; what it returns has every part that
   * lua/replies.json says of it, JSON as what it holds.
   *
   * @param further values behind the named arguments, for scripts that take a list
   * @throws CoordinationError UNAVAILABLE when nothing was sent, or when an answer was lost and could not be had again
   *   (the sentence says so); TIMEOUT after 5 seconds without an answer
   */
  async run<N extends ScriptName>(
    name: N,
    args: ScriptArguments<N>,
    further: readonly string[] = [],
  ): Promise<unknown> {
    return (await this.#run(name, args, further, NO_REPLICAS)).reply;
  }

  /**
   * As `run`, and resolves when so many replicas have what it wrote, or the time is over; says how many there are, where
   * any were asked for. Only for a script whose repeat writes something: `WAIT` is about the last write of the connection.
   */
  async runReplicated<N extends ScriptName>(
    name: N,
    args: ScriptArguments<N>,
    replication: Replication,
  ): Promise<Replicated> {
    return this.#run(name, args, [], replication);
  }

  async #run<N extends ScriptName>(
    name: N,
    args: ScriptArguments<N>,
    further: readonly string[],
    replication: Replication,
  ): Promise<Replicated> {
    const script: Script = SCRIPTS[name];
    const named = args as Record<string, string>;
    const values = script.args.map((arg) => named[arg]!);
    values.push(...further);
    const verb = name === "export" ? `export ${named["part"]}` : name;
    const read = (reply: Reply): unknown => readReply(verb, reply, further.length);
    const deadline = performance.now() + LIMITS.operation_milliseconds;
    // Where there is a connection, it is sent before this returns: whoever does not wait for the answer may close then.
    let link = this.#connection.opened ?? (await this.#connection.open(deadline));
    // An answer that was lost: from then on it may have happened, whatever a later send is told.
    let loss: unknown;
    for (let sends = 1; ;) {
      try {
        return await within(deadline, this.#send(link, script, values, read, replication));
      } catch (error) {
        if (error instanceof ErrorReply) {
          if (!this.#mayPass(error, deadline)) {
            throw loss !== undefined && isPassing(error) ? this.#lost(loss) : await this.#refused(link, error);
          }
          this.#connection.drop(link);
          await pause(FAILOVER_PAUSE_MILLISECONDS);
        } else {
          // A stalled connection would stall every later call as well.
          this.#connection.drop(link);
          if (error instanceof NoAnswer) throw timedOut(this.#settings, LIMITS.operation_milliseconds / 1000);
          if (!(error instanceof NeverSent)) loss = error;
          const again = script.repeatable || error instanceof NeverSent;
          if (sends === SENDS_MAXIMUM || !again) {
            throw loss === undefined ? unavailable(this.#settings, error) : this.#lost(loss);
          }
          sends++;
        }
        link = await this.#connection.open(deadline).catch((reason: unknown) => {
          throw loss === undefined ? reason : this.#lost(loss);
        });
      }
    }
  }

  #lost(cause: unknown): CoordinationError {
    return unavailable(this.#settings, cause, true);
  }

  /** Where there is more than one server, the one that takes the write may be just about to change. */
  #mayPass(reply: ErrorReply, deadline: number): boolean {
    const left = deadline - performance.now();
    return this.#settings.discovery !== undefined && isPassing(reply) && left > FAILOVER_PAUSE_MILLISECONDS;
  }

  async #send(
    link: Link,
    script: Script,
    values: readonly string[],
    read: (reply: Reply) => unknown,
    { replicas, milliseconds }: Replication,
  ): Promise<Replicated> {
    const keyAndValues = ["1", metaKey(this.#prefix), ...values];
    // Behind the script on the same connection and at once: no further round trip, and nobody's write in between.
    const waiting = (): Promise<Reply> | undefined => {
      if (replicas === 0) return undefined;
      const count = link.call("WAIT", String(replicas), String(milliseconds));
      // The script's own answer decides first; without a listener its failure would end the process.
      count.catch(() => undefined);
      return count;
    };
    const answer = link.call("EVALSHA", script.sha, ...keyAndValues);
    const count = waiting();
    try {
      return { reply: read(await answer), replicas: count && (await confirmed(count)) };
    } catch (error) {
      if (!(error instanceof ErrorReply) || !error.message.startsWith("NOSCRIPT")) throw error;
      // After a restart or SCRIPT FLUSH: EVAL loads and runs it in one step.
      const text = await script.text();
      const loaded = link.call("EVAL", text, ...keyAndValues);
      const recount = waiting();
      return { reply: read(await loaded), replicas: recount && (await confirmed(recount)) };
    }
  }

  /** Redis before 7.0 cannot compile the first line of the scripts; asking then keeps the version out of every start. */
  async #refused(link: Link, reply: ErrorReply): Promise<CoordinationError> {
    if (/compiling script/i.test(reply.message)) {
      const info = await link.call("INFO", "server").catch(() => "");
      const version = /^redis_version:(\S+)/m.exec(String(info))?.[1];
      if (version !== undefined && Number.parseInt(version, 10) < 7) return tooOld(this.#settings, version);
    }
    return refusal(this.#settings, reply);
  }

  /** Listens for one instance's events, or for everybody's. Resolves, once it listens, to what ends it. */
  async listen(instance: string | undefined, listener: Listener): Promise<() => Promise<void>> {
    const channel = instance === undefined ? eventsChannel(this.#prefix) : notifyChannel(this.#prefix, instance);
    const subscription = (this.#subscription ??= new Subscription(this.#settings, this.#prefix));
    await subscription.listen(channel, listener);
    return () => subscription.unlisten(channel, listener);
  }

  close(): void {
    this.#closed = true;
    this.#connection.close();
    this.#subscription?.close();
  }
}

/** The script has run: a refusal to wait is an answer that was lost, and not a refusal of the script. */
async function confirmed(count: Promise<Reply>): Promise<number> {
  const replicas = await count.catch((error: unknown) => {
    throw error instanceof ErrorReply ? new Error(error.message, { cause: error }) : error;
  });
  if (typeof replicas !== "number") throw new WrongReply();
  return replicas;
}
