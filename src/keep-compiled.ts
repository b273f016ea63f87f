/** Since Node 22.1, which the types that we compile with do not know. */
interface Module {
  enableCompileCache(folder: string): unknown;
}
const FIRST_MAJOR = 22;

/**
 * Has Node keep what V8 compiles of the modules that are loaded from now on, for the next start. In a folder of the user:
 * Node's default lies among the temporary files, where another user could put code for us to run.
 */
export function keepCompiled(): void {
  // Older ones are not asked: loading the module is a fiftieth of a start.
  if (Number.parseInt(process.versions.node, 10) < FIRST_MAJOR) return;
  const caches = process.env["XDG_CACHE_HOME"] || (process.env["HOME"] && `${process.env["HOME"]}/.cache`);
  const module = process.getBuiltinModule("node:module") as Partial<Module>;
  if (caches) module.enableCompileCache?.(`${caches}/cli-coordination/compiled`);
}
