/**
 * The background waker of one session: sleeps on a subscription and wakes the session when mail comes, by the host's
 * signal, exit code 2 with the mail on standard error. At most one per session, and gone with it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { identifyRun } from "../../client/agent-run.ts";
import { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { knowProcess, onceGone, onceToldToEnd } from "../../client/process.ts";
import { settingsOfRun } from "../../client/recording.ts";
import { Bell } from "../../client/waiting.ts";
import { isGuest } from "../../client/session.ts";
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

/** @returns the exit code */
export async function wakeWithMail(): Promise<number> {
  // `claude -p` ends only when its background hooks have: nobody would be there to be woken.
  if (process.env["CLAUDE_CODE_SESSION_ATTENDED"] === "0" && process.env["COORD_WAKE_UNATTENDED"] !== "1") return 0;
  const input = await readInput(process.stdin);
  if (input === undefined || input.subagent) return 0;
  const cwd = projectFolder(input, process.env);
  const env = { ...process.env, ...(input.sessionId === undefined ? {} : { CLAUDE_CODE_SESSION_ID: input.sessionId }) };
  const run = identifyRun({ env: process.env, cwd, sessionId: input.sessionId });
  const settings = settingsOfRun(run, { cwd, env });
  if (settings.instanceId === undefined) return 0;
  const client = new CoordinationClient(settings);
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const stopLooking = run.agentPid === undefined ? (): void => undefined : onceGone(knowProcess(run.agentPid), end);
  onceToldToEnd(end);
  let begun = false;
  const begin = async (): Promise<void> => {
    if (begun) return;
    begun = true;
    // Cut short by a prompt: a session that works needs no waking.
    const milliseconds = input.event === "SessionStart" ? START_MILLISECONDS : STOP_MILLISECONDS;
    await sleep(milliseconds, undefined, { signal: ended.signal }).catch(() => undefined);
    // The session is the hooks' to begin: a superseded one must not take the name back.
    if (!ended.signal.aborted) await client.stay(run, { unlessTaken: true });
  };
  try {
    while (!ended.signal.aborted) {
      try {
        return await wakeOnce(new Mailbox(client), ended, begin);
      } catch (error) {
        if (isGuest(error)) return 0;
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

async function wakeOnce(mailbox: Mailbox, ended: AbortController, begin: () => Promise<void>): Promise<number> {
  const waker = crypto.randomUUID();
  const bell = new Bell();
  const stopListening = await mailbox.listen((event) => {
    if (event?.startsWith('{"event":"session_left"') || isOtherWaker(event, waker)) ended.abort();
    bell.ring();
  });
  try {
    await begin();
    if (ended.signal.aborted) return 0;
    await mailbox.takeWakerPlace(waker);
    while (!ended.signal.aborted) {
      const mail = await mailbox.collect("wake", MESSAGES_MAXIMUM, MAIL_BOUND, waker);
      const rendered = renderMail(mail);
      if (rendered !== undefined) {
        await write(rendered.text);
        await mailbox.confirm(mail, rendered.shown);
        return WAKE;
      }
      if (await bell.wait(await mailbox.sweepWhenDue(), ended.signal)) {
        await sleep(GATHER_MILLISECONDS, undefined, { signal: ended.signal }).catch(() => undefined);
      }
    }
    return 0;
  } finally {
    await stopListening(); // or the next try would be taken for another waker
  }
}

/** Rejects when nobody is there to read: then nothing counts as shown. */
async function write(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stderr.once("error", reject);
    process.stderr.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

function isOtherWaker(event: string | undefined, waker: string): boolean {
  return event?.startsWith('{"event":"waker_changed"') === true && !event.includes(waker);
}
