/**
 * `coord-hook`: shows an agent its mail at the moments at which its host asks. It never disturbs: whatever goes wrong, it
 * says nothing and succeeds, within half a second.
 */
import { appendFileSync } from "node:fs";
import { type AgentRun, identifyRun } from "../../client/agent-run.ts";
import { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import type { Mail, MailMoment } from "../../client/replies.ts";
import { resolveSettings } from "../../client/settings.ts";
import { CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { type Host, HOSTS } from "./hosts.ts";
import { type HookInput, projectFolder, readInput } from "./input.ts";
import { CONTRACTS_HINT, MAIL_BOUND, MESSAGES_MAXIMUM, renderMail, renderSuperseded } from "./text.ts";

/** Of the whole process, its start included. */
const GIVE_UP_MILLISECONDS = 450;
/** Where the start alone took that long, the machine is busy, not Redis: then this many times as long as the start. */
const BUSY_FACTOR = 3;

const USAGE = `coord-hook shows a coding agent its messages; the agent runs it, with JSON on standard input.

  coord-hook claude | codex | gemini | cursor   at session start, prompts, tool calls, stop and session end
  coord-hook claude | gemini tool               between tool calls: as above, and fast where nothing waits
  coord-hook wait                               in the background (Claude Code: asyncRewake), wakes an idle session

coord init sets it up.
`;

export async function runHook(argv: readonly string[]): Promise<number> {
  const [name = "claude"] = argv;
  if (process.stdin.isTTY || name === "--help" || name === "-h" || !(name === "wait" || Object.hasOwn(HOSTS, name))) {
    process.stderr.write(USAGE);
    return name === "--help" || name === "-h" ? 0 : 64;
  }
  if (name === "wait") return (await import("./waker.ts")).wakeWithMail();
  // Not unref'd work but the process itself ends: a host waits for the end of its hook.
  const started = process.uptime() * 1000;
  setTimeout(() => process.exit(0), Math.max(GIVE_UP_MILLISECONDS, BUSY_FACTOR * started) - started);
  try {
    const input = await readInput(process.stdin);
    if (input !== undefined) await serve(input, HOSTS[name]!);
  } catch {
    // No error of ours belongs into the session; coord doctor finds it.
  }
  return 0;
}

async function serve(input: HookInput, host: Host): Promise<void> {
  const what = host.moments[input.event];
  if (what === undefined || input.subagent) return;
  const cwd = projectFolder(input);
  const env = { ...process.env, ...(input.sessionId === undefined ? {} : { CLAUDE_CODE_SESSION_ID: input.sessionId }) };
  const settings = resolveSettings({ cwd, env });
  if (settings.instanceId === undefined) return; // this project does not take part
  const client = new CoordinationClient(settings);
  const mailbox = new Mailbox(client);
  try {
    if (what === "end") {
      // The session goes on under a new id: /clear and resume only look like an end.
      if (input.reason !== "clear" && input.reason !== "resume") await client.leave();
      return;
    }
    // Looked for only where it is said: it reads the processes above and the repository.
    const run = (): AgentRun => identifyRun({ env, cwd, agent: host.agent, sessionId: input.sessionId });
    if (what === "join") {
      await client.join(run());
      return;
    }
    const said = await collect(client, mailbox, what, input, run, settings.instanceId);
    if (said === undefined) return;
    await write(JSON.stringify(host.answer(input.event, said.text)));
    if (said.mail !== undefined) await mailbox.confirm(said.mail, said.shown);
  } finally {
    client.close();
  }
}

async function collect(
  client: CoordinationClient,
  mailbox: Mailbox,
  moment: MailMoment,
  input: HookInput,
  run: () => AgentRun,
  instance: string,
): Promise<{ text: string; mail?: Mail; shown?: number } | undefined> {
  const lines: string[] = [];
  try {
    if (moment === "start") exportIdentity(instance);
    if (moment === "start" || moment === "turn") {
      // Again at each prompt: the server may have left, or Redis may have been away at the start.
      const joined = moment === "start" ? await client.join(run()) : await client.join(run(), { unlessTaken: true });
      if (joined.superseded !== undefined) lines.push(renderSuperseded(instance, joined.superseded));
      if (joined.first) lines.push(CONTRACTS_HINT);
    }
    if (moment === "turn") await mailbox.takeWakerPlace(""); // a session that works needs no waking
    // Asked already by coord-hook.bash; asking again has Redis keep the script where it did not know it.
    if (moment === "tool" && !(await mailbox.glance())) return undefined;
    const mail = await mailbox.collect(momentOf(moment, input), MESSAGES_MAXIMUM, MAIL_BOUND);
    const rendered = renderMail(mail, lines);
    return rendered === undefined ? undefined : { text: rendered.text, mail, shown: rendered.shown };
  } catch (error) {
    // Said at a prompt and not at every tool call.
    if (CoordinationError.is(error) && error.code === ErrorCode.SUPERSEDED && moment === "turn") {
      return { text: `${error.message} You get no messages for it any more. ${error.hint}` };
    }
    throw error;
  }
}

/** After resume and compaction it is the same session: what was shown is only reminded of. */
function momentOf(moment: MailMoment, { source }: HookInput): MailMoment {
  return moment === "start" && (source === "resume" || source === "compact") ? "turn" : moment;
}

/** Shell calls of the agent then know who they are. */
function exportIdentity(instance: string): void {
  const file = process.env["CLAUDE_ENV_FILE"];
  if (file) appendFileSync(file, `export CLAUDE_INSTANCE_ID=${instance}\n`);
}

async function write(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.once("error", reject); // nobody reads: without this it would end in a stack trace
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
