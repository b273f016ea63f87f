/** How a verb of lua/ becomes the script that Redis runs; the build and the test runner import verbs through this. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";

/**
 * The pieces of the script, files of lua/ and texts, in their order: the first line of the verb, which holds its flags and
 * must come first; the prelude; the rest of the verb, with the parts where it says that it USES them.
 */
async function readPieces(file) {
  const verb = await readFile(file, "utf8");
  const end = verb.indexOf("\n") + 1;
  const [head, ...others] = verb.slice(end).split(/^-- USES +(.+)\n/m);
  const pieces = [{ text: verb.slice(0, end) }, { file: "prelude.lua" }, { text: head }];
  for (let i = 0; i < others.length; i += 2) {
    for (const part of others[i].split(" ")) pieces.push({ file: `parts/${part}.lua` });
    pieces.push({ text: others[i + 1] });
  }
  return pieces;
}

export async function assembleScript(file) {
  const pieces = await readPieces(file);
  const folder = path.dirname(file);
  const texts = pieces.map(async ({ text, file: part }) => text ?? readFile(path.join(folder, part), "utf8"));
  const source = (await Promise.all(texts)).join("");
  // The name by which Redis knows it. Hashed here, no program loads node:crypto for it.
  return { source, sha: createHash("sha1").update(source).digest("hex") };
}

/** What an import of `file` gives. The texts stand in functions, which V8 compiles only where Redis lacks a script. */
export async function scriptModule(file) {
  if (path.basename(file) === "prelude.lua" || path.basename(path.dirname(file)) === "parts") {
    return `export default () => ${JSON.stringify(await readFile(file, "utf8"))};`;
  }
  const [pieces, { sha }] = await Promise.all([readPieces(file), assembleScript(file)]);
  const imports = pieces.map((piece, i) =>
    piece.file === undefined ? "" : `import part${i} from "./${piece.file}";\n`,
  );
  const texts = pieces.map(({ text }, i) => (text === undefined ? `part${i}()` : JSON.stringify(text)));
  return `${imports.join("")}export default { sha: "${sha}", get source() { return ${texts.join(" + ")}; } };`;
}

/** For esbuild. */
export const luaScripts = {
  name: "lua-scripts",
  setup: ({ onLoad }) => onLoad({ filter: /\.lua$/ }, async (file) => ({ contents: await scriptModule(file.path) })),
};
