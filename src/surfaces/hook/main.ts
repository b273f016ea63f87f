/**
 * `coord-hook`: shows an agent its mail at the moments at which its host asks. It never disturbs: whatever goes wrong, it
 * says nothing and succeeds, half a second after Redis has last said something and within three seconds.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type AgentRun, identifyRun } from "../../client/agent-run.ts";
import { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { FAR_MILLISECONDS, isQuiet, recordRun, settingsOfRun } from "../../client/recording.ts";
import type { Mail, MailMoment } from "../../client/replies.ts";
import { isGuest } from "../../client/session.ts";
import type { Settings } from "../../client/settings.ts";
import { LIMITS, MessageType } from "../../protocol/definition.ts";
import { ErrorCode } from "../../protocol/errors.ts";
import { HOSTS, type Said, variablesFor } from "./hosts.ts";
import { type HookInput, projectFolder, readInput } from "./input.ts";
import { CONTRACTS_HINT, LEGACY_HINT, MAIL_BOUND, MESSAGES_MAXIMUM, renderMail, renderSuperseded } from "./text.ts";

/** Of the whole process, its start included. */
const HOOK_MILLISECONDS = 3_000;
/** Where the start alone took long, the machine is busy, not Redis silent: it is waited for so many times as long. */
const BUSY_FACTOR = 3;

const USAGE = `coord-hook shows a coding agent its messages; the agent runs it, with JSON on standard input.

  coord-hook claude | codex | gemini | opencode | cursor
                                       at session start, prompts, tool calls, stop and session end
  coord-hook claude | gemini | opencode tool
                                       between tool calls: as above, and fast where nothing waits
  coord-hook wait [opencode]           in the background (Claude Code: asyncRewake), wakes an idle session

coord init sets it up.
`;

const started = process.uptime() * 1000;

export async function runHook(argv: readonly string[]): Promise<number> {
  const [name = "claude"] = argv;
  if (process.stdin.isTTY || name === "--help" || name === "-h" || !(name === "wait" || Object.hasOwn(HOSTS, name))) {
    process.stderr.write(USAGE);
    return name === "--help" || name === "-h" ? 0 : 64;
  }
  if (name === "wait") return (await import("./waker.ts")).wakeWithMail(argv.slice(1));
  endAfter(HOOK_MILLISECONDS - started);
  try {
    const input = await readInput(process.stdin);
    if (input !== undefined) await serve(input, name);
  } catch {
    // No error of ours belongs into the session; coord doctor finds it.
  }
  return 0;
}

async function serve(input: HookInput, name: string): Promise<void> {
  const host = HOSTS[name]!;
  const what = host.moments[input.event];
  if (what === undefined || input.subagent) return;
  const given = variablesFor(host);
  const cwd = projectFolder(input, given);
  const env = { ...given, ...(input.sessionId === undefined ? {} : { CLAUDE_CODE_SESSION_ID: input.sessionId }) };
  const run = identifyRun({ env: given, cwd, agent: host.agent, sessionId: input.sessionId });
  const settings = settingsOfRun(run, { cwd, env }, { servers: host.foreignEnvironment !== true });
  const recorded = settings.sources.run;
  if (what === "stop" && host.endsIdle === true && run.yields === true) return;
  if (what === "tool" && recorded !== undefined && isQuiet(recorded)) return;
  if (what !== "end" && (what === "start" || recorded?.by !== "hook")) recordRun(run, settings, "hook");
  const before = what === "start" && recorded?.by !== "hook" ? legacyHint(settings) : [];
  if (settings.instanceId === undefined) {
    // This project does not take part; but it did with an earlier version, and its person would wait for mail.
    if (before.length > 0) await write(JSON.stringify(host.answer(input.event, { text: before.join("\n") })));
    return;
  }
  const client = new CoordinationClient(settings);
  const mailbox = new Mailbox(client);
  try {
    await mailbox.open(); // each step of it has a bound of its own
    if (what === "end") {
      // The session goes on under a new id: /clear and resume only look like an end, unless each id is a session of its own.
      if (host.severalSessions || (input.reason !== "clear" && input.reason !== "resume"))
        await soon(client.session.leave(run));
      return;
    }
    if (what === "join") {
      await soon(client.session.join(run, { unlessTaken: !begins(input), surface: "hook" }));
      return;
    }
    if (what === "ask") {
      await soon(client.session.waitsForPerson(run));
      return;
    }
    const { mail, shown, ...said } = await collect(mailbox, what, input, run, settings, before);
    // So that the host's own messages between its sessions find it under the same name.
    if (host.titled && what === "start" && mail !== undefined && input.title === undefined)
      said.title = settings.instanceId;
    if (said.text !== undefined || said.title !== undefined) {
      await write(JSON.stringify(host.answer(input.event, said)));
      if (mail !== undefined) await soon(mailbox.confirm(mail, shown));
    }
    // Where a stop was answered the turn goes on, and ends with another one.
    const isIdle = what === "start" || (what === "stop" && said.text === undefined);
    if (host.wake !== undefined && isIdle && mail !== undefined) startWaker(name, input, run);
  } finally {
    client.close();
  }
}

