/** How a verb of lua/ becomes the script that Redis runs; the build and the test runner import verbs through this. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";

/** The first line of a verb holds its flags and must come first; the prelude follows, then the verb. */
export async function assembleScript(file) {
  const verb = await readFile(file, "utf8");
  const prelude = await readFile(path.join(path.dirname(file), "prelude.lua"), "utf8");
  const end = verb.indexOf("\n") + 1;
  const [head, body] = [verb.slice(0, end), verb.slice(end)];
  // The name by which Redis knows it. Hashed here, no program loads node:crypto for it.
  return {
    sha: createHash("sha1")
      .update(head + prelude + body)
      .digest("hex"),
    head,
    prelude,
    body,
  };
}

/** What an import of `file` gives. The texts stand in functions, which V8 compiles only where Redis lacks a script. */
export async function scriptModule(file) {
  if (path.basename(file) === "prelude.lua") {
    return `export default () => ${JSON.stringify(await readFile(file, "utf8"))};`;
  }
  const { sha, head, body } = await assembleScript(file);
  return `import prelude from "./prelude.lua";
    export default { sha: "${sha}", get source() { return ${JSON.stringify(head)} + prelude() + ${JSON.stringify(body)}; } };`;
}

/** For esbuild. */
export const luaScripts = {
  name: "lua-scripts",
  setup: ({ onLoad }) => onLoad({ filter: /\.lua$/ }, async (file) => ({ contents: await scriptModule(file.path) })),
};
