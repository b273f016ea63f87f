/** docs/performance.md, the figures beside it as JSON, and a chart for each curve. */
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Curve, figure, type Measured, multiple, type Row, type Unit } from "./report.ts";
import { FLOOR_NAMES, FLOORS } from "./targets.ts";

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
  const sections = [
    "# Performance",
    `What to expect, measured by \`npm run bench\`; the same as numbers, with floors and parts: [${NAME}.json](${NAME}.json).
${date.slice(0, 10)}, commit ${commit}; Node ${node}, Redis ${redis}, ${cores} × ${processor}. Another machine has other times; the
multiples in the last column travel better.`,
    ...PAGE.map(({ title, lines }) => `## ${title}\n\n${figureTable(lines, rows)}`),
    "## As it grows",
    ...curves.map((curve) => `![${curve.title}: ${curve.y} over ${curve.x}](${fileOf(curve)})`),
    TRADED,
    METHOD,
  ];
  return `${sections.join("\n\n")}\n`;
}

/** What the page shows: the name of a row, and what that is to a user. */
const PAGE: readonly { title: string; lines: readonly (readonly [operation: string, means: string])[] }[] = [
  {
    title: "In an agent's day",
    lines: [
      ["hook, nothing waiting", "hook between two tool calls, nothing to show"],
      ["hook with mail", "hook that shows mail"],
      ["coord publish", "`coord publish`"],
      ["coord check", "`coord check`"],
      ["coord ack", "`coord ack`"],
      ["publish-message.sh", "`publish-message.sh`"],
      ["coord mcp, spawn to first result", "MCP server, from its start to the first result"],
      ["coord mcp, resident, idle", "memory of an idle MCP server"],
      ["node -e 0", "for comparison: Node that does nothing"],
    ],
  },
  {
    title: "In a program that stays connected",
    lines: [
      ["publish, one recipient", "publish"],
      ["publish, 64 in flight, each", "publish, 64 at a time, each"],
      ["check of 20 pending, first time", "check, 20 new messages"],
      ["check of 20 pending, seen before", "check, the same 20 again"],
      ["ack", "acknowledge"],
      ["notifications of 10", "take 10 notifications"],
      ["published → handler of a waiting client", "from publish to the waiting reader, another process"],
      ["publish, senders proven (empty: off)", "publish, where senders are proven"],
      ["check of 20 pending, senders proven (empty: off)", "check, 20 messages, where senders are proven"],
      ["show of an acknowledged message, senders proven (empty: off)", "show, where senders are proven"],
      ["Python publish, one recipient", "Python: publish"],
      ["Python check of 20 pending", "Python: check, 20 messages"],
    ],
  },
  {
    title: "In a large project",
    lines: [
      ["broadcast to 100 instances (bare: as many ZADDs)", "publish to all, 100 instances"],
      ["broadcast to 1,000 instances (bare: as many ZADDs)", "publish to all, 1,000 instances"],
      ["presence of 1,000 instances", "presence of 1,000 instances"],
      ["publish, 1,000,000 messages", "publish, a million messages stored"],
      ["check of 20 pending, 1,000,000 messages", "check, a million messages stored"],
      ["ack, 1,000,000 messages", "acknowledge, a million messages stored"],
      [
        "200 instances, 2,000 publishes a second: delivery of 120,000",
        "delivery, 200 instances, 2,000 publishes a second",
      ],
      ["… of 120,000, not delivered two seconds after the last", "… of its 120,000 messages, lost"],
      ["a settled message, beyond its text", "memory of Redis for a settled message, beyond its text"],
    ],
  },
];

const TRADED = `## What was traded

- **A command is mostly Node's start.** A resident program would answer in a tenth of the time, and would be one more thing to run, to
  update and to trust.
- **A message is a hash that anybody can read** with one \`HGETALL\`, and an entry in each index that finds it again. Packed
  it would take half the memory.
- **Every key is asked for its type before the first write**, so that a refused call changes nothing. That is a tenth of a publish.
- **Notifications are taken in two calls**, take and confirm. A reader that dies in between loses none.
- **A push only says that there is something.** The reader then takes it from its inbox: one way more, and two readers of one name never show one
  message twice.
- **Long work goes in steps** of at most 2,000 receipts, and others are served in between. Only a broadcast is one step, since all get it or
  none.
- **The hook between tool calls is bash.** It asks Redis one question and starts Node only for mail.`;

const METHOD = `## How it is measured

- Each bench has a Redis of its own over a Unix socket, nothing kept on disk; whole processes use loopback. Sides that are compared run in
  turn in blocks of ten, after two seconds of warming up, so that a noisy machine hits all alike.
- **bare** is one script with the same writes or reads and no checks; **empty** is the
  same operation in an empty or small namespace; where senders are proven, in one that asks for no proof.
- A large namespace is filled by publishing: a tenth of its messages lies in the inbox that is read, a hundredth is pending there, and each thousand
  has an instance.
- Delivery is timed from the call of publish in one process to the handler in another. Under load a publish is due at a fixed time, and
  its delivery counts from then.
- Whole processes run without \`NODE_EXTRA_CA_CERTS\`, which adds 40 ms to every start of Node. The page says how long somebody waits; the bounds
  are about processor time, which a busy machine changes less.
- Memory is the growth of \`used_memory\` over 20,000 messages that were published, checked and acknowledged, less their text.
- \`npm run bench -- waits\` prints how long everybody else waits while one verb runs. \`bench/targets.ts\` has the bounds that this
  project sets itself; the printed table says which of them hold.`;

function figureTable(lines: readonly (readonly [string, string])[], rows: readonly Row[]): string {
  const head = ["", "typical", "1 of 20 takes longer than", "1 of 100", "compared"];
  return markdownTable(
    head,
    lines.map(([operation, means]) => {
      const row = rows.find((each) => each.operation === operation);
      return row === undefined ? [means, "not measured", "", "", ""] : [means, ...quantiles(row), compared(row)];
    }),
  );
}

function quantiles({ timings: { ours }, unit }: Row): string[] {
  const values = ours.samples === 1 ? [ours.p50] : [ours.p50, ours.p95, ours.p99];
  return [...values.map((value) => amount(value, unit)), "", ""].slice(0, 3);
}

const THOUSAND = 1000;

/** In the unit that a person would use. */
function amount(value: number, unit: Unit): string {
  if (unit === "µs") return value < THOUSAND ? `${figure(value)} µs` : `${figure(value / THOUSAND)} ms`;
  if (unit === "KB") return `${figure(value / THOUSAND)} MB`;
  return `${figure(value)} ${unit}`;
}

/** With the floor that is most like it. */
function compared({ ratios }: Row): string {
  const floor = FLOORS.findLast((each) => ratios[each] !== undefined);
  return floor === undefined ? "" : `${multiple(ratios[floor])} × ${FLOOR_NAMES[floor]}`;
}

function markdownTable(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = `|${head.map((_, i) => (i === 0 ? "---|" : "--:|")).join("")}`;
  return [line(head), rule, ...lines.map(line)].join("\n");
}
