/** Whether somebody else has this name where it would be taken for this one, or this one speaks where nobody here hears it. */
import { hostname } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { CoordinationClient } from "../client/client.ts";
import { serverOfWritten } from "../client/connecting.ts";
import { similarNamespaces } from "../client/inspection.ts";
import { type Project, readRegister } from "../client/register.ts";
import type { Settings } from "../client/settings.ts";
import { findWorkTree } from "../client/work-tree.ts";
import { CoordinationError } from "../protocol/errors.ts";
import { type Finding, warning } from "./finding.ts";

/** Where everybody spoke before projects had namespaces of their own. */
const DEFAULT_NAMESPACE = "coord";
const ABOUT = "name";

/** Other projects of the register that share the namespace, and have the name as well. Needs no Redis. */
export function examineRegister({ instanceId, keyPrefix, connection, sources }: Settings): Finding[] {
  const { file, tree } = sources.surroundings;
  const isHere = ({ keyPrefix: prefix, server }: Project): boolean =>
    prefix === keyPrefix && isDeepStrictEqual(connectionOf(server, file), connection);
  return Object.entries(readRegister(file))
    .filter(([key, project]) => key !== tree.key && Object.values(project.worktrees).includes(instanceId ?? ""))
    .filter(([, project]) => isHere(project))
    .map(([key]) =>
      warning(
        ABOUT,
        `${key} is in the namespace ${keyPrefix} as well, and has the name ${instanceId} too: its mail and this one's are the same`,
        "Name one of them differently, coord init --instance <name>, or give it a namespace: coord init --prefix <prefix>.",
      ),
    );
}

/** @returns undefined for one that its own coord doctor complains about */
function connectionOf(variables: Project["server"], source: string): Settings["connection"] | undefined {
  try {
    return serverOfWritten({ variables, source }).connection;
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    return undefined;
  }
}

/** Other namespaces of the server in which an agent of this work tree speaks under the name. */
export async function examineNamespaces(settings: Settings): Promise<Finding[]> {
  const { instanceId = "", keyPrefix, sources } = settings;
  const prefixes = new Set([DEFAULT_NAMESPACE, ...(await similarNamespaces(settings))]);
  prefixes.delete(keyPrefix);
  const findings: Finding[] = [];
  for (const prefix of prefixes) {
    if (!(await speaksFrom(sources.surroundings.tree.root, instanceId, { ...settings, keyPrefix: prefix }))) continue;
    findings.push(
      warning(
        ABOUT,
        `${instanceId} is active in the namespace ${prefix}, from here: what is sent to it in ${keyPrefix} does not reach it`,
        `Start its agent again. coord move --from ${prefix} brings its open mail along.`,
      ),
    );
  }
  return findings;
}

async function speaksFrom(root: string, name: string, settings: Settings): Promise<boolean> {
  // Without a name: a look must not make it known there.
  await using client = new CoordinationClient({ ...settings, instanceId: undefined });
  try {
    const { status, session } = (await client.getPresence()).instances[name] ?? {};
    const here = session?.host === hostname() && session.cwd !== undefined && findWorkTree(session.cwd).root === root;
    return status === "active" && here;
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    return false; // this user may not look there
  }
}
