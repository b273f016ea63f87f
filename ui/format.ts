/** Times and names, as a person reads them. Text of others always goes through `visible`. */
import { now } from "./state.ts";

export { visible, visibleLine } from "../src/protocol/text.ts";

const DAY = 86_400;

/** `now`, `4 min`, `3 h`, `2 d`: how long ago. */
export function age(iso: string | null | undefined): string {
  if (!iso) return "";
  const seconds = Math.max(0, (now.value - Date.parse(iso)) / 1000);
  if (seconds < 60) return "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < DAY ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / DAY)} d`;
}

export function ago(iso: string | null | undefined): string {
  const text = age(iso);
  return text === "now" || text === "" ? text && "just now" : `${text} ago`;
}

/** `10:24` of today, else with the day. */
export function clock(iso: string, seconds = false): string {
  const time = new Date(iso);
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = `${two(time.getHours())}:${two(time.getMinutes())}${seconds ? `:${two(time.getSeconds())}` : ""}`;
  const today = new Date(now.value).toDateString() === time.toDateString();
  return today ? hours : `${two(time.getMonth() + 1)}-${two(time.getDate())} ${hours}`;
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

const AGENTS: Readonly<Record<string, string>> = {
  "claude-code": "Claude Code",
  codex: "Codex",
  "gemini-cli": "Gemini CLI",
  opencode: "opencode",
  cursor: "Cursor",
};

export function agentName(agent: string | undefined): string {
  return agent === undefined ? "" : (AGENTS[agent] ?? agent);
}
