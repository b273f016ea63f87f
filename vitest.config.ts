import { defineConfig, type ViteUserConfig } from "vitest/config";
import { NotCheckedReporter } from "./test/not-checked.ts";
import { scriptModule } from "./tools/lua.mjs";

const config: ViteUserConfig = defineConfig({
  plugins: [
    {
      name: "lua-scripts",
      transform: async (_code: string, id: string) =>
        id.endsWith(".lua") ? { code: await scriptModule(id), map: null } : undefined,
    },
  ],
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/global-setup.ts",
    reporters: ["default", new NotCheckedReporter()],
    pool: "forks",
    // As many as the smallest machine that we care about has cores; left alone, vitest takes one there.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
export default config;
