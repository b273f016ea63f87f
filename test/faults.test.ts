/** A trial or two of each fault of one server, so that no change breaks what docs/reliability.md says; `npm run test:faults` has all. */
import { describe, expect, test } from "vitest";
import { ON_ONE_SERVER } from "./faults/faults.ts";
import { runFault } from "./faults/trial.ts";

const TRIALS: Readonly<Record<string, number>> = { network: 5, commands: 5 };
/** The start of all processes takes longest. */
const LOAD = { publishers: 2, readers: ["inbox", "watch"] } as const;
/** For a machine that is busy with other tests. */
const ONE_FAULT_MILLISECONDS = 90_000;

/** What must be so after every fault; the other figures depend on chance. */
const CLEAN = { lost: 0, duplicates: 0, misordered: 0, halfWritten: 0, problems: [] };

describe("[G1] [G2] [G3] [G4] [G7] stored = settled + pending + dead, nothing lost, doubled or out of order", () => {
  for (const fault of ON_ONE_SERVER) {
    test(fault.title, { timeout: ONE_FAULT_MILLISECONDS }, async ({ skip }) => {
      const missing = await fault.missing?.();
      skip(missing !== undefined, missing);
      const light = { ...fault, load: { ...fault.load, ...LOAD } };
      const { balance } = await runFault(light, { trials: TRIALS[fault.name] ?? 1, seed: Date.now() % 1_000_000 });
      expect(balance).toMatchObject(CLEAN);
      expect(balance.stored).toBe(balance.settled + balance.pending + balance.dead);
      expect(balance.published).toBeGreaterThan(0);
    });
  }
});
