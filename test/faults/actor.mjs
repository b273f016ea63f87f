/**
 * One process of the load: it publishes or reads as a user's program does, with the library as it is built, and keeps a log
 * of its own. What it has written there outlives a kill -9, and is what the balance is compared with.
 *
 * Line by line, each with the time `at`: a publisher writes `try` before it sends, then `stored` or `failed`; a reader `taken`
 * before it shows anything, `shown` when it has, then `acked`.
 */
import { openSync, readFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { CoordinationError, getCoordinationClient } from "cli-coordination";

const RETRY_MILLISECONDS = 20;
/** Longer than any fault lasts: who has not come through by then says so, and ends. */
const GIVE_UP_MILLISECONDS = 40_000;
const BEGINNING = "msg-0000000000";
const READ_AT_ONCE = 50;
const IDLE_MILLISECONDS = 10;

const task = JSON.parse(process.argv[2]);
const earlier = readLog();
const file = openSync(task.log, "a");
let stopping = false;

// Told to stop it finishes what it has begun; with the end of its input, whoever started it is gone.
createInterface({ input: process.stdin })
  .on("line", () => (stopping = true))
  .on("close", () => stopping || process.exit(0));

const client = await insist("open", {}, () =>
  getCoordinationClient({
    instanceId: task.instance,
    keyPrefix: task.prefix,
    loanSeconds: 1,
    cwd: "/",
    env: { ...task.env, COORD_ACK_TIMEOUT_SECONDS: "0", COORD_ACK_ATTEMPTS: "0", COORD_ACK_INTERVAL_SECONDS: "1" },
  }),
);
await { publisher: publish, inbox: readInbox, events: readEvents, mail: readMail, watch: watchEvents }[task.role]();
process.exit(0);

async function publish() {
  const tries = earlier.filter(({ step }) => step === "try");
  const receipts = earlier.filter(({ step }) => step === "stored");
  let n = tries.at(-1)?.n ?? 0;
  let last = receipts.at(-1)?.id;
  const send = async (request) => {
    const { messageId, repeated } = await insist("try", { n }, () => client.publishMessage(request));
    log("stored", { n, id: messageId, repeated });
    last = messageId;
  };
  // Its predecessor died in the middle of this one: only with a key of its own can it be sent again.
  const unfinished = tries.at(-1);
  if (task.keyed && unfinished !== undefined && receipts.at(-1)?.n !== n) await send(unfinished.request);
  while (!stopping) {
    n++;
    const request = requestOf(n, last);
    log("try", { n, request });
    await send(request).catch((error) => {
      if (task.insists || !CoordinationError.is(error)) throw error;
    });
    await sleep(Math.random() * task.pauseMilliseconds);
  }
}

/** Everything there is: to one, to all, with and without acknowledgement and deadline, answers. */
function requestOf(n, last) {
  return {
    type: n % 7 === 0 ? "NOTIFICATION" : "GENERAL",
    subject: `${task.instance} ${n}`,
    description: "x".repeat(Math.floor(Math.random() * task.descriptionBytes)),
    to: n % task.broadcastEvery === 0 ? "all" : task.recipients[n % task.recipients.length],
    ...(n % 5 === 0 && last !== undefined ? { replyTo: last } : {}),
    ...(n % 11 === 0 ? { ackWithin: 1 } : {}),
    ...(task.keyed ? { idempotencyKey: `${task.instance}-${n}` } : {}),
  };
}

/** Reads on from its cursor, which is in its log. */
async function readInbox() {
  let since =
    earlier
      .filter(({ step }) => step === "shown")
      .at(-1)
      ?.ids.at(-1) ?? BEGINNING;
  while (!stopping) {
    const request = { since, limit: READ_AT_ONCE, waitSeconds: 0.5 };
    const { messages } = await insist("check", {}, () => client.checkMessages(request));
    if (messages.length === 0) continue;
    await show(messages.map(({ id }) => id));
    since = messages.at(-1).id;
    await acknowledge(messages);
  }
}

/** Takes events on loan, shows them, confirms. */
async function readEvents() {
  while (!stopping) {
    const { result, confirm } = await insist("take", {}, () => client.takeNotifications({ limit: READ_AT_ONCE }));
    if (result.count === 0) await sleep(IDLE_MILLISECONDS);
    await showEvents(result.notifications);
    await insist("confirm", {}, confirm);
  }
}

/** As an agent's hook does it. What it does is not in the library, so the scripts are called as src/client/mailbox.ts calls them. */
async function readMail() {
  const bounds = { limit: String(READ_AT_ONCE), bytes: "1000000", description_bytes: "100", loan_seconds: "1" };
  const asked = { moment: "turn", waker: "", ...bounds };
  while (!stopping) {
    const mail = JSON.parse(await insist("collect", {}, () => client.session.run("collect", asked)));
    const ids = mail.messages.map(([id]) => id);
    if (ids.length === 0) await sleep(IDLE_MILLISECONDS);
    else await show(ids);
    const confirmed = { loan: mail.loan, reminded: "0", shown: String(ids.length) };
    if (mail.loan !== "" || ids.length > 0) {
      await insist("confirm", {}, () => client.session.run("confirm", confirmed, ids));
    }
    await acknowledge(mail.messages.map(([id, , , , , requiresAck]) => ({ id, requiresAck })));
  }
}

/** As `coord watch` does it. */
async function watchEvents() {
  const ending = new AbortController();
  const timer = setInterval(() => stopping && ending.abort(), IDLE_MILLISECONDS);
  while (!stopping) {
    await insist("watch", {}, async () => {
      for await (const event of client.events({ signal: ending.signal })) await showEvents([event]);
    });
  }
  clearInterval(timer);
}

async function showEvents(events) {
  const skipped = events.some(({ event }) => event === "events_skipped");
  const published = events.filter(({ event }) => event === "message_published");
  if (skipped) log("skipped", {});
  if (published.length === 0) return;
  await show(published.map(({ messageId }) => messageId));
  await acknowledge(published.map(({ messageId, requiresAck }) => ({ id: messageId, requiresAck })));
}

async function show(ids) {
  log("taken", { ids });
  if (task.dawdleMilliseconds > 0) await sleep(Math.random() * task.dawdleMilliseconds);
  log("shown", { ids });
}

/** Three of four: the others stay pending, or die where they have a deadline. */
async function acknowledge(messages) {
  if (!task.acknowledges) return;
  const ids = messages.filter(({ id, requiresAck }) => requiresAck && !/[a-i]$/.test(id)).map(({ id }) => id);
  if (ids.length === 0) return;
  const results = await insist("ack", {}, () => client.ackMessage(ids));
  for (const result of results) log("acked", { id: result.messageId, code: result.code });
}

/** Until it is done, as the errors say: with Redis away for a moment, the same is called again. */
async function insist(what, facts, action) {
  const deadline = performance.now() + GIVE_UP_MILLISECONDS;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      const away = CoordinationError.is(error) && ["UNAVAILABLE", "TIMEOUT", "NOT_REPLICATED"].includes(error.code);
      log("failed", { what, ...facts, code: error.code ?? error.name, message: error.message });
      if (!away || performance.now() > deadline || (what === "try" && !task.insists)) throw error;
      await sleep(RETRY_MILLISECONDS);
    }
  }
}

function log(step, facts) {
  writeSync(file, `${JSON.stringify({ at: Date.now(), step, ...facts })}\n`);
}

function readLog() {
  try {
    const lines = readFileSync(task.log, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line));
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}