async function collect(
  mailbox: Mailbox,
  moment: MailMoment,
  input: HookInput,
  run: AgentRun,
  settings: Settings,
  before: readonly string[],
): Promise<Said & { mail?: Mail; shown?: number }> {
  const lines = [...before];
  const standing = settings.sources.run?.standing ?? "speaker";
  try {
    if (moment === "tool" && !(await mayWait(mailbox, run, settings))) return {};
    // Joins at each moment: another session may have ended, or Redis may have been away at the start.
    const { joined, mail } = await soon(
      mailbox.joinAndCollect(
        run,
        { unlessTaken: moment !== "start" || !begins(input), surface: "hook" },
        momentOf(moment, input),
        MESSAGES_MAXIMUM,
        MAIL_BOUND,
      ),
    );
    if (standing !== "speaker") recordRun(run, settings, "hook");
    if (joined.superseded !== undefined) lines.push(renderSuperseded(settings.instanceId!, joined.superseded));
    if (joined.first && (await soon(hasContracts(mailbox)))) lines.push(CONTRACTS_HINT);
    const rendered = renderMail(mail, lines);
    return { ...rendered, mail };
  } catch (error) {
    if (!isGuest(error)) throw error;
    if (standing !== "guest") recordRun(run, settings, "hook", { standing: "guest" });
    if (moment !== "turn" && moment !== "start") return {}; // said at a prompt and not at every tool call
    const since = error.code === ErrorCode.SUPERSEDED ? " any more" : "";
    return { text: `${error.message} You get no messages for it${since}. ${error.hint}` };
  }
}

/** Beside this hook and outlasting it; the waker before it is told, and ends. Nobody attends a run that yields. */
function startWaker(host: string, { event, sessionId, cwd }: HookInput, run: AgentRun): void {
  if (run.yields || sessionId === undefined || run.agentPid === undefined) return;
  // Loaded only here: no other start needs it.
  const { spawn } = process.getBuiltinModule("node:child_process");
  const argv = [process.argv[1]!, "wait", host, String(run.agentPid)];
  const waker = spawn(process.execPath, argv, { detached: true, stdio: ["pipe", "ignore", "ignore"], cwd: "/" });
  waker.once("error", () => undefined);
  waker.stdin.once("error", () => undefined);
  waker.stdin.end(JSON.stringify({ hook_event_name: event, session_id: sessionId, cwd }));
  waker.unref();
}

/** Asked once for each name, at its very first start. */
async function hasContracts(mailbox: Mailbox): Promise<boolean> {
  const request = { all: true, type: MessageType.CONTRACT_APPROVED, limit: 1 };
  const { result } = await mailbox.lookAtMessages(request, "peek");
  return result.count > 0;
}

/** Whether the tool moment may have something to show. A Redis that is far away is then left alone for a while. */
async function mayWait(mailbox: Mailbox, run: AgentRun, settings: Settings): Promise<boolean> {
  // Asked already by coord-hook.bash; asking again has Redis keep the script where it did not know it.
  let asked = performance.now();
  let something = await soon(mailbox.glance());
  if (performance.now() - asked > FAR_MILLISECONDS) {
    // A busy machine is slow once, a distance each time.
    asked = performance.now();
    something = await soon(mailbox.glance());
    if (performance.now() - asked > FAR_MILLISECONDS) recordRun(run, settings, "hook", { quiet: true });
  }
  return something;
}

/** The hook ends where Redis is silent for longer. */
async function soon<T>(answer: Promise<T>): Promise<T> {
  const stop = endAfter(LIMITS.silent_milliseconds);
  try {
    return await answer;
  } finally {
    stop();
  }
}

/** Not unref'd work but the process itself ends: a host waits for the end of its hook. */
function endAfter(milliseconds: number): () => void {
  const timer = setTimeout(() => process.exit(0), Math.max(milliseconds, BUSY_FACTOR * started));
  return () => clearTimeout(timer);
}

/** Said once in a run: what earlier versions read lies there, and the project is not in the register. */
function legacyHint({ sources: { surroundings } }: Settings): string[] {
  const { project, tree } = surroundings;
  return project === undefined && existsSync(join(tree.root, ".coord.json")) ? [LEGACY_HINT] : [];
}

/** A run that goes on, after a compaction for example, must not take the name from a session that came since. */
function begins({ source }: HookInput): boolean {
  return source !== "resume" && source !== "clear" && source !== "compact";
}

/** After resume and compaction it is the same session: what was shown is only reminded of. */
function momentOf(moment: MailMoment, { source }: HookInput): MailMoment {
  return moment === "start" && (source === "resume" || source === "compact") ? "resume" : moment;
}

async function write(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.once("error", reject); // nobody reads: without this it would end in a stack trace
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
