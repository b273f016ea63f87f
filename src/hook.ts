/** `coord-hook`: a small program of its own beside `coord`, since it runs at every prompt and tool call. */
import { runHook } from "./surfaces/hook/main.ts";

void runHook(process.argv.slice(2)).then((exitCode) => process.exit(exitCode));
