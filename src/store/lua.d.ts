/** What tools/lua.mjs makes of lua/: by the names of the verbs, the scripts that Redis runs, and what it knows them by. */
declare module "lua:texts" {
  export const texts: Readonly<Record<string, string>>;
}
declare module "lua:sums" {
  export const sums: Readonly<Record<string, string>>;
}
