/** `coord join`: what an invitation holds becomes the register's, and its secrets private files. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { SERVER_VARIABLES } from "../client/connecting.ts";
import { inspectServer } from "../client/inspection.ts";
import { connectionOf, type Invitation, placeOfInvitation } from "../client/invitation.ts";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";

/**
 * Tries the invitation, keeps its secrets, and makes its server that of this process, for `setUp` to write down.
 *
 * @throws CoordinationError UNAVAILABLE, IDENTITY where its user is not what it says: nothing was written
 */
export async function takeInvitation(invitation: Invitation): Promise<void> {
  const { prefix: keyPrefix, instance: instanceId, user } = invitation;
  const { seals } = await inspectServer({ connection: connectionOf(invitation), keyPrefix, instanceId });
  if (seals !== true) {
    throw new CoordinationError(ErrorCode.IDENTITY, `The Redis user ${user} may not speak for ${instanceId}.`, {
      hint: "Run coord invite on the other machine again.",
    });
  }
  const { passwordFile, authorityFile, variables } = placeOfInvitation(invitation, process.env);
  mkdirSync(dirname(passwordFile), { recursive: true, mode: 0o700 });
  writePrivate(passwordFile, `${invitation.password}\n`);
  if (invitation.ca === undefined) rmSync(authorityFile, { force: true });
  else writePrivate(authorityFile, invitation.ca);
  for (const name of SERVER_VARIABLES) delete process.env[name];
  Object.assign(process.env, variables);
}

function writePrivate(file: string, text: string): void {
  const draft = `${file}.${process.pid}`;
  rmSync(draft, { force: true });
  writeFileSync(draft, text, { mode: 0o600, flag: "wx" });
  renameSync(draft, file);
}
