/** How a verb of lua/ becomes the script that Redis runs; the build and the test runner import the scripts through this. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../lua", import.meta.url));
const PRELUDE = "prelude.lua";

/**
 * The pieces of the script, texts and names of files, in their order: the first line of the verb, which holds its flags and
 * must come first; the prelude; the rest of the verb, with the parts where it says that it USES them.
 */
async function readPieces(verb) {
  const text = await readFile(path.join(folder, `${verb}.lua`), "utf8");
  const end = text.indexOf("\n") + 1;
  const [head, ...others] = text.slice(end).split(/^-- USES +(.+)\n/m);
  const pieces = [{ text: text.slice(0, end) }, { file: PRELUDE }, { text: head }];
  for (let i = 0; i < others.length; i += 2) {
    for (const part of others[i].split(" ")) pieces.push({ file: `parts/${part}.lua` });
    pieces.push({ text: others[i + 1] });
  }
  return pieces;
}

/** By the names of the files that scripts share their texts, and by the names of the verbs the pieces of their scripts. */
async function readScripts() {
  const verbs = (await readdir(folder)).filter((name) => name.endsWith(".lua") && name !== PRELUDE);
  const scripts = {};
  const files = {};
  for (const verb of verbs.map((name) => path.basename(name, ".lua")).toSorted()) {
    scripts[verb] = await readPieces(verb);
    for (const { file } of scripts[verb]) if (file) files[file] ??= await readFile(path.join(folder, file), "utf8");
  }
  return { files, scripts };
}

/** The names by which Redis knows the scripts. Hashed here, no program loads node:crypto for it. */
export async function scriptSums() {
  const { files, scripts } = await readScripts();
  const sum = (pieces) => {
    const hash = createHash("sha1");
    for (const { text, file } of pieces) hash.update(text ?? files[file]);
    return hash.digest("hex");
  };
  return Object.fromEntries(Object.entries(scripts).map(([verb, pieces]) => [verb, sum(pieces)]));
}

/** What an import of `lua:texts` or `lua:sums` gives: both by the names of the verbs. */
export async function scriptModule(name) {
  if (name === "lua:sums") return `export const sums = ${JSON.stringify(await scriptSums())};`;
  const { files, scripts } = await readScripts();
  const expression = ({ text, file }) => (text === undefined ? `files[${JSON.stringify(file)}]` : JSON.stringify(text));
  const texts = Object.entries(scripts).map(([verb, pieces]) => `${verb}: ${pieces.map(expression).join(" + ")}`);
  return `const files = ${JSON.stringify(files)};\nexport const texts = { ${texts.join(",\n")} };`;
}

export const SCRIPT_MODULE = /^lua:(texts|sums)$/;

/** For esbuild. */
export const luaScripts = {
  name: "lua-scripts",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: SCRIPT_MODULE }, ({ path: name }) => ({ path: name, namespace: "lua" }));
    onLoad({ filter: SCRIPT_MODULE, namespace: "lua" }, async ({ path: name }) => ({
      contents: await scriptModule(name),
    }));
  },
};
