/** A server of `coord up` that other machines reach: where, by which certificate, and who has signed that. */
import { X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";
import { invalid, shown } from "../protocol/validation.ts";
import { run } from "./run.ts";

/** A key of 2048 bits takes a tenth of a second, on a small machine some. */
const OPENSSL_WITHIN_MS = 60_000;
const DAYS = "3650";
/** What our programs on the same machine connect to. */
const LOOPBACK = ["localhost", "127.0.0.1", "::1"];
/** All addresses of a machine: a certificate has to name the one that others connect to. */
const WILDCARDS: ReadonlySet<string> = new Set(["0.0.0.0", "::", "*"]);

/** Files in PEM. */
export interface Certificates {
  cert: string;
  key: string;
  /** Of the authority that has signed it, which clients are given. */
  ca: string;
}

/** In PEM, as the server has read them at its start. */
export interface Served {
  cert: string;
  ca: string;
}

/** How a listening server is reached, as it is kept beside its data. */
export interface Listening {
  /** An IP address or a name of this machine, which the certificate names. */
  address: string;
  certificates: Certificates;
  /** Files that were given may be renewed, or gone, by the time that it is asked or stopped. */
  served: Served;
}

export async function readServed({ cert, ca }: Certificates): Promise<Served> {
  const [own, authority] = await Promise.all([readFile(cert, "utf8"), readFile(ca, "utf8")]);
  return { cert: own, ca: authority };
}

/** @throws CoordinationError INVALID */
export function checkListenAddress(value: string): string {
  if (WILDCARDS.has(value)) {
    throw invalid(
      `--listen is ${shown(value)}: that is every network of this machine, and no address that others connect to.`,
      "Give the one address or name by which they reach it.",
    );
  }
  if (isIP(value) !== 0 || /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(value)) return value;
  throw invalid(
    `--listen is ${shown(value)}: it is no address and no host name.`,
    "For example: --listen 192.168.1.5.",
  );
}

/** Whether a certificate names an address or host. */
export function isNamedBy(pem: string, name: string): boolean {
  const certificate = new X509Certificate(pem);
  return (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined;
}

/** Those that were given, where clients will believe them. @throws CoordinationError INVALID */
export async function checkCertificates(given: Certificates, address: string): Promise<Certificates> {
  const read = async (path: string): Promise<string> =>
    readFile(path, "utf8").catch((error: unknown) => {
      throw invalid(`${shown(path)} cannot be read: ${(error as Error).message}.`, "Correct the path.");
    });
  const [cert] = await Promise.all([read(given.cert), read(given.ca), read(given.key)]);
  let named: boolean;
  try {
    named = isNamedBy(cert, address);
  } catch {
    throw invalid(`${shown(given.cert)} is no certificate in PEM.`, "Give the server's own, the first of its chain.");
  }
  if (named) return given;
  throw invalid(`${shown(given.cert)} does not name ${address}: no client would believe it.`, "Give one that does.");
}

/**
 * A certificate for this address and loopback, signed by an authority that is made for it and whose key is not kept: nobody can
 * sign another one. Those of last time where they are for the same address.
 *
 * @throws CoordinationError UNAVAILABLE without openssl
 */
export async function makeCertificates(
  dataDir: string,
  address: string,
  env: NodeJS.ProcessEnv,
): Promise<Certificates> {
  const folder = join(dataDir, "tls");
  const made = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem"), ca: join(folder, "ca.pem") };
  const before = await readFile(made.cert, "utf8").catch(() => undefined);
  if (before !== undefined && isNamedBy(before, address)) return made;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const draft = await mkdtemp(join(dataDir, "tls-"));
  try {
    await writeFile(join(draft, "openssl.cnf"), configurationFor(address));
    const openssl = async (...args: string[]): Promise<unknown> =>
      run("openssl", args, { env: { ...env, OPENSSL_CONF: "" }, cwd: draft, withinMs: OPENSSL_WITHIN_MS });
    const fresh = ["-newkey", "rsa:2048", "-nodes", "-sha256", "-config", "openssl.cnf"];
    const authority = ["-x509", "-days", DAYS, "-subj", "/CN=cli-coordination authority", "-extensions", "authority"];
    await openssl("req", ...authority, ...fresh, "-keyout", "ca.key", "-out", "ca.pem");
    await openssl("req", ...fresh, "-subj", "/CN=cli-coordination", "-keyout", "key.pem", "-out", "cert.csr");
    const signed = [
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-set_serial",
      "1",
      "-extfile",
      "openssl.cnf",
      "-extensions",
      "server",
    ];
    await openssl("x509", "-req", "-sha256", "-days", DAYS, "-in", "cert.csr", "-out", "cert.pem", ...signed);
    for (const name of ["ca.key", "cert.csr", "openssl.cnf"]) await rm(join(draft, name));
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder);
    return made;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw new CoordinationError(ErrorCode.UNAVAILABLE, `No certificate could be made: ${(error as Error).message}.`, {
      hint: "Install openssl, or give --tls-cert, --tls-key and --tls-ca: without TLS nothing listens for other machines.",
      cause: error,
    });
  }
}

function configurationFor(address: string): string {
  const names = [...new Set([address, ...LOOPBACK])].map((name) => `${isIP(name) === 0 ? "DNS" : "IP"}:${name}`);
  return `[req]
distinguished_name = name
prompt = no
[name]
CN = cli-coordination
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = ${names.join(",")}
`;
}

function listeningFile(dataDir: string): string {
  return join(dataDir, "listening.json");
}

/** How the server of this folder was last started; undefined on loopback only. */
export async function readListening(dataDir: string): Promise<Listening | undefined> {
  const text = await readFile(listeningFile(dataDir), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const kept = JSON.parse(text) as Omit<Listening, "served"> & { served?: Served };
  // An earlier version has kept the names of the files only.
  return { ...kept, served: kept.served ?? (await readServed(kept.certificates)) };
}

export async function writeListening(dataDir: string, listening: Listening | undefined): Promise<void> {
  if (listening === undefined) return rm(listeningFile(dataDir), { force: true });
  await writeFile(listeningFile(dataDir), `${JSON.stringify(listening)}\n`, { mode: 0o600 });
}
