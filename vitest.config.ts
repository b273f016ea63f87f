import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  plugins: [
    {
      name: "lua-as-text",
      transform: (code: string, id: string) =>
        id.endsWith(".lua") ? { code: `export default ${JSON.stringify(code)};`, map: null } : undefined,
    },
  ],
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/global-setup.ts",
    pool: "forks",
    // As many as the smallest machine that we care about has cores; left alone, vitest takes one there.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
export default config;
