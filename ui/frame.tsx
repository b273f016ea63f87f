/** What stands around every screen: the head, what is wrong, the keys; and what is shown instead where nobody was let in. */
import { signal, type Signal } from "@preact/signals";
import { Dialog } from "./dialog.tsx";
import { visible } from "./format.ts";
import { go, route } from "./route.ts";
import { attention, away, connection, locked, session } from "./state.ts";
import { compose } from "./write.tsx";

type Element = preact.JSX.Element;

export const help: Signal<boolean> = signal(false);

const STATES = {
  opening: ["soft", "opening"],
  live: ["calm", "live"],
  lost: ["bad", "not connected"],
  locked: ["bad", "closed"],
} as const;

export function Header(): Element {
  const { project, me, readOnly } = session.value!;
  const [tone, state] = away.value === undefined ? STATES[connection.value] : (["bad", "Redis is away"] as const);
  const needs = attention.value?.needs.length ?? 0;
  const { screen, query } = route.value;
  return (
    <header>
      <a class="skip" href="#main">
        To the content
      </a>
      <a class="brand" href="/" aria-current={screen === "home" ? "page" : undefined}>
        <img src="/icon.svg" alt="" width="22" height="22" />
        <b>{visible(project)}</b>
        {needs > 0 && (
          <span class="badge" aria-label={`${needs} need you`}>
            {needs}
          </span>
        )}
      </a>
      <span class={`state ${tone}`} role="status">
        {state}
      </span>
      <form
        class="search"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          const field = event.currentTarget.querySelector("input")!;
          go(field.value.trim() === "" ? "/" : `/search?q=${encodeURIComponent(field.value.trim())}`);
        }}
      >
        <input
          id="search"
          type="search"
          aria-label="Search messages"
          placeholder="Search: login from:backend is:pending"
          defaultValue={query}
          key={query}
          spellcheck={false}
        />
        <kbd aria-hidden="true">/</kbd>
      </form>
      {readOnly ? (
        <span class="pill soft">read only</span>
      ) : (
        <button type="button" class="main" onClick={() => compose({})} title={`Write as ${me}`}>
          Write <kbd aria-hidden="true">c</kbd>
        </button>
      )}
      <button type="button" class="quiet" aria-label="Keys" onClick={() => (help.value = true)}>
        ?
      </button>
    </header>
  );
}

export function Notices(): Element | null {
  if (connection.value === "locked") {
    return (
      <div class="notice" role="alert">
        <b>This browser is not let in any more.</b> Run <code>coord ui</code> in the project: the page goes on here.
      </div>
    );
  }
  if (connection.value === "lost") {
    return (
      <div class="notice" role="alert">
        <b>The server of this page does not answer.</b> Has <code>coord ui</code> ended? Run it again: the page goes on
        here by itself.
      </div>
    );
  }
  if (away.value === undefined) return null;
  return (
    <div class="notice" role="alert">
      <b>{visible(away.value.error)}</b> {visible(away.value.hint)} What you see is from before; it goes on by itself.
    </div>
  );
}

export function Locked(): Element {
  if (connection.value === "opening") return <main class="alone" aria-busy="true" />;
  const trouble = locked.value;
  return (
    <main class="alone">
      <img src="/icon.svg" alt="" width="40" height="40" />
      <h1>
        {connection.value === "lost" ? "The server of this page does not answer" : "This page opens from a terminal"}
      </h1>
      {trouble !== undefined && <p>{visible(trouble.error)}</p>}
      <p>In the folder of the project run</p>
      <pre>coord ui</pre>
      <p class="soft">
        It prints a link that opens the page once. This tab goes on by itself as soon as this browser has been let in.
      </p>
    </main>
  );
}

const KEYS: readonly (readonly [key: string, does: string])[] = [
  ["/", "search"],
  ["j", "next row"],
  ["k", "row before"],
  ["Enter", "open the row"],
  ["c", "write"],
  ["r", "reply"],
  ["g", "home"],
  ["?", "these keys"],
  ["Esc", "close, leave a field"],
];

export function Help(): Element {
  return (
    <Dialog title="Keys" onClose={() => (help.value = false)}>
      <dl class="keys">
        {KEYS.map(([key, does]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
