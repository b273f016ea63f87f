/** The page of `coord ui` in a real browser: what a person sees, does and is spared. */
import { beforeEach, describe, expect, it } from "vitest";
import { PREFIX, type ProxyRules, startProxy, until, useRedis } from "../harness.ts";
import { noBrowser, type Tab, useBrowser } from "./browser.ts";
import { type RunningPage, startPage } from "./running-page.ts";

const bench = useRedis();
const browser = useBrowser();
beforeEach(({ skip }) => skip(noBrowser !== undefined, noBrowser));

const GENERAL = { type: "GENERAL", subject: "login form", description: "Branch feat/login." } as const;

async function open(
  options: Parameters<typeof browser.page>[0] = {},
  args: readonly string[] = [],
  redis: string = bench.redis.url,
): Promise<{ tab: Tab; page: Tab["page"]; server: RunningPage }> {
  const server = await startPage(redis, args);
  const tab = await browser.page(options);
  await tab.page.goto(server.url);
  return { tab, page: tab.page, server };
}

/** Something of all that a screen can hold. */
async function populate(): Promise<Record<"asked" | "dead" | "broadcast", string>> {
  const [alice, bob] = await bench.clients("alice", "bob");
  const { messageId: dead } = await alice.publishMessage({
    ...GENERAL,
    to: "bob",
    subject: "never answered",
    ackWithin: 1,
  });
  for (let i = 0; i < 4; i++) {
    await bench.passDeadlines();
    await alice.sweep();
  }
  const { messageId: broadcast } = await alice.publishMessage({ ...GENERAL, to: "all", subject: "for everybody" });
  await bob.ackMessage(broadcast, { comment: "adapted" });
  const { messageId: asked } = await alice.publishMessage({ ...GENERAL, to: "operator", subject: "a week longer?" });
  return { asked, dead, broadcast };
}

describe("the page", () => {
  it.each<[string, NonNullable<Parameters<typeof browser.page>[0]>]>([
    ["by day", { colorScheme: "light" }],
    ["by night", { colorScheme: "dark" }],
    ["at 360 pixels", { viewport: { width: 360, height: 740 } }],
  ])("can be used by everybody on every screen, %s, and breaks no rule of its own", async (_, options) => {
    const { asked, dead, broadcast } = await populate();
    const { tab, page } = await open(options);
    await tab.sees("a week longer?");
    await tab.sees("never answered");
    expect(page.url()).not.toContain("#");
    for (const screen of [
      "/",
      `/m/${asked}`,
      `/m/${dead}`,
      `/t/${broadcast}`,
      "/i/bob",
      "/search?q=login",
      "/search?q=nothing-at-all",
    ]) {
      await page.goto(new URL(screen, page.url()).href);
      await page.locator("section h2, h1").first().waitFor();
      await tab.sees(/live/);
      await tab.expectAccessible();
      await tab.expectNoSidewaysScrolling();
    }
    await page.keyboard.press("c");
    await tab.sees("Write as operator");
    await tab.expectAccessible();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("?");
    await tab.sees("these keys");
    await tab.expectAccessible();
    expect(tab.complaints).toEqual([]);
  });

  it("names the command where a screen is empty, and for who was not let in", async () => {
    const { tab, page, server } = await open();
    for (const text of [/Nothing\. Everybody/, "No message yet.", "Nobody yet.", "coord init"]) await tab.sees(text);
    await tab.expectAccessible();
    await page.context().clearCookies();
    await page.goto(`${new URL(server.url).origin}/m/msg-0000000000`);
    await tab.sees("This page opens from a terminal");
    await tab.expectAccessible();
    // The same tab goes on once this browser was let in, and at the place where it was.
    await (await tab.another()).page.goto((await startAgain(server)).href);
    await tab.sees("no such message");
  });

  it("shows what happens without being loaded again, also after the connections to Redis were cut", async () => {
    const [alice, bob] = await bench.clients("alice", "bob");
    const { tab, page } = await open();
    await tab.sees("No message yet.");
    await page.evaluate("globalThis.loaded = true");
    const { messageId } = await alice.publishMessage({ ...GENERAL, to: "bob" });
    await tab.sees("login form");
    await bob.ackMessage(messageId);
    await page.locator(".outcome", { hasText: "acknowledged" }).waitFor();
    await bench.kill("pubsub");
    await bench.kill("normal");
    await alice.publishMessage({ ...GENERAL, to: "bob", subject: "after the cut" });
    await tab.sees("after the cut");
    await alice.publishMessage({ ...GENERAL, to: "operator", subject: "needs an answer" });
    await page.locator(".needs", { hasText: "needs an answer" }).waitFor();
    expect(await page.evaluate("globalThis.loaded")).toBe(true);
  });

  it("says that Redis is away, and goes on when it is back", async () => {
    const rules: ProxyRules = {};
    const { tab, page } = await open({}, [], await startProxy(bench.redis.socketPath, rules));
    await tab.sees("No message yet.");
    rules.request = () => "cut";
    await bench.kill("pubsub");
    await page.getByRole("alert").waitFor();
    const [alice] = await bench.clients("alice", "bob");
    await alice.publishMessage({ ...GENERAL, to: "bob", subject: "while it was away" });
    delete rules.request;
    await page.getByRole("alert").waitFor({ state: "detached" });
    await tab.sees("while it was away");
  });

  it("goes on in the same tab when its server was started again", async () => {
    const server = await startPage(bench.redis.url);
    const tab = await browser.page();
    await tab.page.goto(server.url);
    await tab.sees("No message yet.");
    await server.end();
    await tab.sees("The server of this page does not answer.");
    const again = await startPage(bench.redis.url, [], server.config);
    expect(again.port).toBe(server.port);
    await (await tab.another()).page.goto(again.url);
    const [alice] = await bench.clients("alice", "bob");
    await alice.publishMessage({ ...GENERAL, to: "bob", subject: "after the restart" });
    await tab.sees("after the restart");
  });

  it("asks nothing of Redis once the last tab is closed", async () => {
    const { tab, page } = await open();
    await tab.sees("No message yet.");
    await page.close();
    const commands = async (): Promise<number> =>
      Number(/total_commands_processed:(\d+)/.exec(String(await bench.raw.call("INFO", "stats")))![1]);
    await until(async () => (await commands()) + 1 === (await later(commands)));
  });
});

