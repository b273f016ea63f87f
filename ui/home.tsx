/** The first screen: who needs me, who is there, who waits for whom, what happened. */
import { useState } from "preact/hooks";
import type { Need } from "../src/client/attention.ts";
import type { AgentRow } from "../src/surfaces/ui/home.ts";
import { NeedActions } from "./actions.tsx";
import { age, agentName, ago, count, visibleLine } from "./format.ts";
import { instanceLink, messageLink } from "./route.ts";
import { Empty, MessageList, messagesCounted, Name, Section, Since, Type } from "./rows.tsx";
import { agents, attention, feed, feedGoesOn, readOlder, totals, waiting } from "./state.ts";

type Element = preact.JSX.Element;

export function HomeScreen(): Element {
  return (
    <>
      <h1 class="hidden">What needs you, and what happened</h1>
      <div class="column">
        <Needs />
        <Feed />
      </div>
      <div class="column">
        <Agents />
        <Waiting />
      </div>
    </>
  );
}

const MARKS = {
  addressed: ["◆", "need"],
  waiting: ["▣", "need"],
  dead: ["✕", "bad"],
  overdue: ["◷", "need"],
  undelivered: ["○", "need"],
  idle: ["‖", "soft"],
} as const;

function Needs(): Element {
  const known = attention.value;
  const number = known === undefined ? "" : `${known.needs.length}${known.more ? " or more" : ""}`;
  return (
    <Section title="Needs you" aside={number} class="needs">
      {known === undefined && <Empty>Looking …</Empty>}
      {known?.needs.length === 0 && <Empty>Nothing. Everybody who was asked has answered, or has time left.</Empty>}
      {known?.needs.map((need) => (
        <NeedRow key={need.key} need={need} />
      ))}
    </Section>
  );
}

function NeedRow({ need }: { need: Need }): Element {
  const { kind, message, since, instances } = need;
  const [mark, tone] = MARKS[kind];
  return (
    <article class="row">
      <span class={`mark ${tone}`} aria-hidden="true">
        {mark}
      </span>
      <div class="grow">
        <div class="title">
          {message === undefined ? (
            <a class="row-link" href={instanceLink(instances[0]!)}>
              {sentence(need)}
            </a>
          ) : (
            <a class="row-link" href={messageLink(message.id)}>
              {visibleLine(message.subject)}
            </a>
          )}
        </div>
        <div class="meta">
          {message !== undefined && (
            <>
              {sentence(need)} · <Type type={message.type} /> from <Name name={message.from} /> ·{" "}
            </>
          )}
          <Since since={since} />
        </div>
      </div>
      <NeedActions need={need} />
    </article>
  );
}

function sentence({ kind, instances, pending = 0 }: Need): string {
  const [first = "", ...others] = instances.map(visibleLine);
  const who = others.length === 0 ? first : `${first} and ${count(others.length, "other")}`;
  switch (kind) {
    case "addressed":
      return "for you";
    case "waiting":
      return `${who} waits for a permission in its terminal`;
    case "dead":
      return `${who} never answered, and is not reminded any more`;
    case "overdue":
      return `${who} was reminded, and has not answered`;
    case "undelivered":
      return `${who} was not there for it`;
    case "idle":
      return `${who} is idle with ${messagesCounted(pending)} unanswered`;
  }
}

const FILTERS = ["all", "waits", "to all"] as const;

function Feed(): Element {
  const [filter, setFilter] = useState<(typeof FILTERS)[number]>("all");
  const messages = feed.value;
  const shown = messages?.filter(({ requiresAck, acknowledged, to }) => {
    if (filter === "waits") return requiresAck && !acknowledged;
    return filter === "all" || to === "all";
  });
  return (
    <Section title="What happened" aside={totals.value && messagesCounted(totals.value.total)} class="feed">
      <div class="filters" role="group" aria-label="Show">
        {FILTERS.map((each) => (
          <button key={each} type="button" aria-pressed={each === filter} onClick={() => setFilter(each)}>
            {each}
          </button>
        ))}
      </div>
      {messages?.length === 0 && (
        <Empty>
          No message yet. <code>coord publish GENERAL hello "hi there" --to all</code> sends the first one.
        </Empty>
      )}
      {messages !== undefined && messages.length > 0 && shown?.length === 0 && <Empty>None of these.</Empty>}
      {shown !== undefined && <MessageList messages={shown} />}
      {feedGoesOn.value && (
        <button type="button" class="older" onClick={() => void readOlder()}>
          Older ones
        </button>
      )}
    </Section>
  );
}

