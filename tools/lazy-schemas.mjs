/**
 * The MCP SDK describes each message of MCP with zod when it is loaded, and once more at the first request: 324 schemas of
 * dozens of closures each, of which our server needs some forty. Here each is made when it is first asked for: a third of the
 * time from the start of `coord mcp` to its first result.
 *
 * A declaration `const X = …` becomes `const X = later(() => …)`, and a use of it `X()`. That is done on the text, which is as
 * regular as the SDK's bundler writes it; where another version of it is not, the build fails.
 */

/** Up to a semicolon or comma on the first line, or on one that closes a bracket as far in as that. */
const value = (indent) => String.raw`.*?|.*(?:\n${indent}[\t})\]].*)*?\n${indent}[})\]].*?`;
/** The last three are read from schemas when the SDK is loaded. */
const DECLARATION = new RegExp(
  String.raw`^(\t?)const (\w+Schema(?:\$1)?|ROOT_KEYS|PROPERTY_KEYS_BY_TYPE|SUPPORTED_STRING_FORMATS) = (${value("\\1")});$`,
  "gm",
);
const LATER = "function later(make) { let made; return () => (made ??= make()); }";

/** A field of the object that has all schemas of a revision, and of the one that has them by method. */
const SCHEMA_FIELD = new RegExp(String.raw`^\t\t([A-Z]\w*Schema): (${value("\\t\\t")})(,|(?=\n\t\};))$`, "gm");
const METHOD_FIELD = /^\t{3}("[^"]+"|\w+): (s\.\w+)(,?)$/gm;

/** Files that the SDK's bundler took into one. */
const REGION = /^(?=\/\/#region )/m;
const REGIONS = {
  "/wire/rev2025-11-25/buildSchemas.ts": (text) =>
    makeLater(text).replace(SCHEMA_FIELD, "\t\tget $1() { return (this._$1 ??= $2); }$3"),
  "/wire/rev2025-11-25/registry.ts": (text) => text.replace(METHOD_FIELD, "\t\t\tget $1() { return $2; }$3"),
  // A revision that we do not speak: as it is, none of its schemas is made.
  "/wire/rev2026-07-28/buildSchemas.ts": (text) => text,
  // A list of all schemas, for whoever wants to check something by himself.
  "/types/specTypeSchema.ts": (text) => text.replace(/^for \(const .*\) register\(.*$/gm, ""),
};

/** @param text a module of the SDK */
export function makeSchemasLater(text) {
  const imports = [...text.matchAll(/^import .*;$/gm)].join("\n");
  const imported = imports.match(/\b[A-Z]\w*Schema\b(?=[ ,}])/g) ?? [];
  const regions = text.split(REGION).map((region) => {
    const [, change] = Object.entries(REGIONS).find(([name]) => region.includes(name)) ?? [];
    return change === undefined ? makeLater(region, imported) : change(region);
  });
  return [LATER, ...regions].join("\n");
}

function makeLater(text, imported = []) {
  const declared = [...text.matchAll(DECLARATION)].map(([, , name]) => name);
  if (declared.length + imported.length === 0) return text;
  const names = [...imported, ...declared].map((name) => name.replace("$", String.raw`\$`)).join("|");
  const use = new RegExp(String.raw`(?<!const |[\w$'"]|(?<!\.\.)\.)(${names})(?![\w$'":])`, "g");
  const later = text
    .replace(/^(?!import |export ).*$/gm, (line) => line.replace(use, "$1()"))
    .replace(DECLARATION, "$1const $2 = /* @__PURE__ */ later(() => ($3));");
  const [missed] = later.match(/^\t?const \w+Schema(?:\$1)? = z\..*$/m) ?? [];
  if (missed !== undefined) throw new Error(`tools/lazy-schemas.mjs does not know the form of: ${missed}`);
  return later;
}
