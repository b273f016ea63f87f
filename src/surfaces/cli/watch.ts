/** `coord watch`: a live tail of the namespace, or of what concerns one instance. */
import { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { onceToldToEnd } from "../../client/process.ts";
import { readEvent } from "../../client/replies.ts";
import type { Settings } from "../../client/settings.ts";
import { LIMITS } from "../../protocol/definition.ts";
import { CoordinationError } from "../../protocol/errors.ts";
import type { CoordinationEvent, Message } from "../../protocol/results.ts";
import { checkInstance, checkMessageId, invalid, shown } from "../../protocol/validation.ts";
import { toWire } from "../../protocol/wire.ts";
import { renderEvent } from "./events.ts";
import { columnsOf, fitted } from "./fit.ts";
import { spanSeconds } from "./input.ts";
import { print, printJson, printProgress, watchOutput } from "./outcome.ts";
import { colorsFor } from "./terminal.ts";
import { whoIsThere } from "./there.ts";

const { dim } = colorsFor(process.stdout);

export interface Watching {
  only?: string | undefined;
  /** A span, the id of a message, or a date: first what was published since then. */
  since?: string | undefined;
  json?: true | undefined;
}

/** Runs until it is interrupted. */
export async function followEvents(settings: Settings, { only, since, json }: Watching): Promise<void> {
  const concerned = only === undefined ? undefined : checkInstance(only, "only");
  const from = since === undefined ? undefined : beginningOf(since);
  // For nobody: who looks is not there.
  await using client = new CoordinationClient({ ...settings, agentSessionId: undefined, instanceId: undefined });
  const shows = json === true ? (event: CoordinationEvent) => printJson(toWire(event)) : eventPrinter();
  const tail = new Tail(new Mailbox(client), (event) => {
    if (concerned === undefined || concerns(event, concerned)) shows(event);
  });
  const says = json !== true && process.stdout.isTTY ? presencePrinter(client) : async () => undefined;
  const stopFollowing = await new Mailbox(client).listenToAll((text) => {
    if (text === undefined) {
      printProgress("The connection was lost and is back.");
      tail.catchUp();
      return;
    }
    const event = readEvent(text);
    tail.follow(event);
    if (event.event === "instance_joined" || event.event === "instance_left") tail.enqueue(says);
  });
  await tail.begin(from);
  printProgress(`Following ${concerned ?? settings.keyPrefix}; end with Ctrl-C.`);
  tail.enqueue(says);
  await new Promise<void>((resolve) => {
    onceToldToEnd(resolve);
    watchOutput(resolve);
  });
  await stopFollowing();
}

/** Events in their order, each once: a message that was read from what is stored is not told again when it rings. */
class Tail {
  readonly #mailbox: Mailbox;
  readonly #tell: (event: CoordinationEvent) => void;
  /** The newest message that was told, or was there before. Ids have one length, and are sorted as they were sent. */
  #newest = "";
  /** What comes while something is read waits for it; at first for the beginning. */
  #work: Promise<void>;
  #open: () => void = () => undefined;

  constructor(mailbox: Mailbox, tell: (event: CoordinationEvent) => void) {
    this.#mailbox = mailbox;
    this.#tell = tell;
    this.#work = new Promise((resolve) => (this.#open = resolve));
  }

  /** Once it is listened, or what comes in between is missed. @param from from where on what is stored is told first; by default nothing of it */
  async begin(from: string | undefined): Promise<void> {
    if (from === undefined) {
      const { messages } = await this.#mailbox.searchMessages(ALL, { limit: 1 }, { look: "peek" });
      this.#newest = messages[0]?.id ?? "";
    } else await this.#read(from);
    this.#open();
  }

  follow(event: CoordinationEvent): void {
    this.enqueue(async () => {
      const { messageId = "" } = event;
      if (event.event === "message_published") {
        if (messageId <= this.#newest) return;
        this.#newest = messageId;
      }
      this.#tell(event);
    });
  }

  /** What was published while nothing was heard; acknowledgements of that time are not told. */
  catchUp(): void {
    this.enqueue(() => this.#read(this.#newest === "" ? ALL : `after:${this.#newest}`));
  }

  enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      if (!CoordinationError.is(error)) throw error;
      printProgress(`Not read: ${error.message}`);
    });
  }

  async #read(query: string): Promise<void> {
    const limit = LIMITS.list_maximum;
    const { messages, more } = await this.#mailbox.searchMessages(query, { limit }, { look: "peek" });
    if (more) printProgress("There is more than what is told here, and older: coord check --all has it.");
    for (const message of messages.toReversed()) this.#tell(published(message));
    this.#newest = messages[0]?.id ?? this.#newest;
  }
}

const ALL = "after:1970-01-01";

/** As a query. @throws CoordinationError INVALID */
function beginningOf(since: string): string {
  if (since.startsWith("msg-")) return `after:${checkMessageId(since, "since")}`;
  const seconds = spanSeconds(since);
  if (seconds !== undefined) return `after:${new Date(Date.now() - seconds * 1000).toISOString()}`;
  if (/^\d{4}-[\dT:.Z+-]*$/.test(since)) return `after:${since}`;
  throw invalid(
    `since is ${shown(since)}: no span of time, no id and no date.`,
    "Give 30m, 12h or 7d, the id of a message, or a date in UTC, as 2026-11-30T09:07.",
  );
}

function published({ id, type, from, to, subject, requiresAck, timestamp, replyTo }: Message): CoordinationEvent {
  const event = { event: "message_published", messageId: id, type, from, to, subject, requiresAck, timestamp };
  return replyTo === undefined ? event : { ...event, replyTo };
}

function concerns({ from, to }: CoordinationEvent, instance: string): boolean {
  return from === instance || to === instance || to === "all";
}

/** With local times; another day is said once, in a line of its own. */
function eventPrinter(): (event: CoordinationEvent) => void {
  let today = dayOf(new Date());
  return (event) => {
    const time = new Date(event.timestamp ?? Number.NaN);
    const known = !Number.isNaN(time.getTime());
    if (known && dayOf(time) !== today) print(dim((today = dayOf(time))));
    const clock = known ? [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join(":") : undefined;
    const lines = renderEvent(event, clock).split("\n");
    print(lines.map((line) => fitted(line, columnsOf(process.stdout))).join("\n"));
  };
}

function dayOf(time: Date): string {
  return [time.getFullYear(), time.getMonth() + 1, time.getDate()].map(twoDigits).join("-");
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}

/** Says who is there, where that has changed since it was last said. */
function presencePrinter(client: CoordinationClient): () => Promise<void> {
  let said = "";
  return async () => {
    const { instances } = await client.session.presences("");
    const line = fitted(whoIsThere(Object.values(instances), "nobody"), columnsOf(process.stdout));
    if (line !== said) print((said = line));
  };
}
