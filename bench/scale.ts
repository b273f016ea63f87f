/** The operations in a namespace that grows to a million messages, against the same in one that is empty but for what is read. */
import type { CoordinationClient } from "../src/client/client.ts";
import type { CheckRequest, PublishRequest } from "../src/protocol/results.ts";
import { breakDown, type Work } from "./breakdown.ts";
import { type Effort, inFlight, interleave, type Timing } from "./measure.ts";
import { type Curve, type Measured, type Part, type Row, row } from "./report.ts";
import { TARGETS } from "./targets.ts";
import {
  drain,
  FILL_WIDTH,
  makeKnown,
  progress,
  publishMany,
  RECIPIENT,
  request,
  SENDER,
  type World,
} from "./world.ts";

/** Messages, at which it is measured. Of these a tenth is in the inbox, a hundredth pending; instances a thousandth. */
export const SIZES: readonly number[] = [1000, 10_000, 100_000, 1_000_000];
const INBOX_SHARE = 10;
const PENDING_SHARE = 100;
const INSTANCES_SHARE = 1000;
/** More than is ever published here, or retention would take the oldest. */
const MAX_MESSAGES = 10_000_000;

const CHECKED = 20;
const EVENTS = 10;
/** Takes turns with SENDER in the inbox, with messages of another type. */
const OTHER = "frontend";
const OTHER_TYPE = "GENERAL";
/** Who has sent only the newest of what is pending, and nobody else anything of that type. */
const RARE = "newcomer";
const RARE_TYPE = "META_CHANGE_REQUEST";
/** What nobody reads here is short: a million times the usual text would measure the memory of the machine. */
const UNREAD_TEXT = { subject: "done", description: "done" };

/** Where the curve passes; the largest is measured at length. */
const BRIEF: Effort = { warmUpSeconds: 0.3, seconds: 1.5 };
const LONG: Effort = { warmUpSeconds: 1, seconds: 6 };
const PROGRESS_EVERY = 100_000;

interface Namespace {
  prefix: string;
  sender: CoordinationClient;
  other: CoordinationClient;
  rare: CoordinationClient;
  recipient: CoordinationClient;
  /** A message of the conversation of 20. */
  thread: string;
}

/** What is read is the same in both: 40 pending, of two senders with a type each in turn, those of one a conversation. */
async function createNamespace(world: World, prefix: string): Promise<Namespace> {
  const [sender, other, rare, recipient] = await Promise.all(
    [SENDER, OTHER, RARE, RECIPIENT].map((name) => world.client(prefix, name)),
  );
  const namespace = { prefix, sender: sender!, other: other!, rare: rare!, recipient: recipient!, thread: "" };
  await namespace.recipient.touch();
  await namespace.recipient.changeNamespaceSetting("max_messages", MAX_MESSAGES);
  for (let i = 0; i < CHECKED; i++) {
    const reply = i === 0 ? {} : { replyTo: namespace.thread, to: RECIPIENT };
    const { messageId } = await namespace.sender.publishMessage(request(reply));
    namespace.thread ||= messageId;
    await namespace.other.publishMessage(request({ type: OTHER_TYPE }));
  }
  return namespace;
}

/** The newest of all: what a filter passes over everything else to find. */
async function addRare({ rare }: Namespace): Promise<void> {
  for (let i = 0; i < CHECKED; i++) await rare.publishMessage(request({ type: RARE_TYPE, to: RECIPIENT }));
}

class Filling {
  readonly #world: World;
  readonly #namespace: Namespace;
  #messages = 0;
  #instances = 0;

  constructor(world: World, namespace: Namespace) {
    this.#world = world;
    this.#namespace = namespace;
  }

