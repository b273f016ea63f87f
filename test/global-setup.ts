/** The surface tests run what is in dist/; plain `npx vitest run` builds it first where its sources are newer. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const BUILD_WITHIN_MS = 120_000;
const program = new URL("../tools/build.mjs", import.meta.url);

interface BuildTool {
  isBuildStale: () => Promise<boolean>;
}

export default async function buildWhenStale(): Promise<void> {
  const { isBuildStale } = (await import(program.href)) as BuildTool;
  if (!(await isBuildStale())) return;
  await promisify(execFile)(process.execPath, [fileURLToPath(program)], { timeout: BUILD_WITHIN_MS });
}
