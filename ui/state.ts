/** What the page knows, and how it learns it: it asks its own server, and listens to what happens. */
import { type Signal, signal } from "@preact/signals";
import type { CheckResult, CoordinationEvent, Message } from "../src/protocol/results.ts";
import type { Home } from "../src/surfaces/ui/home.ts";
import type { PageSession } from "../src/surfaces/ui/server.ts";

export interface Trouble {
  error: string;
  hint: string;
}

/** `locked`: this browser was not let in, or not any more; `lost`: the server of the page does not answer. */
export type Connection = "opening" | "live" | "lost" | "locked";

export const connection: Signal<Connection> = signal("opening");
export const session: Signal<PageSession | undefined> = signal(undefined);
/** Redis does not answer. */
export const away: Signal<Trouble | undefined> = signal(undefined);
/** Why this browser is not let in, where it has tried. */
export const locked: Signal<Trouble | undefined> = signal(undefined);
export const attention: Signal<Home["attention"] | undefined> = signal(undefined);
export const agents: Signal<Home["agents"] | undefined> = signal(undefined);
export const waiting: Signal<Home["waiting"] | undefined> = signal(undefined);
export const totals: Signal<Home["totals"] | undefined> = signal(undefined);
/** The newest messages, the newest first. */
export const feed: Signal<readonly Message[] | undefined> = signal(undefined);
/** There are older ones than those of the feed. */
export const feedGoesOn: Signal<boolean> = signal(false);
/** Goes up with each event, and after each gap: what was read before may be out of date. */
export const happenings: Signal<number> = signal(0);
/** The time, as far as ages need it. */
export const now: Signal<number> = signal(Date.now());

const FEED_PAGE = 60;
/** Beyond that the oldest go, unless the person has asked for them. */
const FEED_USUAL = 500;
const SOON_MILLISECONDS = 25;
const AGAIN_MILLISECONDS = 2000;
const TICK_MILLISECONDS = 10_000;

export class Refused extends Error {
  readonly hint: string;
  readonly status: number;

  constructor(status: number, { error, hint }: Trouble) {
    super(error);
    this.status = status;
    this.hint = hint;
  }
}

/** @throws Refused */
export async function ask<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> {
  const search = new URLSearchParams(query).toString();
  return answerOf<T>(await reach(search === "" ? path : `${path}?${search}`));
}

