/**
 * Tells a person's notifiers what needs it, once each, however many run for the same notifiers: who tells something claims it
 * in the namespace first. Needs are read from what is stored, so what happened while nobody ran is told by the next one.
 */
import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { CoordinationError } from "../protocol/errors.ts";
import type { CoordinationEvent } from "../protocol/results.ts";
import { toWire } from "../protocol/wire.ts";
import { type Need, whatNeedsAttention } from "./attention.ts";
import { CoordinationClient } from "./client.ts";
import { deliver, type Notice } from "./delivery.ts";
import { Mailbox } from "./mailbox.ts";
import type { Notifier } from "./notifiers.ts";
import { readEvent } from "./replies.ts";
import type { Settings } from "./settings.ts";

/** After something happened, so that what happens together is told together. */
const SETTLE_MILLISECONDS = 1000;
/** Some needs begin by time alone, as that an agent idles. */
const LOOK_MILLISECONDS = 30_000;
const AGAIN_MILLISECONDS = 5000;
/** Longer than three tries take: who dies in between leaves it to another. */
const CLAIM_SECONDS = 120;
/** As long as messages are kept. */
const TOLD_SECONDS = 2_592_000;
/** Each minute, to each notifier. */
const DELIVERIES_PER_MINUTE = 6;
const MINUTE_MILLISECONDS = 60_000;
/** More at once are one digest. */
const SINGLE_MAXIMUM = 3;
const DIGEST_TEXTS = 20;
/** Of events nobody could be told of more. */
const WAITING_MAXIMUM = 1000;

export interface Telling {
  /** Names and types of a need, and nothing that a sender has written. */
  describe: (need: Need) => string;
  told: (notifier: Notifier, text: string) => void;
  failed: (notifier: Notifier | undefined, reason: string) => void;
}

/** Something to be told, by a key that means it alone. */
interface Item {
  key: string;
  text: string;
  about: Pick<Notice, "kind" | "need" | "event">;
}

/**
 * Runs until it is told to end.
 *
 * @param settings those of the person: what is addressed to it needs it
 * @throws CoordinationError UNAVAILABLE where Redis is not there at the start
 */
export async function runNotifiers(
  settings: Settings,
  notifiers: readonly Notifier[],
  telling: Telling,
  end: AbortSignal,
): Promise<void> {
  await using person = new CoordinationClient(settings);
  const outboxes = notifiers.map((notifier) => new Outbox(person, notifier, telling, end));
  let rings = 1;
  const stopListening = await new Mailbox(person).listenToAll((text) => {
    rings++;
    if (text === undefined) return;
    const event = readEvent(text);
    const item: Item = {
      key: `event ${text}`,
      text: sentenceOf(event),
      about: { kind: "event", event: toWire(event) as object },
    };
    for (const outbox of outboxes) if (outbox.notifier.level === "all") outbox.add([item]);
  });
  try {
    for (let looked = 0; !end.aborted; looked = performance.now()) {
      rings = 0;
      await look(person, outboxes, telling);
      await pause(SETTLE_MILLISECONDS, end);
      while (rings === 0 && !end.aborted && performance.now() - looked < LOOK_MILLISECONDS)
        await pause(SETTLE_MILLISECONDS, end);
    }
  } finally {
    await stopListening();
  }
}

async function look(person: CoordinationClient, outboxes: readonly Outbox[], telling: Telling): Promise<void> {
  try {
    const { needs } = await whatNeedsAttention(person);
    const items = needs.map((need) => ({
      key: `need ${need.key}`,
      text: telling.describe(need),
      about: { kind: "need", need: toWire(withoutTexts(need)) as object },
    })) satisfies Item[];
    for (const outbox of outboxes) outbox.addNeeds(items);
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    telling.failed(undefined, error.message);
  }
}

/** Who gets a notice may read the message itself where it belongs. */
function withoutTexts({ message, ...need }: Need): object {
  if (message === undefined) return need;
  const { id, type, from, to, timestamp, subject } = message;
  return { ...need, message: { id, type, from, to, timestamp, subject } };
}

function sentenceOf({ event, type = "", from = "", to = "" }: CoordinationEvent): string {
  if (event === "message_published") return `${from} → ${to}: ${type}`;
  if (event === "message_acknowledged") return `${from} acknowledged ${type}`;
  return [event.replaceAll("_", " "), type, from].filter((word) => word !== "").join(" ");
}

