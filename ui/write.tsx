/** Writing: a new message, or a reply in place. The same text is stored once, also where it is sent again. */
import { signal, type Signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { renderFrame } from "../src/protocol/frame.ts";
import type { Message, PublishResult } from "../src/protocol/results.ts";
import { visibleLine } from "./format.ts";
import { Dialog } from "./dialog.tsx";
import { go, messageLink } from "./route.ts";
import { Name } from "./rows.tsx";
import { agents, Refused, send, session } from "./state.ts";

type Element = preact.JSX.Element;

export interface Draft {
  to?: string;
}

export const writing: Signal<Draft | undefined> = signal(undefined);

export function compose(draft: Draft): void {
  if (session.value?.readOnly === false) writing.value = draft;
}

interface Sending {
  said: string;
  busy: boolean;
  publish: (request: object) => Promise<PublishResult | undefined>;
}

function useSending(): Sending {
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const [key, setKey] = useState(newKey);
  const publish = async (request: object): Promise<PublishResult | undefined> => {
    setBusy(true);
    try {
      const result = await send<PublishResult>("/api/publish", { ...request, idempotencyKey: key });
      setKey(newKey());
      setSaid(result.warnings.join(" "));
      return result;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // Refused by its content it was not stored: the corrected one is another message.
      if (error.status === 409) setKey(newKey());
      setSaid(`${error.message} ${error.hint}`);
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  return { said, busy, publish };
}

function newKey(): string {
  return `ui-${crypto.randomUUID()}`;
}

export function WriteDialog({ draft }: { draft: Draft }): Element {
  const { me, types, limits } = session.value!;
  const [fields, setFields] = useState({
    to: draft.to ?? "",
    type: "GENERAL",
    subject: "",
    description: "",
    ack: true,
  });
  const { said, busy, publish } = useSending();
  const set =
    (name: string) => (event: preact.TargetedEvent<HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement>) =>
      setFields({ ...fields, [name]: event.currentTarget.value });
  const { to, type, subject, description, ack } = fields;
  const recipient = agents.value?.find(({ instanceId }) => instanceId === to);
  return (
    <Dialog title={`Write as ${me}`} onClose={() => (writing.value = undefined)}>
      <form
        class="write"
        onSubmit={(event) => {
          event.preventDefault();
          void publish({ to, type, subject, description, requiresAck: ack }).then((result) => {
            if (result === undefined) return;
            writing.value = undefined;
            go(messageLink(result.messageId));
          });
        }}
      >
        <div class="two">
          <label>
            To
            <input
              list="recipients"
              required
              value={to}
              onInput={set("to")}
              placeholder="all, or a name"
              autocomplete="off"
            />
          </label>
          <datalist id="recipients">
            <option value="all">everybody</option>
            {agents.value?.map(({ instanceId, status, doing }) => (
              <option key={instanceId} value={instanceId}>
                {status === "active" && doing !== "away" ? doing : status}
              </option>
            ))}
          </datalist>
          <label>
            Type
            <select value={type} onChange={set("type")}>
              {types.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
        </div>
        {recipient !== undefined && recipient.status !== "active" && (
          <p class="meta">It is not there now: it is shown this when it starts.</p>
        )}
        <label>
          Subject
          <input required maxLength={limits.subject_characters} value={subject} onInput={set("subject")} />
        </label>
        <label>
          Text
          <textarea rows={8} value={description} onInput={set("description")} />
        </label>
        <label class="check">
          <input type="checkbox" checked={ack} onChange={() => setFields({ ...fields, ack: !ack })} />
          Asks for an acknowledgement
        </label>
        <details>
          <summary>What the agent is shown</summary>
          <pre class="preview">{preview(me, fields)}</pre>
        </details>
        <Said text={said} />
        <div class="acts end">
          <button type="submit" class="main" disabled={busy}>
            Send
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** More of it is shown on request only. */
const PREVIEW_CHARACTERS = 2000;

/** As a hook shows it, which knows its id. */
function preview(
  from: string,
  { to, type, subject, description, ack }: Record<"to" | "type" | "subject" | "description", string> & { ack: boolean },
): string {
  const timestamp = new Date().toISOString();
  const stored = {
    id: "msg-…",
    type,
    from,
    to,
    timestamp,
    requiresAck: ack,
    acknowledged: false,
    subject,
    description,
  };
  return renderFrame({ ...stored, via: "ui" }, timestamp, PREVIEW_CHARACTERS);
}

export function Reply({ message }: { message: Message }): Element {
  const { id, subject, from, to } = message;
  const { me } = session.value!;
  const [text, setText] = useState("");
  const [sent, setSent] = useState<PublishResult | undefined>(undefined);
  const { said, busy, publish } = useSending();
  const recipient = from === me ? to : from;
  return (
    <form
      class="reply"
      onSubmit={(event) => {
        event.preventDefault();
        const title = subject.startsWith("Re: ") ? subject : `Re: ${subject}`;
        const request = {
          type: "GENERAL",
          subject: [...title].slice(0, 200).join(""),
          description: text,
          replyTo: id,
          to: recipient,
        };
        void publish(request).then((result) => {
          if (result === undefined) return;
          setSent(result);
          setText("");
        });
      }}
    >
      <label>
        <span>
          Reply as {me} to {recipient === "all" ? "all" : <Name name={recipient} />} <kbd aria-hidden="true">r</kbd>
        </span>
        <textarea id="reply" rows={4} required value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <Said text={said} />
      <div class="acts end">
        {sent !== undefined && (
          <span class="calm" role="status">
            Sent: <a href={messageLink(sent.messageId)}>{sent.messageId}</a>
            {sent.acknowledged ? ", and acknowledged what it answers" : ""}
          </span>
        )}
        <button type="submit" class="main" disabled={busy}>
          Reply
        </button>
      </div>
    </form>
  );
}

function Said({ text }: { text: string }): Element | null {
  if (text === "") return null;
  return (
    <p class="said" role="alert">
      {visibleLine(text)}
    </p>
  );
}
