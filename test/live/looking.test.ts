/** [G11] A person who looks, in a terminal of the work tree of a live agent, takes nothing away from it. */
import { describe, expect, it } from "vitest";
import type { Agent, Ended, Stage } from "./agent.ts";
import { COORD, END, PROMPT, START, STOP, until, useRedis } from "./agent.ts";
import { run } from "../surfaces/run.ts";

const bench = useRedis();
const LINE = "You only looked: all stays as it was for the agent of this name. --take takes it.\n";

/** In a terminal of its own, that no agent has started. */
async function terminal(stage: Stage, ...args: string[]): Promise<Pick<Ended, "code" | "stdout" | "stderr">> {
  return run("/bin/sh", ["-c", '"$@" & wait $!', "sh", process.execPath, COORD, ...args], {
    env: { ...stage.env, CLAUDE_INSTANCE_ID: "backend" },
    cwd: stage.cwd,
  });
}

async function speaking(program: "claude" | "codex" = "claude"): Promise<{ stage: Stage; agent: Agent }> {
  const stage = bench.stage();
  await stage.hadSession("backend");
  const agent = await stage.agent("backend", program);
  await agent.hook(START);
  return { stage, agent };
}

/** What belongs to the name, as it is stored. */
async function stored(stage: Stage): Promise<unknown> {
  const key = (kind: string): string => `${stage.prefix}:${kind}`;
  return {
    unread: await stage.raw.zrange(key("unread:backend"), "0", "-1"),
    queue: await stage.raw.lrange(key("notifications:backend"), "0", "-1"),
    loans: await stage.raw.hgetall(key("loans:backend")),
    entry: await stage.entry("backend"),
  };
}

describe.concurrent("[G11] in a terminal beside a live agent", () => {
  it("check, show and notifications show what is new, say so, and leave it for the agent", async () => {
    const { stage, agent } = await speaking();
    const id = await stage.send("backend", "login");
    const before = await stored(stage);
    for (const args of [
      ["check"],
      ["check", "--pending"],
      ["check", "--wait", "0"],
      ["show", id],
      ["show", id, "--thread"],
    ]) {
      const { code, stdout, stderr } = await terminal(stage, ...args);
      expect([args, code, stderr, stdout.includes("About login.")]).toEqual([args, 0, LINE, true]);
    }
    // It takes nothing from anybody, wherever it is called.
    const found = await terminal(stage, "search", "login", "is:unread");
    expect([found.code, found.stderr, found.stdout.includes("About login.")]).toEqual([0, "", true]);
    const { stdout } = await terminal(stage, "notifications");
    expect(stdout).toContain(id);
    for (const args of [["check"], ["show", id], ["notifications"]]) {
      const said = await terminal(stage, ...args, "--json");
      expect([args, said.stderr, JSON.parse(said.stdout)]).toMatchObject([
        args,
        "",
        { success: true, count: 1, looking: true },
      ]);
    }
    await terminal(stage, "statusline");
    expect(await stored(stage)).toEqual(before);
    expect(await agent.shown(PROMPT)).toContain("About login.");
    expect(await agent.shown(PROMPT)).not.toContain("About login.");
  });

  it("after the agent has ended as well: its next session is shown it, and nobody is present for it", async () => {
    const { stage, agent } = await speaking();
    await agent.hook({ hook_event_name: "SessionEnd", reason: "other" });
    await stage.send("backend", "login");
    expect((await terminal(stage, "check")).stderr).toBe(LINE);
    expect(await stage.status("backend")).toBe("offline");
    const next = await stage.agent("backend");
    expect(await next.shown(START)).toContain("About login.");
  });

  it("--take reads for the agent, and --peek takes nothing from a name without an agent either", async () => {
    const { stage, agent } = await speaking();
    await stage.send("backend", "login");
    expect(JSON.parse((await terminal(stage, "check", "--take", "--json")).stdout)).not.toHaveProperty("looking");
    expect(await agent.shown(PROMPT)).not.toContain("About login.");
    await stage.send("shell", "login");
    const looked = await terminal(stage, "check", "--instance", "shell", "--peek", "--json");
    expect(JSON.parse(looked.stdout)).toMatchObject({ count: 1, looking: true });
    const read = await terminal(stage, "check", "--instance", "shell", "--wait", "1", "--json");
    expect(JSON.parse(read.stdout)).toMatchObject({ count: 1 });
    expect(JSON.parse(read.stdout)).not.toHaveProperty("looking");
    expect(await terminal(stage, "check", "--peek", "--take")).toMatchObject({ code: 1, stdout: "" });
  });

  it("a wait returns what is published after it began, which the agent is shown all the same", async () => {
    const { stage, agent } = await speaking();
    await stage.send("backend", "before");
    const waiting = terminal(stage, "check", "--wait", "20", "--json");
    await until(
      async () => ((await stage.raw.call("PUBSUB", "NUMSUB", `${stage.prefix}:notify:backend`)) as unknown[])[1] === 1,
    );
    await stage.send("backend", "after");
    expect(JSON.parse((await waiting).stdout)).toMatchObject({ count: 1, messages: [{ subject: "after" }] });
    const text = await agent.shown(PROMPT);
    expect(text).toContain("About before.");
    expect(text).toContain("About after.");
  });
});

