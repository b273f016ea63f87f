/** For vitest.config.ts, which is type-checked. */
export function scriptModule(file: string): Promise<string>;
