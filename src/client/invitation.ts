/** What another machine needs to speak as one instance: made by `coord invite`, read by `coord join`, never shown in a refusal. */
import { isIP } from "node:net";
import { checkInstance, checkKeyPrefix, invalid } from "../protocol/validation.ts";
import { instanceRule, type AccessRule } from "../store/acl.ts";
import type { ConnectionSettings } from "../store/connection-settings.ts";
import { makeUser } from "../store/users.ts";
import { registerFile } from "./register.ts";
import type { Settings } from "./settings.ts";
import { dirname, join } from "node:path";
import type { Variables } from "./variables.ts";

export interface Invitation {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly user: string;
  readonly password: string;
  /** Of the authority, in PEM; absent where every system knows it. */
  readonly ca?: string | undefined;
  readonly prefix: string;
  readonly instance: string;
}

/** More than two certificates of an authority. */
export const INVITATION_BYTES = 65_536;
const BEGIN = "-----BEGIN COORD INVITATION-----";
const END = "-----END COORD INVITATION-----";
/** A terminal takes lines of some length only. */
const LINE_CHARACTERS = 64;
const AUTHORITY = /^(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+$/;

export function writeInvitation(invitation: Invitation): string {
  const text = Buffer.from(JSON.stringify({ version: 1, ...invitation })).toString("base64");
  return [BEGIN, ...(text.match(new RegExp(`.{1,${LINE_CHARACTERS}}`, "g")) ?? []), END].join("\n");
}

/** Whether a text holds a whole one. */
export function hasInvitation(text: string): boolean {
  return text.includes(BEGIN) && text.includes(END);
}

/** The one that stands in a text. @throws CoordinationError INVALID, IDENTITY */
export function readInvitation(text: string): Invitation {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END, begin);
  if (begin < 0 || end < 0) throw noInvitation("holds no whole invitation");
  let whole: unknown;
  try {
    whole = JSON.parse(Buffer.from(text.slice(begin + BEGIN.length, end), "base64").toString("utf8"));
  } catch {
    throw noInvitation("was damaged on its way");
  }
  if (typeof whole !== "object" || whole === null) throw noInvitation("was damaged on its way");
  const { version, host, port, db, user, password, ca, prefix, instance } = whole as Record<string, unknown>;
  if (version !== 1) throw noInvitation("is of another version of cli-coordination");
  const isWhole = (value: unknown, least: number): boolean =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= 65_535;
  const matches = (value: unknown, pattern: RegExp): boolean => typeof value === "string" && pattern.test(value);
  const known =
    typeof host === "string" &&
    (isIP(host) !== 0 || /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/.test(host)) &&
    isWhole(port, 1) &&
    isWhole(db, 0) &&
    matches(user, /^[A-Za-z0-9._:{}@-]{1,200}$/) &&
    matches(password, /^[A-Za-z0-9]{16,200}$/) &&
    (ca === undefined || matches(ca, AUTHORITY));
  if (!known) throw noInvitation("is not one that coord invite has written");
  return {
    host,
    port: port as number,
    db: db as number,
    user: user as string,
    password: password as string,
    ca: ca as string | undefined,
    prefix: checkKeyPrefix(prefix, "the prefix of the invitation"),
    instance: checkInstance(instance, "the instance of the invitation"),
  };
}

function noInvitation(problem: string): Error {
  return invalid(
    `Standard input ${problem}.`,
    "Run coord invite <name> on the other machine, and give all that it prints, its first and last line included.",
  );
}

/**
 * Makes the Redis user of an instance, or gives it a new password: whoever had the one before is out.
 *
 * @param reach where other machines reach the server, and the authority that they are told
 * @throws CoordinationError UNAVAILABLE, also where this user may not make others
 */
export async function makeInvitation(
  { connection, keyPrefix: prefix }: Settings,
  instance: string,
  password: string,
  { host, ca }: Pick<Invitation, "host" | "ca">,
): Promise<{ invitation: Invitation; kept: boolean }> {
  const name = checkInstance(instance, "instance");
  const rule: AccessRule = instanceRule(prefix, `${name}@${prefix}`, name);
  const kept = await makeUser(connection, prefix, rule, password);
  const { port, db } = connection;
  const { user } = rule;
  return {
    invitation: { host, port, db, user, password, ...(ca === undefined ? {} : { ca }), prefix, instance: name },
    kept,
  };
}

/** The server of an invitation as it is connected to. */
export function connectionOf({ host, port, db, user, password, ca }: Invitation): ConnectionSettings {
  return { host, port, db, tls: true, username: user, password, ...(ca === undefined ? {} : { certificates: { ca } }) };
}

/** Where its secrets are kept, and the variables that name the server with them. */
export function placeOfInvitation(
  { host, port, db, user, ca, prefix, instance }: Invitation,
  env: Variables,
): { passwordFile: string; authorityFile: string; variables: Record<string, string> } {
  const base = join(dirname(registerFile(env)), `joined-${prefix}-${instance}`);
  const passwordFile = `${base}.password`;
  const authorityFile = `${base}.pem`;
  const variables = {
    COORD_REDIS_URL: `rediss://${isIP(host) === 6 ? `[${host}]` : host}:${port}/${db}`,
    COORD_REDIS_USERNAME: user,
    COORD_REDIS_PASSWORD_FILE: passwordFile,
    ...(ca === undefined ? {} : { COORD_REDIS_TLS_CA_FILE: authorityFile }),
  };
  return { passwordFile, authorityFile, variables };
}