describe("a person", () => {
  it("writes to an agent, is answered, and replies, which acknowledges", async () => {
    const [alice] = await bench.clients("alice");
    const { tab, page } = await open();
    await tab.sees("alice");
    await page.keyboard.press("c");
    await page.getByLabel("To", { exact: true }).fill("alice");
    await page.getByLabel("Subject").fill("stop the basket");
    await page.getByLabel("Text").fill("The design has changed.");
    await page.getByText("What the agent is shown").click();
    await tab.sees("| The design has changed.");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("heading", { name: "stop the basket" }).waitFor();
    const [received] = (await alice.checkMessages()).messages;
    expect(received).toMatchObject({ from: "operator", via: "ui", description: "The design has changed." });
    await tab.sees("shown");
    const { messageId } = await alice.publishMessage({
      ...GENERAL,
      subject: "which part?",
      replyTo: received!.id,
      requiresAck: true,
    });
    await tab.sees("acknowledged");
    await page.keyboard.press("g");
    await page.locator(".needs").getByRole("link", { name: "which part?" }).click();
    await page.locator("#reply").waitFor(); // before it is there, its key leads nowhere
    await page.keyboard.press("r");
    await page.keyboard.type("All of it.");
    await page.getByRole("button", { name: "Reply" }).click();
    await tab.sees(/acknowledged what it answers/);
    const { messages } = await alice.showMessage(messageId, { thread: true });
    expect(messages.map(({ from, description }) => [from, description])).toEqual([
      ["operator", "The design has changed."],
      ["alice", GENERAL.description],
      ["operator", "All of it."],
    ]);
    expect(messages[1]!.receipts).toMatchObject([{ instance: "operator", state: "acknowledged" }]);
    expect(tab.complaints).toEqual([]);
  });

  it("acknowledges what is done, asks anew what was given up, and drops it, in place", async () => {
    const { asked, dead } = await populate();
    const { tab, page } = await open();
    const row = (subject: string) => page.locator(".needs .row", { hasText: subject });
    await row("a week longer?").getByRole("button", { name: "Done" }).click();
    await row("a week longer?").waitFor({ state: "detached" });
    await row("never answered").getByRole("button", { name: "Retry" }).click();
    await row("never answered").waitFor({ state: "detached" });
    const states = async (id: string): Promise<unknown> =>
      (await bench.command(undefined).showMessage(id)).messages[0]!.receipts!.map(({ state }) => state);
    expect([await states(asked), await states(dead)]).toEqual([["acknowledged"], ["stored"]]);
    await page.goto(new URL(`/m/${dead}`, page.url()).href);
    await page.getByRole("button", { name: "Drop" }).click();
    await page.getByRole("button", { name: "Nobody is asked any more?" }).click();
    await tab.sees("dropped");
    expect(await states(dead)).toEqual(["dropped"]);
  });

  it("is told why something was refused, and loses nothing that was written", async () => {
    const { tab, page } = await open();
    await tab.sees("No message yet.");
    await page.keyboard.press("c");
    await page.getByLabel("To", { exact: true }).fill("not a name");
    await page.getByLabel("Subject").fill("s");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("alert").getByText("not a name").waitFor();
    expect(await page.getByLabel("Subject").inputValue()).toBe("s");
    expect(await bench.raw.keys(`${PREFIX}:msg:*`)).toEqual([]);
  });

  it("finds by words and filters, and reaches every row by keys alone", async () => {
    const [alice] = await bench.clients("alice", "bob");
    for (const subject of ["login form", "logout", "the basket"])
      await alice.publishMessage({ ...GENERAL, subject, to: "bob" });
    const { tab, page } = await open();
    await tab.sees("the basket");
    await page.keyboard.press("/");
    await page.keyboard.type("from:alice -basket log");
    await page.keyboard.press("Enter");
    await tab.sees("Found for");
    await page.locator(".feed a.row-link").nth(1).waitFor();
    expect(await page.locator(".feed a.row-link").allTextContents()).toEqual(["logout", "login form"]);
    await page.keyboard.press("Escape");
    for (const key of ["j", "j", "k", "j", "Enter"]) await page.keyboard.press(key);
    await page.getByRole("heading", { name: "login form" }).waitFor();
    await page.goBack();
    await tab.sees("Found for");
  });

  it("only looks, with --read-only: there is nothing to write with", async () => {
    const { asked } = await populate();
    const { tab, page } = await open({}, ["--read-only"]);
    await tab.sees("read only");
    await tab.sees("a week longer?");
    await page.goto(new URL(`/m/${asked}`, page.url()).href);
    await tab.sees("not shown yet");
    expect(await page.getByRole("button", { name: /Write|Reply|Done|Drop|Retry/ }).count()).toBe(0);
  });
});

