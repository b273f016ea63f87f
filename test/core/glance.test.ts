/**
 * [G7] A hook that is told NOTHING starts no Node and shows nothing: so NOTHING must never stand where collect would show
 * something. Compared over random histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Mailbox } from "../../src/client/mailbox.ts";
import type { CoordinationClient } from "../../src/client/client.ts";
import { type State, PREFIX, useRedis } from "../harness.ts";

const bench = useRedis();
const BOUND = { bytes: 7_500, descriptionBytes: 6_000 };
const REFUSED = /^(SUPERSEDED|TAKEN)$/;
const HISTORIES = 200;
const STEPS_MAXIMUM = 8;

/** What may happen between two hooks of `me`. Loans are so short that they run out, or so long that they do not. */
const STEPS: Record<
  string,
  (who: { me: CoordinationClient; hasty: CoordinationClient; other: CoordinationClient }) => Promise<unknown>
> = {
  message: ({ other }) => other.publishMessage({ type: "GENERAL", subject: "s", description: "d", to: "me" }),
  note: ({ other }) => other.publishMessage({ type: "NOTIFICATION", subject: "s", description: "d", to: "me" }),
  question: ({ me }) => me.publishMessage({ type: "GENERAL", subject: "s", description: "d", to: "other" }),
  answers: async ({ other }) => acknowledgeAll(other),
  acknowledges: async ({ me }) => acknowledgeAll(me),
  checks: ({ me }) => me.checkMessages(),
  takes: ({ me }) => me.getNotifications({ limit: 2 }),
  "takes and dies": ({ me }) => me.takeNotifications({ limit: 2 }),
  "shows and dies": ({ me }) => new Mailbox(me).collect("tool", 10, BOUND),
  "shows and dies long ago": ({ hasty }) => new Mailbox(hasty).collect("tool", 10, BOUND),
  shows: async ({ me }) => new Mailbox(me).confirm(await new Mailbox(me).collect("tool", 10, BOUND)),
  "shows a part": async ({ me }) => new Mailbox(me).confirm(await new Mailbox(me).collect("turn", 10, BOUND), 1),
  begins: ({ me }) => me.join({ id: "mine", host: "here", agentPid: 1 }),
  "is superseded": ({ other }) => rejoin(other),
  leaves: ({ me }) => me.leave().catch(() => undefined),
  "is dropped from": () => bench.raw.rpush(`${PREFIX}:notifications:me`, '{"event":"events_skipped","count":7}'),
};

async function acknowledgeAll(client: CoordinationClient): Promise<void> {
  const { messages } = await client.checkMessages({ pendingOnly: true });
  if (messages.length > 0) await client.ackMessage(messages.map(({ id }) => id));
}

/** Another session speaks for the name. */
async function rejoin(other: CoordinationClient): Promise<void> {
  const taker = bench.command("me");
  await taker.join({ id: `taker of ${other.session.instance}`, host: "there", agentPid: 2 });
  taker.close();
}

test("[G7] where glance says NOTHING, collect shows nothing", async () => {
  let nothing = 0;
  let something = 0;
  const names = fc.array(fc.constantFrom(...Object.keys(STEPS)), { minLength: 1, maxLength: STEPS_MAXIMUM });
  const history = async (steps: readonly string[]): Promise<void> => {
    await bench.clear();
    const session = { env: { CLAUDE_CODE_SESSION_ID: "mine" } };
    const me = bench.command("me", { ...session, loanSeconds: 60 });
    const hasty = bench.command("me", { ...session, loanSeconds: 0 });
    const other = bench.command("other");
    for (const step of steps) await STEPS[step]!({ me, hasty, other }).catch(ignoreGuest);
    // A hook is a process of its own: it knows its session by the agent's id.
    const hook = bench.command("me", session);
    const said = await new Mailbox(hook).glance();
    const before = await bench.state();
    const mail = await new Mailbox(hook).collect("tool", 10, BOUND).catch(ignoreGuest);
    const shows = mail !== undefined && mail.messages.length + mail.events.length > 0;
    if (said) something++;
    else nothing++;
    expect(shows && !said).toBe(false);
    // Told nothing, the hook has left everything as collect would, which also clears away loans that have run out.
    const lasting = ({ "loaned:me": _loaned, ...rest }: State): State => rest;
    if (!said) expect(lasting(await bench.state())).toEqual(lasting(before));
  };
  await fc.assert(fc.asyncProperty(names, history), { numRuns: HISTORIES });
  expect({ nothing: nothing > HISTORIES / 10, something: something > HISTORIES / 10 }).toEqual({
    nothing: true,
    something: true,
  });
});

function ignoreGuest(error: unknown): undefined {
  expect(error).toMatchObject({ code: expect.stringMatching(REFUSED) as string });
}
