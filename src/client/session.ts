/**
 * Speaks for one instance: runs scripts in its name, fenced by the session, and keeps a long-lived session alive. Two runs
 * of different agents under one name would answer each other's mail; the older one is refused until the newer has gone.
 */
import { steps } from "./steps.ts";
import { LIMITS } from "../protocol/definition.ts";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { readStoredSession } from "../protocol/presence.ts";
import type { Guest, Joined, JoinOptions, PresenceResult, SweepResult } from "../protocol/results.ts";
import type { ScriptArguments, ScriptName } from "../store/scripts.ts";
import { type Replicated, Store } from "../store/store.ts";
import { type AgentRun, factsOf, numberOfDead, runName } from "./agent-run.ts";
import { KnownNamespace } from "./known-namespace.ts";
import { presencesCursor, readGuestsOf, readPresences, readSweep } from "./replies.ts";
import { requireIdentity, type Settings } from "./settings.ts";
import { Sweeper } from "./waiting.ts";

/** What a script takes besides who speaks. */
export type OwnArguments<N extends ScriptName> = Omit<ScriptArguments<N>, "instance" | "session">;

/** Runs a script as the session that joins. */
type Speak = <N extends ScriptName>(name: N, args: OwnArguments<N>) => Promise<unknown>;

/** Sessions as JSON. */
type JoinReply =
  | { number: string; first?: boolean; superseded?: string }
  | { code: ErrorCode; error: string; hint: string; speaker: string };

/** The cursor with which a listing of instances begins, and at which it has ended. */
export const FIRST = "0";

/** So many heartbeats may be missing before a session elsewhere is taken for dead. */
const BEATS_MISSED = 3;
/** How much a name was meant, by where it was found. */
const NAMED_BY: Readonly<Record<string, string>> = { instanceId: "option", CLAUDE_INSTANCE_ID: "environment" };

/** A session that a hook has joined outlives its servers; without hooks it ends with the last one. */
export type Surface = "hook" | "server";

/** How soon joining is tried again where Redis was away. */
const JOIN_SECONDS = 5;

export class Session {
  readonly settings: Settings;
  readonly store: Store;
  readonly sweeper: Sweeper;
  /** Whether an agent may be the caller: what it sends in its own session is braked (`LOOP`). A program never is. */
  governed = false;
  /** What `via` of a message says where a person writes it here, as `ui`. */
  via = "";
  /** What this client knows of the namespace, for who publishes and reads to add to. */
  readonly known: KnownNamespace = new KnownNamespace();
  /** The number of a joined session, the agent's own session id, or nothing. */
  #fence: string;
  #run: AgentRun | undefined;
  /** The number of the session that was joined from here. */
  #joined: string | undefined;
  #surface: Surface | undefined;
  #claimed = false;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** Connects with the first call. */
  constructor(settings: Settings) {
    this.settings = settings;
    this.store = new Store(settings.connection, settings.keyPrefix);
    this.sweeper = new Sweeper(() => this.sweep());
    this.#fence = settings.agentSessionId === undefined ? "" : `id:${settings.agentSessionId}`;
  }

  /** A command: it is of the agent's session where it was started by it, and begins none. */
  belongTo(run: AgentRun): void {
    this.#fence = run.id === undefined ? `run:${runName(run)}` : `id:${run.id}`;
  }

  /** @throws CoordinationError IDENTITY */
  get instance(): string {
    return requireIdentity(this.settings);
  }

