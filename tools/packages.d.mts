/** For the tests, which are type-checked. */
export function packages(): Promise<Record<string, unknown>>;
