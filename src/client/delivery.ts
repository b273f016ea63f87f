/** Brings one notice to where a person is told. What a sender has written goes into a body or to standard input, never into arguments. */
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Notifier } from "./notifiers.ts";

/** What is told, as a webhook and a command get it in JSON. */
export interface Notice {
  /** The same for each try. */
  id: string;
  namespace: string;
  kind: "need" | "event" | "digest" | "test";
  /** When it was told, ISO 8601 by the clock of this machine. */
  at: string;
  /** Names and types, nothing that a sender has written: it may be shown anywhere. */
  title: string;
  text: string;
  /** Of a need or an event: what it is about. */
  need?: object;
  event?: object;
  /** Of a digest: the texts of up to 20, and how many they are in all. */
  texts?: string[];
  count?: number;
}

const TRY_MILLISECONDS = 10_000;
/** Before the second and the third try. */
const PAUSES_MILLISECONDS = [500, 2000];
const REASON_CHARACTERS = 300;

/** Tries three times. @throws Error with the reason of the last one */
export async function deliver(notifier: Notifier, notice: object): Promise<void> {
  for (const pause of [...PAUSES_MILLISECONDS, undefined]) {
    try {
      return await tryOnce(notifier, notice as Notice);
    } catch (error) {
      if (pause === undefined) throw error;
      await sleep(pause);
    }
  }
}

function tryOnce(notifier: Notifier, notice: Notice): Promise<void> {
  if (notifier.kind === "webhook") return post(notifier, JSON.stringify(notice));
  if (notifier.kind === "command") return execute(notifier.command, process.env, JSON.stringify(notice));
  return showOnDesktop(notice);
}

/** Signed, so that whoever gets it can tell that it comes from here. */
async function post({ url, secret }: Extract<Notifier, { kind: "webhook" }>, body: string): Promise<void> {
  const signature = createHmac("sha256", secret).update(body).digest("hex");
  const headers = { "Content-Type": "application/json", "X-Coord-Signature-256": `sha256=${signature}` };
  let status: number;
  try {
    const signal = AbortSignal.timeout(TRY_MILLISECONDS);
    // Elsewhere nobody has said that it may go.
    const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
    await response.body?.cancel();
    ({ status } = response);
  } catch (error) {
    const { cause, message } = error as Error;
    throw new Error(cause instanceof Error ? cause.message : message, { cause: error });
  }
  if (status < 200 || status > 299) throw new Error(`it answered ${status}`);
}

function showOnDesktop({ title, text }: Notice): Promise<void> {
  if (process.platform !== "darwin")
    return execute(["notify-send", "--app-name=coord", "--", title, text], process.env);
  const script = 'display notification (system attribute "COORD_TEXT") with title (system attribute "COORD_TITLE")';
  return execute(["osascript", "-e", script], { ...process.env, COORD_TITLE: title, COORD_TEXT: text });
}

async function execute(command: readonly string[], env: NodeJS.ProcessEnv, input = ""): Promise<void> {
  const [program = "", ...args] = command;
  await new Promise<void>((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ["pipe", "ignore", "pipe"] });
    let said = "";
    const late = setTimeout(() => child.kill("SIGKILL"), TRY_MILLISECONDS);
    child.stderr.on("data", (bytes: Buffer) => (said = `${said}${bytes.toString()}`.slice(-REASON_CHARACTERS)));
    child.stdin.on("error", () => undefined); // it need not read what it is told
    child.stdin.end(input);
    child.once("error", (error) => {
      clearTimeout(late);
      reject(error);
    });
    // Not when its output ends: what it has started may hold that for ever.
    child.once("exit", (code, signal) => {
      clearTimeout(late);
      child.stderr.destroy();
      if (code === 0) resolve();
      else reject(new Error(`it ended with ${code ?? signal}${said.trim() === "" ? "" : `: ${said.trim()}`}`));
    });
  });
}
