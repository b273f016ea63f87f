/** The only door to Redis: runs the scripts of the state machine, one round trip each, and listens. */
import type { Redis } from "ioredis";
import { LIMITS } from "../protocol/definition.ts";
import type { CoordinationError } from "../protocol/errors.ts";
import { Connection, type ConnectionSettings, within } from "./connection.ts";
import { NoAnswer, refusal, timedOut, tooOld, unavailable } from "./failures.ts";
import { eventsChannel, metaKey, notifyChannel } from "./keys.ts";
import { SCRIPTS, type Script, type ScriptArguments, type ScriptName } from "./scripts.ts";
import { type Listener, Subscription } from "./subscription.ts";

/** How often a repeatable script is sent when the connection is lost before the answer. */
const SENDS_MAXIMUM = 3;

export class Store {
  readonly #settings: ConnectionSettings;
  readonly #prefix: string;
  readonly #connection: Connection;
  #subscription: Subscription | undefined;
  #closed = false;

  constructor(settings: ConnectionSettings, prefix: string) {
    this.#settings = settings;
    this.#prefix = prefix;
    this.#connection = new Connection(settings);
  }

  /** After `close` every call is refused. */
  get closed(): boolean {
    return this.#closed;
  }

  /** @throws CoordinationError UNAVAILABLE */
  async open(): Promise<void> {
    await this.#connection.open();
  }

  /**
   * Runs one script. What it refuses is thrown as the CoordinationError it stands for.
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
    const script: Script = SCRIPTS[name];
    const values = script.args.map((arg) => (args as Record<string, string>)[arg]!);
    values.push(...further);
    const deadline = performance.now() + LIMITS.operation_milliseconds;
    let redis = await this.#connection.open();
    for (let sends = 1; ; sends++) {
      try {
        return await within(deadline, this.#send(redis, script, values));
      } catch (error) {
        if (isReply(error)) throw await this.#refused(redis, error);
        // A stalled connection would stall every later call as well.
        this.#connection.drop(redis);
        if (error instanceof NoAnswer) throw timedOut(this.#settings, LIMITS.operation_milliseconds / 1000);
        const again = script.repeatable || neverSent(error);
        if (sends === SENDS_MAXIMUM || !again) throw unavailable(this.#settings, error, !neverSent(error));
        redis = await this.#connection.open().catch((reason: unknown) => {
          throw unavailable(this.#settings, neverSent(error) ? reason : error, !neverSent(error));
        });
      }
    }
  }

  async #send(redis: Redis, script: Script, values: readonly string[]): Promise<unknown> {
    const key = metaKey(this.#prefix);
    try {
      return await redis.evalsha(script.sha, 1, key, ...values);
    } catch (error) {
      // After a restart or SCRIPT FLUSH: EVAL loads and runs it in one step.
      if (isReply(error) && error.message.startsWith("NOSCRIPT")) return redis.eval(script.source, 1, key, ...values);
      throw error;
    }
  }

  /** Redis before 7.0 cannot compile the first line of the scripts; asking then keeps the version out of every start. */
  async #refused(redis: Redis, reply: Error): Promise<CoordinationError> {
    if (/compiling script/i.test(reply.message)) {
      const info = await redis.info("server").catch(() => "");
      const version = /^redis_version:(\S+)/m.exec(info)?.[1];
      if (version !== undefined && Number.parseInt(version, 10) < 7) return tooOld(this.#settings, version);
    }
    return refusal(this.#settings, reply);
  }

  /** Listens for one instance's events, or for everybody's. Resolves, once it listens, to what ends it. */
  async listen(instance: string | undefined, listener: Listener): Promise<() => Promise<void>> {
    const channel = instance === undefined ? eventsChannel(this.#prefix) : notifyChannel(this.#prefix, instance);
    const subscription = (this.#subscription ??= new Subscription(this.#settings));
    await subscription.listen(channel, listener);
    return () => subscription.unlisten(channel, listener);
  }

  close(): void {
    this.#closed = true;
    this.#connection.close();
    this.#subscription?.close();
  }
}

/** ioredis refuses to write on a connection that is about to close; then nothing can have happened. */
function neverSent(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("Stream isn't writeable");
}

function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === "ReplyError";
}
