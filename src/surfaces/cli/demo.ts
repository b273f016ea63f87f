/** `coord demo`: three agents, a review that fails once, a contract, and one who was away. Every step is checked. */
import { Stage, type Wire } from "./demo-stage.ts";

const ORCHESTRATOR = "orchestrator";
const AUTH = "feature-auth";
const UI = "feature-ui";

/** @returns whether everything was as it should be; throws what keeps the play from going on */
export async function playDemo(): Promise<boolean> {
  await using stage = await Stage.open();
  await presence(stage);
  await review(stage);
  const contract = await approveContract(stage);
  await comeBack(stage, contract);
  return stage.summary();
}

async function presence(stage: Stage): Promise<void> {
  stage.scene("Who is there");
  await Promise.all([ORCHESTRATOR, AUTH, UI].map((instance) => stage.start(instance)));
  // Each tool call keeps the presence of its caller; the server's own start does so in the background.
  for (const instance of [AUTH, UI]) await stage.call(instance, "coord_check_messages", {}, "looks into its inbox");
  const { instances } = await stage.call(ORCHESTRATOR, "coord_get_presence", {}, "asks who is there");
  const statuses = Object.values(instances as Record<string, Wire>).map(({ instance_id, status }) => [
    instance_id,
    status,
  ]);
  stage.check(
    "all three are active",
    statuses,
    [AUTH, UI, ORCHESTRATOR].map((name) => [name, "active"]),
  );
}

async function review(stage: Stage): Promise<void> {
  stage.scene("A review, asked for by script");
  const first = await publishByScript(stage, AUTH, "READY_FOR_REVIEW", "login form", "Branch feat/login.");
  stage.check("stored for the orchestrator, who is active", first["recipients"], [
    { instance: ORCHESTRATOR, presence: "active" },
  ]);
  await readPending(stage, ORCHESTRATOR, [first]);

  const failed = await answer(stage, ORCHESTRATOR, "REVIEW_FAILED", "login form", "No test for logout.", first);
  await readNotifications(stage, AUTH, [["message_published", "REVIEW_FAILED", ORCHESTRATOR]]);
  await readPending(stage, AUTH, [failed]);

  const second = await answer(stage, AUTH, "READY_FOR_REVIEW", "login form", "Logout is tested now.", failed);
  await readPending(stage, ORCHESTRATOR, [second]);
  const passed = await answer(stage, ORCHESTRATOR, "REVIEW_COMPLETE", "login form", "Merged.", second);

  const what = `acknowledges ${String(passed["type"])}`;
  const ack = await stage.script(AUTH, "ack-message.sh", [String(passed["message_id"]), "--comment", "thanks"], what);
  stage.check("acknowledged for the first time", [ack["acknowledged_by"], ack["already"]], [AUTH, false]);
  const conversation = await check(stage, AUTH, { thread: first["message_id"], all: true }, "reads the conversation");
  stage.check(
    "four messages in order, all acknowledged",
    messagesOf(conversation).map(({ id, acknowledged }) => [id, acknowledged]),
    [passed, second, failed, first].map(({ message_id }) => [message_id, true]),
  );
}

async function approveContract(stage: Stage): Promise<Wire> {
  stage.scene("A contract for everybody, while one is away");
  await stage.leave(UI);
  const proposed = await publishByScript(stage, AUTH, "CONTRACT_CHANGE_PROPOSED", "POST /session", "Returns 201.");
  await readPending(stage, ORCHESTRATOR, [proposed]);
  const approved = await answer(stage, ORCHESTRATOR, "CONTRACT_APPROVED", "POST /session", "Returns 201.", proposed);
  stage.check(
    "addressed to both features",
    (approved["recipients"] as Wire[]).map(({ instance }) => instance),
    [AUTH, UI],
  );
  await readPending(stage, AUTH, [approved]);
  await stage.call(
    AUTH,
    "coord_ack_message",
    { message_id: approved["message_id"], comment: "adapted" },
    "acknowledges it",
  );
  stage.check(`${UI} is missing, as the orchestrator sees`, await receipts(stage, approved), [
    [UI, "stored", undefined],
    [AUTH, "acknowledged", "adapted"],
  ]);
  return approved;
}

async function comeBack(stage: Stage, contract: Wire): Promise<void> {
  stage.scene("Back again");
  await stage.start(UI);
  await readNotifications(stage, UI, [["message_published", "CONTRACT_APPROVED", ORCHESTRATOR]]);
  await readPending(stage, UI, [contract]);
  await stage.call(
    UI,
    "coord_ack_message",
    { message_id: contract["message_id"], comment: "noted" },
    "acknowledges it",
  );
  stage.check("nobody is missing any more", await receipts(stage, contract), [
    [AUTH, "acknowledged", "adapted"],
    [UI, "acknowledged", "noted"],
  ]);
  const pending = await stage.script(
    ORCHESTRATOR,
    "check-messages.sh",
    ["--all", "--pending"],
    "looks for anything left",
  );
  stage.check("nothing is pending anywhere", pending["messages"], []);
}

async function publishByScript(stage: Stage, who: string, type: string, subject: string, text: string): Promise<Wire> {
  const args = [type, subject, text];
  return stage.script(who, "publish-message.sh", args, `→ ${ORCHESTRATOR}  ${type}  "${subject}"`);
}

/** Publishes with `reply_to`, which also acknowledges. */
async function answer(
  stage: Stage,
  who: string,
  type: string,
  subject: string,
  description: string,
  to: Wire,
): Promise<Wire> {
  const args = { msg_type: type, subject, description, reply_to: to["message_id"] };
  const addressee = type === "CONTRACT_APPROVED" ? "all" : String(to["from"]);
  const result = await stage.call(who, "coord_publish_message", args, `→ ${addressee}  ${type}  "${subject}"`);
  stage.check("the message it answers is acknowledged", [result["to"], result["acknowledged"]], [addressee, true]);
  return result;
}

async function readPending(stage: Stage, who: string, expected: readonly Wire[]): Promise<void> {
  const result = await check(stage, who, { pending_only: true }, "reads what is pending");
  stage.check(
    expected.map(({ type }) => String(type)).join(", "),
    messagesOf(result).map(({ id }) => id),
    expected.map(({ message_id }) => message_id),
  );
}

async function readNotifications(stage: Stage, who: string, expected: readonly string[][]): Promise<void> {
  const result = await stage.call(who, "coord_get_notifications", {}, "asks what happened");
  const events = (result["notifications"] as Wire[]).map(({ event, type, from }) => [event, type, from]);
  stage.check("a notification of the answer", events, expected);
}

async function receipts(stage: Stage, message: Wire): Promise<unknown[]> {
  const result = await check(stage, ORCHESTRATOR, { message_id: message["message_id"] }, "looks who has acknowledged");
  const [found] = messagesOf(result);
  return ((found?.["receipts"] ?? []) as Wire[]).map(({ instance, state, comment }) => [instance, state, comment]);
}

function check(stage: Stage, who: string, args: Wire, what: string): Promise<Wire> {
  return stage.call(who, "coord_check_messages", args, what);
}

function messagesOf(result: Wire): Wire[] {
  return result["messages"] as Wire[];
}
