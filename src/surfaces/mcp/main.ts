/** `coord mcp`: the MCP server over standard input and output. Nothing but protocol is ever written to standard output. */
import { Server } from "@modelcontextprotocol/server";
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { identifyRun } from "../../client/agent-run.ts";
import { CoordinationClient } from "../../client/client.ts";
import { knowProcess, onceGone, onceToldToEnd } from "../../client/process.ts";
import { serverAddress } from "../../client/inspection.ts";
import { recordRun, settingsOfRun } from "../../client/recording.ts";
import { requireIdentity, workingFolder } from "../../client/settings.ts";
import { VERSION } from "../../protocol/version.ts";
import { hearsChannels, ringChannel } from "./channel.ts";
import { acceptFrames } from "./frames.ts";
import { instructions } from "./instructions.ts";
import { reportProgress } from "./progress.ts";
import { callTool, describeTools } from "./tools.ts";

/**
 * V8 lets the space for new objects grow with every collection and never gives it back: after 1,000 calls 90 MB of resident
 * memory, with a fixed one 69. Set once the server has started, since V8 refuses what was compiled under other flags.
 */
const MEMORY_FLAG = "--semi-space-growth-factor=1";
const STARTED_MILLISECONDS = 1_000;

/**
 * What a client may have asked without reading an answer: beyond either bound it is not listened to until it has read, so that
 * its requests wait in its own pipe. A call may wait for mail, so these are many.
 */
const CALLS_MAXIMUM = 256;
const UNREAD_BYTES_MAXIMUM = 1024 * 1024;

/** Leaving is polite; a Redis that does not answer must not hold up the end. */
const LEAVE_MILLISECONDS = 500;

/**
 * Serves until the input ends, a signal comes or the agent is gone. Redis may be down: the tools say so, and work once it is back.
 *
 * @throws CoordinationError IDENTITY, INVALID before anything is served
 */
export async function serveMcp(instanceId: string | undefined): Promise<void> {
  const cwd = process.env["CLAUDE_PROJECT_DIR"] ?? workingFolder();
  const run = identifyRun({ env: process.env, cwd });
  const settings = settingsOfRun(run, { instanceId, cwd });
  // An agent whose server ends at once would call it broken: kept out, it serves, and each tool refuses.
  const keptOut = settings.instanceId === undefined && process.env["COORD_OFF"] === "1";
  if (!keptOut) requireIdentity(settings);
  // Where the host has hooks, theirs comes and wins.
  if (settings.sources.run === undefined) recordRun(run, settings, "server");
  const client = new CoordinationClient(settings);
  client.session.governed = true;
  const inputEnded = new AbortController();
  const calls = new Set<Promise<unknown>>();
  const confirmations = new Map<string | number, () => Promise<void>>();
  const listen = (): void => {
    const busy = calls.size >= CALLS_MAXIMUM || process.stdout.writableLength >= UNREAD_BYTES_MAXIMUM;
    if (busy) process.stdin.pause();
    else process.stdin.resume();
  };

  const server = new Server(
    { name: "coord", title: "CLI Coordination", version: VERSION },
    {
      capabilities: { tools: {}, experimental: { "claude/channel": {} } },
      instructions: instructions(
        settings.instanceId,
        settings.orchestrator,
        `${settings.keyPrefix} at ${serverAddress(settings)}`,
      ),
    },
  );
  server.setRequestHandler("tools/list", () => ({ tools: describeTools() }));
  server.setRequestHandler("tools/call", ({ params }, { mcpReq }) => {
    const stopProgress = reportProgress(mcpReq);
    const confirmLater = (confirm: () => Promise<void>): void => void confirmations.set(mcpReq.id, confirm);
    const call = callTool(
      client,
      params.name,
      params.arguments,
      AbortSignal.any([mcpReq.signal, inputEnded.signal]),
      confirmLater,
    );
    calls.add(call);
    void call.finally(() => {
      stopProgress();
      calls.delete(call);
      listen();
    });
    return call;
  });
  server.oninitialized = () => {
    const name = server.getClientVersion()?.name;
    if (name?.startsWith("claude-code") && !keptOut) void ringChannel(server, client);
  };

  // `connect` and not the SDK's `serveStdio`: that would negotiate the 2026-07-28 revision, in which a server cannot push.
  const input = acceptFrames((line) => process.stdout.write(line));
  const transport = new StdioServerTransport(input, process.stdout);
  // Each answer that a slow client has still to read waits for it; Node takes more than ten that wait for a leak, and says so.
  process.stdout.setMaxListeners(0);
  await server.connect(transport);
  const send = transport.send.bind(transport);
  // Events are confirmed when they have been written, not when they have been read: in between this process may die.
  transport.send = async (message) => {
    await send(message);
    if (!("id" in message) || message.id === undefined) return;
    const confirm = confirmations.get(message.id);
    confirmations.delete(message.id);
    await confirm?.().catch(() => undefined); // not confirmed: they come again
  };
  // Nobody has asked for anything yet: it must not take the name from whoever speaks. No Redis yet: each beat tries again.
  if (!keptOut)
    void client.session.stay(
      { ...run, pid: process.pid, ...(hearsChannels(run.agentPid) ? { channel: true } : {}) },
      { unlessTaken: true, surface: "server" },
    );

  setTimeout(() => process.getBuiltinModule("node:v8").setFlagsFromString(MEMORY_FLAG), STARTED_MILLISECONDS).unref();

  await new Promise<void>((resolve) => {
    onceToldToEnd(resolve);
    // Another process may hold the other end of the input, which then never ends.
    if (run.agentPid !== undefined) onceGone(knowProcess(run.agentPid), resolve);
    process.stdout.on("error", () => resolve()); // the client reads no more
    server.onclose = resolve;
    // The transport drops what is under way when its input ends; requests from a pipe are answered first.
    process.stdin.on("data", (chunk) => {
      input.write(chunk, listen);
    });
    process.stdout.on("drain", listen);
    process.stdin.once("end", () => {
      inputEnded.abort(); // a call that waits answers now with what it has
      setImmediate(() => void Promise.allSettled(calls).then(() => setImmediate(() => input.end())));
    });
  });
  await Promise.race([
    client.leave().catch(() => undefined),
    new Promise((resolve) => setTimeout(resolve, LEAVE_MILLISECONDS)),
  ]);
  client.close();
  await server.close();
  process.stdin.destroy();
}
