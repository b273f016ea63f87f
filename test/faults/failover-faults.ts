/** Faults that several servers are there for: the one that takes the writes dies. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { startCluster, startWatched, type Topology } from "../topologies.ts";
import type { Scene } from "./scene.ts";
import type { Fault, FaultyGround } from "./trial.ts";

/** So that a replica is left to wait for, and the Sentinels choose between several, after each of the deaths. */
const WATCHED = { replicas: 3 };
const CLUSTER = { replicas: 2 };
/** Publishing waits for a replica here, which costs a round trip more; reading does not change. */
const LOAD = { acknowledges: false, pauseMilliseconds: 20 };

async function onTopology(world: Topology, prefix: string, deaths: number): Promise<FaultyGround> {
  const folder = await mkdtemp(path.join(tmpdir(), "faults-"));
  return {
    folder,
    env: { ...world.env, COORD_WAIT_REPLICAS: "1" },
    prefix,
    raw: async () => (await world.primary()).raw,
    async strike(scene: Scene) {
      for (let death = 1; death <= deaths; death++) {
        const primary = await world.primary();
        await primary.stop(); // kill -9
        await world.replaced(primary);
        if (death < deaths) await scene.flows();
      }
    },
    async [Symbol.asyncDispose]() {
      await world.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export const SENTINEL: Fault = {
  name: "sentinel",
  title: "Sentinel: the primary killed with -9 under load, twice, with `COORD_WAIT_REPLICAS=1`",
  trials: 10,
  trialsAScene: 1,
  load: LOAD,
  prepare: async () => onTopology(await startWatched("coord", WATCHED), "coord", 2),
};

export const FAILOVER: Fault = {
  name: "cluster",
  title: "Cluster of three: the primary killed with -9 under load, a replica promoted, with `COORD_WAIT_REPLICAS=1`",
  trials: 10,
  trialsAScene: 1,
  load: LOAD,
  prepare: async () => onTopology(await startCluster("{coord}", CLUSTER), "{coord}", 1),
};