describe.concurrent("[G11] in the shell of the agent itself", () => {
  it.each(["claude", "codex"] as const)("of %s, check is its reading: it is not shown that again", async (program) => {
    const { stage, agent } = await speaking(program);
    await stage.send("backend", "login");
    const read = await agent.json("check");
    expect(read).toMatchObject({ success: true, count: 1 });
    expect(read).not.toHaveProperty("looking");
    expect(await agent.shown(PROMPT)).not.toContain("About login.");
  });
});

describe.concurrent("[G11] what is sent from a terminal beside a live agent", () => {
  it("says everywhere that it came from outside; what the agent sends does not, nor what is sent once it has left", async () => {
    const { stage, agent } = await speaking();
    const send = ["GENERAL", "hello", "", "--to", "reader"];
    expect((await terminal(stage, "publish", ...send)).code).toBe(0);
    expect((await agent.coord("publish", ...send)).code).toBe(0);
    expect(
      await (
        await agent.mcp()
      ).call("publish_message", {
        msg_type: "GENERAL",
        subject: "hello",
        description: "",
        to_instance: "reader",
      }),
    ).toMatchObject({ success: true });
    await agent.hook(END);
    expect((await terminal(stage, "publish", ...send)).code).toBe(0);
    const reader = await stage.agent("reader");
    const frames = (await reader.shown(START)).match(/<agent-message .*>/g) ?? [];
    expect(frames.map((frame) => frame.includes(' outside="yes"'))).toEqual([true, false, false, false]);
    const { messages } = (await reader.json("check", "--pending")) as { messages: { outside?: boolean }[] };
    expect(messages.map(({ outside }) => outside)).toEqual([true, undefined, undefined, undefined]);
    const shown = (await reader.coord("check", "--pending")).stdout;
    expect(shown.split("\n").filter((line) => line === "  Sent from outside of its sender's session.")).toHaveLength(1);
  });
});

describe.concurrent("[G11] what is acknowledged from a terminal beside a live agent", () => {
  it("is settled; the agent is shown it once, as acknowledged outside, and is reminded of nothing", async () => {
    const { stage, agent } = await speaking();
    const id = await stage.send("backend", "login", { type: "REVIEW_FAILED" });
    const said = await terminal(stage, "ack", id, "--comment", "by hand");
    expect(said.stdout).toContain("\n  From outside of its agent's session, which is shown the message once.\n");
    expect((await stage.presence("backend"))?.pending).toBe(0);
    const text = await agent.shown(PROMPT);
    expect(text.match(/<agent-message .*>/)?.[0]).toBe(
      `<agent-message from="orchestrator" type="REVIEW_FAILED" id="${id}" acknowledged="outside">`,
    );
    expect(text).toContain("| About login.");
    expect(text).not.toContain("Still waiting");
    expect([await agent.shown(STOP), await agent.shown(PROMPT)]).toEqual(["", ""]);
    // Its sender learns whose answer that was.
    const sender = await stage.agent("orchestrator");
    expect(await sender.shown(START)).toContain(
      `backend acknowledged your REVIEW_FAILED ${id} from outside of its session.\n`,
    );
    expect((await sender.coord("show", id)).stdout).toContain("    backend acknowledged from outside");
  });

  it("after the agent was shown it, is not shown again", async () => {
    const { stage, agent } = await speaking();
    const id = await stage.send("backend", "login", { type: "REVIEW_FAILED" });
    expect(await agent.shown(PROMPT)).toContain("| About login.");
    expect((await terminal(stage, "ack", id)).code).toBe(0);
    expect([await agent.shown(STOP), await agent.shown(PROMPT)]).toEqual(["", ""]);
  });
});
