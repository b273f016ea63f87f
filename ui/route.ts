/** Which screen is shown: it stands in the address, so that a link leads there. */
import { signal, type Signal } from "@preact/signals";

export interface Route {
  screen: "home" | "message" | "thread" | "instance" | "search";
  /** The id of the message, or the name of the instance. */
  of: string;
  query: string;
}

const SCREENS: Readonly<Record<string, Route["screen"]>> = { m: "message", t: "thread", i: "instance" };

export const route: Signal<Route> = signal(read());

export function go(address: string): void {
  history.pushState(null, "", address);
  route.value = read();
  scrollTo(0, 0);
}

/** Links of the page are followed without loading it anew. */
export function followLinks(): void {
  addEventListener("popstate", () => (route.value = read()));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (link === null || !plain || link.origin !== location.origin || link.target !== "") return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}

function read(): Route {
  const [, first = "", second = ""] = location.pathname.split("/");
  const query = new URLSearchParams(location.search).get("q") ?? "";
  if (first === "search") return { screen: "search", of: "", query };
  return { screen: SCREENS[first] ?? "home", of: decoded(second), query };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const messageLink = (id: string): string => `/m/${encodeURIComponent(id)}`;
export const threadLink = (id: string): string => `/t/${encodeURIComponent(id)}`;
export const instanceLink = (name: string): string => `/i/${encodeURIComponent(name)}`;
