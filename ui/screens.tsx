/** The other screens: one message, a conversation, one instance, a search. */
import { useState } from "preact/hooks";
import { isSettled, lifeOf } from "../src/protocol/receipts.ts";
import type { CheckResult, Message, Receipt } from "../src/protocol/results.ts";
import { Actions, actionsFor } from "./actions.tsx";
import { age, agentName, clock, count, visible, visibleLine } from "./format.ts";
import { go, messageLink, threadLink } from "./route.ts";
import { Empty, Failed, MessageList, Name, Section, Type, Way } from "./rows.tsx";
import { agents, ask, session } from "./state.ts";
import { useAnswer } from "./use-answer.ts";
import { compose, Reply } from "./write.tsx";

type Element = preact.JSX.Element;

export function MessageScreen({ id }: { id: string }): Element {
  const { answer, trouble, again } = useAnswer("/api/message", { id });
  const message = answer?.messages[0];
  if (trouble !== undefined) return <Failed trouble={trouble} />;
  if (answer !== undefined && message === undefined) return <Unreadable answer={answer} />;
  if (message === undefined) return <Empty>Reading …</Empty>;
  const { readOnly } = session.value!;
  return (
    <>
      <div class="column">
        <MessageText message={message} again={again} level={1} />
        {!readOnly && <Reply message={message} />}
      </div>
      <div class="column">
        <Life message={message} />
      </div>
    </>
  );
}

function Unreadable({ answer }: { answer: CheckResult }): Element {
  return (
    <Empty>
      {answer.unreadable.length === 0
        ? "There is no such message."
        : answer.unreadable.map(({ id, reason }) => `${id} cannot be read: ${visibleLine(reason)}`).join("; ")}
    </Empty>
  );
}

function MessageText(props: { message: Message; again: () => void; level: 1 | 2 }): Element {
  const { message, again } = props;
  const { id, subject, description, timestamp, thread, replyTo, requiresAck, receipts = [] } = message;
  const Heading = props.level === 1 ? "h1" : "h2";
  const dead = receipts.some(({ state }) => state === "dead");
  return (
    <section class="reader">
      <div class="reader-head">
        <Heading>
          {props.level === 1 ? visibleLine(subject) : <a href={messageLink(id)}>{visibleLine(subject)}</a>}
        </Heading>
        <div class="meta">
          <Way message={message} /> <Type type={message.type} /> ·{" "}
          <time dateTime={timestamp}>{clock(timestamp, true)}</time>
          {age(timestamp) === "now" ? "" : `, ${age(timestamp)} ago`} ·{" "}
          {requiresAck ? (isSettled(message) ? "answered" : "asks for an answer") : "asks for no answer"}
          {message.via !== undefined && " · written by a person"}
          {message.outside === true && " · from outside of its session"}
          {message.proven === false && <b class="bad"> · sender not proven</b>}
        </div>
      </div>
      {description === "" ? <p class="text soft">No text.</p> : <pre class="text">{visible(description)}</pre>}
      <div class="reader-foot">
        <span class="id">{id}</span>
        {replyTo !== undefined && <a href={messageLink(replyTo)}>what it answers</a>}
        <a href={threadLink(thread ?? id)}>conversation</a>
        {!session.value!.readOnly && (
          <Actions actions={actionsFor({ ...message, acknowledged: isSettled(message) }, dead)} then={again} />
        )}
      </div>
    </section>
  );
}

const STEPS: Readonly<Record<string, readonly [label: string, tone: string]>> = {
  stored: ["stored", "on"],
  presented: ["shown", "on"],
  acknowledged: ["acknowledged", "done"],
  announced: ["announced again", "late"],
  offline: ["was not there", "late"],
  unanswered: ["sender was told", "late"],
  dead: ["given up", "dead"],
  retried: ["asked anew", "on"],
  dropped: ["dropped", "off"],
  forgotten: ["forgotten", "off"],
};

/** What has become of it, for each recipient: a picture in which each step has its time. */
function Life({ message }: { message: Message }): Element {
  const { receipts = [] } = message;
  return (
    <Section title="Its life" aside={count(receipts.length, "recipient")} class="lives">
      {receipts.length === 0 && <Empty>Nobody else was known when it was sent.</Empty>}
      {receipts.map((receipt) => (
        <Receipted key={receipt.instance} message={message} receipt={receipt} />
      ))}
    </Section>
  );
}

function Receipted({ message, receipt }: { message: Message; receipt: Receipt }): Element {
  const { instance, comment, reason, state, asleep, outside } = receipt;
  const steps = lifeOf(message, receipt);
  const open = message.requiresAck ? state === "stored" || state === "presented" : state === "stored";
  return (
    <article class="row life">
      <Name name={instance} />
      <ol>
        {steps.map(({ step, timestamp }, at) => {
          const [label, tone] = STEPS[step] ?? [step, "on"];
          return (
            <li key={`${step} ${at}`} class={tone}>
              <span>{label}</span>
              <time dateTime={timestamp}>{clock(timestamp, true)}</time>
            </li>
          );
        })}
        {open && (
          <li class="open">
            <span>{state === "stored" ? "not shown yet" : "not acknowledged yet"}</span>
            <time>{age(message.timestamp)}</time>
          </li>
        )}
      </ol>
      {asleep === true && <div class="meta">It is idle, and nobody wakes it: it sees this at its next prompt.</div>}
      {outside === true && <div class="meta">Acknowledged from outside of its session.</div>}
      {reason !== undefined && <div class="meta bad">{visibleLine(reason)}</div>}
      {comment !== undefined && comment !== "" && <div class="comment">{visible(comment)}</div>}
    </article>
  );
}

