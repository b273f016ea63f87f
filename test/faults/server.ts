/** A durable Redis that can be killed and started again at the same address, with the same data. */
import { existsSync } from "node:fs";
import { mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { openRedis, type Redis } from "../raw-redis.ts";
import { ADMINISTRATOR, leastPrivilege } from "../least-privilege.ts";
import type { Ground } from "./scene.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";

/** What the guarantees ask for: see docs/guarantees.md. */
const DURABLE = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"];
const PREFIX = "coord";
const DEBUG = ["--enable-debug-command", "yes"];

export interface ServerOptions {
  args?: readonly string[];
  /** The environment of the server, and where its data goes; both may need the folder of this Redis. */
  env?: (folder: string) => Promise<NodeJS.ProcessEnv>;
  data?: (folder: string) => Promise<string>;
  /** When the server has ended for the last time. */
  onStop?: () => Promise<void>;
}

export class DurableRedis {
  /** Its sockets, its data, and whatever else a trial puts there. */
  readonly folder: string;
  readonly socketPath: string;
  readonly #options: ServerOptions;
  #data!: string;
  #env!: NodeJS.ProcessEnv;
  #redis!: ThrowawayRedis;
  #raw: Redis | undefined;

  private constructor(folder: string, options: ServerOptions) {
    this.folder = folder;
    this.socketPath = path.join(folder, "redis.sock");
    this.#options = options;
  }

  static async start(options: ServerOptions = {}): Promise<DurableRedis> {
    const server = new DurableRedis(await mkdtemp(path.join(tmpdir(), "faults-")), options);
    const { folder } = server;
    server.#data = (await options.data?.(folder)) ?? folder;
    server.#env = (await options.env?.(folder)) ?? process.env;
    await server.start();
    return server;
  }

  /** As every ground on one server is made. */
  ground(url = `unix:${this.socketPath}`): Ground & AsyncDisposable {
    return {
      folder: this.folder,
      env: { REDIS_URL: url },
      prefix: PREFIX,
      raw: async () => this.raw,
      [Symbol.asyncDispose]: () => this.stop(),
    };
  }

  /** Its socket goes with the server. */
  get hasEnded(): boolean {
    return !existsSync(this.#redis.socketPath);
  }

  /** A connection without any of our code in between. */
  get raw(): Redis {
    return (this.#raw ??= openRedis({ path: this.#redis.socketPath, ...ADMINISTRATOR }));
  }

  async start(): Promise<void> {
    this.#raw?.disconnect();
    this.#raw = undefined;
    const args = [...DURABLE, ...DEBUG, ...leastPrivilege(PREFIX), "--dir", this.#data, ...(this.#options.args ?? [])];
    this.#redis = await startThrowawayRedis({ args, env: this.#env });
    // The address stays: clients find the new server where the old one was.
    const link = `${this.socketPath}.new`;
    await symlink(this.#redis.socketPath, link);
    await rename(link, this.socketPath);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#raw?.disconnect();
    await this.#redis.stop();
  }

  async stop(): Promise<void> {
    await this.kill();
    await this.#options.onStop?.();
    await rm(this.folder, { recursive: true, force: true });
  }
}
