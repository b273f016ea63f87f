import { defineConfig, type ViteUserConfig } from "vitest/config";
import { NotCheckedReporter } from "./test/not-checked.ts";
import { scriptModule } from "./tools/lua.mjs";
import { TEST_PATIENCE_MS } from "./test/patience.ts";

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
    testTimeout: TEST_PATIENCE_MS,
    hookTimeout: TEST_PATIENCE_MS,
  },
});
export default config;
