/** `coord`: loads what the command needs and nothing else. */
import { runCommandLine } from "./surfaces/cli/main.ts";

// A look-up or a connection under way would keep the process alive after the command has said how it ended; what was
// written to standard output is flushed first.
void runCommandLine(process.argv.slice(2), {
  serveMcp: async (instanceId) => (await import("./surfaces/mcp/main.ts")).serveMcp(instanceId),
  playDemo: async () => (await import("./surfaces/cli/demo.ts")).playDemo(),
}).then((exitCode) => process.stdout.write("", () => process.exit(exitCode)));
