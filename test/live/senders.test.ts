/** Whether a sender is proven is said wherever an agent or a person reads a message. */
import { expect, it } from "vitest";
import { START, useRedis } from "./agent.ts";

const bench = useRedis();

it("says of an unproven message in frames, tools, commands and JSON that it is not proven", async () => {
  const stage = bench.stage();
  const id = await stage.send("backend", "login");
  await stage.raw.call("HSET", `${stage.prefix}:meta`, "senders", "mark");
  const agent = await stage.agent("backend");
  const frames = (await agent.shown(START)).match(/<agent-message .*>/g) ?? [];
  expect(frames).toEqual([expect.stringContaining(' proof="none"')]);
  for (const args of [
    ["check", "--pending"],
    ["show", id],
    ["search", "login"],
  ]) {
    expect((await agent.coord(...args)).stdout.split("\n")).toContain("  Sender: NOT PROVEN");
    expect(await agent.json(...args)).toMatchObject({ messages: [{ id, proven: false }] });
  }
  const mcp = await agent.mcp();
  expect(await mcp.call("check_messages", { pending_only: true })).toMatchObject({ messages: [{ id, proven: false }] });
  expect(await mcp.call("ack_message", { message_id: id })).toMatchObject({ success: false, code: "IDENTITY" });
  await stage.raw.call("HSET", `${stage.prefix}:meta`, "senders", "off");
  expect(await agent.json("show", id)).not.toHaveProperty("messages.0.proven");
});
