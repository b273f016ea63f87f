/** docs/reliability.md, written from what was found. */
import { cpus } from "node:os";
import type { Fault, Outcome } from "./trial.ts";

export interface NotRun {
  fault: Fault;
  missing: string;
}

export function summary({ fault, trials, balance, recovery, milliseconds }: Outcome): string {
  const { stored, settled, pending, dead, lost, duplicates, misordered, halfWritten } = balance;
  return [
    `  ${balance.problems.length === 0 ? "✓" : "✗"} ${fault.name}: ${trials} trials in ${(milliseconds / 1000).toFixed(0)} s`,
    `${stored} stored = ${settled} settled + ${pending} pending + ${dead} dead`,
    `lost ${lost}, duplicates ${duplicates}, out of order ${misordered}, half-written ${halfWritten}`,
    ...(recovery === undefined ? [] : [`worst recovery ${recovery.toFixed(0)} ms`]),
  ].join("; ");
}

export interface Machine {
  redis: string;
  version: string;
  seed: number;
  /** The client's own tests, with every client on a cluster. */
  onCluster: { passed: number; failed: number };
}

export function report(outcomes: readonly (Outcome | NotRun)[], { redis, version, seed, onCluster }: Machine): string {
  const ran = outcomes.filter((outcome) => "balance" in outcome);
  const notRun = outcomes.filter((outcome) => "missing" in outcome);
  const total = (count: (outcome: Outcome) => number): string => number(ran.reduce((sum, one) => sum + count(one), 0));
  const minutes = ran.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 60_000;
  return `# Reliability

What was sent is acknowledged, pending or listed as dead, whatever dies. This is the record of trying to break that: written by
\`npm run test:faults\`, which anybody can repeat; it ends with an error where one figure is not 0.

| fault | trials | messages | lost | duplicates | out of order | half-written | stored = settled + pending + dead | worst recovery |
|---|--:|--:|--:|--:|--:|--:|---|--:|
${outcomes.map(row).join("\n")}
| all | ${total(({ trials }) => trials)} | ${total(({ balance }) => balance.published)} | ${total(({ balance }) => balance.lost)} | ${total(({ balance }) => balance.duplicates)} | ${total(({ balance }) => balance.misordered)} | ${total(({ balance }) => balance.halfWritten)} | ${equation(ran)} | |

The client's own tests, with every client on a cluster of three: ${onCluster.passed} passed, ${onCluster.failed} failed.

${notRun.length === 0 ? "" : `Not run: ${notRun.map(({ fault, missing }) => `${fault.name} (${missing})`).join(", ")}.\n\n`}${new Date().toISOString().slice(0, 10)}, cli-coordination ${version}, Redis ${redis}, Node ${process.versions.node}, ${cpus().length} cores, ${minutes.toFixed(0)} minutes, seed ${seed}.

## How

- **Load.** Several processes publish and several read, with the built library, each a process of its own; messages to one and to all,
  with and without acknowledgement, deadline and answer. One reader reads on from a cursor, one takes events, one does as a hook,
  one as \`coord watch\`. The trials of a row share some servers: each fault strikes after messages flow again, those of the network
  and of readers without waiting for that.
- **Balance.** Each process keeps a log of its own: a line before it sends, a line with the receipt or the error. In the end every
  log is compared with every key of the namespace, read without our code, and with what \`coord stats\` says.
- **lost**: a receipt whose message is not stored, an acknowledgement that is not there, a message that a reader was never shown.
  **duplicates**: a message stored twice, or stored though its sender was told that it is not, or given twice to a reader that goes on from its cursor. **out of order**: ids
  that go back in one publisher's receipts, in what one reader was given, or in the timeline. **half-written**: an entry that is
  missing or left over in any list or set.
- **worst recovery**: from the end of the fault until every publisher had another receipt, the time between two messages included; of a killed publisher also the
  start of its process.

## What it does not say

- A publisher that is killed between sending and receiving knows nothing: its message is stored once or not at all. With an
  idempotency key of its own (every other publisher here) it sends it again, and it is stored once.
- Events are handed out at least once. Here ${total(({ balance }) => balance.shownAgain)} were shown again, after a reader or its connection had died before it confirmed.
- The one server was always \`appendfsync always\` and \`noeviction\`; those of Sentinel and Cluster kept nothing on disk. The kill is of the process: no power was cut. With \`everysec\` a power cut
  may take the last second.
- Publishes wait for a replica where they are told to, as here on Sentinel and Cluster. Acknowledgements do not, so there nobody
  acknowledged.
- With \`appendfsync always\` a full disk ends Redis, before it answers what it could not write. It starts again when there is room.
`;
}

function row(outcome: Outcome | NotRun): string {
  if ("missing" in outcome) return `| ${outcome.fault.title} | not run | | | | | | | |`;
  const { fault, trials, balance, recovery } = outcome;
  const { published, lost, duplicates, misordered, halfWritten } = balance;
  const figures = [trials, published, lost, duplicates, misordered, halfWritten].map(number).join(" | ");
  const recovered = recovery === undefined ? "" : `${number(Math.round(recovery))} ms`;
  return `| ${fault.title} | ${figures} | ${equation([outcome])} | ${recovered} |`;
}

function equation(outcomes: readonly Outcome[]): string {
  const sum = (name: "stored" | "settled" | "pending" | "dead"): string =>
    number(outcomes.reduce((total, { balance }) => total + balance[name], 0));
  return `${sum("stored")} = ${sum("settled")} + ${sum("pending")} + ${sum("dead")}`;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
