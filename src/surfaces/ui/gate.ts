/**
 * Who may ask the page: only a browser that this user has opened it in. Everything that a page of somebody else can make a
 * browser send is refused: a foreign `Host` first (DNS rebinding), then a foreign site, then a missing cookie.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** As hard to guess as a key of AES. */
const SECRET_BYTES = 24;
/** So many links that nobody has opened yet; the oldest go. */
const SECRETS_MAXIMUM = 16;

export interface Refusal {
  status: 401 | 403 | 413 | 415 | 421;
  error: string;
  hint: string;
}

export class Gate {
  /** For the next `coord ui` of this user, which reads it from a private file. */
  readonly key: string = newSecret();
  readonly #hosts: ReadonlySet<string>;
  readonly #cookie: string;
  #session: string = newSecret();
  /** Digests, so that comparing them tells nothing of the secrets. */
  readonly #unused = new Set<string>();
  readonly #used = new Set<string>();
  readonly #onTheft: () => void;

  /**
   * @param page names what is shown: two pages of one port, one after the other, have not the same cookie
   * @param onTheft is called when a link was opened twice: then nobody is let in any more who was before
   */
  constructor(port: number, page: string, onTheft: () => void) {
    this.#hosts = new Set([`127.0.0.1:${port}`, `localhost:${port}`]);
    this.#cookie = `coord-${port}-${digest(page).slice(0, 12)}`;
    this.#onTheft = onTheft;
  }

  /** Opens the page once. It goes into the fragment of the link, which is sent to no server and stands in no log. */
  newLink(): string {
    const secret = newSecret();
    this.#unused.add(digest(secret));
    if (this.#unused.size > SECRETS_MAXIMUM) this.#unused.delete(this.#unused.values().next().value!);
    return secret;
  }

  /** @returns the cookie for who has brought the secret of a link; undefined where it opens nothing (any more) */
  exchange(secret: string): string | undefined {
    const known = digest(secret);
    if (this.#unused.delete(known)) {
      this.#used.add(known);
      return `${this.#cookie}=${this.#session}; HttpOnly; SameSite=Strict; Path=/`;
    }
    if (this.#used.has(known)) {
      // Somebody else has had it, before or now.
      this.#session = newSecret();
      this.#unused.clear();
      this.#used.clear();
      this.#onTheft();
    }
    return undefined;
  }

  /** Asked before anything else, of every request: a page whose name was made to lead here sends its own name. */
  foreignHost({ headers: { host } }: IncomingMessage): Refusal | undefined {
    if (host !== undefined && this.#hosts.has(host.toLowerCase())) return undefined;
    return {
      status: 421,
      error: "This server does not answer under that name.",
      hint: `Open it as http://${[...this.#hosts][0]}/.`,
    };
  }

  /** Of all but the page itself and its files, which hold nothing. */
  foreignSite({ headers }: IncomingMessage): Refusal | undefined {
    const site = headers["sec-fetch-site"];
    const origin = headers.origin;
    const own = origin === undefined || origin === `http://${headers.host}`;
    if ((site === undefined || site === "same-origin") && own) return undefined;
    return { status: 403, error: "Another page has sent this.", hint: "Only the page of coord ui itself may ask." };
  }

  withoutSession({ headers: { cookie = "" } }: IncomingMessage): Refusal | undefined {
    const given = cookie.split(/; */).find((part) => part.startsWith(`${this.#cookie}=`));
    if (given !== undefined && same(given.slice(this.#cookie.length + 1), this.#session)) return undefined;
    return LOCKED;
  }

  /** Of another `coord ui` of this user. */
  withoutKey({ headers: { authorization = "" } }: IncomingMessage): Refusal | undefined {
    return same(authorization, `Bearer ${this.key}`) ? undefined : LOCKED;
  }
}

const LOCKED: Refusal = {
  status: 401,
  error: "This browser has not been let in.",
  hint: "Run coord ui in the project: it opens the page.",
};

function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString("base64url");
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function same(given: string, right: string): boolean {
  return timingSafeEqual(Buffer.from(digest(given)), Buffer.from(digest(right)));
}
