/** docs/performance.md, the figures beside it as JSON, and a chart for each curve. */
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Timing } from "./measure.ts";
import { type Curve, figure, type Measured, multiple, reached, type Row } from "./report.ts";
import { aimText, FLOOR_NAMES, FLOORS, type TargetName, TARGETS } from "./targets.ts";

const FOLDER = "docs";
const NAME = "performance";
const DIGITS = 5;

export interface Machine {
  date: string;
  node: string;
  redis: string;
  processor: string;
  cores: number;
  commit: string;
}

/** Returns the files that were written. */
export async function writeDocument(machine: Machine, measured: Readonly<Record<string, Measured>>): Promise<string[]> {
  // Loaded where it is needed: a single bench is neither slower nor larger for it.
  const { chart } = await import("./chart.ts");
  const curves = Object.values(measured).flatMap((each) => each.curves ?? []);
  const files: [name: string, text: string][] = [
    [
      `${NAME}.md`,
      document(
        machine,
        Object.values(measured).flatMap(({ rows }) => rows),
        curves,
      ),
    ],
    [`${NAME}.json`, `${JSON.stringify({ machine, benches: measured }, rounded, 2)}\n`],
    ...curves.map((curve): [string, string] => [fileOf(curve), chart(curve)]),
  ];
  for (const name of await readdir(FOLDER)) {
    if (name.startsWith(`${NAME}-`) && name.endsWith(".svg")) await rm(join(FOLDER, name));
  }
  for (const [name, text] of files) await writeFile(join(FOLDER, name), text);
  return files.map(([name]) => join(FOLDER, name));
}

/** More digits say nothing. */
function rounded(_: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(DIGITS)) : value;
}

const fileOf = ({ name }: Curve): string => `${NAME}-${name}.svg`;

function document(machine: Machine, rows: readonly Row[], curves: readonly Curve[]): string {
  const { date, node, redis, processor, cores, commit } = machine;
  const missed = rows.filter(({ verdicts }) => verdicts.some(({ met }) => !met));
  const sections = [
    "# Performance",
    `Written by \`npm run bench\`, which anybody can repeat; the same as numbers: [${NAME}.json](${NAME}.json).
${date.slice(0, 10)}, commit ${commit}; Node ${node}, Redis ${redis}, ${cores} × ${processor}.`,
    READING,
    "## Targets",
    targetTable(rows),
    ...(missed.length === 0 ? [] : ["## Where the time goes in what missed its target", ...missed.map(breakdownOf)]),
    "## As it grows",
    ...curves.map((curve) => `![${curve.title}: ${curve.y} over ${curve.x}](${fileOf(curve)})`),
    "## Further figures",
    figureTable(rows.filter(({ target }) => target === undefined)),
    LIMITS_OF_THIS,
    METHOD,
  ];
  return `${sections.join("\n\n")}\n`;
}

const READING = `Times are microseconds. A figure says little without its floor, the least that the same work can take here, measured in
the same run and in turn: **PING** is a \`PING\` through the same client, **bare** the work that a target names, mostly one script
that makes the same writes, or of a check the same reads, and checks nothing, **empty** the same operation in a namespace that is empty or small, **node -e 0** a process of Node that does
nothing. Read the ratios: the times are this machine's.`;

const LIMITS_OF_THIS = `## What is not faster, and why

- **Publish** makes the writes of the bare script, and before them reads the clock, the settings and the last stamp of the namespace, how
  many messages it holds, who the sender is and who the recipient is; then it forms the time, the id and the event. Whether the call is
  a repeat is told by the write of its key, and types of keys are not asked for: a write that meets another type is undone with those before it.
- **Publish and ack with a million messages** write into sorted sets that no cache of the processor holds any more: some 20 to 40 µs in
  most runs, whatever the script does.
- **Taking notifications** and confirming them are two calls, or a reader that dies in between would lose them. A reader of
  \`events()\` confirms with the call that takes the next one.
- **Delivery** is a push and then a call that takes the event from the queue. Handed over from the push alone it would be one way
  shorter, and two readers of one instance (its server and its hook) would both show it.
- **A check by sender** walks the smaller of two sets. In the small namespace that is the outbox, where all that it meets is asked for; among
  a million messages it is what is pending, of which every other one is.
- **A check by type** walks the index of the type where that is the smallest, as by sender or thread. Its entry for each message costs 112 bytes.
- **A settled message** is a hash of ten fields with its receipt, and four entries in sorted sets. Redis keeps a hash with a text of over
  64 bytes as a table; with the text in a key of its own it could stay compact, and nobody could read a message with one HGETALL.
- **The idle hook** is bash and one question to Redis. The start of bash alone is the larger part.`;

