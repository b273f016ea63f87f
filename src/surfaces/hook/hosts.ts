/** What each agent calls its events, and the form in which it takes an answer. */
import type { MailMoment } from "../../client/replies.ts";
import type { Variables } from "../../client/variables.ts";

export interface Host {
  /** As presence shows it. */
  readonly agent: string;
  /** Its hook events, as what they are to us; "ask": it waits for a person. */
  readonly moments: Readonly<Record<string, MailMoment | "join" | "ask" | "end">>;
  /** Takes a title for its session, at the start. */
  readonly titled?: true;
  /** One process of it may hold several sessions, each with an id of its own. */
  readonly severalSessions?: true;
  /** One process runs the hooks of every terminal, with the environment of the first: that says of none who and where it is. */
  readonly foreignEnvironment?: true;
  /** Has no hook that waits: ours starts a process that does, and wakes the session with this command. */
  readonly wake?: (sessionId: string, sentence: string) => readonly string[];
  /** Its waker is started by what starts its hooks, and says one fixed sentence, which becomes a prompt: the hook of that shows the mail. */
  readonly wakesBySentence?: true;
  /** Where nobody attends it, it ends when it idles: nobody reads what a stop would show. */
  readonly endsIdle?: true;
  /** The answer that shows the text to the model. */
  readonly answer: (event: string, said: Said) => object;
}

/** What a hook takes from a foreign environment: where its user's register is, and whether and for how long it takes part. */
const PERSONAL_VARIABLES = [
  "HOME",
  "XDG_CONFIG_HOME",
  "COORD_OFF",
  "COORD_TAKE_OVER",
  "COORD_PRESENCE_TIMEOUT_SECONDS",
];

/** What of the environment says something of this session. */
export function variablesFor({ foreignEnvironment }: Host): Variables {
  if (foreignEnvironment !== true) return process.env;
  return Object.fromEntries(PERSONAL_VARIABLES.map((name) => [name, process.env[name]]));
}

/** What a hook has to say. */
export interface Said {
  /** For the model. */
  text?: string;
  /** For the person at the terminal, in a line. */
  notice?: string;
  /** What the session is to be called. */
  title?: string;
}

/** Shown without being called an error. */
const additionalContext = (event: string, { text }: Said): object => ({
  hookSpecificOutput: { hookEventName: event, additionalContext: text },
});

export const HOSTS: Readonly<Record<string, Host>> = {
  claude: {
    agent: "claude-code",
    titled: true,
    moments: {
      SessionStart: "start",
      UserPromptSubmit: "turn",
      PostToolUse: "tool",
      PostToolUseFailure: "tool",
      PermissionRequest: "ask",
      Stop: "stop",
      SessionEnd: "end",
    },
    // Of the rest it tells its person only that a hook had something to say.
    answer: (event, { text, notice, title }) => ({
      hookSpecificOutput: { hookEventName: event, additionalContext: text, sessionTitle: title },
      systemMessage: notice,
    }),
  },
  codex: {
    agent: "codex",
    severalSessions: true,
    foreignEnvironment: true,
    wake: (sessionId, sentence) => ["codex", "queue", "--thread", sessionId, "--message", sentence],
    moments: {
      SessionStart: "start",
      UserPromptSubmit: "turn",
      PostToolUse: "tool",
      PermissionRequest: "ask",
      Stop: "stop",
      SessionEnd: "end",
    },
    // Its Stop takes no additional context.
    answer: (event, said) =>
      event === "Stop" ? { decision: "block", reason: said.text } : additionalContext(event, said),
  },
  opencode: {
    agent: "opencode",
    severalSessions: true,
    wakesBySentence: true,
    endsIdle: true,
    // As opencode-plugin.js names them: what they are called in opencode, but for the start, which it has none of.
    moments: {
      "session.start": "start",
      "chat.message": "turn",
      "tool.execute.after": "tool",
      "permission.asked": "ask",
      "session.idle": "stop",
      "session.deleted": "end",
    },
    answer: (_event, { text, notice }) => ({ text, notice }),
  },
  cursor: {
    agent: "cursor",
    // Only its stop is known to show a text to the model; what is not shown must not be taken.
    moments: { sessionStart: "join", stop: "stop", sessionEnd: "end" },
    answer: (_event, { text }) => ({ followup_message: text }),
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
    // What goes on after a stop it shows its person as blocked, whatever it is: so in a line, and not the whole mail.
    answer: (event, said) => ({
      ...(event === "AfterAgent" ? { decision: "deny", reason: said.text } : additionalContext(event, said)),
      systemMessage: said.notice,
    }),
  },
};
