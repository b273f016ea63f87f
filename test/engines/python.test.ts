/** The Python module through the failovers that test/engines/failover.test.ts puts the TypeScript side through. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import path from "node:path";
import { beforeAll, beforeEach, expect, test } from "vitest";
import { until } from "../harness.ts";
import { ROOT } from "../surfaces/run.ts";
import { inStep, startCluster, startWatched } from "../topologies.ts";

interface Outcome {
  result?: unknown;
  refused?: { code: string };
}
interface Check {
  messages: { id: string }[];
  unreadable: string[];
}
interface Receipt {
  message_id: string;
  replicas: number;
}

/** Clients of the Python module in a process of their own, one for each instance that speaks. */
class Python implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #answers: ((outcome: Outcome) => void)[] = [];

  constructor(program: string, env: Record<string, string>) {
    const script = path.join(ROOT, "python/tests/process_client.py");
    this.#process = spawn(program, [script], {
      env: { PYTHONPATH: path.join(ROOT, "python"), ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    createInterface({ input: this.#process.stdout! }).on("line", (line) => {
      const [number, outcome] = JSON.parse(line) as [number, Outcome];
      this.#answers[number]!(outcome);
    });
  }

  async call(instance: string, operation: string, keywords: object = {}): Promise<Outcome> {
    return new Promise((resolve) => {
      const number = this.#answers.push(resolve) - 1;
      this.#process.stdin!.write(`${JSON.stringify([number, instance, operation, keywords])}\n`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.stdin!.end();
    await ended;
  }
}

/** One Sentinel need not get to know others, which takes seconds. Of two replicas one is left to be waited for. */
const WORLDS = [
  { by: "Sentinels", start: () => startWatched("coord", { replicas: 2, sentinels: 1 }), prefix: "coord" },
  { by: "a cluster", start: () => startCluster("{coord}", { replicas: 2 }), prefix: "{coord}" },
];

/** The system's package manager may have to bring it, where `npm test` has not done so before. */
const INSTALL_WITHIN_MS = 1_200_000;
let program: string;
let missing: string | undefined;
beforeAll(async () => {
  const tool = new URL("../../tools/python.mjs", import.meta.url).href;
  const { ensurePython } = (await import(tool)) as { ensurePython: (options: object) => Promise<string> };
  try {
    program = process.env["COORD_PYTHON"] ?? (await ensurePython({ onProgress: console.log }));
  } catch (error) {
    missing = (error as Error).message;
  }
}, INSTALL_WITHIN_MS);
beforeEach(({ skip }) => skip(missing !== undefined, missing));

test.concurrent.each(WORLDS)(
  "[G1] [G4] [G7] with $by, what Python waited for survives the death of the primary, and so does who waits",
  async ({ start, prefix }) => {
    await using world = await start();
    await using python = new Python(program, { ...world.env, COORD_WAIT_REPLICAS: "1" });

    /** The same content until it is done: that is what the hints say. */
    async function publish(subject: string): Promise<Receipt> {
      for (;;) {
        const request = { msg_type: "GENERAL", subject, description: "d", to_instance: "bob" };
        const { result, refused } = await python.call("alice", "publish_message", request);
        if (result !== undefined) return result as Receipt;
        expect(["UNAVAILABLE", "TIMEOUT", "NOT_REPLICATED"]).toContain(refused?.code);
      }
    }

    const before = await publish("before");
    expect(before.replicas).toBeGreaterThanOrEqual(1);
    await python.call("bob", "check_messages");
    const waiting = python.call("bob", "wait_for_messages");
    const killed = await world.primary();
    await until(async () => (await killed.raw.pubsub("CHANNELS")).length > 0);
    await python.call("bob", "touch"); // by its answer, the waiting one has sent its first look

    await inStep(killed); // of two replicas one was waited for, and the other may be promoted
    await killed.stop();
    const during = await publish("during");
    const { raw } = await world.replaced(killed);
    expect(await waiting).toMatchObject({ result: { messages: [{ id: during.message_id }] } });
    const after = await publish("after");

    const everything = await python.call("bob", "check_messages", { since: "msg-0000000000" });
    const { messages, unreadable } = everything.result as Check;
    const sent = [before, during, after].map((receipt) => receipt.message_id);
    expect([messages.map(({ id }) => id), unreadable]).toEqual([sent, []]);
    expect((await raw.keys("*")).filter((key) => !key.startsWith(`${prefix}:`))).toEqual([]);
  },
);
