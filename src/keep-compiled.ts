import module from "node:module";

/** Since Node 22.1, which the types that we compile with do not know. */
const { enableCompileCache } = module as { enableCompileCache?: (folder: string) => unknown };

/**
 * Has Node keep what V8 compiles of the modules that are loaded from now on, for the next start. In a folder of the user:
 * Node's default lies among the temporary files, where another user could put code for us to run.
 */
export function keepCompiled(): void {
  const caches = process.env["XDG_CACHE_HOME"] || (process.env["HOME"] && `${process.env["HOME"]}/.cache`);
  if (caches) enableCompileCache?.(`${caches}/cli-coordination/compiled`);
}
