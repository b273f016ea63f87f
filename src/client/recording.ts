/** How hooks and servers are one run: the settings that its record names, and the record that the first of them writes. */
import { type AgentRun, isAgent } from "./agent-run.ts";
import { knowProcess } from "./process.ts";
import { findRunRecord, type RunRecord, writeRunRecord } from "./run-record.ts";
import { resolveSettings, type Settings, workingFolder } from "./settings.ts";
import type { SettingsOptions } from "./options.ts";

/**
 * @param servers whether what a server has written down counts in a project that is in the register: it may have had the
 * variables of another terminal
 * @throws CoordinationError as `resolveSettings`, and IDENTITY where several records are as good as each other
 */
export function settingsOfRun(
  run: AgentRun,
  options: SettingsOptions,
  { servers = true }: { servers?: boolean } = {},
): Settings {
  const hints = { pid: processOf(run)?.pid, sessionId: run.id, folder: run.workTree ?? workingFolder() };
  const record = findRunRecord(hints) ?? null;
  const settings = resolveSettings({ ...options, run: record });
  if (servers || record?.by !== "server" || settings.sources.surroundings.project === undefined) return settings;
  return resolveSettings({ ...options, run: null });
}

/** Beyond this distance an agent would notice a question at each of its tool calls; src/surfaces/hook/coord-hook.bash has the same. */
export const FAR_MILLISECONDS = 50;
/** How long a hook between tools leaves a Redis alone that is far away. */
export const QUIET_SECONDS = 10;

/** Whether a hook between tools leaves Redis alone now. */
export function isQuiet({ quietUntil = 0 }: RunRecord): boolean {
  const left = quietUntil - Date.now() / 1000;
  return left > 0 && left <= QUIET_SECONDS; // more is a clock that was stepped back
}

/** Nothing for a run that only a parent names. */
export function recordRun(
  run: AgentRun,
  { instanceId, keyPrefix, sources }: Settings,
  by: RunRecord["by"],
  {
    standing = "speaker",
    quiet = false,
    unwoken,
  }: { standing?: "speaker" | "guest"; quiet?: boolean; unwoken?: string } = {},
): void {
  const known = processOf(run);
  // For bash, which speaks no TLS.
  const localPassword = sources.localLogin?.ca === undefined ? sources.localLogin?.password : undefined;
  const earlier = sources.run?.by === by ? sources.run.sessions : [];
  const sessions = run.id === undefined ? earlier : [...earlier.filter((id) => id !== run.id), run.id];
  writeRunRecord({
    by,
    standing: instanceId === undefined ? "out" : standing,
    ...(run.agent === undefined ? {} : { agent: run.agent }),
    ...(known === undefined ? {} : { process: known }),
    sessions,
    ...(instanceId === undefined ? {} : { instance: instanceId }),
    prefix: keyPrefix,
    server: sources.server,
    ...(localPassword === undefined ? {} : { localPassword }),
    tree: sources.surroundings.tree.root,
    ...(quiet ? { quietUntil: Math.floor(Date.now() / 1000) + QUIET_SECONDS } : {}),
    ...(unwoken === undefined ? {} : { unwoken }),
  });
}

function processOf({ agentPid }: AgentRun): RunRecord["process"] {
  return agentPid !== undefined && isAgent(agentPid) ? knowProcess(agentPid) : undefined;
}
