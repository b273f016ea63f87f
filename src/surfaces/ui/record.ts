/** Where the running page of a namespace is: a private file beside the register, so that a second `coord ui` opens the first one's. */
import { createHash } from "node:crypto";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { serverAddress } from "../../client/inspection.ts";
import { readOwnFile } from "../../client/own-file.ts";
import { knowProcess, type KnownProcess, lives } from "../../client/process.ts";
import { registerFile } from "../../client/register.ts";
import type { Settings } from "../../client/settings.ts";

const RECORD_BYTES = 4096;
const ASK_WITHIN_MS = 2000;

interface PageRecord extends KnownProcess {
  port: number;
  key: string;
}

/** One page for each namespace, name and kind. */
export function pageName(settings: Settings, readOnly: boolean): string {
  return `${settings.instanceId} ${settings.keyPrefix} ${serverAddress(settings)}${readOnly ? " read-only" : ""}`;
}

/** The same one each time, below those that systems give away by themselves: links and open tabs then outlive a restart. */
export function usualPort(page: string): number {
  return 20_000 + (Number.parseInt(hash(page).slice(0, 8), 16) % 10_000);
}

export function writePageRecord(page: string, port: number, key: string): () => void {
  const file = fileOf(page);
  const draft = `${file}.${process.pid}`;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const record: PageRecord = { ...knowProcess(process.pid), port, key };
  rmSync(draft, { force: true });
  writeFileSync(draft, JSON.stringify(record), { mode: 0o600, flag: "wx" });
  renameSync(draft, file);
  return () => {
    if (readPageRecord(page)?.key === key) rmSync(file, { force: true });
  };
}

/** A new link to the page that runs; undefined where none does. */
export async function linkToRunning(page: string): Promise<string | undefined> {
  const record = readPageRecord(page);
  // Whoever has its port after it was killed must not be opened in its place.
  if (record === undefined || !lives(record)) return undefined;
  const { port, key } = record;
  return new Promise((resolve) => {
    const asked = request(
      {
        host: "127.0.0.1",
        port,
        path: "/api/link",
        method: "POST",
        headers: { authorization: `Bearer ${key}` },
        timeout: ASK_WITHIN_MS,
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part.slice(0, RECORD_BYTES)));
        response.on("error", () => resolve(undefined));
        response.on("end", () => resolve(response.statusCode === 200 ? linkTo(port, text) : undefined));
      },
    );
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => resolve(undefined));
    asked.end();
  });
}

/** The link that opens a page: what is behind `#` is the one-time secret. */
export function linkTo(port: number, secret: string): string {
  return `http://127.0.0.1:${port}/#${secret}`;
}

function readPageRecord(page: string): PageRecord | undefined {
  try {
    const record = JSON.parse(readOwnFile(fileOf(page), RECORD_BYTES) ?? "") as Partial<PageRecord>;
    const { pid, started, port, key } = record;
    if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(port) || typeof key !== "string") return undefined;
    return { pid: pid!, started, port: port!, key };
  } catch {
    return undefined; // none, or not one of ours
  }
}

function fileOf(page: string): string {
  return join(dirname(registerFile(process.env)), `page-${hash(page).slice(0, 16)}.json`);
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