  async growTo(messages: number): Promise<void> {
    const { prefix, sender, other, recipient } = this.#namespace;
    const instances = Math.max(1, messages / INSTANCES_SHARE);
    await makeKnown(this.#world, prefix, instances, { from: this.#instances });
    this.#instances = instances;
    const before = this.#messages;
    let done = before;
    await inFlight(messages - before, FILL_WIDTH, async (index) => {
      const i = before + index;
      await ((i / PENDING_SHARE) % 2 < 1 ? sender : other).publishMessage(this.#message(i));
      if (++done % PROGRESS_EVERY === 0) progress(`${done.toLocaleString("en")} messages published`);
    });
    this.#messages = messages;
    await Promise.all([drain(recipient), drain(sender), drain(other)]);
  }

  #message(i: number): PublishRequest {
    const type = (i / PENDING_SHARE) % 2 < 1 ? "READY_FOR_REVIEW" : OTHER_TYPE;
    if (i % PENDING_SHARE === 0) return request({ type, to: RECIPIENT });
    if (i % INBOX_SHARE === 0) return request({ type, to: RECIPIENT, requiresAck: false });
    return request({ ...UNREAD_TEXT, type, to: `instance-${i % this.#instances}`, requiresAck: false });
  }
}

/** Each leaves as many messages pending as there were. */
function operations({ sender, recipient, thread }: Namespace): Record<string, Work> {
  let open: string[] = [];
  const settle = async (): Promise<void> => {
    if (open.length > 0) await recipient.ackMessage(open.splice(0));
    await Promise.all([drain(recipient), drain(sender)]);
  };
  const checkBy = (filter: CheckRequest): Work => ({
    run: () => recipient.checkMessages({ pendingOnly: true, limit: CHECKED, ...filter }),
  });
  return {
    publish: {
      prepare: settle,
      run: async () => open.push((await sender.publishMessage(request())).messageId),
    },
    ack: {
      async prepare(runs) {
        await settle();
        open = await publishMany(sender, runs);
        await drain(recipient);
      },
      run: () => recipient.ackMessage(open.pop()!),
    },
    [`notifications of ${EVENTS}`]: {
      prepare: async (runs) => {
        await settle();
        await publishMany(sender, runs * EVENTS, { requiresAck: false });
      },
      run: () => recipient.getNotifications({ limit: EVENTS }),
    },
    [`check of ${CHECKED} pending`]: checkBy({}),
    "check by sender": checkBy({ from: SENDER }),
    "check by type": checkBy({ type: "READY_FOR_REVIEW" }),
    "check by thread": checkBy({ thread }),
    "check by sender, only the newest": checkBy({ from: RARE }),
    "check by type, only the newest": checkBy({ type: RARE_TYPE }),
  };
}

export async function scale(world: World): Promise<Measured> {
  const [empty, full] = [await createNamespace(world, "empty"), await createNamespace(world, "full")];
  const filling = new Filling(world, full);
  const rows: Row[] = [];
  const lines = new Map<string, Curve["lines"][number]>();
  await addRare(empty);
  for (const size of SIZES) {
    await filling.growTo(size);
    await addRare(full);
    const largest = size === SIZES.at(-1);
    const [ours, base] = [operations(full), operations(empty)];
    for (const name of Object.keys(ours)) {
      const work = { ours: ours[name]!, base: base[name]! };
      const sides = { ping: { run: () => world.bare.call("PING") }, ...work };
      const timings = await interleave(sides, largest ? LONG : BRIEF);
      const measured = row(`${name}, ${size.toLocaleString("en")} messages`, timings, { target: "scale" });
      if (largest && measured.verdicts.some(({ met }) => !met))
        measured.breakdown = await compare(world, work, timings);
      if (largest) rows.push(measured);
      const line = lines.get(name) ?? { name, points: [] };
      line.points.push([size, measured.ratios.base!]);
      lines.set(name, line);
    }
    // They are not the newest any more.
    const { messages } = await full.recipient.checkMessages({ pendingOnly: true, from: RARE, limit: CHECKED });
    await full.recipient.ackMessage(messages.map(({ id }) => id));
    progress(`measured with ${size.toLocaleString("en")} messages`);
  }
  const curve: Curve = {
    name: "scale",
    title: "Operations in a namespace that grows",
    x: "messages (a tenth of them in the inbox, a hundredth pending, an instance for each thousand)",
    y: "× the empty namespace, p50",
    lines: [...lines.values()],
    bound: TARGETS.scale.aims[0]!.atMost!,
  };
  return { rows, curves: [curve] };
}

/** What a large namespace takes more than the empty one. */
async function compare(
  world: World,
  work: Record<"ours" | "base", Work>,
  { ours, base, ping }: Record<"ours" | "base" | "ping", Timing>,
): Promise<Part[]> {
  const large = await breakDown(world.bare, work.ours, { ours, ping });
  const empty = await breakDown(world.bare, work.base, { ours: base, ping });
  const more = large.map(({ what, amount }, i) => ({ what: `more: ${what}`, amount: amount - empty[i]!.amount }));
  return [{ what: "the same in the empty namespace", amount: base.p50 }, ...more.slice(1)];
}
