/**
 * What only our own surfaces do, beside a client and as the same session: show an agent that did not ask its mail, wake it,
 * and listen. Not part of the library.
 */
import type { CheckRequest, CheckResult, Joined, JoinOptions, NotificationsResult } from "../protocol/results.ts";
import type { AgentRun } from "./agent-run.ts";
import { check, type Looking, type ResultBound, showMessage } from "./checking.ts";
import type { CoordinationClient } from "./client.ts";
import { confirm, confirmShown, takeNotifications, type Loan, loanSeconds } from "./loans.ts";
import { type Mail, type MailMoment, readMail } from "./replies.ts";
import { search, type Searching } from "./searching.ts";
import type { OwnArguments, Session, Surface } from "./session.ts";

/** What was published, or undefined after a lost connection: something may have been missed. */
type Listener = (event: string | undefined) => void;

export class Mailbox {
  readonly #session: Session;

  constructor({ session }: CoordinationClient) {
    this.#session = session;
  }

  /** As `checkMessages` of the client, in a result that an agent is shown. */
  async checkMessages(request: CheckRequest, bound: ResultBound): Promise<CheckResult> {
    return check(this.#session, request, { mark: true, bound });
  }

  /** As `takeNotifications` of the client, in a result that an agent is shown. */
  async takeNotifications(
    { limit }: { limit?: number | undefined },
    bound: Pick<ResultBound, "bytes">,
  ): Promise<Loan<NotificationsResult>> {
    return takeNotifications(this.#session, limit, { bound });
  }

  /** As `takeMessages` of the client, for a reader who may only look. */
  async lookAtMessages(request: CheckRequest, look: Looking | undefined): Promise<Loan<CheckResult>> {
    const result = await check(this.#session, request, { mark: false, look });
    return { result, confirm: () => confirmShown(this.#session, result) };
  }

  /** As `takeNotifications` of the client, for a reader who may only look. */
  async lookAtNotifications(limit: number | undefined, look: Looking | undefined): Promise<Loan<NotificationsResult>> {
    return takeNotifications(this.#session, limit, { look });
  }

  /** As `showMessage` of the client, but nothing counts as presented before `confirm`. Works without a name. */
  async takeShown(messageId: string, thread: boolean, look?: Looking): Promise<Loan<CheckResult>> {
    const result = await showMessage(this.#session, messageId, { thread, mark: false, look });
    const nobody = this.#session.settings.instanceId === undefined;
    return { result, confirm: async () => (nobody ? undefined : confirmShown(this.#session, result)) };
  }

  /** As `searchMessages` of the client, also with the filters of a check, for a reader who may only look, or bounded. */
  async searchMessages(query: unknown, request: CheckRequest, searching: Searching): Promise<CheckResult> {
    return search(this.#session, query, request, searching);
  }

  /** What this agent, which did not ask, should be shown now, on loan until `confirm`. See lua/collect.lua. */
  async collect(moment: MailMoment, limit: number, bound: ResultBound, waker = ""): Promise<Mail> {
    const args = this.#collecting(moment, limit, bound, waker);
    return readMail(await this.#session.run("collect", args), moment);
  }

  #collecting(moment: MailMoment, limit: number, bound: ResultBound, waker: string): OwnArguments<"collect"> {
    return {
      moment,
      waker,
      limit: String(limit),
      bytes: String(bound.bytes),
      description_bytes: String(bound.descriptionBytes),
      loan_seconds: loanSeconds(this.#session),
    };
  }

  /** Connects. @throws CoordinationError UNAVAILABLE */
  async open(): Promise<void> {
    await this.#session.store.open();
  }

  /** Joins, and collects in the same round trip; a session that works at a prompt needs no waking, so its waker goes. */
  async joinAndCollect(
    run: AgentRun,
    options: JoinOptions & { surface: Surface },
    moment: MailMoment,
    limit: number,
    bound: ResultBound,
  ): Promise<{ joined: Joined; mail: Mail }> {
    const { joined, followed } = await this.#session.joinAnd(run, options, async (speak) => {
      // First: from then on it works, and the waker that is sent away does not come back.
      const collecting = speak("collect", this.#collecting(moment, limit, bound, ""));
      const sent = moment === "turn" || moment === "resume" ? [speak("waker", { waker: "", again: "0" })] : [];
      const [reply] = await Promise.all([collecting, ...sent]);
      return reply;
    });
    return { joined, mail: readMail(followed, moment) };
  }

  /** Whether `collect("tool")` may find anything: false is certain. Keeps this instance's presence as well. */
  async glance(): Promise<boolean> {
    return (await this.#session.run("glance", {})) !== "NOTHING";
  }

  /**
   * What was shown of the mail has reached the agent: its messages count as presented, its events never come again. The rest
   * is given back, for the next one who asks.
   */
  async confirm({ moment, loan, messages, reminders }: Mail, shown: number = messages.length): Promise<void> {
    // Held back once for each message, and counted when it has learnt why: the next stop makes up for a hook that died.
    const reminded = moment === "stop" ? reminders : [];
    const ids = [...reminded, ...messages].map(({ id }) => id);
    await confirm(this.#session, loan, ids, reminded.length, shown);
  }

  /** What was collected to see whether there is anything: the next one who asks is shown it; its events after their loan. */
  async giveBack({ messages }: Mail): Promise<void> {
    const ids = messages.map(({ id }) => id);
    await confirm(this.#session, "", ids, 0, 0);
  }

  /**
   * Makes this waker the only one of the session. It has to `collect` every 30 seconds to remain it.
   *
   * @param again where it had the place and lost it
   * @returns false where it is not to have it again
   */
  async takeWakerPlace(waker: string, again: boolean): Promise<boolean> {
    return (await this.#session.run("waker", { waker, again: again ? "1" : "0" })) === "OK";
  }

  /** The share of the work that a long-lived client does, when it is due. Resolves to the milliseconds until the next. */
  async sweepWhenDue(): Promise<number> {
    return this.#session.sweeper.sweepWhenDue();
  }

  /** Listens for what is published to this instance; resolves, once it listens, to what ends it. */
  async listen(listener: Listener): Promise<() => Promise<void>> {
    return this.#session.store.listen(this.#session.instance, listener);
  }

  /** Listens for everything that happens in the namespace. */
  async listenToAll(listener: Listener): Promise<() => Promise<void>> {
    return this.#session.store.listen(undefined, listener);
  }
}
