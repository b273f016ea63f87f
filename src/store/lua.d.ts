/** A verb is imported as the script that Redis runs, by tools/lua.mjs. */
declare module "*.lua" {
  const script: { readonly sha: string; readonly source: string };
  export default script;
}