/** What one notifier is still to be told, in bounded pace. */
class Outbox {
  readonly notifier: Notifier;
  readonly #person: CoordinationClient;
  readonly #telling: Telling;
  readonly #end: AbortSignal;
  #waiting: Item[] = [];
  /** Needs that last and were told, by this one or another. */
  #known = new Set<string>();
  /** When there was a delivery, within the last minute. */
  #delivered: number[] = [];
  #works = false;

  constructor(person: CoordinationClient, notifier: Notifier, telling: Telling, end: AbortSignal) {
    this.#person = person;
    this.notifier = notifier;
    this.#telling = telling;
    this.#end = end;
  }

  addNeeds(items: readonly Item[]): void {
    const lasting = new Set(items.map(({ key }) => key));
    const fresh = items.filter(({ key }) => !this.#known.has(key));
    this.#known = lasting;
    // One that is over by now is not worth being told.
    this.#waiting = this.#waiting.filter(({ key, about }) => about.kind !== "need" || lasting.has(key));
    this.add(fresh);
  }

  add(items: readonly Item[]): void {
    this.#waiting.push(...items);
    this.#waiting.splice(0, this.#waiting.length - WAITING_MAXIMUM);
    if (this.#works) return;
    this.#works = true;
    void this.#work().finally(() => (this.#works = false));
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#end.aborted) {
      try {
        await this.#deliverNext();
      } catch (error) {
        if (!CoordinationError.is(error)) throw error;
        this.#telling.failed(undefined, error.message);
        await pause(AGAIN_MILLISECONDS, this.#end);
      }
    }
  }

  async #deliverNext(): Promise<void> {
    const now = performance.now();
    this.#delivered = this.#delivered.filter((time) => now - time < MINUTE_MILLISECONDS);
    if (this.#delivered.length >= DELIVERIES_PER_MINUTE)
      return pause(this.#delivered[0]! + MINUTE_MILLISECONDS - now, this.#end);
    const last = this.#delivered.length === DELIVERIES_PER_MINUTE - 1;
    const together = this.#waiting.length > SINGLE_MAXIMUM || (last && this.#waiting.length > 1);
    const items = this.#waiting.slice(0, together ? WAITING_MAXIMUM : 1);
    const claimed: Item[] = [];
    for (const item of items) if (await this.#claim(item, false)) claimed.push(item);
    this.#waiting = this.#waiting.filter((item) => !items.includes(item));
    if (claimed.length === 0) return;
    this.#delivered.push(performance.now());
    const notice = noticeOf(claimed, this.#person.session.settings.keyPrefix);
    try {
      await deliver(this.notifier, notice);
      this.#telling.told(this.notifier, notice.text);
    } catch (error) {
      this.#telling.failed(this.notifier, `${notice.text}: ${(error as Error).message}`);
    }
    // Also what could not be told: a notifier that is broken is not tried for ever.
    for (const item of claimed) await this.#claim(item, true);
  }

  async #claim({ key }: Item, told: boolean): Promise<boolean> {
    const thing = createHash("sha1").update(key).digest("hex");
    const seconds = String(told ? TOLD_SECONDS : CLAIM_SECONDS);
    const args = { notifier: this.notifier.id, thing, seconds, told: told ? "1" : "0" };
    const nobody = { instance: "", session: "" };
    return (await this.#person.session.store.run("claim", { ...nobody, ...args })) === "OK";
  }
}

function noticeOf(items: readonly Item[], namespace: string): Notice {
  const common = { id: randomUUID(), namespace, at: new Date().toISOString() };
  const [only] = items;
  if (items.length === 1) return { ...common, ...only!.about, title: namespace, text: only!.text };
  const texts = items.slice(0, DIGEST_TEXTS).map(({ text }) => text);
  const more = items.length - texts.length;
  return {
    ...common,
    kind: "digest",
    title: `${namespace}: ${items.length} at once`,
    text: [...texts.slice(0, SINGLE_MAXIMUM), `and ${items.length - SINGLE_MAXIMUM} more`].join("; "),
    texts: more > 0 ? [...texts, `and ${more} more`] : texts,
    count: items.length,
  };
}

/** That notifiers work, as `coord notify test` asks. */
export function testNotice(namespace: string): Notice {
  const common = { id: randomUUID(), namespace, at: new Date().toISOString() };
  return { ...common, kind: "test", title: namespace, text: "This is a test: you are told here." };
}

async function pause(milliseconds: number, end: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal: end }).catch(() => undefined);
}
