/** The page of `coord ui`: its screens, and the keys that lead through them. */
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { Header, Help, help, Locked, Notices } from "./frame.tsx";
import { HomeScreen } from "./home.tsx";
import { followLinks, go, route } from "./route.ts";
import { ConversationScreen, InstanceScreen, MessageScreen, SearchScreen } from "./screens.tsx";
import { connection, open, session } from "./state.ts";
import { compose, writing, WriteDialog } from "./write.tsx";

function Page(): preact.JSX.Element {
  const { screen, of, query } = route.value;
  const { project } = session.value ?? {};
  useEffect(() => {
    document.title = project === undefined ? "coord" : `${titleOf(screen, of, query)}${project} · coord`;
  }, [project, screen, of, query]);
  if (project === undefined) return <Locked />;
  return (
    <>
      <Header />
      <Notices />
      <main id="main" class={`screen-${screen}`}>
        {screen === "home" && <HomeScreen />}
        {screen === "message" && <MessageScreen key={of} id={of} />}
        {screen === "thread" && <ConversationScreen key={of} id={of} />}
        {screen === "instance" && <InstanceScreen key={of} name={of} />}
        {screen === "search" && <SearchScreen query={query} />}
      </main>
      {writing.value !== undefined && <WriteDialog draft={writing.value} />}
      {help.value && <Help />}
    </>
  );
}

function titleOf(screen: string, of: string, query: string): string {
  if (screen === "home") return "";
  return `${screen === "search" ? `search ${query}` : of} · `;
}

const KEYS: Readonly<Record<string, () => void>> = {
  "/": () => document.querySelector<HTMLInputElement>("#search")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  c: () => compose({}),
  r: () => document.querySelector<HTMLTextAreaElement>("#reply")?.focus(),
  g: () => go("/"),
  "?": () => (help.value = !help.value),
};

/** To the next or the last link of a list. */
function step(by: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>("a.row-link")];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  rows[at === -1 ? (by === 1 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))]?.focus();
}

function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    const { key, ctrlKey, metaKey, altKey, target } = event;
    const typing = target instanceof HTMLElement && target.matches("input, textarea, select");
    if (key === "Escape") {
      if (help.value) help.value = false;
      else if (typing) target.blur();
      return;
    }
    if (typing || ctrlKey || metaKey || altKey || connection.value === "locked" || writing.value !== undefined) return;
    if (!Object.hasOwn(KEYS, key)) return;
    event.preventDefault();
    KEYS[key]!();
  });
}

followLinks();
listenToKeys();
render(<Page />, document.querySelector("#page")!);
void open();
