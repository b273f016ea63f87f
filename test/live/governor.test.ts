/** Two real servers whose agents thank each other for ever: the brake ends it, and both go on with what is work. */
import { expect, it } from "vitest";
import { type McpServer, START, useRedis } from "./agent.ts";

const bench = useRedis();

it("two agents that answer whatever they are sent are braked at the seventh thanks, and reviews are not", async () => {
  const stage = bench.stage();
  const servers: McpServer[] = [];
  for (const name of ["alice", "bob"]) {
    const agent = await stage.agent(name);
    await agent.hook(START);
    servers.push(await agent.mcp());
  }
  const sent: unknown[] = [];
  let reply_to: string | undefined;
  for (let turn = 0; turn < 8; turn++) {
    const thanks = {
      msg_type: "GENERAL",
      subject: "thanks",
      description: "Thank you!",
      to_instance: turn % 2 === 0 ? "bob" : "alice",
    };
    const result = await servers[turn % 2]!.call(
      "publish_message",
      reply_to === undefined ? thanks : { ...thanks, reply_to },
    );
    sent.push(result["code"] ?? "sent");
    reply_to = (result["message_id"] as string | undefined) ?? reply_to;
    if (result["code"] === "LOOP") expect(result["retry_after_seconds"]).toBeGreaterThan(0);
  }
  expect(sent).toEqual([...Array<string>(6).fill("sent"), "LOOP", "sent"]);
  const review = { msg_type: "READY_FOR_REVIEW", subject: "login", description: "done", to_instance: "bob", reply_to };
  expect(await servers[0]!.call("publish_message", review)).toMatchObject({ success: true });
  expect(await stage.raw.lrange(`${stage.prefix}:notifications:bob`, "0", "-1")).toContainEqual(
    expect.stringContaining('"event":"sender_braked","from":"alice"'),
  );
});
