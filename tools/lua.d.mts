/** For vitest.config.ts, which is type-checked. */
export const SCRIPT_MODULE: RegExp;
export function scriptModule(name: string): Promise<string>;