/** @throws Refused */
export async function send<T>(path: string, body: object): Promise<T> {
  const headers = { "content-type": "application/json" };
  return answerOf<T>(await reach(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

async function reach(path: string, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init);
  } catch {
    throw new Refused(0, { error: "The server of this page does not answer.", hint: "Run coord ui again." });
  }
}

async function answerOf<T>(response: Response): Promise<T> {
  const value = (await response.json().catch(() => ({ error: response.statusText, hint: "" }))) as T & Trouble;
  if (response.ok) return value;
  if (response.status === 401) lock(value);
  throw new Refused(response.status, value);
}

function lock(trouble: Trouble): void {
  locked.value = trouble;
  connection.value = "locked";
}

let stream: EventSource | undefined;
let comingBack: ReturnType<typeof setTimeout> | undefined;

/** With the secret of the link where there is one; it is used up only where this browser was not let in before. */
export async function open(): Promise<void> {
  setInterval(() => (now.value = Date.now()), TICK_MILLISECONDS);
  const secret = location.hash.slice(1);
  if (secret === "") {
    // All at once: what is not let in hears so from each.
    listen();
    void readFeed();
    return askSession();
  }
  history.replaceState(null, "", location.pathname + location.search);
  try {
    session.value = await send<PageSession>("/api/session", { secret });
    listen();
    void readFeed();
  } catch (error) {
    lose(error);
  }
}

async function askSession(): Promise<void> {
  try {
    session.value = await ask<PageSession>("/api/session");
  } catch (error) {
    lose(error);
  }
}

/** Another tab may be let in meanwhile, or the server be started again. */
function lose(error: unknown): void {
  if (!(error instanceof Refused)) throw error;
  if (error.status !== 401) connection.value = "lost";
  comeBackSoon();
}

function comeBackSoon(): void {
  stream?.close();
  stream = undefined;
  comingBack ??= setTimeout(() => {
    comingBack = undefined;
    void askSession().then(() => {
      if (comingBack === undefined) listen();
    });
  }, AGAIN_MILLISECONDS);
}

function listen(): void {
  stream?.close();
  stream = new EventSource("/events");
  stream.addEventListener("open", () => {
    connection.value = "live";
    void readFeed();
  });
  stream.addEventListener("error", () => {
    if (connection.value !== "locked") connection.value = "lost";
    comeBackSoon();
  });
  on("attention", attention);
  on("agents", agents);
  on("waiting", waiting);
  on("totals", totals);
  stream.addEventListener("away", ({ data }) => (away.value = JSON.parse(data as string) as Trouble));
  stream.addEventListener("gap", () => void readFeed());
  stream.addEventListener("happened", ({ data }) => happened(JSON.parse(data as string) as CoordinationEvent));
}

function on<T>(name: string, part: Signal<T>): void {
  stream!.addEventListener(name, ({ data }) => {
    part.value = JSON.parse(data as string) as T;
    away.value = undefined;
  });
}

function happened(event: CoordinationEvent): void {
  if (event.event === "message_published") readNewSoon();
  else if (event.event === "message_acknowledged") acknowledged(event);
  happenings.value++;
}

function acknowledged({ messageId, from }: CoordinationEvent): void {
  feed.value = feed.value?.map((message) => {
    if (message.id !== messageId) return message;
    const { receiptTotals } = message;
    if (receiptTotals === undefined) return { ...message, acknowledged: message.acknowledged || message.to === from };
    const answered = Math.min(receiptTotals.recipients, receiptTotals.acknowledged + 1);
    const more = { ...receiptTotals, acknowledged: answered };
    return { ...message, receiptTotals: more, acknowledged: answered === more.recipients };
  });
}

/** The newest ones anew: after a gap nobody knows what was missed. Older ones stay where they join on. */
async function readFeed(): Promise<void> {
  happenings.value++;
  try {
    const { messages, more } = await ask<CheckResult>("/api/messages", { limit: String(FEED_PAGE) });
    const known = feed.value ?? [];
    const joint = messages.length === 0 ? -1 : known.findIndex(({ id }) => id === messages.at(-1)!.id);
    feed.value = joint === -1 ? messages : [...messages, ...known.slice(joint + 1)];
    if (joint === -1) feedGoesOn.value = more;
    away.value = undefined;
  } catch (error) {
    if (error instanceof Refused && error.status === 503) away.value = { error: error.message, hint: error.hint };
  }
}

let soon: ReturnType<typeof setTimeout> | undefined;
function readNewSoon(): void {
  soon ??= setTimeout(() => {
    void readNew().finally(() => (soon = undefined));
  }, SOON_MILLISECONDS);
}

async function readNew(): Promise<void> {
  const known = feed.value ?? [];
  const [newest] = known;
  if (newest === undefined) return readFeed();
  const result = await ask<CheckResult>("/api/messages", { since: newest.id, limit: String(FEED_PAGE) }).catch(
    () => undefined,
  );
  if (result === undefined) return;
  if (result.more) return readFeed();
  // In the meantime another reading may have brought the same.
  const ids = new Set(feed.value?.slice(0, 2 * FEED_PAGE).map(({ id }) => id));
  const fresh = result.messages.filter(({ id }) => !ids.has(id)).toReversed();
  if (fresh.length === 0) return;
  const all = [...fresh, ...(feed.value ?? [])];
  if (all.length > FEED_USUAL + FEED_PAGE && known.length <= FEED_USUAL + FEED_PAGE) {
    feed.value = all.slice(0, FEED_USUAL);
    feedGoesOn.value = true;
  } else feed.value = all;
}

export async function readOlder(): Promise<void> {
  const oldest = feed.value?.at(-1);
  if (oldest === undefined) return;
  const result = await ask<CheckResult>("/api/messages", { before: oldest.id, limit: String(FEED_PAGE) });
  feed.value = [...(feed.value ?? []), ...result.messages];
  feedGoesOn.value = result.more;
}
