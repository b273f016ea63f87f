/** What a person does about a message, in place. What it was told afterwards stands where it was done. */
import { useState } from "preact/hooks";
import type { Need } from "../src/client/attention.ts";
import type { Message } from "../src/protocol/results.ts";
import { visibleLine } from "./format.ts";
import { messageLink } from "./route.ts";
import { Refused, send, session } from "./state.ts";

type Element = preact.JSX.Element;

export interface Action {
  label: string;
  path: string;
  body: object;
  main?: boolean;
  /** Asked before it is done. */
  sure?: string;
}

export function NeedActions({ need: { kind, message } }: { need: Need }): Element | null {
  if (message === undefined || session.value!.readOnly) return null;
  return (
    <div class="acts">
      {kind === "addressed" && (
        <a class="button" href={messageLink(message.id)}>
          Answer
        </a>
      )}
      <Actions actions={actionsFor(message, kind === "dead")} />
    </div>
  );
}

/** @param dead where somebody is reminded of it no more */
export function actionsFor(message: Message, dead: boolean): Action[] {
  const { id, to, requiresAck, acknowledged } = message;
  const mine = to === session.value!.me;
  const messageIds = [id];
  const actions: Action[] = [];
  if (mine && requiresAck && !acknowledged)
    actions.push({ label: "Done", path: "/api/acknowledge", body: { messageId: id } });
  if (dead) actions.push({ label: "Retry", path: "/api/retry", body: { messageIds } });
  if (!mine && requiresAck && !acknowledged)
    actions.push({ label: "Drop", path: "/api/drop", body: { messageIds }, sure: "Nobody is asked any more?" });
  return actions;
}

export function Actions({ actions, then }: { actions: readonly Action[]; then?: () => void }): Element {
  const [said, setSaid] = useState("");
  const [asked, setAsked] = useState<string | undefined>(undefined);
  const [busy, setBusy] = useState(false);
  const act = async ({ path, body }: Action): Promise<void> => {
    setBusy(true);
    setAsked(undefined);
    try {
      await send(path, body);
      setSaid("");
      then?.();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setSaid(`${error.message} ${error.hint}`);
    }
    setBusy(false);
  };
  return (
    <>
      {actions.map((action) => (
        <button
          key={action.label}
          type="button"
          class={action.main ? "main" : undefined}
          disabled={busy}
          onClick={() =>
            action.sure === undefined || asked === action.label ? void act(action) : setAsked(action.label)
          }
        >
          {asked === action.label ? action.sure : action.label}
        </button>
      ))}
      {said !== "" && (
        <span class="said bad" role="alert">
          {visibleLine(said)}
        </span>
      )}
    </>
  );
}
