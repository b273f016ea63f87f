/** All of them, in the order of the report. */
import { KILLED_PUBLISHER, KILLED_READER, NETWORK } from "./client-faults.ts";
import { FAILOVER, SENTINEL } from "./failover-faults.ts";
import { KILLED_SERVER, MEMORY, SERVER_COMMANDS } from "./server-faults.ts";
import { CLOCK, DISK } from "./system-faults.ts";
import type { Fault } from "./trial.ts";

export const ON_ONE_SERVER: readonly Fault[] = [
  KILLED_SERVER,
  KILLED_PUBLISHER,
  KILLED_READER,
  NETWORK,
  SERVER_COMMANDS,
  MEMORY,
  CLOCK,
  DISK,
];

export const FAULTS: readonly Fault[] = [...ON_ONE_SERVER, SENTINEL, FAILOVER];