export function ConversationScreen({ id }: { id: string }): Element {
  const { answer, trouble, again } = useAnswer("/api/thread", { id });
  if (trouble !== undefined) return <Failed trouble={trouble} />;
  if (answer === undefined) return <Empty>Reading …</Empty>;
  const { messages, owed = [] } = answer;
  const last = messages.at(-1);
  return (
    <>
      <h1 class="hidden">Conversation</h1>
      <div class="column">
        {messages.map((message) => (
          <MessageText key={message.id} message={message} again={again} level={2} />
        ))}
        {last !== undefined && !session.value!.readOnly && <Reply message={last} />}
      </div>
      <div class="column">
        <Section title="Who still owes what" aside={String(owed.length)}>
          {owed.length === 0 && <Empty>Nobody: all who were asked have answered.</Empty>}
          {owed.map(({ instance, messageId, type, from, state, since }) => (
            <div class="row" key={`${instance} ${messageId}`}>
              <div class="grow">
                <Name name={instance} /> <span class="soft">owes</span> <Name name={from} />
                <div class="meta">
                  <a href={messageLink(messageId)}>
                    <Type type={type} />
                  </a>{" "}
                  {state === "dead" ? "reminded no more" : state === "stored" ? "not shown yet" : "shown"}
                </div>
              </div>
              <span class={`count ${state === "dead" ? "bad" : "soft"}`}>{age(since)}</span>
            </div>
          ))}
        </Section>
      </div>
    </>
  );
}

export function InstanceScreen({ name }: { name: string }): Element {
  const inbox = useAnswer("/api/messages", { to: name, limit: "100" });
  const outbox = useAnswer("/api/messages", { from: name, limit: "100" });
  const agent = agents.value?.find(({ instanceId }) => instanceId === name);
  const { me, readOnly } = session.value!;
  const facts = [agentName(agent?.session.agent), agent?.session.branch, agent?.session.host, agent?.session.cwd];
  return (
    <>
      <div class="column whole title-bar">
        <div>
          <h1>{visibleLine(name)}</h1>
          <div class="meta">
            {name === me
              ? "you"
              : facts
                  .filter(Boolean)
                  .map((fact) => visibleLine(fact!))
                  .join(" · ")}
          </div>
        </div>
        {!readOnly && name !== me && (
          <button type="button" class="main" onClick={() => compose({ to: name })}>
            Write to it
          </button>
        )}
      </div>
      <div class="column">
        <Listing title="To it" {...inbox} />
      </div>
      <div class="column">
        <Listing title="From it" {...outbox} />
      </div>
    </>
  );
}

function Listing({ title, answer, trouble }: { title: string } & ReturnType<typeof useAnswer>): Element {
  return (
    <Section title={title} class="feed">
      {trouble !== undefined && <Failed trouble={trouble} />}
      {answer?.messages.length === 0 && <Empty>No message.</Empty>}
      {answer !== undefined && <MessageList messages={answer.messages} />}
    </Section>
  );
}

export function SearchScreen({ query }: { query: string }): Element {
  const { answer, trouble } = useAnswer("/api/search", { q: query });
  const [older, setOlder] = useState<{ of: CheckResult; messages: Message[]; next: string | undefined } | undefined>();
  const mine = older !== undefined && older.of === answer ? older : undefined;
  const next = mine === undefined ? (answer?.more || answer?.stoppedEarly ? answer.nextBefore : undefined) : mine.next;
  const readOn = async (): Promise<void> => {
    const page = await ask<CheckResult>("/api/search", { q: query, before: next! });
    const messages = [...(mine?.messages ?? []), ...page.messages];
    setOlder({ of: answer!, messages, next: page.more || page.stoppedEarly ? page.nextBefore : undefined });
  };
  const messages = [...(answer?.messages ?? []), ...(mine?.messages ?? [])];
  return (
    <div class="column whole">
      <h1 class="hidden">Search</h1>
      <Section
        title={`Found for “${visibleLine(query)}”`}
        aside={answer && `${messages.length}${next ? " or more" : ""}`}
        class="feed"
      >
        {trouble !== undefined && <Failed trouble={trouble} />}
        {answer === undefined && trouble === undefined && <Empty>Searching …</Empty>}
        {answer !== undefined && messages.length === 0 && (
          <Empty>
            Nothing{next ? " so far" : ""}. All words are required, as parts of the text; <code>"a phrase"</code>,{" "}
            <code>-not</code>, <code>from: to: type: thread: is:pending is:dead is:unread before: after:</code>.
          </Empty>
        )}
        <MessageList messages={messages} />
        {next !== undefined && (
          <button type="button" class="older" onClick={() => void readOn()}>
            Look further
          </button>
        )}
      </Section>
      {query === "" && (
        <button type="button" onClick={() => go("/")}>
          Home
        </button>
      )}
    </div>
  );
}