const METHOD = `## How it is measured

- One private Redis for each bench, over a Unix socket, nothing kept on disk; for whole processes over loopback. Every side is warmed
  up for two seconds, since V8 optimises the path of a call for about so long, and then runs in blocks of ten in turn with the others,
  so that a noisy machine hits all alike. Ratios are those of p50, where nothing else is said.
- **\`PING\`** has several speeds on one machine, as the kernel places two processes on its cores and lets them sleep (32, 50 and 105 µs
  have been seen on the same two), and one may last as long as the connection: ratios to it move with that, those to bare hardly do.
- **A namespace that grows** is filled by publishing, retention off: of its messages a tenth goes to the inbox that is read, a hundredth
  is pending there, and there is an instance for each thousand. Both namespaces begin with the same 40 pending messages, of two senders
  and two types in turn, 20 of them one conversation, and end with 20 pending ones of a third sender and type: "only the newest" finds these, with
  everything else before them. What nobody reads has a text of a few bytes.
- **Delivery** is timed from the call of publish in one process to the call of the handler (\`for await\` over \`client.events()\`) in
  another, by the machine's monotonic clock, two milliseconds after the last one.
- **Under load** the publishes are due at fixed times whether or not those before them are through, and the time of a delivery counts
  from when its publish was due. 200 clients with a session and two connections each, in four processes; 5 seconds before
  the 60 do not count. Every second the queues of all instances, the leases and the output buffers of Redis are read.
- **Whole processes** are started by a small process (\`bench/stopwatch.py\`), since Node would fork the whole bench for each, and without
  \`NODE_EXTRA_CA_CERTS\`, which makes every start of Node slower by 40 ms and such ratios smaller.
- **Memory for a message** is the growth of \`used_memory\` over 20,000 messages of 300 bytes, published to one, checked, acknowledged and all
  their events taken, less their text. The target is about what stays; the key that makes a repeated publish safe goes after 24 hours.`;

const TARGET_HEAD = ["what", "p50", "p95", "p99", "per second", "floors, p50", "reached", "target", ""];

/** Every target, with what it was measured by; those that were not measured as well. */
function targetTable(rows: readonly Row[]): string {
  const lines = (Object.keys(TARGETS) as TargetName[]).flatMap((name) => {
    const found = rows.filter(({ target }) => target === name);
    const { what, aims } = TARGETS[name];
    if (found.length === 0)
      return [[what, "", "", "", "", "", "not measured", aims.map((aim) => aimText(aim, "")).join("<br>"), ""]];
    const head = [`**${what}**`, ...Array.from({ length: TARGET_HEAD.length - 1 }, () => "")];
    const own = found.map((row) => [
      named(row),
      ...times(row.timings.ours),
      floors(row),
      row.verdicts.map((verdict) => reached(verdict, row.unit)).join("<br>"),
      aims.map((aim) => aimText(aim, row.unit)).join("<br>"),
      row.verdicts.map(({ met }) => (met ? "met" : "**missed**")).join("<br>"),
    ]);
    return [head, ...own];
  });
  return markdownTable(TARGET_HEAD, lines);
}

function figureTable(rows: readonly Row[]): string {
  const head = ["what", "p50", "p95", "p99", "per second", "floors, p50", "ratios"];
  const ratios = (row: Row): string =>
    FLOORS.filter((floor) => row.ratios[floor] !== undefined)
      .map((floor) => `${multiple(row.ratios[floor])} × ${FLOOR_NAMES[floor]}`)
      .join("<br>");
  return markdownTable(
    head,
    rows.map((row) => [named(row), ...times(row.timings.ours), floors(row), ratios(row)]),
  );
}

function breakdownOf({ operation, unit, timings, verdicts, breakdown = [] }: Row): string {
  const judged = verdicts.map((verdict) => `${reached(verdict, unit)}, ${aimText(verdict.aim, unit)}`).join("; ");
  const total = timings.ours.p50;
  const known = breakdown.filter(({ amount }) => !Number.isNaN(amount));
  const lines = known.map(({ what, amount }) => [what, figure(amount), `${Math.round((amount / total) * 100)} %`]);
  const text = `**${operation}**: ${figure(total)} ${unit} (${judged})`;
  return lines.length === 0 ? text : `${text}\n\n${markdownTable(["where", unit, "share"], lines)}`;
}

const named = ({ operation, unit }: Row): string => (unit === "µs" ? operation : `${operation} (${unit})`);

function times({ p50, p95, p99, rate, samples }: Timing): string[] {
  if (samples === 1) return [figure(p50), "", "", ""];
  return [...[p50, p95, p99].map(figure), rate === undefined ? "" : figure(rate)];
}

function floors({ timings }: Row): string {
  return FLOORS.filter((floor) => timings[floor] !== undefined)
    .map((floor) => `${FLOOR_NAMES[floor]} ${figure(timings[floor]!.p50)}`)
    .join("<br>");
}

function markdownTable(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = `|${head.map((_, i) => (i === 0 ? "---|" : "--:|")).join("")}`;
  return [line(head), rule, ...lines.map(line)].join("\n");
}