function Agents(): Element {
  const all = agents.value;
  const there = all?.filter(({ status }) => status === "active").length ?? 0;
  const [whole, setWhole] = useState(false);
  const sorted = all?.toSorted(byPresence) ?? [];
  const shown = whole ? sorted : sorted.slice(0, AGENTS_LISTED);
  return (
    <Section title="Agents" aside={all && `${there} of ${all.length} there`} class="agents">
      {all?.length === 0 && (
        <Empty>
          Nobody yet. <code>coord init</code> in a repository gives its agent a name.
        </Empty>
      )}
      {shown.map((agent) => (
        <Agent key={agent.instanceId} agent={agent} />
      ))}
      {sorted.length > shown.length && (
        <button type="button" class="older" onClick={() => setWhole(true)}>
          All {sorted.length.toLocaleString("en")}
        </button>
      )}
    </Section>
  );
}
const AGENTS_LISTED = 20;
const ORDER = { active: 0, stale: 1, offline: 2, unknown: 3 };

function byPresence(a: AgentRow, b: AgentRow): number {
  const asks = (agent: AgentRow): number => Number(agent.doing !== "waiting");
  return asks(a) - asks(b) || ORDER[a.status] - ORDER[b.status] || (a.instanceId < b.instanceId ? -1 : 1);
}

function Agent({ agent }: { agent: AgentRow }): Element {
  const { instanceId, status, doing, session, pending, unread, guests } = agent;
  const tone = status !== "active" ? "away" : doing === "waiting" ? "need" : "calm";
  const details = [agentName(session.agent), session.branch, doingOf(agent)]
    .filter(Boolean)
    .map((text) => visibleLine(text!));
  return (
    <article class="row">
      <span class={`dot ${tone}`} aria-hidden="true" />
      <div class="grow">
        <Name name={instanceId} /> {doing === "waiting" && <span class="pill need">asks a person</span>}
        {guests > 0 && <span class="pill soft">{count(guests, "guest")}</span>}
        <div class="meta">{details.join(" · ")}</div>
        {session.activity !== undefined && <div class="meta">“{visibleLine(session.activity)}”</div>}
      </div>
      <span class="count">
        {pending > 0 && <span class="need">{pending} due</span>}
        {unread > 0 && <span class="soft">{unread} unread</span>}
      </span>
    </article>
  );
}

function doingOf({ status, doing, doingSince, lastSeen, asleep }: AgentRow): string {
  if (status !== "active") return lastSeen === undefined ? "never seen" : `away, last seen ${ago(lastSeen)}`;
  if (doing === "away") return "there";
  const since = doingSince === undefined || age(doingSince) === "now" ? "" : ` for ${age(doingSince)}`;
  return `${doing === "waiting" ? "at a permission prompt" : doing}${since}${asleep ? ", woken by nobody" : ""}`;
}

function Waiting(): Element {
  const known = waiting.value;
  return (
    <Section title="Who waits for whom" aside={totals.value && `${totals.value.pending} open`} class="waiting">
      {known?.messages.length === 0 && <Empty>Nobody waits for an answer.</Empty>}
      {known?.messages.map((message) => (
        <div class="row" key={message.id}>
          <div class="grow">
            <Name name={message.from} /> <span class="soft">waits for</span>{" "}
            {message.to === "all" ? "some of all" : <Name name={message.to} />}
            <div class="meta">
              <a href={messageLink(message.id)}>{visibleLine(message.subject)}</a>
            </div>
          </div>
          <span class="count soft">{age(message.timestamp)}</span>
        </div>
      ))}
      {known?.more === true && (
        <a class="older" href="/search?q=is%3Apending">
          All of them
        </a>
      )}
    </Section>
  );
}
