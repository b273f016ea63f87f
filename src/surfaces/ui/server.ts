/** The server of the page: each request through the gate, then to a file, to the stream, or to the client. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import { CoordinationClient } from "../../client/client.ts";
import { serverAddress } from "../../client/inspection.ts";
import type { Settings } from "../../client/settings.ts";
import { LIMITS, MESSAGE_TYPES } from "../../protocol/definition.ts";
import { CoordinationError, ErrorCode } from "../../protocol/errors.ts";
import { READS, WRITES } from "./api.ts";
import { Gate, type Refusal } from "./gate.ts";
import { Live } from "./live.ts";

/** A description in JSON, where each of its bytes may be escaped as six, and the other fields. */
const BODY_BYTES_MAXIMUM = 6 * LIMITS.description_bytes + 64 * 1024;
/** Who sends its request or its body slowly is cut off. */
const REQUEST_WITHIN_MS = 10_000;
/** Further ones wait with the system until one of these has ended. */
const CONNECTIONS_MAXIMUM = 512;

/** What a browser may do with the page: load its own files and ask its own server, and nothing else. */
const CONTENT_SECURITY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const HEADERS = {
  "content-security-policy": CONTENT_SECURITY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

/** The files of the page, by their paths; each other path that is not the server's own is a screen. */
const FILES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/app.js": ["app.js", "text/javascript; charset=utf-8"],
  "/app.css": ["app.css", "text/css; charset=utf-8"],
  "/icon.svg": ["icon.svg", "image/svg+xml"],
};
const SCREENS = /^\/(?:(?:m|t|i)\/[^/]+|search|messages)?$/;

/** What the page is told of itself. */
export interface PageSession {
  project: string;
  server: string;
  me: string;
  readOnly: boolean;
  types: readonly string[];
  limits: Pick<typeof LIMITS, "subject_characters" | "description_bytes" | "comment_bytes">;
}

export interface PageServer {
  port: number;
  gate: Gate;
  close: () => Promise<void>;
}

interface Options {
  settings: Settings;
  /** Names the page among those of this user. */
  page: string;
  readOnly: boolean;
}

/** @throws what the system says where the port is taken, or may not be used */
export async function startPageServer(port: number, { settings, page, readOnly }: Options): Promise<PageServer> {
  const client = new CoordinationClient(settings);
  client.session.via = "ui";
  const live = new Live(settings, readOnly);
  const server = createServer({ requestTimeout: REQUEST_WITHIN_MS, headersTimeout: REQUEST_WITHIN_MS });
  server.maxConnections = CONNECTIONS_MAXIMUM;
  await listen(server, port).catch((error: unknown) => {
    client.close();
    throw error;
  });
  const used = (server.address() as { port: number }).port;
  const gate = new Gate(used, page, () => live.close());
  const session: PageSession = {
    project: settings.keyPrefix,
    server: serverAddress(settings),
    me: settings.instanceId!,
    readOnly,
    types: MESSAGE_TYPES,
    limits: LIMITS,
  };
  const handler = new Handler(gate, live, client, session);
  server.on("request", (request, response) => void handler.answer(request, response));
  return {
    port: used,
    gate,
    close: async () => {
      live.close();
      client.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port, exclusive: true }, resolve);
  });
}

class Handler {
  readonly #gate: Gate;
  readonly #live: Live;
  readonly #client: CoordinationClient;
  readonly #session: PageSession;

