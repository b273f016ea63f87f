/** What each agent reads: its files, and the entries that give it the tools and the hooks. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { HOST_VARIABLES, SECRET_LOOKING } from "./host-variables.ts";
import type { Place } from "./place.ts";
import { type CommandLine, guardedLine, type Programs, shellLine } from "./programs.ts";

export const AGENTS = ["claude", "codex", "gemini", "opencode", "cursor"] as const;
export type Agent = (typeof AGENTS)[number];

export type Entry = Readonly<Record<string, unknown>>;

/** A configuration file of an agent and what belongs into it. */
export interface AgentFile {
  readonly path: string;
  readonly format: "json" | "toml" | "program";
  /** What a new file has beside our entries. */
  readonly skeleton: Entry;
  /** The MCP server under its path of keys. */
  readonly server?: { readonly at: readonly string[]; readonly entry: Entry };
  /** The list of what the agent may do without asking, and what of ours belongs into it. */
  readonly allow?: { readonly at: readonly string[]; readonly tool: string };
  /** Of two files of which one has the hooks, whether this is the one user's own. */
  readonly isLocal?: boolean;
  /** Of the main worktree, and read for the linked ones as well: it may be there for those only. */
  readonly shared?: true;
  /** The agent does not read it here: what an earlier version put there goes. */
  readonly unread?: true;
  /** The file is a program of ours as a whole: where this installation has it, and the hook that it starts. */
  readonly program?: { readonly source: string; readonly hook: CommandLine };
  /** Hooks by event. `matcher` is of the group they stand in; without groups the handlers stand in the event's list. */
  readonly hooks?: { readonly grouped: boolean; readonly events: Readonly<Record<string, EventHooks>> };
}

export interface EventHooks {
  readonly matcher?: string;
  readonly handlers: readonly Entry[];
}

const CODEX_HOOKS = ".codex/hooks.json";
/** At its end Codex waits no longer, and warns of more. */
const CODEX_END_SECONDS = 3;
/** A hook that takes longer has lost its connection; the agent waits for no mail. */
const HOOK_SECONDS = 5;
/** The waiting hook ends with its session; this is only a bound. */
const WAIT_SECONDS = 86_400;
/** How often mail that arrives on stop may keep Cursor going before it asks its user. */
const CURSOR_LOOP_LIMIT = 10;

