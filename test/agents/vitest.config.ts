import { defineConfig, type ViteUserConfig } from "vitest/config";

/** `npm run test:agents`: real agents, a scripted model. Not part of `npm test`: they are large and not ours to install. */
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/agents/**/*.e2e.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
export default config;
