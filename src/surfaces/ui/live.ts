/**
 * What happens, as server-sent events: one subscription and one look for all tabs, and no connection to Redis while no tab is
 * open. An event is a hint; what is true the page asks for, and after each gap it asks again.
 */
import type { ServerResponse } from "node:http";
import { CoordinationClient } from "../../client/client.ts";
import { Mailbox } from "../../client/mailbox.ts";
import { readEvent } from "../../client/replies.ts";
import type { Settings } from "../../client/settings.ts";
import { CoordinationError } from "../../protocol/errors.ts";
import { readHome, type Home } from "./home.ts";

/** Tabs; browsers open six of one address. */
const STREAMS_MAXIMUM = 64;
/** What a tab that does not read may leave unread before it is closed. */
const UNREAD_BYTES_MAXIMUM = 1024 * 1024;
/** Heartbeats and deadlines are announced by nothing. */
const LOOK_MILLISECONDS = 3000;
/** After an event, so that a burst is looked at once. */
const SOON_MILLISECONDS = 150;
/** The person counts as there while a tab is open. */
const TOUCH_MILLISECONDS = 20_000;

export class Live {
  readonly #settings: Settings;
  readonly #readOnly: boolean;
  readonly #streams = new Set<ServerResponse>();
  #watch: Watch | undefined;

  constructor(settings: Settings, readOnly: boolean) {
    this.#settings = settings;
    this.#readOnly = readOnly;
  }

  /** @returns false where too many are open */
  add(response: ServerResponse): boolean {
    if (this.#streams.size >= STREAMS_MAXIMUM) return false;
    this.#streams.add(response);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.on("close", () => this.#remove(response));
    response.write("retry: 1000\n\n");
    if (this.#watch === undefined) {
      this.#watch = new Watch(this.#settings, this.#readOnly, (name, value) => this.#tell(name, value));
      this.#watch.begin();
    } else this.#watch.tellAll(response);
    return true;
  }

  close(): void {
    for (const response of this.#streams) response.destroy();
  }

  #remove(response: ServerResponse): void {
    this.#streams.delete(response);
    if (this.#streams.size > 0) return;
    this.#watch?.end();
    this.#watch = undefined;
  }

  #tell(name: string, value: unknown): void {
    const text = frame(name, value);
    for (const response of this.#streams) {
      if (response.writableLength > UNREAD_BYTES_MAXIMUM) response.destroy();
      else response.write(text);
    }
  }
}

function frame(name: string, value: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`; // JSON has no line ends
}

/** From the first tab to the last. */
class Watch {
  readonly #client: CoordinationClient;
  readonly #nobody: CoordinationClient;
  readonly #readOnly: boolean;
  readonly #tell: (name: string, value: unknown) => void;
  /** What was told last, as text, by name. */
  readonly #told = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #again = false;
  #touched = -Infinity;
  #ended = false;

  constructor(settings: Settings, readOnly: boolean, tell: (name: string, value: unknown) => void) {
    this.#client = new CoordinationClient(settings);
    this.#nobody = new CoordinationClient({ ...settings, instanceId: undefined });
    this.#readOnly = readOnly;
    this.#tell = tell;
  }

  begin(): void {
    void this.#listen();
    void this.#look();
  }

  /** A further tab is told what the others know. */
  tellAll(response: ServerResponse): void {
    for (const [name, text] of this.#told) response.write(`event: ${name}\ndata: ${text}\n\n`);
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#client.close();
    this.#nobody.close();
  }

  async #listen(): Promise<void> {
    while (!this.#ended) {
      try {
        await new Mailbox(this.#client).listenToAll((text) => {
          if (this.#ended) return;
          this.#tell(text === undefined ? "gap" : "happened", text === undefined ? {} : readEvent(text));
          this.#lookIn(SOON_MILLISECONDS);
        });
        // What was published before it listened has rung nobody. From now on it comes back by itself, and says so.
        this.#tell("gap", {});
        return;
      } catch (error) {
        if (!CoordinationError.is(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MILLISECONDS).unref());
      }
    }
  }

  #lookIn(milliseconds: number): void {
    if (this.#looking) {
      this.#again = milliseconds === SOON_MILLISECONDS || this.#again;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), milliseconds);
  }

  async #look(): Promise<void> {
    this.#looking = true;
    try {
      if (!this.#readOnly && performance.now() - this.#touched > TOUCH_MILLISECONDS) {
        this.#touched = performance.now();
        this.#client.touch().catch(() => (this.#touched = -Infinity));
      }
      const home = await readHome(this.#client, this.#nobody);
      if (this.#told.has("away")) this.#tell("gap", {});
      this.#told.delete("away");
      for (const part of Object.keys(home) as (keyof Home)[]) this.#tellChanged(part, home[part]);
    } catch (error) {
      if (this.#ended) return;
      const { message, hint = "" } = error as Partial<CoordinationError> & Error;
      this.#tellChanged("away", { error: message, hint });
    }
    this.#looking = false;
    if (this.#ended) return;
    this.#lookIn(this.#again ? SOON_MILLISECONDS : LOOK_MILLISECONDS);
    this.#again = false;
  }

  #tellChanged(name: string, value: unknown): void {
    const text = JSON.stringify(value);
    if (this.#told.get(name) === text || this.#ended) return;
    this.#told.set(name, text);
    this.#tell(name, value);
  }
}
