/** `coord mcp`: the MCP server over standard input and output. Nothing but protocol is ever written to standard output. */
import { PassThrough } from "node:stream";
import { Server } from "@modelcontextprotocol/server";
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { CoordinationClient } from "../../client/client.ts";
import { requireIdentity, resolveSettings } from "../../client/settings.ts";
import { VERSION } from "../../protocol/version.ts";
import { instructions } from "./instructions.ts";
import { callTool, describeTools } from "./tools.ts";

/**
 * Serves until the input ends or a signal comes. Redis may be down: the tools say so, and work once it is back.
 *
 * @throws CoordinationError IDENTITY, INVALID before anything is served
 */
export async function serveMcp(instanceId: string | undefined): Promise<void> {
  const settings = resolveSettings({ instanceId });
  const instance = requireIdentity(settings);
  const client = new CoordinationClient(settings, { persistent: true });
  const calls = new Set<Promise<unknown>>();

  const server = new Server(
    { name: "coord", title: "CLI Coordination", version: VERSION },
    { capabilities: { tools: {} }, instructions: instructions(instance, settings.orchestrator) },
  );
  server.setRequestHandler("tools/list", () => ({ tools: describeTools() }));
  server.setRequestHandler("tools/call", ({ params }, { mcpReq }) => {
    const call = callTool(client, params.name, params.arguments, mcpReq.signal);
    calls.add(call);
    void call.finally(() => calls.delete(call));
    return call;
  });

  // `connect` and not the SDK's `serveStdio`: that would negotiate the 2026-07-28 revision, in which a server cannot push.
  const input = new PassThrough();
  await server.connect(new StdioServerTransport(input, process.stdout));
  client.touch().catch(() => undefined); // no Redis yet: every call says so itself

  await new Promise<void>((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
    server.onclose = resolve;
    // The transport drops what is under way when its input ends; requests from a pipe are answered first.
    process.stdin.on("data", (chunk) => input.write(chunk));
    process.stdin.once("end", () => {
      setImmediate(() => void Promise.allSettled(calls).then(() => setImmediate(() => input.end())));
    });
  });
  client.close();
  await server.close();
  process.stdin.destroy();
}
