/** Faults of those who use Redis, and of the way to it. */
import type { Actor } from "./load.ts";
import { eventually } from "./load.ts";
import { Proxy, STRIKES } from "./network.ts";
import { DurableRedis } from "./server.ts";
import type { Fault } from "./trial.ts";

const TAKE_WITHIN_MILLISECONDS = 20_000;
/** Of strikes that stall, so many last until the client gives up; each costs five seconds. */
const STALLS_FOR_GOOD = 0.2;
/** A reader shows what it has taken so much later at most, and is killed within as much. */
const DAWDLE_MILLISECONDS = 30;

export const KILLED_PUBLISHER: Fault = {
  name: "publisher",
  title: "publisher killed with -9 at a random moment, and started again",
  trials: 100,
  trialsAScene: 25,
  load: {},
  prepare: async () => {
    const server = await DurableRedis.start();
    return {
      ...server.ground(),
      async strike(scene, random) {
        const victim = random.pick(scene.publishers);
        await victim.kill();
        victim.start();
      },
    };
  },
};

export const KILLED_READER: Fault = {
  name: "reader",
  title: "reader killed with -9 between taking and showing, and started again",
  trials: 100,
  trialsAScene: 25,
  // So few messages that one who shows them one by one keeps up.
  load: { dawdleMilliseconds: DAWDLE_MILLISECONDS, pauseMilliseconds: 4 * DAWDLE_MILLISECONDS },
  prepare: async () => {
    const server = await DurableRedis.start();
    return {
      ...server.ground(),
      overlapping: true,
      async strike(scene, random) {
        const victim = random.pick(scene.readers);
        // One that was killed after it had shown died at another moment: that is none of the trials.
        for (let killedBetween = false; !killedBetween;) {
          const mark = victim.read().length;
          await eventually("a reader takes", TAKE_WITHIN_MILLISECONDS, () => victim.since(mark, "taken").length > 0);
          await new Promise((resolve) => setTimeout(resolve, random.between(0, DAWDLE_MILLISECONDS)));
          await victim.kill();
          killedBetween = hasTakenWithoutShowing(victim);
          victim.start();
        }
      },
    };
  },
};

function hasTakenWithoutShowing(reader: Actor): boolean {
  return reader.since(0, "taken", "shown").at(-1)?.step === "taken";
}

export const NETWORK: Fault = {
  name: "network",
  title: "connection cut, half-closed, stalled, answered late or byte by byte, at a random byte of a request or reply",
  trials: 500,
  trialsAScene: 50,
  load: {},
  prepare: async (random) => {
    const server = await DurableRedis.start();
    const proxy = await Proxy.start(server.socketPath, random);
    return {
      ...server.ground(proxy.url),
      overlapping: true,
      async strike() {
        await proxy.strike(random.pick(STRIKES), { forGood: random.between(0, 1) < STALLS_FOR_GOOD });
      },
      async [Symbol.asyncDispose]() {
        await proxy.stop();
        await server.stop();
      },
    };
  },
};
