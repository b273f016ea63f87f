/** Messages in a list, and the small things that say how they are. */
import { memo } from "preact/compat";
import { isSettled } from "../src/protocol/receipts.ts";
import type { Message } from "../src/protocol/results.ts";
import { ago, clock, count, visibleLine } from "./format.ts";
import { instanceLink, messageLink } from "./route.ts";
import type { Trouble } from "./state.ts";

type Element = preact.JSX.Element;

/** So many rows are one part: the browser does not lay out a part that is out of sight, nor do we compare it again. */
const PART = 50;

export function MessageList({ messages }: { messages: readonly Message[] }): Element {
  const parts: Message[][] = [];
  // Counted from the oldest: a new message changes the first part only.
  for (let end = messages.length; end > 0; end -= PART) parts.unshift(messages.slice(Math.max(0, end - PART), end));
  return (
    <>
      {parts.map((part) => (
        <Part key={part.at(-1)!.id} part={part} />
      ))}
    </>
  );
}

const Part = memo(
  ({ part }: { part: readonly Message[] }): Element => (
    <div class="part" style={{ containIntrinsicSize: `auto ${part.length * 58}px` }}>
      {part.map((message) => (
        <MessageRow key={message.id} message={message} />
      ))}
    </div>
  ),
  (before, after) =>
    before.part.length === after.part.length && before.part.every((message, at) => message === after.part[at]),
);

export function MessageRow({ message }: { message: Message }): Element {
  const { id, timestamp, subject } = message;
  return (
    <article class="row message">
      <time dateTime={timestamp}>{clock(timestamp)}</time>
      <div class="grow">
        <div class="meta">
          <Way message={message} /> <Type type={message.type} /> {message.via !== undefined && <span>by a person</span>}
          {message.proven === false && <span class="bad">sender not proven</span>}
        </div>
        <a class="row-link" href={messageLink(id)}>
          {visibleLine(subject)}
        </a>
      </div>
      <State message={message} />
    </article>
  );
}

/** Who, to whom. */
export function Way({ message: { from, to } }: { message: Pick<Message, "from" | "to"> }): Element {
  return (
    <>
      <Name name={from} /> <span aria-label="to">→</span> {to === "all" ? <b>all</b> : <Name name={to} />}
    </>
  );
}

export function Name({ name }: { name: string }): Element {
  return (
    <a class="name" href={instanceLink(name)}>
      {visibleLine(name)}
    </a>
  );
}

export function Type({ type }: { type: string }): Element {
  return <span class="type">{visibleLine(type)}</span>;
}

/** What has become of it, as far as a list tells. */
function State({ message }: { message: Message }): Element {
  const { receiptTotals: totals, requiresAck, acknowledged } = message;
  if (!requiresAck) return <span class="outcome soft">no answer asked</span>;
  if (totals === undefined) {
    return acknowledged || isSettled(message) ? (
      <span class="outcome calm">acknowledged</span>
    ) : (
      <span class="outcome need">waits</span>
    );
  }
  const tone = totals.dead > 0 ? "bad" : isSettled(message) ? "calm" : "need";
  return (
    <span class={`outcome ${tone}`}>
      {totals.acknowledged} of {totals.recipients}
      {totals.dead > 0 && `, ${totals.dead} dead`}
    </span>
  );
}

export function Since({ since }: { since: string | null }): Element | null {
  if (since === null) return null;
  return (
    <time dateTime={since} title={clock(since, true)}>
      {ago(since)}
    </time>
  );
}

export function Empty({ children }: { children: preact.ComponentChildren }): Element {
  return <p class="empty">{children}</p>;
}

export function Failed({ trouble }: { trouble: Trouble }): Element {
  return (
    <p class="empty" role="alert">
      <b class="bad">{visibleLine(trouble.error)}</b> {visibleLine(trouble.hint)}
    </p>
  );
}

export function Section(props: {
  title: string;
  aside?: string | undefined;
  class?: string;
  children: preact.ComponentChildren;
}): Element {
  const id = `section-${props.title.replaceAll(/\W+/g, "-").toLowerCase()}`;
  return (
    <section class={props.class} aria-labelledby={id}>
      <h2 id={id}>
        {props.title} {props.aside !== undefined && <span>{props.aside}</span>}
      </h2>
      {props.children}
    </section>
  );
}

export const messagesCounted = (number: number): string => count(number, "message");
