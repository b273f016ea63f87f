import { defineConfig, type ViteUserConfig } from "vitest/config";
import { NotCheckedReporter } from "./test/not-checked.ts";
import { SCRIPT_MODULE, scriptModule } from "./tools/lua.mjs";
import { TEST_PATIENCE_MS } from "./test/patience.ts";

const config: ViteUserConfig = defineConfig({
  plugins: [
    {
      name: "lua-scripts",
      resolveId: (id: string) => (SCRIPT_MODULE.test(id) ? id : undefined),
      load: async (id: string) => (SCRIPT_MODULE.test(id) ? scriptModule(id) : undefined),
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
