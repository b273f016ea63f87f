/** What the host tells a hook on standard input. */
import type { Readable } from "node:stream";
import type { Variables } from "../../client/variables.ts";

export interface HookInput {
  event: string;
  sessionId: string | undefined;
  cwd: string | undefined;
  /** How a session began: `startup`, `resume`, `clear`, `compact`, `fork`. */
  source: string | undefined;
  /** Why it ended. */
  reason: string | undefined;
  /** What its person or an earlier hook has called the session. */
  title: string | undefined;
  /** A subagent runs inside the session: what it is shown, the session itself never sees. */
  subagent: boolean;
}

/** A host writes all at once: after so long it has written all, or is too busy and writes more. */
const PAUSE_MILLISECONDS = 20;
/** Without an input for so long there is nothing to do. */
const COMES_WITHIN_MS = 10_000;
/** The output of a tool comes along; beyond this nobody's hook input is worth reading. */
const BYTES_MAXIMUM = 32 * 1024 * 1024;

/** Where the identity is looked for: the host's project, since the agent itself may have changed into another one. */
export function projectFolder(input: HookInput, env: Variables): string {
  const { CLAUDE_PROJECT_DIR, GEMINI_PROJECT_DIR } = env;
  return CLAUDE_PROJECT_DIR || GEMINI_PROJECT_DIR || input.cwd || process.cwd();
}

/** Cursor names its session and its folders in other words than the rest. */
function firstText(list: unknown): string | undefined {
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  return typeof first === "string" ? first : undefined;
}

/** @returns `undefined` for what is no hook input */
export async function readInput(stream: Readable): Promise<HookInput | undefined> {
  const input = await readJson(stream);
  if (typeof input !== "object" || input === null) return undefined;
  const values = input as Record<string, unknown>;
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const event = text("hook_event_name");
  if (event === undefined) return undefined;
  return {
    event,
    sessionId: text("session_id") ?? text("conversation_id"),
    cwd: text("cwd") ?? firstText(values["workspace_roots"]),
    source: text("source"),
    reason: text("reason"),
    title: text("session_title"),
    subagent: text("agent_id") !== undefined,
  };
}

/**
 * What stands on the stream, which some hosts keep open after they have written it: whenever nothing comes for a moment, it is
 * looked whether it is whole.
 */
async function readJson(stream: Readable): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  return new Promise((resolve) => {
    const whole = (): unknown => {
      try {
        return JSON.parse(Buffer.concat(chunks).toString());
      } catch {
        return undefined;
      }
    };
    const done = (value: unknown): void => {
      clearTimeout(pause);
      clearTimeout(late);
      stream.pause(); // an input that stays open must not keep the hook alive
      resolve(value);
    };
    const look = (): void => {
      const value = whole();
      if (value !== undefined) done(value);
    };
    let pause: NodeJS.Timeout | undefined;
    const late = setTimeout(() => done(undefined), COMES_WITHIN_MS);
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > BYTES_MAXIMUM) return done(undefined);
      clearTimeout(pause);
      pause = setTimeout(look, PAUSE_MILLISECONDS);
    });
    stream.once("end", () => done(whole()));
    stream.once("error", () => done(undefined));
  });
}
