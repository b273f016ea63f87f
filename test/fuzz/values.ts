/**
 * What another program may have written into the namespace: for every kind of key and every field, values of every kind of
 * wrong. Then every operation of the client, the hooks' texts and the texts of the shell are tried on it: each has to end in
 * a result or in an error of ours, soon; and what is published next has to arrive.
 */
import * as fc from "fast-check";
import { openRedis, type Redis } from "../raw-redis.ts";
import { Mailbox } from "../../src/client/mailbox.ts";
import { CoordinationClient } from "../../src/client/client.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { CoordinationError, ErrorCode } from "../../src/protocol/errors.ts";
import { startThrowawayRedis } from "../../src/server/throwaway.ts";
import { renderMail } from "../../src/surfaces/hook/text.ts";
import { applyChange, change } from "./changes.ts";
import { BOUND, GENERAL, OPERATIONS, type Scene, stage } from "./scene.ts";

/** What a damaged namespace may be answered with; anything else is a defect. */
const ALLOWED: readonly ErrorCode[] = [
  ErrorCode.LOST,
  "INTERNAL",
  "INVALID",
  "NOT_FOUND",
  "NOT_RECIPIENT",
  "PROTOCOL",
  "SUPERSEDED",
  "FULL",
];

export interface ValueFigures {
  cases: number;
  /** Operations on damaged namespaces, by how they ended. */
  results: number;
  refused: number;
  /** What was not as it should be, with the writes before it; at most twenty. */
  problems: string[];
}

/** An operation that takes longer hangs. */
const OPERATION_WITHIN_MS = 10_000;
/** Calls of a hook until it has shown what is new: each takes at most ten messages. */
const HOOK_CALLS = 10;

const PROBLEMS_MAXIMUM = 20;

export async function fuzzValues({ seed, cases }: { seed: number; cases: number }): Promise<ValueFigures> {
  await using redis = await startThrowawayRedis();
  const raw = openRedis({ path: redis.socketPath });
  const clients: CoordinationClient[] = [];
  const figures: ValueFigures = { cases: 0, results: 0, refused: 0, problems: [] };
  try {
    const scene = await stage(raw, (instanceId) => {
      const env = { REDIS_URL: redis.url, COORD_ACK_TIMEOUT_SECONDS: "0" };
      clients.push(new CoordinationClient(resolveSettings({ instanceId, env, cwd: "/" })));
      return clients.at(-1)!;
    });
    const dump = await dumped(raw);
    const damage = fc.array(change, { minLength: 1, maxLength: 4 });
    for (const changes of fc.sample(damage, { seed, numRuns: cases })) {
      await raw.flushall();
      await Promise.all(dump.map(([key, value]) => raw.restore(key, 0, value)));
      for (const { session } of clients) session.known.forget(); // it is another namespace to them
      const writes = [];
      for (const one of changes) writes.push(await applyChange(raw, one));
      const where = `${writes.join(", ")} (values ${changes.map(({ value }) => JSON.stringify(value.toString().slice(0, 80))).join(", ")})`;
      try {
        for (const [name, operation] of Object.entries(OPERATIONS)) {
          const refusal = await ended(operation(scene), `${name} after ${where}`);
          figures[refusal === undefined ? "results" : "refused"]++;
        }
        await hears(scene, where);
      } catch (error) {
        figures.problems.push(String(error));
        if (figures.problems.length === PROBLEMS_MAXIMUM) break;
      }
      figures.cases++;
    }
  } finally {
    for (const client of clients) client.close();
    raw.disconnect();
  }
  return figures;
}

async function dumped(raw: Redis): Promise<[string, Buffer][]> {
  const keys = await raw.keys("coord:*");
  return Promise.all(
    keys.map(async (key): Promise<[string, Buffer]> => [key, (await raw.bytes("DUMP", key)) as Buffer]),
  );
}

/** Resolves to the refusal, if it was one that a damaged namespace may be answered with. */
async function ended(operation: Promise<unknown>, what: string): Promise<CoordinationError | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it hangs")), OPERATION_WITHIN_MS);
  });
  try {
    await Promise.race([operation, late]);
  } catch (error) {
    if (CoordinationError.is(error) && ALLOWED.includes(error.code)) {
      // A refusal of ours says which key; the words of Lua say that a script was surprised.
      if (
        error.code !== ErrorCode.INTERNAL ||
        (/coord:/.test(error.message) && !/user_script|script:/.test(error.message))
      )
        return error;
    }
    throw new Error(`${what}: ${String(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** What is published now is shown by a hook soon, unless either is refused with the key that stands in the way. */
async function hears({ alice, bob }: Scene, where: string): Promise<void> {
  let sent = "";
  const publish = async (): Promise<void> => {
    sent = (await alice.publishMessage({ ...GENERAL, to: "bob" })).messageId;
  };
  if ((await ended(publish(), `publish after ${where}`)) !== undefined) return;
  for (let calls = 0; calls < HOOK_CALLS; calls++) {
    let found = false;
    const collect = async (): Promise<void> => {
      const mail = await new Mailbox(bob).collect("tool", 10, BOUND);
      const text = renderMail(mail);
      await new Mailbox(bob).confirm(mail, text?.shown ?? 0);
      found = text?.text.includes(sent) === true;
    };
    const refusal = await ended(collect(), `hook after ${where}`);
    if (refusal?.code === ErrorCode.SUPERSEDED)
      await ended(bob.join({ id: "b3", host: "h", agentPid: 4 }), `join after ${where}`);
    else if (refusal !== undefined || found) return;
  }
  throw new Error(`the hook stays deaf after ${where}`);
}
