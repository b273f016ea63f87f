/** A long-lived process that uses the built library as a program of a user does; test/fuzz/soak.ts starts and ends it. */
import { CoordinationError, getCoordinationClient } from "../../dist/index.js";

const [instance, partner] = process.argv.slice(2);
const PAUSE_MS = 20;
const open = (instanceId) => getCoordinationClient({ instanceId });
const client = await getCoordinationClient({ instanceId: instance, session: { agent: "soak", agentPid: process.pid } });

async function takeEvents() {
  for await (const { event } of client.events()) if (event === "unreadable") throw new Error("an unreadable event");
}

async function converse() {
  for (let round = 0; ; round++) {
    await client.publishMessage({
      type: "GENERAL",
      subject: `${round}`,
      description: "x".repeat(round % 5000),
      to: partner,
    });
    const { messages } = await client.checkMessages({ pendingOnly: true, limit: 20, waitSeconds: 0.05 });
    if (messages.length > 0)
      await client.ackMessage(
        messages.map(({ id }) => id),
        { comment: "seen" },
      );
    if (round % 20 === 0) await client.publishMessage({ type: "GENERAL", subject: "all", description: "", to: "all" });
    if (round % 20 === 10)
      await client.publishMessage({ type: "GENERAL", subject: "?", description: "", to: "silent", ackWithin: 1 });
    if (round % 50 === 0) {
      // Connections come and go beside the one that stays.
      const other = await open("visitor");
      await other.checkMessages({ limit: 5 });
      await other.getStats();
      other.close();
    }
    await client.checkMessages({ all: true, limit: 20 });
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

process.once("SIGTERM", () => process.exit(0));
await Promise.all([takeEvents(), converse()]).catch((error) => {
  console.error(CoordinationError.is(error) ? `${error.code} ${error.message}` : error);
  process.exit(1);
});
