/**
 * Speaks for one instance: runs scripts in its name, fenced by the session, and keeps a long-lived session alive. Two runs
 * of different agents under one name would answer each other's mail; the older one is refused until the newer has gone.
 */
import { LIMITS } from "../protocol/definition.ts";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { readStoredSession } from "../protocol/presence.ts";
import type { Joined, JoinOptions, PresenceResult, SessionFacts, SweepResult } from "../protocol/results.ts";
import type { ScriptArguments, ScriptName } from "../store/scripts.ts";
import { type Replicated, Store } from "../store/store.ts";
import { presencesCursor, readPresences, readSweep } from "./replies.ts";
import { requireIdentity, type Settings } from "./settings.ts";
import { Sweeper } from "./waiting.ts";

/** What a script takes besides who speaks. */
export type OwnArguments<N extends ScriptName> = Omit<ScriptArguments<N>, "instance" | "session">;

/** The cursor with which a listing of instances begins, and at which it has ended. */
export const FIRST = "0";

/** How soon joining is tried again where Redis was away. */
const JOIN_SECONDS = 5;

export class Session {
  readonly settings: Settings;
  readonly store: Store;
  readonly sweeper: Sweeper;
  /** The number of a joined session, the agent's own session id, or nothing. */
  #fence: string;
  #run: SessionFacts | undefined;
  /** The number of the session that was joined from here. */
  #joined: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** Connects with the first call. */
  constructor(settings: Settings) {
    this.settings = settings;
    this.store = new Store(settings.connection, settings.keyPrefix);
    this.sweeper = new Sweeper(() => this.sweep());
    this.#fence = settings.agentSessionId === undefined ? "" : `id:${settings.agentSessionId}`;
  }

  /** @throws CoordinationError IDENTITY */
  get instance(): string {
    return requireIdentity(this.settings);
  }

  /** @throws CoordinationError SUPERSEDED, and what the script refuses */
  async run<N extends ScriptName>(name: N, args: OwnArguments<N>, further?: readonly string[]): Promise<unknown> {
    const call = (session: string): Promise<unknown> =>
      this.store.run(name, withSession(this.instance, session, args), further);
    return this.#speak(this.instance, call);
  }

  /** As `run`, and waits for replicas. */
  async runReplicated<N extends ScriptName>(name: N, args: OwnArguments<N>): Promise<Replicated> {
    const call = (session: string): Promise<Replicated> =>
      this.store.runReplicated(name, withSession(this.instance, session, args), this.settings.replication);
    return this.#speak(this.instance, call);
  }

  /** As `run`; without a name it reads for nobody, and leaves no trace. */
  async read<N extends ScriptName>(name: N, args: OwnArguments<N>, further?: readonly string[]): Promise<unknown> {
    const instance = this.settings.instanceId ?? "";
    return this.#speak(instance, (session) => this.store.run(name, withSession(instance, session, args), further));
  }

