/** What this process is to the others, and where each part of that comes from. Looks and changes nothing. */
import { CoordinationError } from "../protocol/errors.ts";
import type { InstancePresence } from "../protocol/results.ts";
import { CoordinationClient } from "./client.ts";
import { serverAddress } from "./inspection.ts";
import type { RunRecord } from "./run-record.ts";
import type { Settings } from "./settings.ts";

export interface WhoAmI {
  instance: string | null;
  /** Where the name comes from, or why there is none. */
  instanceSource: string;
  /** The real path of the common git directory, or of the folder. */
  project: string;
  /** The register's file, where it has the project. */
  register: string | null;
  prefix: string;
  prefixSource: string;
  server: string;
  serverSource: string;
  /** The run of an agent that this process belongs to. */
  session: { agent: string | null; id: string | null; pid: number | null; workTree: string } | null;
  /** `shell` outside of any agent's run; `out` where the run takes no part. */
  standing: RunRecord["standing"] | "shell";
  /** Of the name; null where there is none, or Redis does not answer. */
  status: InstancePresence["status"] | null;
  /** What would make it another name. */
  change: string;
}

export async function whoAmI(settings: Settings): Promise<WhoAmI> {
  const { instanceId, keyPrefix, sources } = settings;
  const { tree, file, project } = sources.surroundings;
  const { run } = sources;
  return {
    instance: instanceId ?? null,
    instanceSource: sources.instanceId ?? sources.nameless.reason ?? "no name is set",
    project: tree.key,
    register: project === undefined ? null : file,
    prefix: keyPrefix,
    prefixSource: sources.keyPrefix ?? "the default",
    server: serverAddress(settings),
    serverSource: sources.connection ?? "the default",
    session:
      run === undefined
        ? null
        : {
            agent: run.agent ?? null,
            id: run.sessions.at(-1) ?? null,
            pid: run.process?.pid ?? null,
            workTree: run.tree,
          },
    standing: run?.standing ?? "shell",
    status: await statusOf(settings),
    change: howToChange(settings),
  };
}

async function statusOf({ instanceId, ...rest }: Settings): Promise<WhoAmI["status"]> {
  if (instanceId === undefined) return null;
  // Without a name: a look must not make it known, or keep it alive.
  await using client = new CoordinationClient({ ...rest, instanceId: undefined });
  try {
    return (await client.getPresence()).instances[instanceId]?.status ?? "offline";
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    return null;
  }
}

function howToChange({ instanceId, sources }: Settings): string {
  if (sources.run !== undefined && sources.instanceId === "this run") {
    return "This run keeps its name; for another, coord init --instance <name> and start the agent again.";
  }
  if (sources.instanceId === "CLAUDE_INSTANCE_ID") return "Set CLAUDE_INSTANCE_ID to another name, or unset it.";
  const given = instanceId === undefined ? "To have one" : "For another";
  return `${given}: coord init --instance <name>, CLAUDE_INSTANCE_ID, or --instance <name> for one command.`;
}