  /** @throws CoordinationError SUPERSEDED, TAKEN, and what the script refuses */
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
    // A guest's reading is no sign of life of whoever speaks.
    const instance = this.#isGuest ? "" : (this.settings.instanceId ?? "");
    return this.#speak(instance, (session) => this.store.run(name, withSession(instance, session, args), further));
  }

  async #speak<T>(instance: string, call: (session: string) => Promise<T>): Promise<T> {
    if (this.known.isUnnamed) this.#learnNamespace();
    try {
      return await this.#speakAs(instance, (session) => call(this.known.beside(session)));
    } catch (error) {
      if (isRefusal(error, ErrorCode.LOST)) this.known.forget();
      throw error;
    }
  }

  /** Beside whatever is asked next. */
  #learnNamespace(): void {
    this.store.namespaceId().then(
      (id) => this.known.identify(id),
      () => undefined,
    );
  }

  async #speakAs<T>(instance: string, call: (session: string) => Promise<T>): Promise<T> {
    if (instance !== "" && this.#isGuest) await this.#join(this.#run!, { unlessTaken: true });
    try {
      return await call(instance === "" ? "" : this.#fence);
    } catch (error) {
      if (!isGuest(error)) throw error;
      // The other session may have gone since: a long-lived one then speaks again, a single command just goes through.
      if (this.#run !== undefined) await this.#joinAgain(this.#run, error);
      else if (await this.#somebodyIsThere(instance)) throw error;
      return call(this.#run === undefined ? "" : this.#fence);
    }
  }

  async #joinAgain(run: AgentRun, refusal: CoordinationError): Promise<void> {
    try {
      await this.#join(run, { unlessTaken: true });
    } catch (error) {
      throw isRefusal(error, ErrorCode.TAKEN) ? refusal : error; // it has spoken before, and is told so
    }
  }

  /** This run has a session of its own to begin, and has not: another one speaks, or Redis was away. */
  get #isGuest(): boolean {
    return this.#run !== undefined && this.#joined === undefined;
  }

  /** One share of what is due for everybody, and the milliseconds until the next. */
  async sweep(): Promise<{ result: SweepResult; next: number }> {
    const instance = this.#isGuest ? "" : (this.settings.instanceId ?? "");
    const session = instance === "" ? "" : this.#fence;
    // Not by `read`: it goes on in the background, where nobody would be told of what was lost.
    return readSweep(await this.store.run("sweep", { instance, session, orchestrator: this.settings.orchestrator }));
  }

  /** Every instance, in as many steps as that takes. */
  async presences(reader: string = this.settings.instanceId ?? ""): Promise<PresenceResult> {
    return readPresences(await this.#presencePages(reader), this.settings.presenceTimeoutSeconds);
  }

  /** The runs that would like to speak for an instance, where another one does. */
  async guestsOf(instance: string): Promise<Guest[]> {
    return readGuestsOf(await this.#presencePages(""), instance, this.settings.presenceTimeoutSeconds);
  }

  async #presencePages(reader: string): Promise<unknown[]> {
    const pages: unknown[] = [];
    let cursor = FIRST;
    for (const _ of steps()) {
      const args = { instance: reader, cursor };
      const page = await this.#speak(reader, (session) => this.store.run("presence", { ...args, session }));
      pages.push(page);
      cursor = presencesCursor(page);
      if (cursor === FIRST) break;
    }
    return pages;
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
   * @throws CoordinationError TAKEN, or SUPERSEDED for whom that other one has superseded
   */
  async join(run: AgentRun, options: JoinOptions & { surface?: Surface | undefined } = {}): Promise<Joined> {
    return this.#join(run, { ...options, tell: true });
  }

  /**
   * As `join`, and what follows it in the same round trip. Where another session speaks, the refusal of joining is thrown,
   * and that of what follows with it has changed nothing.
   */
  async joinAnd<T>(
    run: AgentRun,
    options: JoinOptions & { surface?: Surface | undefined },
    follow: (speak: Speak) => Promise<T>,
  ): Promise<{ joined: Joined; followed: T }> {
    await this.store.open(); // else each of them would wait for the connection, and be sent in whatever order
    const by = (fence: string): Promise<T> =>
      follow((name, args) => this.store.run(name, withSession(this.instance, fence, args)));
    const joining = this.join(run, options);
    const following = by(`joined:${runName(run)}`);
    following.catch(() => undefined); // the refusal of joining comes first
    const joined = await joining;
    try {
      return { joined, followed: await following };
    } catch (error) {
      // Joined at the second attempt: a session whose process was dead had the name still.
      if (isGuest(error)) return { joined, followed: await by(this.#fence) };
      throw error;
    }
  }

  async #join(
    run: AgentRun,
    {
      unlessTaken = false,
      surface = this.#surface,
      tell = false,
    }: JoinOptions & { surface?: Surface | undefined; tell?: boolean } = {},
    gone = "",
  ): Promise<Joined> {
    this.#run = run;
    const seconds = this.settings.presenceTimeoutSeconds;
    const reply = await this.store.run("join", {
      instance: this.instance,
      facts: JSON.stringify(factsOf(run)),
      id: run.id ?? "",
      run: runName(run),
      surface: surface === "server" ? `server ${process.pid}` : (surface ?? ""),
      mode: unlessTaken || run.yields === true ? "yield" : "start",
      named: NAMED_BY[this.settings.sources.instanceId ?? ""] ?? "",
      gone,
      offline_seconds: String(LIMITS.offline_factor * seconds),
      alive_seconds: String(BEATS_MISSED * this.#beatSeconds),
      tell: tell ? "1" : "0",
    });
    const joined = reply as JoinReply;
    if ("code" in joined) {
      const dead = gone === "" ? numberOfDead(joined.speaker, run) : undefined;
      if (dead !== undefined) return this.#join(run, { unlessTaken, surface, tell }, dead);
      throw new CoordinationError(joined.code, joined.error, { hint: joined.hint });
    }
    const { number, first = false, superseded } = joined;
    this.#fence = number;
    this.#joined = number;
    return { first, ...(superseded === undefined ? {} : { superseded: readStoredSession(superseded) }) };
  }

  get #beatSeconds(): number {
    return Math.min(this.settings.presenceTimeoutSeconds / 3, LIMITS.beat_seconds_maximum);
  }

  /**
   * Joins, and beats until `leave` or `stop`. Redis may be away: each beat tries again, and joins where that is missing. While
   * another session speaks for the name, it is left alone: the next operation tries again.
   */
  async stay(
    run: AgentRun,
    { unlessTaken = false, surface }: JoinOptions & { surface?: Surface | undefined } = {},
  ): Promise<void> {
    this.#run = run;
    this.#surface = surface;
    let settled = false;
    const beat = async (): Promise<void> => {
      try {
        if (!settled && this.#joined === undefined) await this.#join(run, { unlessTaken });
        else if (this.#joined !== undefined && (await this.#beatOnce()) === "0")
          await this.#join(run, { unlessTaken: true });
        settled = true;
        if (this.known.isUnnamed) this.#learnNamespace();
        await this.sweeper.sweepWhenDue(); // a share of the work that nobody else is there to do
      } catch (error) {
        if (!CoordinationError.is(error)) throw error;
        settled ||= isGuest(error); // else Redis is away: the next beat tries again
      }
      if (this.#stopped) return;
      this.#timer = setTimeout(
        () => void beat(),
        (settled ? this.#beatSeconds : Math.min(this.#beatSeconds, JOIN_SECONDS)) * 1000,
      );
      this.#timer.unref();
    };
    this.#stopped = false;
    await beat();
  }

  /** Not by `run`: a superseded session that beats must not take the name back, which only a prompt or a call may. */
  async #beatOnce(): Promise<unknown> {
    return this.store.run("beat", withSession(this.instance, this.#fence, { activity: "", doing: "" }));
  }

  /** A hook was told that the agent waits for a person. @throws CoordinationError SUPERSEDED, TAKEN */
  async waitsForPerson(run: AgentRun): Promise<void> {
    const fence = run.id === undefined ? `joined:${runName(run)}` : `id:${run.id}`;
    // Not by `run`: whoever does not speak has nothing to say of the one who does.
    await this.store.run("beat", withSession(this.instance, fence, { activity: "", doing: "waiting" }));
  }

  /**
   * A tool of the agent is called: its run speaks from now on as if its hook had begun the session at its start. Later calls
   * only try again.
   *
   * @throws CoordinationError TAKEN
   */
  async claim(): Promise<void> {
    const unlessTaken = this.#claimed;
    this.#claimed = true;
    if (this.#isGuest) await this.#join(this.#run!, { unlessTaken });
  }

  /** Whether no newer session has taken the name. */
  async speaks(): Promise<boolean> {
    if (this.#isGuest) return false;
    try {
      await this.run("beat", { activity: "", doing: "" });
      return true;
    } catch (error) {
      if (isGuest(error)) return false;
      throw error;
    }
  }

  /** One line about what the agent does; empty removes it. */
  async setActivity(activity: string): Promise<void> {
    await this.run("beat", { activity: activity === "" ? "\n" : activity, doing: "" });
  }

  /** Ends the session properly; a server ends only its own part, a guest only its asking. */
  async leave(run: AgentRun | undefined = this.#run): Promise<void> {
    this.stop();
    await this.store.run("leave", {
      instance: this.instance,
      session: this.#isGuest ? "" : this.#fence,
      server: this.#surface === "server" ? String(process.pid) : "",
      run: run === undefined ? "" : runName(run),
    });
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

/** Whether a surface was refused because another session speaks. */
export function isGuest(error: unknown): error is CoordinationError {
  return isRefusal(error, ErrorCode.TAKEN) || isRefusal(error, ErrorCode.SUPERSEDED);
}

function isRefusal(error: unknown, code: ErrorCode): error is CoordinationError {
  return CoordinationError.is(error) && error.code === code;
}