  async #speak<T>(instance: string, call: (session: string) => Promise<T>): Promise<T> {
    try {
      return await call(instance === "" ? "" : this.#fence);
    } catch (error) {
      if (!CoordinationError.is(error) || error.code !== ErrorCode.SUPERSEDED) throw error;
      // The newer session may have gone since: a long-lived one then speaks again, a single command just goes through.
      if (this.#run !== undefined) await this.#join(this.#run, { unlessTaken: true });
      else if (await this.#somebodyIsThere(instance)) throw error;
      return call(this.#run === undefined ? "" : this.#fence);
    }
  }

  /** One share of what is due for everybody, and the milliseconds until the next. */
  async sweep(): Promise<{ result: SweepResult; next: number }> {
    return readSweep(await this.read("sweep", { orchestrator: this.settings.orchestrator }));
  }

  /** Every instance, in as many steps as that takes. */
  async presences(reader: string = this.settings.instanceId ?? ""): Promise<PresenceResult> {
    const pages = [];
    for (let cursor = FIRST; ;) {
      const page = await this.#speak(reader, (session) =>
        this.store.run("presence", { instance: reader, session, cursor }),
      );
      pages.push(page);
      cursor = presencesCursor(page);
      if (cursor === FIRST) return readPresences(pages, this.settings.presenceTimeoutSeconds);
    }
  }

  async #somebodyIsThere(instance: string): Promise<boolean> {
    const { instances } = await this.presences("");
    const status = instances[instance]?.status;
    return status === "active" || status === "stale";
  }

  /**
   * Begins or renews the session of this run of the agent. Beside the agent's other surfaces it is the same session; any
   * other that speaks for the name is superseded, or with `unlessTaken` left as it is.
   *
   * @throws CoordinationError SUPERSEDED
   */
  async join(run: SessionFacts, { unlessTaken = false }: JoinOptions = {}): Promise<Joined> {
    return this.#join(run, { unlessTaken, tell: true });
  }

  async #join(run: SessionFacts, { unlessTaken = false, tell = false }): Promise<Joined> {
    const { agentPid, ...facts } = run;
    const [number, first, superseded] = (await this.store.run("join", {
      instance: this.instance,
      facts: JSON.stringify({ ...facts, agent_pid: agentPid }),
      id: run.id ?? "",
      host: run.host ?? "",
      agent_pid: agentPid === undefined ? "" : String(agentPid),
      yield: unlessTaken ? "1" : "0",
      offline_seconds: String(LIMITS.offline_factor * this.settings.presenceTimeoutSeconds),
      tell: tell ? "1" : "0",
    })) as [string, string, string];
    this.#fence = number;
    this.#joined = number;
    this.#run = run;
    return { first: first === "1", ...(superseded === "" ? {} : { superseded: readStoredSession(superseded) }) };
  }

  /** Joins, and beats until `leave` or `stop`. Redis may be away: each beat tries again, and joins where that is missing. */
  async stay(run: SessionFacts, { unlessTaken = false }: JoinOptions = {}): Promise<void> {
    this.#run = run;
    const seconds = Math.min(this.settings.presenceTimeoutSeconds / 3, LIMITS.beat_seconds_maximum);
    let joined = false;
    const beat = async (): Promise<void> => {
      try {
        if (!joined) await this.#join(run, { unlessTaken });
        else if ((await this.run("beat", { activity: "" })) === "0") await this.#join(run, { unlessTaken: true });
        joined = true;
        await this.sweeper.sweepWhenDue(); // a share of the work that nobody else is there to do
      } catch (error) {
        if (!CoordinationError.is(error)) throw error; // superseded, or Redis is away: the next beat tries again
      }
      if (this.#stopped) return;
      this.#timer = setTimeout(() => void beat(), (joined ? seconds : Math.min(seconds, JOIN_SECONDS)) * 1000);
      this.#timer.unref();
    };
    this.#stopped = false;
    await beat();
  }

  /** Whether no newer session has taken the name. */
  async speaks(): Promise<boolean> {
    try {
      await this.run("beat", { activity: "" });
      return true;
    } catch (error) {
      if (CoordinationError.is(error) && error.code === ErrorCode.SUPERSEDED) return false;
      throw error;
    }
  }

  /** One line about what the agent does; empty removes it. */
  async setActivity(activity: string): Promise<void> {
    await this.run("beat", { activity: activity === "" ? "\n" : activity });
  }

  /** Ends the session properly. */
  async leave(): Promise<void> {
    this.stop();
    if (this.#run !== undefined && this.#fence !== this.#joined) return; // never joined: somebody else's session
    await this.store.run("leave", { instance: this.instance, session: this.#fence });
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  close(): void {
    this.stop();
    this.store.close();
  }
}

function withSession<N extends ScriptName>(
  instance: string,
  session: string,
  args: OwnArguments<N>,
): ScriptArguments<N> {
  return { instance, session, ...args } as unknown as ScriptArguments<N>;
}