/** @param allow whether the agent may call our tools without asking */
export function filesOf(
  agent: Agent,
  { root, main }: Pick<Place, "root" | "main">,
  { coord, hook, dist }: Pick<Programs, "coord" | "hook" | "dist">,
  allow = true,
): AgentFile[] {
  const file = (path: string, rest: Partial<AgentFile>): AgentFile => ({
    path: join(root, path),
    format: "json",
    skeleton: {},
    ...rest,
  });
  const server: CommandLine = [...coord, "mcp"];
  const [command, ...args] = server;
  /** Hooks that take one line for a shell. */
  const lines = (role: string, more: Entry, names: readonly string[]): Record<string, EventHooks> =>
    Object.fromEntries(
      names.map((name) => [name, { handlers: [{ ...more, command: guardedLine([...hook, ...role.split(" ")]) }] }]),
    );

  switch (agent) {
    case "claude": {
      // A session that is woken before its first prompt has no tool else, and would stand at a dialog that nobody sees.
      const entry = { type: "stdio", command, args, alwaysLoad: true };
      const settings = {
        hooks: { grouped: true, events: claudeHooks(hook) },
        ...(allow ? { allow: { at: ["permissions", "allow"], tool: "mcp__coord" } } : {}),
      };
      return [
        file(".mcp.json", { server: { at: ["mcpServers", "coord"], entry } }),
        file(".claude/settings.json", { isLocal: false, ...settings }),
        file(".claude/settings.local.json", { isLocal: true, ...settings }),
      ];
    }
    case "codex": {
      const events = ["SessionStart", "UserPromptSubmit", "PostToolUse", "PermissionRequest", "Stop"];
      const handler = { type: "command", command: "", timeout: HOOK_SECONDS };
      // It starts servers without the environment: these it passes on where they are set.
      const entry = { command, args, env_vars: HOST_VARIABLES };
      const end = lines("codex", { ...handler, timeout: CODEX_END_SECONDS }, ["SessionEnd"]);
      const hooks = file(CODEX_HOOKS, {
        hooks: { grouped: true, events: { ...lines("codex", handler, events), ...end } },
      });
      return [
        file(".codex/config.toml", { format: "toml", server: { at: ["mcp_servers", "coord"], entry } }),
        // Codex takes the hooks of a linked worktree from the main one, and only the server from its own folder.
        { ...hooks, path: join(main, CODEX_HOOKS), shared: true },
        ...(main === root ? [] : [{ ...hooks, unread: true as const }]),
      ];
    }
    case "gemini": {
      const events = ["SessionStart", "BeforeAgent", "AfterTool", "Notification", "AfterAgent", "SessionEnd"];
      // By its name it is shown to its person; without one by its whole line.
      const handler = { name: "coord", type: "command", command: "", timeout: HOOK_SECONDS * 1000 };
      return [
        file(".gemini/settings.json", {
          server: {
            at: ["mcpServers", "coord"],
            // Without a terminal it has no tool of a server that it would have to ask about.
            entry: { command, args, env: asTheyAre(SECRET_LOOKING), ...(allow ? { trust: true } : {}) },
          },
          hooks: {
            grouped: true,
            events: { ...lines("gemini", handler, events), ...lines("gemini tool", handler, ["AfterTool"]) },
          },
        }),
      ];
    }
    case "opencode": {
      // It reads both; a second one beside the user's would only hide where things are.
      const path = existsSync(join(root, "opencode.jsonc")) ? "opencode.jsonc" : "opencode.json";
      const entry = { type: "local", command: server, enabled: true };
      return [
        file(path, {
          skeleton: { $schema: "https://opencode.ai/config.json" },
          server: { at: ["mcp", "coord"], entry },
        }),
        file(".opencode/plugin/coord.js", {
          format: "program",
          program: { source: join(dist, "opencode-plugin.js"), hook },
        }),
      ];
    }
    case "cursor": {
      const events = {
        ...lines("cursor", {}, ["sessionStart"]),
        ...lines("cursor", { command: "", loop_limit: CURSOR_LOOP_LIMIT }, ["stop"]),
      };
      return [
        file(".cursor/mcp.json", { server: { at: ["mcpServers", "coord"], entry: { command, args } } }),
        file(".cursor/hooks.json", { skeleton: { version: 1 }, hooks: { grouped: false, events } }),
      ];
    }
  }
}

/** Each as the environment has it; an empty one counts as unset. */
function asTheyAre(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, `\${${name}:-}`]));
}

function claudeHooks(hook: CommandLine): Record<string, EventHooks> {
  const run = (...role: string[]): Entry => {
    const line = [...hook, ...role];
    const guarded = guardedLine(line);
    // Claude Code starts a program with arguments without a shell, which is all that an installation by its path needs.
    const [command, ...args] = guarded === shellLine(line) ? line : ["sh", "-c", guarded];
    return { type: "command", command, args };
  };
  const mail = { ...run("claude"), timeout: HOOK_SECONDS };
  /** Says that this is between tool calls: mostly nothing waits, and then Node is not started. */
  const between = { ...run("claude", "tool"), timeout: HOOK_SECONDS };
  const wait = { ...run("wait"), asyncRewake: true, timeout: WAIT_SECONDS };
  return {
    SessionStart: { handlers: [mail, wait] },
    UserPromptSubmit: { handlers: [mail] },
    PostToolUse: { matcher: "*", handlers: [between] },
    PostToolUseFailure: { matcher: "*", handlers: [between] },
    PermissionRequest: { handlers: [mail] },
    Stop: { handlers: [mail, wait] },
    SessionEnd: { handlers: [mail] },
  };
}
