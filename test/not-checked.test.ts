/** `npm test` where something is missing: what was not tried does not look tried. */
import { chmodSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { ensureRedisServer } from "../src/server/install.ts";
import { ROOT, type Ended, type Environment, environment, json, run, temporaryFolder } from "./surfaces/run.ts";

/** A machine that has Node, three programs of the system, and what is given as scripts of bash. */
async function machine(programs: Readonly<Record<string, string>> = {}): Promise<{ folder: string; env: Environment }> {
  const folder = await temporaryFolder();
  symlinkSync(process.execPath, path.join(folder, "node"));
  for (const program of ["/bin/bash", "/bin/ln", "/usr/bin/env"]) {
    symlinkSync(program, path.join(folder, path.basename(program)));
  }
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(path.join(folder, name), `#!/bin/bash\n${script}\n`);
    chmodSync(path.join(folder, name), 0o755);
  }
  return { folder, env: environment({ PATH: folder, COORD_REDIS_SERVER: await ensureRedisServer() }) };
}

describe("a test whose program is missing", () => {
  const tests = async (more: Environment): Promise<Ended> => {
    const { env } = await machine();
    const command = [path.join(ROOT, "tools/bootstrap.mjs"), "test", "test/engines/tls.test.ts"];
    return run(process.execPath, command, { env: { ...env, ...more } });
  };

  it.each([
    { where: "by a person is named in the closing lines", more: {}, code: 0, failed: 0 },
    { where: "in CI fails the run as well", more: { CI: "true" }, code: 1, failed: 1 },
  ])("$where", async ({ more, code, failed }) => {
    const ended = await tests(more);
    const closing = ended.stdout
      .slice(ended.stdout.search(/^\d+ not checked:$/m))
      .trimEnd()
      .split("\n");
    const names = closing.slice(1, -1);
    expect(names.filter((line) => !/^ {2}\S.*: there is no openssl here$/.test(line))).toEqual([]);
    expect([ended.code, closing[0], closing.at(-1)]).toEqual([
      code,
      `${names.length} not checked:`,
      `2 passed, ${failed * names.length} failed`,
    ]);
  });
});

describe("what Debian has is installed", () => {
  beforeEach(({ skip }) => skip(process.platform === "darwin", "this is not Debian but macOS"));

  /** What the package manager is asked, what the person is told, and the refusal. */
  async function ensured(aptGet: string): Promise<unknown> {
    const programs = { "apt-get": `echo "$3" >>"$0.log"\n${aptGet}`, sudo: 'shift; exec "$@"' };
    const { folder, env } = await machine(programs);
    const program = `
      import { ensure } from ${JSON.stringify(path.join(ROOT, "tools/system.mjs"))};
      const said = [];
      const need = { here: ["tool"], debian: ["tool-package"] };
      const refusal = await ensure(need, (sentence) => said.push(sentence)).then(() => null, ({ message }) => message);
      console.log(JSON.stringify({ said, refusal }));`;
    const ended = await run(process.execPath, ["--input-type=module", "--eval", program], { env });
    const asked = readFileSync(path.join(folder, "apt-get.log"), "utf8").trimEnd().split("\n");
    return { asked, ...(json(ended) as object) };
  }

  const COPY = 'ln -s /usr/bin/env "${0%/*}/tool"';
  const UNKNOWN = 'echo "E: Unable to locate package tool-package" >&2; exit 100';

  it("at once, where the index knows it", async () => {
    expect(await ensured(COPY)).toEqual({ asked: ["install"], said: ["Installing tool-package …"], refusal: null });
  });

  it("after an update of the index, where that is missing or old, and of one source that is away as well", async () => {
    const stale = `case $3 in update) : >"$0.index"; exit 100 ;; *) [[ -e $0.index ]] || { ${UNKNOWN}; }; ${COPY} ;; esac`;
    expect(await ensured(stale)).toEqual({
      asked: ["install", "update", "install"],
      said: ["Installing tool-package …", "Updating Debian's package index …"],
      refusal: null,
    });
  });

  it("or else the reason is told, in one line", async () => {
    expect(await ensured(`[[ $3 == update ]] || { ${UNKNOWN}; }`)).toEqual({
      asked: ["install", "update", "install"],
      said: ["Installing tool-package …", "Updating Debian's package index …"],
      refusal: "tool-package could not be installed: E: Unable to locate package tool-package",
    });
  });
});
