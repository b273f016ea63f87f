/**
 * How to log in to a server that `coord up` has started: private files beside the register, found by every program of this user: a
 * password, which is sent to this machine only, and where other machines reach the server, and so it speaks TLS, the authority of
 * its certificate. Where hosts strip the environment, `coord init` passes on what names that folder.
 */
import { linkSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ConnectionSettings } from "../store/connection-settings.ts";
import { readOwnFile } from "./own-file.ts";
import { registerFile } from "./register.ts";
import type { Variables } from "./variables.ts";

const PASSWORD_BYTES = 1024;
const AUTHORITY_BYTES = 65_536;
/** Names, not what they resolve to: who answers for a name may be anybody. */
const LOOPBACK: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1"]);

export function isLoopback({ path, discovery, host }: ConnectionSettings): boolean {
  return path === undefined && discovery === undefined && LOOPBACK.has(host);
}

export function localPasswordFile(env: Variables, port: number): string {
  return join(dirname(registerFile(env)), `password-${port}`);
}

function localAuthorityFile(env: Variables, port: number): string {
  return join(dirname(registerFile(env)), `authority-${port}.pem`);
}

export interface LocalLogin {
  readonly password: string;
  /** In PEM; undefined where it does not speak TLS. */
  readonly ca: string | undefined;
}

/** For a server that nothing else says how to log in to. */
export function findLocalLogin(connection: ConnectionSettings, env: Variables): LocalLogin | undefined {
  const named = connection.username !== undefined || connection.password !== undefined;
  if (named || connection.tls || !isLoopback(connection)) return undefined;
  const password = readOwnFile(localPasswordFile(env, connection.port), PASSWORD_BYTES)?.trim();
  if (!password) return undefined;
  return { password, ca: readOwnFile(localAuthorityFile(env, connection.port), AUTHORITY_BYTES) };
}

/** @param ca of the server that listens from now on; undefined for one without TLS, or where clients have to be told */
export function keepLocalAuthority(env: Variables, port: number, ca: string | undefined): void {
  const file = localAuthorityFile(env, port);
  rmSync(file, { force: true });
  if (ca !== undefined) writeFileSync(file, ca, { mode: 0o600, flag: "wx" });
}

/** @returns the one that is kept: of several programs at once the first one's */
export function keepLocalPassword(env: Variables, port: number, password: string): string {
  const file = localPasswordFile(env, port);
  const draft = `${file}.${process.pid}`;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  rmSync(draft, { force: true });
  writeFileSync(draft, `${password}\n`, { mode: 0o600, flag: "wx" });
  try {
    linkSync(draft, file);
    return password;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const kept = readOwnFile(file, PASSWORD_BYTES)?.trim();
    if (kept) return kept;
    throw new Error(`${file} is in the way: it is no file of ours with a password`, { cause: error });
  } finally {
    rmSync(draft, { force: true });
  }
}
