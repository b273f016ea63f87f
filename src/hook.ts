#!/usr/bin/env node
/** `coord-hook`: a small program of its own beside `coord`, since it runs at every prompt and tool call. */
import { keepCompiled } from "./keep-compiled.ts";

keepCompiled();
void import("./surfaces/hook/main.ts").then(async ({ runHook }) => process.exit(await runHook(process.argv.slice(2))));
