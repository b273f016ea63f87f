#!/usr/bin/env node
/** `coord`: loads what the command needs and nothing else. */
import { keepCompiled } from "./keep-compiled.ts";
import type { LazySurfaces } from "./surfaces/cli/grammar.ts";

keepCompiled();
const argv = process.argv.slice(2);

const serveMcp = async (instanceId?: string): Promise<void> =>
  (await import("./surfaces/mcp/main.ts")).serveMcp(instanceId);
const playDemo = async (): Promise<boolean> => (await import("./surfaces/cli/demo.ts")).playDemo();
const openPage: LazySurfaces["openPage"] = async (options) => (await import("./surfaces/ui/main.ts")).openPage(options);
const openBrowser = async (url: string): Promise<void> => (await import("./surfaces/ui/main.ts")).openBrowser(url);
const showOverview = async (): Promise<number> => (await import("./surfaces/cli/overview.ts")).showOverview();

async function run(): Promise<number> {
  if (argv.length === 1 && argv[0] === "mcp") {
    try {
      // As agents start it. Without the command line, which is a third of the start and of the memory of the server.
      await serveMcp();
      return 0;
    } catch {
      // Refused before anything was served: the command line meets the same refusal and knows how to say it.
    }
  }
  return (await import("./surfaces/cli/main.ts")).runCommandLine(argv, {
    serveMcp,
    playDemo,
    showOverview,
    openPage,
    openBrowser,
  });
}

// A look-up or a connection under way would keep the process alive after the command has said how it ended.
void run().then((exitCode) => process.exit(exitCode));
