/**
 * The background waker of one session: sleeps on a subscription and wakes the session when mail comes. At most one per session,
 * and gone with it. Claude Code starts it as a hook and is woken by exit code 2, with the mail on standard error. For Codex our
 * own hook starts it, and a command wakes, with a fixed sentence: the hook of the prompt that this becomes shows the mail. So it is in
 * opencode, where our plugin starts it and makes a prompt of what it says.
 */
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type AgentHints, type AgentRun, identifyRun } from "../../client/agent-run.ts";
import { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { knowProcess, onceGone, onceToldToEnd, programFile } from "../../client/process.ts";
import { recordRun, settingsOfRun } from "../../client/recording.ts";
import type { Mail } from "../../client/replies.ts";
import { isGuest } from "../../client/session.ts";
import { Bell } from "../../client/waiting.ts";
import { CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { cut, visibleLine } from "../../protocol/text.ts";
import { type Host, HOSTS, variablesFor } from "./hosts.ts";
import { projectFolder, readInput } from "./input.ts";
import { MAIL_BOUND, MESSAGES_MAXIMUM, renderMail } from "./text.ts";

const WAKE = 2;
/** How soon it tries again where Redis is away. */
const RETRY_MILLISECONDS = 5_000;
/** What comes so soon after one another wakes the session once. */
const GATHER_MILLISECONDS = 1_000;
/** The hook of the session start runs at the same moment: it joins first, and shows what is there by then. */
const START_MILLISECONDS = 2_000;
/** That of a stop too: what it shows goes on with the turn, where we would end it and begin another. */
const STOP_MILLISECONDS = 1_000;

/** All that is said where a prompt wakes: never a word of a message. */
const SENTENCE = "Messages from other agents have arrived; they are shown with this prompt.";
const QUEUED_WITHIN_MS = 20_000;
/** Where the session cannot be found, or the program is just being updated: it is tried again, and given up at last. */
const QUEUE_AGAIN_MILLISECONDS = 30_000;
const QUEUE_ATTEMPTS = 20;
/** Of what the command says when it fails. */
const FAILURE_CHARACTERS = 200;

/**
 * @param started by our own hook: the host, and the process of its agent, which is no ancestor once the hook has ended
 * @returns the exit code
 */
export async function wakeWithMail([name = "claude", agentPid]: readonly string[]): Promise<number> {
  // `claude -p` ends only when its background hooks have: nobody would be there to be woken.
  const isUnattended = process.env["CLAUDE_CODE_SESSION_ATTENDED"] === "0";
  if (isUnattended && process.env["COORD_WAKE_UNATTENDED"] !== "1") return 0;
  const input = await readInput(process.stdin);
  // And it begins only when those of its start have: there it works at once, and has no need to be woken.
  if (isUnattended && input?.event === "SessionStart") return 0;
  if (input === undefined || input.subagent) return 0;
  const host = HOSTS[name];
  if (host === undefined) return 0;
  const given = variablesFor(host);
  const cwd = projectFolder(input, given);
  const env = { ...given, ...(input.sessionId === undefined ? {} : { CLAUDE_CODE_SESSION_ID: input.sessionId }) };
  const run = runOf({ env: given, cwd, sessionId: input.sessionId }, host, agentPid);
  if (host.endsIdle === true && run.yields === true) return 0;
  const settings = settingsOfRun(run, { cwd, env }, { servers: host.foreignEnvironment !== true });
  if (settings.instanceId === undefined) return 0;
  const client = new CoordinationClient(settings);
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const stopLooking = run.agentPid === undefined ? (): void => undefined : onceGone(knowProcess(run.agentPid), end);
  onceToldToEnd(end);
  const post: Post = {
    waker: crypto.randomUUID(),
    held: false,
    lingers: run.agentPid !== undefined,
    bySentence: host.wakesBySentence === true,
    ...(host.wake === undefined || run.id === undefined ? {} : { command: host.wake(run.id, SENTENCE) }),
    agentPid: run.agentPid,
    failed: (unwoken) => recordRun(run, settings, "hook", unwoken === undefined ? {} : { unwoken }),
  };
  if (settings.sources.run?.unwoken !== undefined) post.failed(undefined); // of the waker before: this one tries itself
  let begun = false;
  const begin = async (): Promise<void> => {
    if (begun) return;
    // Cut short by a prompt: a session that works needs no waking.
    const milliseconds = input.event === "SessionStart" ? START_MILLISECONDS : STOP_MILLISECONDS;
    await sleep(milliseconds, undefined, { signal: ended.signal }).catch(() => undefined);
    // Started beside a hook and not by the host, it may come when the session has ended or works again: it must not begin it anew.
    if ((post.command !== undefined || post.bySentence) && !ended.signal.aborted) {
      client.session.belongTo(run);
      if (!(await new Mailbox(client).takeWakerPlace(post.waker, true))) return end();
    }
    begun = true;
    // The session is the hooks' to begin: a superseded one must not take the name back.
    if (!ended.signal.aborted) await client.stay(run, { unlessTaken: true });
  };
  try {
    while (!ended.signal.aborted) {
      try {
        return await wakeOnce(new Mailbox(client), post, ended, begin);
      } catch (error) {
        if (isGuest(error) || hasEnded(error)) return 0;
        await sleep(RETRY_MILLISECONDS, undefined, { signal: ended.signal }).catch(() => undefined); // Redis is away
      }
    }
    return 0;
  } catch {
    return 0;
  } finally {
    stopLooking();
    client.close();
  }
}

function runOf(hints: AgentHints, { agent, wake }: Host, agentPid: string | undefined): AgentRun {
  if (wake === undefined || agentPid === undefined) return identifyRun(hints);
  const pid = Number(agentPid);
  return { ...identifyRun({ ...hints, agent }), agentPid: pid, started: knowProcess(pid).started, yields: undefined };
}

interface Post {
  readonly waker: string;
  /** It has had the place of the session's only waker. */
  held: boolean;
  /** Its agent's process is known: it does not wait for longer than that lives. */
  readonly lingers: boolean;
  /** What wakes the host; without it what this waker says does: a sentence, or the mail itself. */
  readonly command?: readonly string[];
  readonly bySentence: boolean;
  readonly agentPid: number | undefined;
  /** Writes down for coord doctor why the command fails; nothing where it does not. */
  readonly failed: (why: string | undefined) => void;
}

async function wakeOnce(
  mailbox: Mailbox,
  post: Post,
  ended: AbortController,
  begin: () => Promise<void>,
): Promise<number> {
  const { signal } = ended;
  const bell = new Bell();
  const stopListening = await mailbox.listen((event) => {
    // A prompt, or the end: who has the place finds that out when it looks.
    if (!post.held && isOver(event, post.waker)) ended.abort();
    bell.ring();
  });
  try {
    await begin();
    if (!signal.aborted && !post.held) await mailbox.takeWakerPlace(post.waker, false);
    post.held = true;
    while (!signal.aborted) {
      const mail = await collect(mailbox, post);
      if (mail === "gone") return 0;
      const rendered = mail && renderMail(mail);
      if (mail !== undefined && rendered !== undefined && post.command !== undefined) {
        await mailbox.giveBack(mail);
        await queue(post.command, post, signal);
        return 0;
      }
      if (mail !== undefined && rendered !== undefined && post.bySentence) {
        await mailbox.giveBack(mail);
        await write(SENTENCE);
        return WAKE;
      }
      if (mail !== undefined && rendered !== undefined) {
        await write(rendered.text);
        await mailbox.confirm(mail, rendered.shown);
        return WAKE;
      }
      if (await bell.wait(await mailbox.sweepWhenDue(), signal)) {
        await sleep(GATHER_MILLISECONDS, undefined, { signal }).catch(() => undefined);
      }
    }
    return 0;
  } finally {
    await stopListening();
  }
}

async function queue(
  [name = "", ...args]: readonly string[],
  { agentPid, failed }: Post,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1; attempt <= QUEUE_ATTEMPTS && !signal.aborted; attempt++) {
    const why = await failureOf(programNamed(name, agentPid), args);
    if (attempt === 1 || why === undefined) failed(why);
    if (why === undefined) return;
    await sleep(QUEUE_AGAIN_MILLISECONDS, undefined, { signal }).catch(() => undefined);
  }
}

/** The agent's own file where that is it: it has the version of the session, and need not be on the PATH of its hooks. */
function programNamed(name: string, agentPid: number | undefined): string {
  const file = agentPid === undefined ? undefined : programFile(agentPid);
  return file !== undefined && basename(file) === name ? file : name;
}

/** @returns in a line what it says, undefined where it succeeds */
async function failureOf(program: string, args: readonly string[]): Promise<string | undefined> {
  const { execFile } = process.getBuiltinModule("node:child_process");
  return new Promise((resolve) => {
    execFile(program, args, { timeout: QUEUED_WITHIN_MS, cwd: "/" }, (error, _stdout, stderr) => {
      if (error === null) return resolve(undefined);
      const [last] = stderr.trim().split("\n").slice(-1);
      const words = error.code === "ENOENT" ? `there is no program ${program}` : last || error.message;
      resolve(cut(visibleLine(words), FAILURE_CHARACTERS));
    });
  });
}

/** @returns undefined while another session speaks, "gone" where this waker is not needed any more */
async function collect(mailbox: Mailbox, { waker, lingers }: Post): Promise<Mail | undefined | "gone"> {
  const wake = async (): Promise<Mail> => mailbox.collect("wake", MESSAGES_MAXIMUM, MAIL_BOUND, waker);
  try {
    return await wake();
  } catch (error) {
    if (!isGuest(error)) throw error;
  }
  // The place went to another waker, ran out while the machine slept, or the name went to another session.
  try {
    return (await mailbox.takeWakerPlace(waker, true)) ? await wake() : "gone";
  } catch (error) {
    // When that one has ended, this agent speaks again; idle as it is, only its waker can find out.
    if (isGuest(error) && lingers) return undefined;
    throw error;
  }
}

function isOver(event: string | undefined, waker: string): boolean {
  return event !== undefined && /^\{"event":"(session_left|waker_changed)"/.test(event) && !event.includes(waker);
}

function hasEnded(error: unknown): boolean {
  return CoordinationError.is(error) && error.code === ErrorCode.NOT_FOUND;
}

/** Rejects when nobody is there to read: then nothing counts as shown. */
async function write(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stderr.once("error", reject);
    process.stderr.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
