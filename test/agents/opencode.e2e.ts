/** The real opencode in a terminal, in a linked worktree that `coord worktree add` has set up, against a scripted model. */
import { describe, expect, it } from "vitest";
import { framesIn } from "./frames.ts";
import { ScriptedModel } from "./model.ts";
import { configureOpencode, QUIET_OPENCODE } from "./opencode.ts";
import { programOf } from "./programs.ts";
import { Stage } from "./stage.ts";
import { hasTmux, Terminal } from "./terminal.ts";

const { path: OPENCODE } = programOf("opencode");
describe.skipIf(OPENCODE === undefined)("opencode", () => {
  it.skipIf(!hasTmux)(
    "is shown mail at every moment, each once, is woken when idle, and is gone when it ends",
    async () => {
      await using stage = await Stage.set();
      await using model = await ScriptedModel.start();
      const project = await stage.worktree("login", "opencode");
      await configureOpencode(stage, model);
      const ids = [await stage.publish("bob", "login", "before the start")];
      const shown = (): string[] => framesIn(model.shown).map(({ id }) => id);
      const seen: string[][] = [];
      model.will(
        async () => {
          seen.push(shown());
          ids.push(await stage.publish("bob", "login", "between tool calls"));
          return { tool: "bash", input: { command: "coord whoami", description: "who" } };
        },
        async () => {
          seen.push(shown());
          ids.push(await stage.publish("bob", "login", "between calls of a server"));
          return { tool: "coord_coord_get_presence" };
        },
        async () => {
          seen.push(shown());
          ids.push(await stage.publish("bob", "login", "on stop"));
          return { text: "Finished." };
        },
      );
      await using terminal = new Terminal(stage, project, [OPENCODE!], QUIET_OPENCODE);
      await terminal.until(() => /Ask anything/.test(terminal.screen), "prompt line");
      await terminal.type("Work.");
      await terminal.until(() => shown().length === 4, "mail at the stop");
      expect(seen).toEqual([ids.slice(0, 1), ids.slice(0, 2), ids.slice(0, 3)]);
      expect(shown()).toEqual(ids);
      expect(model.shown).toMatch(/name +login \(this run\)/);
      expect(model.shown).toContain('"success":true');
      await terminal.until(async () => (await stage.presenceOf("login")).doing === "idle", "idleness");
      ids.push(await stage.publish("bob", "login", "when idle"));
      await terminal.until(() => shown().length === 5, "turn that the mail began");
      expect(shown()).toEqual(ids);
      expect(await stage.presenceOf("login")).toMatchObject({ status: "active", session: { agent: "opencode" } });
      terminal.key("C-c");
      await terminal.until(async () => (await stage.presenceOf("login")).status === "offline", "end of the session");
    },
  );
});
