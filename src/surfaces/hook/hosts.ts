/** What each agent calls its events, and the form in which it takes an answer. */
import type { MailMoment } from "../../client/replies.ts";

export interface Host {
  /** As presence shows it. */
  readonly agent: string;
  /** Its hook events, as what they are to us; "ask": it waits for a person. */
  readonly moments: Readonly<Record<string, MailMoment | "join" | "ask" | "end">>;
  /** One process of it may hold several sessions, each with an id of its own. */
  readonly severalSessions?: true;
  /** The answer that shows the text to the model. */
  readonly answer: (event: string, text: string) => object;
}

/** Shown without being called an error. */
const additionalContext = (event: string, text: string): object => ({
  hookSpecificOutput: { hookEventName: event, additionalContext: text },
});

export const HOSTS: Readonly<Record<string, Host>> = {
  claude: {
    agent: "claude-code",
    moments: {
      SessionStart: "start",
      UserPromptSubmit: "turn",
      PostToolUse: "tool",
      PostToolUseFailure: "tool",
      PermissionRequest: "ask",
      Stop: "stop",
      SessionEnd: "end",
    },
    answer: additionalContext,
  },
  codex: {
    agent: "codex",
    severalSessions: true,
    moments: {
      SessionStart: "start",
      UserPromptSubmit: "turn",
      PostToolUse: "tool",
      PermissionRequest: "ask",
      Stop: "stop",
      SessionEnd: "end",
    },
    // Its Stop takes no additional context.
    answer: (event, text) => (event === "Stop" ? { decision: "block", reason: text } : additionalContext(event, text)),
  },
  cursor: {
    agent: "cursor",
    // Only its stop is known to show a text to the model; what is not shown must not be taken.
    moments: { sessionStart: "join", stop: "stop", sessionEnd: "end" },
    answer: (_event, text) => ({ followup_message: text }),
  },
  gemini: {
    agent: "gemini-cli",
    moments: {
      SessionStart: "start",
      BeforeAgent: "turn",
      AfterTool: "tool",
      Notification: "ask", // it has no other kind than ToolPermission
      AfterAgent: "stop",
      SessionEnd: "end",
    },
    answer: (event, text) =>
      event === "AfterAgent" ? { decision: "deny", reason: text } : additionalContext(event, text),
  },
};
