/** What the host tells a hook on standard input. */

export interface HookInput {
  event: string;
  sessionId: string | undefined;
  cwd: string | undefined;
  /** How a session began: `startup`, `resume`, `clear`, `compact`, `fork`. */
  source: string | undefined;
  /** Why it ended. */
  reason: string | undefined;
  /** A subagent runs inside the session: what it is shown, the session itself never sees. */
  subagent: boolean;
}

/** The output of a tool comes along; beyond this nobody's hook input is worth reading. */
const BYTES_MAXIMUM = 32 * 1024 * 1024;

/** Where the identity is looked for: the host's project, since the agent itself may have changed into another one. */
export function projectFolder(input: HookInput): string {
  const { CLAUDE_PROJECT_DIR, GEMINI_PROJECT_DIR } = process.env;
  return CLAUDE_PROJECT_DIR || GEMINI_PROJECT_DIR || input.cwd || process.cwd();
}

/** Cursor names its session and its folders in other words than the rest. */
function firstText(list: unknown): string | undefined {
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  return typeof first === "string" ? first : undefined;
}

/** @returns `undefined` for what is no hook input */
export async function readInput(stream: AsyncIterable<Buffer>): Promise<HookInput | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > BYTES_MAXIMUM) return undefined;
  }
  let input: unknown;
  try {
    input = JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return undefined;
  }
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
    subagent: text("agent_id") !== undefined,
  };
}
