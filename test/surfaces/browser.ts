/** A real browser for tests of the page: the Chromium of the system, started once for a file. */
import { existsSync } from "node:fs";
import axe from "axe-core";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished } from "vitest";
import { PATIENCE_MS } from "../patience.ts";

const PROGRAMS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];
const program = PROGRAMS.find((path) => existsSync(path));

/** Why there is no browser, if so. */
export const noBrowser: string | undefined = program === undefined ? "there is no Chromium here" : undefined;

/** Call it at the top of a file. */
export function useBrowser(): { page: (options?: BrowserContextOptions) => Promise<Tab> } {
  let browser: Browser | undefined;
  beforeAll(async () => {
    // Its sandbox needs rights that containers and root have not; it opens nothing but our own page.
    const args = ["--no-sandbox", "--disable-dev-shm-usage"];
    if (program !== undefined) browser = await chromium.launch({ executablePath: program, args });
  });
  afterAll(() => browser?.close());
  return {
    page: async (options) => {
      const context = await browser!.newContext({ locale: "en", ...options });
      onTestFinished(() => context.close());
      return Tab.open(context);
    },
  };
}

/** A tab that keeps what it complains about: what breaks the content security policy is one of these. */
export class Tab {
  readonly page: Page;
  readonly complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(message.text());
    });
    page.on("pageerror", ({ message }) => this.complaints.push(message));
    page.on("dialog", (dialog) => {
      this.complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
  }

  static async open(context: BrowserContext): Promise<Tab> {
    return new Tab(await context.newPage());
  }

  /** Another tab of the same browser, which shares its cookies. */
  async another(): Promise<Tab> {
    return Tab.open(this.page.context());
  }

  /** Fails with what axe finds, each with the elements. */
  async expectAccessible(): Promise<void> {
    await this.page.evaluate(axe.source);
    const found = await this.page.evaluate(async () => {
      const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run();
      return violations.map(({ id, nodes }) => [
        id,
        nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`),
      ]);
    });
    expect(found).toEqual([]);
  }

  /** No part of the screen is wider than the screen. */
  async expectNoSidewaysScrolling(): Promise<void> {
    const widths = await this.page.evaluate<[number, number]>("[document.documentElement.scrollWidth, innerWidth]");
    expect(widths[0]).toBeLessThanOrEqual(widths[1]);
  }

  /** Waits until the text is on the screen. */
  async sees(text: string | RegExp): Promise<void> {
    await this.page.getByText(text).first().waitFor();
  }
}
