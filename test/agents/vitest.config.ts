import { defineConfig, type ViteUserConfig } from "vitest/config";
import { NotCheckedReporter } from "../not-checked.ts";

/** `npm run test:agents`: real agents, a scripted model. Not part of `npm test`: they are large and not ours to install. */
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/agents/**/*.e2e.ts"],
    reporters: ["default", new NotCheckedReporter()],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
export default config;