describe("a text of others", () => {
  it.each<[string, string]>([
    ["script", "<script>alert(1)</script><img src=x onerror=alert(2)>"],
    ["an entity", "&lt;b&gt; &amp;amp; </pre></section><h1>operator</h1>"],
    ["a link that would run", "[x](javascript:alert(1)) javascript:alert(1)"],
  ])("is text: %s", async (_, text) => {
    const [alice] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ type: "GENERAL", subject: text, description: text, to: "bob" });
    const { tab, page, server } = await open();
    await page.locator(".feed", { hasText: text }).waitFor();
    await page.goto(`${new URL(server.url).origin}/m/${messageId}`);
    expect(await page.locator("pre.text").textContent()).toBe(text);
    await page.getByRole("heading", { name: text.trim() }).waitFor();
    expect(await page.locator("pre.text *").count()).toBe(0);
    expect(tab.complaints).toEqual([]);
  });

  it("turns no line around and hides nothing: what nobody sees is written out", async () => {
    const [alice] = await bench.clients("alice", "bob");
    await alice.publishMessage({ ...GENERAL, subject: "safe\u{202e}evil\u{200b}", to: "bob" });
    const { tab } = await open();
    await tab.sees("safe\\u{202e}evil\\u{200b}");
  });

  it.each<[string, string]>([
    ["64 KiB without a space", "x".repeat(65_536)],
    ["10,000 lines", "line\n".repeat(10_000)],
  ])("stays within its place: %s", async (_, description) => {
    const [alice] = await bench.clients("alice", "bob");
    const { messageId } = await alice.publishMessage({ ...GENERAL, description, to: "bob" });
    const { tab, page, server } = await open({ viewport: { width: 360, height: 740 } });
    await tab.sees("login form");
    await page.goto(`${new URL(server.url).origin}/m/${messageId}`);
    await page.locator("pre.text").waitFor();
    expect((await page.locator("pre.text").textContent())!.length).toBe(description.length);
    await tab.expectNoSidewaysScrolling();
    // What can be done stands below it, and is reached.
    expect((await page.locator("pre.text").boundingBox())!.height).toBeLessThan(740);
  });
});

/** Another link to the page that runs. */
async function startAgain(server: RunningPage): Promise<URL> {
  const second = await startPage(bench.redis.url, [], server.config);
  return new URL(second.url);
}

async function later<T>(probe: () => Promise<T>): Promise<T> {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return probe();
}
