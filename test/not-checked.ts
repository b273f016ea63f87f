/**
 * Names the tests that were skipped, each with the reason that it gave to `skip`: what was not tried must not look tried. Written
 * to the file that COORD_TEST_NOT_CHECKED names, where `npm test` counts them, else printed.
 */
import { writeFileSync } from "node:fs";
import type { Reporter, TestModule, Vitest } from "vitest/node";

interface NotChecked {
  name: string;
  reason: string;
}

export class NotCheckedReporter implements Reporter {
  #isNarrowed = false;

  onInit(vitest: Vitest): void {
    this.#isNarrowed = vitest.config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) => this.#skippedIn(module));
    const file = process.env["COORD_TEST_NOT_CHECKED"];
    if (file !== undefined) return writeFileSync(file, JSON.stringify(skipped));
    for (const { name, reason } of skipped) console.log(`not checked: ${name}: ${reason}`);
  }

  #skippedIn(module: TestModule): NotChecked[] {
    return Array.from(module.children.allTests("skipped")).flatMap((test) => {
      const { note } = test.result() as { note?: string };
      // Without a reason: not asked for (-t), or after a hook that failed, which is told as a failure.
      if (note === undefined && (this.#isNarrowed || module.state() === "failed")) return [];
      return { name: test.name, reason: note ?? `skipped in ${module.relativeModuleId}` };
    });
  }
}
