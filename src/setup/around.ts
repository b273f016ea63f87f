/** Who is there already, in the namespace that a set-up is about. */
import { hostname } from "node:os";
import { CoordinationClient } from "../client/client.ts";
import { similarNamespaces } from "../client/inspection.ts";
import { resolveSettings, type Settings } from "../client/settings.ts";
import type { Variables } from "../client/variables.ts";
import { findWorkTree } from "../client/work-tree.ts";
import { CoordinationError } from "../protocol/errors.ts";
import type { PresenceResult } from "../protocol/results.ts";
import type { Place } from "./place.ts";

export interface Target {
  prefix: string;
  server: Variables;
}

/** A client of the namespace that is chosen, whatever the environment says. */
export function clientOf(target: Target, instanceId?: string): CoordinationClient {
  return new CoordinationClient(settingsOf(target, instanceId));
}

export function settingsOf({ prefix, server }: Target, instanceId?: string): Settings {
  return resolveSettings({ instanceId, keyPrefix: prefix, env: { ...process.env, ...server }, run: null });
}

export interface There {
  presence: PresenceResult["instances"];
  /** Namespaces of the server that may be of the same repository. */
  similar: string[];
}

/** Redis may be down: then nobody is seen. */
export async function lookAround(target: Target): Promise<There> {
  const settings = settingsOf(target);
  const client = new CoordinationClient(settings);
  try {
    const { instances } = await client.getPresence();
    return { presence: instances, similar: await similarNamespaces(settings) };
  } catch (error) {
    if (!CoordinationError.is(error)) throw error;
    return { presence: {}, similar: [] };
  } finally {
    client.close();
  }
}

export function isElsewhere(presence: There["presence"], name: string, { root }: Place): boolean {
  const session = presence[name]?.session;
  if (session?.host === undefined && session?.cwd === undefined) return false;
  const sameHost = session.host === undefined || session.host === hostname();
  return !sameHost || (session.cwd !== undefined && findWorkTree(session.cwd).root !== root);
}