  constructor(gate: Gate, live: Live, client: CoordinationClient, session: PageSession) {
    this.#gate = gate;
    this.#live = live;
    this.#client = client;
    this.#session = session;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    response.on("error", () => undefined); // who has asked has gone
    try {
      const refusal = this.#gate.foreignHost(request) ?? (await this.#route(request, response));
      if (refusal !== undefined) refuse(response, refusal.status, refusal);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else if (CoordinationError.is(error)) refuse(response, statusOf(error), error);
      else refuse(response, 500, { error: (error as Error).message, hint: "This is a defect of cli-coordination." });
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<Refusal | undefined> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    const reads = request.method === "GET" || request.method === "HEAD";
    if (pathname === "/api/link" && request.method === "POST") {
      const refusal = this.#gate.foreignSite(request) ?? this.#gate.withoutKey(request);
      if (refusal === undefined) response.end(this.#gate.newLink());
      return refusal;
    }
    if (reads && (Object.hasOwn(FILES, pathname) || SCREENS.test(pathname))) {
      sendFile(response, ...(FILES[pathname] ?? ["index.html", "text/html; charset=utf-8"]));
      return undefined;
    }
    const foreign = this.#gate.foreignSite(request);
    if (foreign !== undefined) return foreign;
    if (pathname === "/api/session" && request.method === "POST") return this.#letIn(request, response);
    const locked = this.#gate.withoutSession(request);
    if (locked !== undefined) return locked;
    if (reads) return this.#read(pathname, searchParams, response);
    return this.#write(pathname, request, response);
  }

  async #letIn(request: IncomingMessage, response: ServerResponse): Promise<Refusal | undefined> {
    const body = await readBody(request);
    if (!isBody(body)) return body;
    if (this.#gate.withoutSession(request) === undefined) {
      send(response, 200, this.#session); // opened again in the same browser, which uses no link up
      return undefined;
    }
    const cookie = this.#gate.exchange(String(body.fields["secret"]));
    if (cookie === undefined) {
      return {
        status: 401,
        error: "This link was used before, or belongs to a page that has ended.",
        hint: "Run coord ui again: each link opens the page once.",
      };
    }
    response.setHeader("set-cookie", cookie);
    send(response, 200, this.#session);
    return undefined;
  }

  async #read(pathname: string, query: URLSearchParams, response: ServerResponse): Promise<undefined> {
    if (pathname === "/events") {
      if (!this.#live.add(response)) refuse(response, 503, { error: "Too many tabs are open.", hint: "Close some." });
    } else if (pathname === "/api/session") send(response, 200, this.#session);
    else if (Object.hasOwn(READS, pathname))
      send(response, 200, await READS[pathname]!(this.#client, query, this.#session.readOnly));
    else refuse(response, 404, { error: "There is no such page.", hint: "Begin at /." });
    return undefined;
  }

  async #write(pathname: string, request: IncomingMessage, response: ServerResponse): Promise<Refusal | undefined> {
    if (request.method !== "POST" || !Object.hasOwn(WRITES, pathname)) {
      refuse(response, 404, { error: "Nothing is done there.", hint: "Begin at /." });
      return undefined;
    }
    if (this.#session.readOnly) {
      return { status: 403, error: "This page only reads.", hint: "Start coord ui without --read-only to write." };
    }
    const body = await readBody(request);
    if (!isBody(body)) return body;
    send(response, 200, await WRITES[pathname]!(this.#client, body.fields));
    return undefined;
  }
}

interface Body {
  fields: Record<string, unknown>;
}

function isBody(body: Body | Refusal): body is Body {
  return "fields" in body;
}

/** JSON only: no form of another page can send that without asking first. */
async function readBody(request: IncomingMessage): Promise<Body | Refusal> {
  const hint = "Send a JSON object.";
  if (request.headers["content-type"]?.split(";")[0] !== "application/json") {
    return { status: 415, error: "The content-type is not application/json.", hint };
  }
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > BODY_BYTES_MAXIMUM) {
      return { status: 413, error: `The body has more than ${BODY_BYTES_MAXIMUM} bytes.`, hint: "Send less." };
    }
    pieces.push(piece);
  }
  try {
    const fields: unknown = JSON.parse(Buffer.concat(pieces).toString("utf8"));
    if (typeof fields === "object" && fields !== null && !Array.isArray(fields)) {
      return { fields: fields as Record<string, unknown> };
    }
  } catch {
    // Said below.
  }
  return { status: 415, error: "The body is no JSON object.", hint };
}

function sendFile(response: ServerResponse, file: string, type: string): void {
  response.setHeader("content-type", type);
  response.end(readFileSync(join(__dirname, "ui", file)));
}

function send(response: ServerResponse, status: number, value: object): void {
  response.statusCode = status;
  response.setHeader("content-type", "application/json; charset=utf-8");
  response.end(JSON.stringify(value));
}

function refuse(
  response: ServerResponse,
  status: number,
  { code, error, message = error, hint }: { error?: string; message?: string; hint: string; code?: string },
): void {
  // Whoever is refused may still be sending: nobody reads on.
  response.setHeader("connection", "close");
  send(response, status, { ...(code === undefined ? {} : { code }), error: message, hint });
}

function statusOf({ code }: CoordinationError): number {
  if (code === ErrorCode.UNAVAILABLE || code === ErrorCode.TIMEOUT) return 503;
  return code === ErrorCode.NOT_FOUND ? 404 : 409;
}
