/** `coord ui`, started as a person starts it, and ended with the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { expect, onTestFinished } from "vitest";
import { COORD, type Environment, environment, temporaryFolder, type Wire } from "./run.ts";

export function pageEnvironment(redis: string, config: string): Environment {
  return environment({ REDIS_URL: redis, XDG_CONFIG_HOME: config });
}

/** @param given the folder of an earlier one, to start it again */
export async function startPage(redis: string, args: readonly string[] = [], given?: string): Promise<RunningPage> {
  const config = given ?? (await temporaryFolder());
  const child = spawn(process.execPath, [COORD, "ui", "--no-open", "--json", ...args], {
    env: pageEnvironment(redis, config),
    cwd: "/",
    stdio: ["ignore", "pipe", "ignore"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const page = new RunningPage((JSON.parse(line) as { url: string }).url, config, child);
  onTestFinished(async () => void (await page.end()));
  return page;
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Wire;
  text: string;
}

/** What `coord ui` serves, with a client that does what its own page does in a browser. */
export class RunningPage {
  readonly url: string;
  readonly port: number;
  /** Of the link. */
  readonly secret: string;
  /** Where its record is. */
  readonly config: string;
  cookie = "";
  readonly #process: ChildProcess;

  constructor(url: string, config: string, process: ChildProcess) {
    this.url = url;
    this.port = Number(new URL(url).port);
    this.secret = new URL(url).hash.slice(1);
    this.config = config;
    this.#process = process;
  }

  /** Told to end, as by Ctrl-C. @returns the exit code */
  async end(): Promise<number | null> {
    const { exitCode } = this.#process;
    if (exitCode !== null) return exitCode;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    return ((await ended) as [number | null])[0];
  }

  /** As its own page does. */
  async letIn(): Promise<this> {
    const answer = await this.ask("POST", "/api/session", { secret: this.secret });
    expect(answer.status).toBe(200);
    this.cookie = String(answer.headers["set-cookie"]).split(";")[0]!;
    return this;
  }

  async ask(
    method: string,
    where: string,
    body?: object | string,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const text = typeof body === "string" ? body : body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          host: "127.0.0.1",
          port: this.port,
          method,
          path: where,
          headers: {
            ...(this.cookie === "" ? {} : { cookie: this.cookie }),
            ...(text === undefined ? {} : { "content-type": "application/json" }),
            "sec-fetch-site": "same-origin",
            ...headers,
          },
        },
        (response) => {
          let read = "";
          response.setEncoding("utf8").on("data", (part: string) => (read += part));
          response.on("end", () => {
            const isJson = String(response.headers["content-type"]).startsWith("application/json");
            const value = isJson ? (JSON.parse(read) as Wire) : {};
            resolve({ status: response.statusCode!, headers: response.headers, body: value, text: read });
          });
        },
      );
      asked.on("error", reject);
      asked.end(text);
    });
  }

  /** What is told on the stream, until the caller has seen enough. */
  async listen(enough: (text: string) => boolean): Promise<string> {
    return new Promise((resolve, reject) => {
      let text = "";
      const headers = { cookie: this.cookie, "sec-fetch-site": "same-origin" };
      const asked = request({ host: "127.0.0.1", port: this.port, path: "/events", headers }, (response) => {
        response.setEncoding("utf8").on("data", (part: string) => {
          text += part;
          if (!enough(text)) return;
          asked.destroy();
          resolve(text);
        });
      });
      asked.on("error", reject);
      asked.end();
    });
  }
}
