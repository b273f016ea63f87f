// Of cli-coordination: coord init writes this file, makes it anew, and takes it away with --remove. What is changed here is lost.
//
// Shows an opencode session the messages of other agents, and wakes it when some come. All it does is ask coord-hook, which
// knows whose messages these are; where that is not installed, nothing happens. Whatever goes wrong here must not disturb
// the session, so every error ends in silence; coord doctor finds what is wrong.
import { spawn } from "node:child_process";

const HOOK = ["coord-hook"];
/** The hook ends by itself within three seconds. */
const HOOK_MILLISECONDS = 10_000;
/** The exit code of a waker that has something to say. */
const WAKE = 2;
/** So many agents may have started one another. */
const DEPTH_MAXIMUM = 16;
/** Older ones are asked for again. */
const SESSIONS_MAXIMUM = 1_000;

export const Coord = async ({ client, directory }) => {
  const sessions = new Map();
  /** The session that its person works in: it speaks, and is shown the mail. */
  let current;
  let waker;
  let missing = false;
  let asked = Promise.resolve();

  const known = (id) => {
    if (!sessions.has(id)) sessions.set(id, { begun: false, busy: false, source: "resume" });
    if (sessions.size > SESSIONS_MAXIMUM) sessions.delete(sessions.keys().next().value);
    return sessions.get(id);
  };

  const parentOf = async (id) => {
    const session = known(id);
    if (session.parent === undefined) {
      const { data } = await client.session.get({ path: { id } });
      if (data === undefined) throw new Error(`no session ${id}`);
      session.parent = data.parentID ?? null;
    }
    return session.parent;
  };

  /** What a subagent is shown, the session itself never sees. */
  const isRoot = async (id) => (await parentOf(id)) === null;

  const rootOf = async (id) => {
    for (let depth = 0; depth < DEPTH_MAXIMUM; depth++) {
      const parent = await parentOf(id);
      if (parent === null) break;
      id = parent;
    }
    return id;
  };

  const start = (role, id, input, options = {}) => {
    const child = spawn(HOOK[0], [...HOOK.slice(1), ...role], {
      cwd: directory,
      env: { ...process.env, OPENCODE_SESSION_ID: id },
      stdio: ["pipe", "pipe", "pipe"],
      ...options,
    });
    const said = { stdout: "", stderr: "" };
    for (const stream of Object.keys(said)) child[stream].on("data", (bytes) => (said[stream] += bytes));
    const ended = new Promise((resolve) => {
      child.once("error", ({ code }) => {
        missing ||= code === "ENOENT";
        resolve(said);
      });
      child.once("close", (code) => resolve({ ...said, code }));
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(JSON.stringify({ session_id: id, cwd: directory, ...input }));
    return { child, ended };
  };

  const ask = async (event, id, { role = [], source, options } = {}) => {
    if (missing) return {};
    const { child, ended } = start(["opencode", ...role], id, { hook_event_name: event, source }, options);
    const late = setTimeout(() => child.kill("SIGKILL"), HOOK_MILLISECONDS);
    const { stdout } = await ended;
    clearTimeout(late);
    const said = stdout === "" ? {} : JSON.parse(stdout);
    if (said.notice) tell(said.notice);
    return said;
  };

  /** One after another: an end must not overtake what was asked before it. */
  const inTurn = (work) => {
    const done = asked.then(work);
    asked = done.catch(() => undefined);
    return done;
  };

  /** For the person at the terminal. */
  const tell = (message) => {
    const toast = client.tui.showToast({ body: { message, variant: "info" } });
    Promise.resolve(toast).catch(() => undefined);
  };

  /** As its person last spoke to it: with a word less, an agent that is only to plan would be one that builds. */
  const prompt = (id, text) => {
    const { agent, model } = known(id);
    return client.session.promptAsync({
      path: { id },
      body: { agent, model, parts: [{ type: "text", text, synthetic: true }] },
    });
  };

  const wait = (id) => {
    if (missing) return;
    waker?.kill();
    const { child, ended } = start(["wait", "opencode"], id, { hook_event_name: "session.idle" });
    waker = child;
    const wake = async () => {
      const { code, stderr } = await ended;
      if (code === WAKE && stderr !== "") await prompt(id, stderr);
    };
    wake().catch(() => undefined);
  };

  const leave = async (id, options) => {
    if (!sessions.get(id)?.begun) return;
    Object.assign(sessions.get(id), { begun: false, source: "resume" });
    waker?.kill();
    await ask("session.deleted", id, { options });
  };

  const prompted = async (id) => {
    const session = known(id);
    const isBesideAnother = current !== undefined && current !== id && sessions.get(current)?.busy === true;
    session.busy = true;
    session.aborted = false;
    if (session.begun && session.source === undefined) return ask("chat.message", id);
    // The other one works still: this one is told so, and tries again.
    if (isBesideAnother) return ask("session.start", id, { source: "resume" });
    if (current !== id) await leave(current);
    current = id;
    const { source } = session;
    Object.assign(session, { begun: true, source: undefined });
    const first = await ask("session.start", id, { source });
    // It begins with a prompt, and so works already.
    const { text } = await ask("chat.message", id);
    return { text: [first.text, text].filter(Boolean).join("\n\n") };
  };

  const idle = async (id) => {
    const session = known(id);
    session.busy = false;
    if (!session.begun || id !== current) return;
    // Its person has stopped it: nothing but them goes on with it.
    if (session.aborted) return void (await ask("permission.asked", id));
    const { text } = await ask("session.idle", id);
    if (text) await prompt(id, text);
    else wait(id);
  };

  const happened = async ({ type, properties }) => {
    const { sessionID: id = properties.info?.id } = properties;
    if (id === undefined) return;
    if (type === "session.created") {
      Object.assign(known(id), { parent: properties.info.parentID ?? null, source: "startup" });
    } else if (type === "session.error" && properties.error?.name === "MessageAbortedError") {
      known(id).aborted = true;
    } else if (type === "session.compacted") {
      known(id).source = "compact";
    } else if (type === "session.deleted") {
      await inTurn(() => leave(id));
    } else if (type === "session.idle" && (await isRoot(id))) {
      await inTurn(() => idle(id));
    } else if (type === "permission.asked" || type === "question.asked") {
      const root = await rootOf(id);
      if (known(root).begun) await inTurn(() => ask("permission.asked", root));
    }
  };

  const quietly =
    (work) =>
    async (...given) => {
      try {
        await work(...given);
      } catch {
        // See the top.
      }
    };

  return {
    "chat.message": quietly(async ({ sessionID: id }, { message, parts }) => {
      if (!(await isRoot(id))) return;
      Object.assign(known(id), { agent: message.agent, model: message.model });
      const { text } = await inTurn(() => prompted(id));
      if (!text) return;
      // An id behind that of the last part, which comes right after it.
      const place = `${parts.at(-1)?.id ?? "prt_"}coord`;
      parts.push({ id: place, sessionID: id, messageID: message.id, type: "text", text, synthetic: true });
    }),
    "tool.execute.after": quietly(async ({ sessionID: id }, output) => {
      // Nothing is taken that cannot be shown; the tools of a server have their result in parts.
      const isText = typeof output?.output === "string";
      if ((!isText && !Array.isArray(output?.content)) || !(await isRoot(id)) || !known(id).begun) return;
      const { text } = await inTurn(() => ask("tool.execute.after", id, { role: ["tool"] }));
      if (!text) return;
      if (isText) output.output += `\n\n${text}`;
      else output.content.push({ type: "text", text });
    }),
    // By this, coord in a shell of the agent finds the record of its run.
    "shell.env": quietly(async ({ sessionID: id }, { env }) => {
      if (id !== undefined) env.OPENCODE_SESSION_ID = await rootOf(id);
    }),
    // Not waited for: the events behind it would wait as well.
    event: async ({ event }) => void quietly(happened)(event),
    // The process may be gone before the hook is.
    dispose: quietly(async () => inTurn(() => leave(current, { detached: true }))),
  };
};
