/** Who speaks under the name right now. */
import { hostname } from "node:os";
import { relative } from "node:path";
import type { CoordinationClient } from "../client/client.ts";
import { listRunRecords } from "../client/run-record.ts";
import type { Settings } from "../client/settings.ts";
import type { SessionFacts } from "../protocol/results.ts";
import { type Finding, ok, warning } from "./finding.ts";
import { findPlace } from "./place.ts";

export async function examineInstance(
  client: CoordinationClient,
  { instanceId: name, keyPrefix }: Pick<Settings, "keyPrefix"> & { instanceId: string },
  cwd: string,
): Promise<Finding[]> {
  const { instances } = await client.getPresence();
  const presence = instances[name];
  const about = "presence";
  if (presence === undefined) {
    return [
      warning(
        about,
        `${name} is not known yet: broadcasts do not reach it`,
        "Run coord init, or start its agent once.",
      ),
    ];
  }
  const { status, secondsSinceHeartbeat: age, session, pending, unreadable, asleep } = presence;
  if (unreadable !== undefined)
    return [warning(about, `the entry of ${name} cannot be read: ${unreadable}`, `Run coord forget ${name}.`)];
  const waiting = pending === 0 ? "" : `, ${pending} ${pending === 1 ? "message waits" : "messages wait"} for it`;
  const facts = factsOf(session);
  const told = `${name} is ${status}${facts === "" ? "" : ` (${facts})`}, seen ${age} s ago${waiting}`;
  const guests = await examineGuests(client, name);
  const runs = listRunRecords().filter(({ instance, prefix }) => instance === name && prefix === keyPrefix);
  const unwoken = runs.find((run) => run.unwoken !== undefined);
  if (unwoken !== undefined)
    guests.push(
      warning(
        "waking",
        `${name} cannot be woken in ${unwoken.tree}: ${unwoken.unwoken}`,
        "Update Codex (0.171.0 was tried), or put it on PATH. It is tried again for ten minutes, and after each turn.",
      ),
    );
  else if (asleep)
    guests.push(
      warning(
        "waking",
        `${name} is idle, and nobody wakes it: it sees a message at its next prompt`,
        "In Claude Code coord init sets a waker up; of another agent, ask for its mail at its prompt.",
      ),
    );
  if (status === "offline" || !isElsewhere(session, cwd)) return [ok(about, told), ...guests];
  return [
    ...guests,
    warning(
      about,
      `${told}: from elsewhere, and only one agent at a time speaks under a name`,
      "Name this one differently: coord init --instance <name>.",
    ),
  ];
}

/** Other runs that were started under the name, and are shown nothing. */
async function examineGuests(client: CoordinationClient, name: string): Promise<Finding[]> {
  const guests = await client.session.guestsOf(name);
  if (guests.length === 0) return [];
  const listed = guests.map(({ run, superseded }) => `${runOf(run)}${superseded ? ", which spoke before" : ""}`);
  const who = guests.length === 1 ? "a guest gets" : `${guests.length} guests get`;
  return [
    warning(
      "guests",
      `${who} no messages for ${name}, since another session speaks: ${listed.join("; ")}`,
      "Give each a name of its own: coord worktree add, or coord init --instance <name> where it runs.",
    ),
  ];
}

function runOf(run: string): string {
  const [, host, pid] = /^pid (\S+) \S* (\d+) /.exec(run) ?? [];
  return pid === undefined ? `session ${run.replace(/^id:/, "")}` : `process ${pid} on ${host}`;
}

function factsOf({ agent, host, pid, cwd, branch }: SessionFacts): string {
  return [agent, host, pid === undefined ? undefined : `pid ${pid}`, cwd, branch]
    .filter((fact) => fact !== undefined)
    .join(", ");
}

function isElsewhere({ host, cwd: there }: SessionFacts, cwd: string): boolean {
  if (host !== undefined && host !== hostname()) return true;
  return there !== undefined && relative(findPlace(cwd).root, there).startsWith("..");
}
