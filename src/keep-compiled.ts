/** Since Node 22, which the types that we compile with do not know. */
interface KeepsCompiled {
  enableCompileCache?: (folder: string) => unknown;
}
const FIRST_MAJOR = 22;

/**
 * Has Node keep what V8 compiles of the modules that are loaded from now on, for the next start. In a folder of the user:
 * Node's default lies among the temporary files, where another user could put code for us to run.
 */
export function keepCompiled(): void {
  // An older Node would load node:module, a fiftieth of a command, only to learn that it cannot.
  if (Number.parseInt(process.versions.node, 10) < FIRST_MAJOR) return;
  const caches = process.env["XDG_CACHE_HOME"] || (process.env["HOME"] && `${process.env["HOME"]}/.cache`);
  if (!caches) return;
  // Node 22.1 and 22.2 would have the cache, but not this way to it.
  const module = process.getBuiltinModule?.("node:module") as KeepsCompiled | undefined;
  module?.enableCompileCache?.(`${caches}/cli-coordination/compiled`);
}
