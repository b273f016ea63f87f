/** How a verb of lua/ becomes the script that Redis runs; the build and the test runner import verbs through this. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";

/** The first line of a verb holds its flags and must come first; the prelude follows, the parts that it USES, then the verb. */
async function readParts(file) {
  const verb = await readFile(file, "utf8");
  const end = verb.indexOf("\n") + 1;
  const uses = /^-- USES +(.+)$/m.exec(verb)?.[1].split(" ") ?? [];
  const shared = ["prelude.lua", ...uses.map((part) => `parts/${part}.lua`)];
  return { head: verb.slice(0, end), shared, body: verb.slice(end) };
}

export async function assembleScript(file) {
  const { head, shared, body } = await readParts(file);
  const texts = shared.map((part) => readFile(path.join(path.dirname(file), part), "utf8"));
  const source = [head, ...(await Promise.all(texts)), body].join("");
  // The name by which Redis knows it. Hashed here, no program loads node:crypto for it.
  return { source, sha: createHash("sha1").update(source).digest("hex") };
}

/** What an import of `file` gives. The texts stand in functions, which V8 compiles only where Redis lacks a script. */
export async function scriptModule(file) {
  if (path.basename(file) === "prelude.lua" || path.basename(path.dirname(file)) === "parts") {
    return `export default () => ${JSON.stringify(await readFile(file, "utf8"))};`;
  }
  const [{ head, shared, body }, { sha }] = await Promise.all([readParts(file), assembleScript(file)]);
  const imports = shared.map((part, i) => `import part${i} from "./${part}";`);
  const calls = shared.map((_, i) => `part${i}()`).join(" + ");
  return `${imports.join("\n")}
    export default { sha: "${sha}", get source() { return ${JSON.stringify(head)} + ${calls} + ${JSON.stringify(body)}; } };`;
}

/** For esbuild. */
export const luaScripts = {
  name: "lua-scripts",
  setup: ({ onLoad }) => onLoad({ filter: /\.lua$/ }, async (file) => ({ contents: await scriptModule(file.path) })),
};
