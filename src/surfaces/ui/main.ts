/** `coord ui`: the page for a person who looks after several agents. It runs until it is told to end. */
import { execFile } from "node:child_process";
import { CoordinationClient } from "../../client/client.ts";
import { onceToldToEnd } from "../../client/process.ts";
import { resolveSettings, type Settings } from "../../client/settings.ts";
import { checkWhole } from "../../client/variables.ts";
import { PEOPLE_NAMES } from "../../protocol/definition.ts";
import { CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { invalid } from "../../protocol/validation.ts";
import { linkTo, linkToRunning, pageName, usualPort, writePageRecord } from "./record.ts";
import { type PageServer, startPageServer } from "./server.ts";

export interface PageOptions {
  instance?: string | undefined;
  /** Default: the usual one of this page, or any where that is taken. */
  port?: unknown;
  readOnly?: boolean | undefined;
}

export interface OpenedPage {
  /** Opens the page once. */
  url: string;
  /** Another process serves it already; absent there. Resolves once this one has ended. */
  ended?: Promise<void>;
}

const PORT_MAXIMUM = 65_535;

/** @throws CoordinationError INVALID, IDENTITY; that Redis is away the page says */
export async function openPage({ instance, port, readOnly = false }: PageOptions): Promise<OpenedPage> {
  const asked = port === undefined ? undefined : checkWhole(port, "port", 0, PORT_MAXIMUM);
  const settings = await settingsOfPerson(instance);
  const page = pageName(settings, readOnly);
  const running = await linkToRunning(page);
  if (running !== undefined) return { url: running };
  const server = await serve(asked, page, { settings, readOnly });
  const removeRecord = writePageRecord(page, server.port, server.gate.key);
  const ended = new Promise<void>((resolve) => {
    onceToldToEnd(() => {
      removeRecord();
      void server.close().then(resolve);
    });
  });
  return { url: linkTo(server.port, server.gate.newLink()), ended };
}

/** With what the desktop opens links with; where there is none, the person reads the address. */
export function openBrowser(url: string): void {
  const program = process.platform === "darwin" ? "open" : "xdg-open";
  execFile(program, [url], () => undefined).unref();
}

async function serve(
  asked: number | undefined,
  page: string,
  options: { settings: Settings; readOnly: boolean },
): Promise<PageServer> {
  try {
    return await startPageServer(asked ?? usualPort(page), { ...options, page });
  } catch (error) {
    const taken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
    if (taken && asked === undefined) return startPageServer(0, { ...options, page });
    throw invalid(
      `port ${asked} cannot be used: ${(error as Error).message}.`,
      "Give another one, or none: one that is free is then taken.",
    );
  }
}

/** A person, and never an agent: what the person reads would be taken from the agent, and what it writes is no word of a person. */
async function settingsOfPerson(instance: string | undefined): Promise<Settings> {
  const person = PEOPLE_NAMES[0]!;
  // Not the session of the agent in whose shell this may be started.
  const settings = { ...resolveSettings({ instanceId: instance ?? person }), agentSessionId: undefined };
  if (instance === undefined || instance === person) return settings;
  const { project } = settings.sources.surroundings;
  if (Object.values(project?.worktrees ?? {}).includes(instance))
    throw agentsName(instance, "a worktree has that name");
  const { instances } = await presencesOf({ ...settings, instanceId: undefined });
  const agent = instances[instance]?.session.agent;
  if (agent !== undefined) throw agentsName(instance, `${agent} has spoken under it`);
  return settings;
}

async function presencesOf(settings: Settings): ReturnType<CoordinationClient["getPresence"]> {
  await using client = new CoordinationClient(settings);
  return await client.getPresence(); // before it is closed
}

function agentsName(instance: string, why: string): CoordinationError {
  return new CoordinationError(ErrorCode.IDENTITY, `${instance} is an agent's name: ${why}.`, {
    hint: "A person reads and writes under a name of its own: leave --instance out for operator.",
  });
}
