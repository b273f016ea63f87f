/** `coord invite` and `coord join`: a second machine, with a user of its own, over TLS, and nothing secret in arguments. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { ensureRedisServer } from "../../src/server/install.ts";
import { lacks } from "../needs.ts";
import { COORD, type Ended, type Environment, environment, freePort, json, run, temporaryFolder } from "./run.ts";

const missing = lacks("openssl");
beforeEach(({ skip }) => skip(missing !== undefined, missing));

/** A home and a clone; where it has a network of its own, that is a namespace. */
class Machine {
  readonly env: Environment;
  readonly clone: string;
  readonly #network: readonly string[];

  private constructor(folder: string, network: string | undefined) {
    this.env = environment({ HOME: folder, XDG_CONFIG_HOME: `${folder}/config`, XDG_DATA_HOME: `${folder}/data` });
    this.clone = path.join(folder, "shop");
    this.#network = network === undefined ? [] : ["ip", "netns", "exec", network];
    mkdirSync(this.clone);
    execFileSync("git", ["init", "-q", this.clone]);
  }

  static async make(network?: string): Promise<Machine> {
    return new Machine(await temporaryFolder(), network);
  }

  async coord(
    args: readonly string[],
    { input, env = {} }: { input?: string; env?: Environment } = {},
  ): Promise<Ended> {
    const [program = process.execPath, ...rest] = [...this.#network, process.execPath, COORD, ...args];
    const options = { env: { ...this.env, ...env }, cwd: this.clone, ...(input === undefined ? {} : { input }) };
    return run(program, rest, options);
  }
}

/** The first machine, which keeps the messages and is the orchestrator. */
async function first(address: string, network?: string): Promise<Machine> {
  const machine = await Machine.make(network);
  Object.assign(machine.env, {
    CLAUDE_INSTANCE_ID: "orchestrator",
    REDIS_PORT: String(await freePort()),
    COORD_REDIS_SERVER: await ensureRedisServer(),
  });
  onTestFinished(async () => void (await machine.coord(["down"])));
  expect(await machine.coord(["up", "--listen", address])).toMatchObject({ code: 0 });
  return machine;
}

/** What two machines that have nothing in common but a network say to each other. */
async function play(home: Machine, away: Machine): Promise<void> {
  const invited = await home.coord(["invite", "backend"]);
  expect([invited.code, invited.stderr.split("\n")]).toEqual([
    0,
    ["warning: Whoever has read this speaks as backend; coord invite backend again makes it worthless.", ""],
  ]);
  const joined = await away.coord(["join", "--agent", "none"], { input: invited.stdout });
  expect([joined.code, joined.stdout]).toEqual([0, expect.stringContaining("backend (--instance)")]);
  expect(await home.coord(["settings", "senders", "mark"])).toMatchObject({ code: 0 });
  const sent = json(
    await away.coord(["publish", "READY_FOR_REVIEW", "login", "d", "--to", "orchestrator", "--json"]).then(calm),
  );
  expect(sent["from"]).toBe("backend");
  const { messages } = json(await home.coord(["check", "--json"])) as { messages: { id: string; from: string }[] };
  expect(messages).toMatchObject([{ id: sent["message_id"], from: "backend" }]);
  expect(await home.coord(["ack", messages[0]!.id, "--comment", "merged"])).toMatchObject({ code: 0 });
  const shown = json(await away.coord(["show", messages[0]!.id, "--json"]));
  expect(shown).toMatchObject({ messages: [{ proven: true, receipts: [{ comment: "merged", proven: true }] }] });
  const posing = await away.coord(["publish", "GENERAL", "s", "d", "--to", "orchestrator", "--instance", "frontend"]);
  expect([posing.code, posing.stderr]).toEqual([1, expect.stringContaining("may not speak for frontend")]);
}

/** Without the warning that nobody by that name was seen. */
function calm(ended: Ended): Ended {
  return { ...ended, stderr: "" };
}

const ADDRESS = process.platform === "linux" ? "127.0.0.2" : "127.0.0.1";

describe("a second machine", () => {
  it("joins with what coord invite prints, and is proven to be the instance that was invited", async () => {
    const home = await first(ADDRESS);
    const away = await Machine.make();
    await play(home, away);
    const folder = path.join(away.env["XDG_CONFIG_HOME"]!, "cli-coordination");
    expect(readdirSync(folder).map((name) => [name, statSync(path.join(folder, name)).mode & 0o777])).toEqual([
      ["joined-coord-backend.password", 0o600],
      ["joined-coord-backend.pem", 0o600],
      ["projects.json", 0o600],
    ]);
    const password = readFileSync(path.join(folder, "joined-coord-backend.password"), "utf8").trim();
    expect(readFileSync(path.join(folder, "projects.json"), "utf8")).not.toContain(password);
    // It outlives the server, and ends with the next invitation.
    await home.coord(["down"]);
    await home.coord(["up", "--listen", ADDRESS]);
    expect(await away.coord(["check"])).toMatchObject({ code: 0 });
    await home.coord(["invite", "backend"]);
    expect(await away.coord(["check"])).toMatchObject({ code: 69, stderr: expect.stringContaining("WRONGPASS") });
  });

  it("writes nothing where the invitation is damaged, cut, of another server, or no more valid", async () => {
    const home = await first(ADDRESS);
    const away = await Machine.make();
    const old = (await home.coord(["invite", "backend"])).stdout;
    const text = (await home.coord(["invite", "backend"])).stdout;
    const changed = (change: object): string => {
      const [, base64 = ""] = /INVITATION-----\n([^-]*)/.exec(text) ?? [];
      const whole = { ...(JSON.parse(Buffer.from(base64, "base64").toString()) as object), ...change };
      return text.replace(base64, `${Buffer.from(JSON.stringify(whole)).toString("base64")}\n`);
    };
    for (const [input, sentence] of [
      ["", "holds no whole invitation"],
      [text.slice(0, 400), "holds no whole invitation"],
      ["x".repeat(100_000), "holds no whole invitation"],
      [text.replaceAll(/[a-z]/g, "A"), "was damaged on its way"],
      [changed({ version: 2 }), "is of another version"],
      [changed({ host: "a/../b" }), "is not one that coord invite has written"],
      [changed({ password: "$(id)" }), "is not one that coord invite has written"],
      [changed({ ca: "/etc/passwd" }), "is not one that coord invite has written"],
      [changed({ prefix: "../x" }), "the prefix of the invitation is"],
      [changed({ instance: "../x" }), "the instance of the invitation is"],
      [changed({ instance: "frontend" }), "may not speak for frontend"],
      [old, "the login was refused"],
    ] as const) {
      const { code, stdout, stderr } = await away.coord(["join", "--agent", "none"], { input });
      expect([sentence, code === 0, stdout, stderr]).toEqual([sentence, false, "", expect.stringContaining(sentence)]);
      expect(existsSync(away.env["XDG_CONFIG_HOME"]!)).toBe(false);
    }
  });

  it("is not invited to a server that it cannot reach, or that speaks no TLS", async () => {
    const machine = await Machine.make();
    for (const [env, sentence] of [
      [{}, "no other machine reaches it"],
      [{ REDIS_URL: "redis://redis.example" }, "is used without TLS"],
      [{ REDIS_URL: "unix:/tmp/x.sock" }, "an invitation names one server by host and port"],
    ] as const) {
      const { code, stderr } = await machine.coord(["invite", "backend"], { env });
      expect([code, stderr]).toEqual([1, expect.stringContaining(sentence)]);
    }
  });
});

/** Two networks with a cable between them and the address of the first; undefined where nobody may make them. */
function networks(): { one: string; two: string; address: string } | undefined {
  const ip = (line: string): boolean => spawnSync("ip", line.split(" "), { stdio: "ignore" }).status === 0;
  const [one, two] = [`coord-${process.pid}-a`, `coord-${process.pid}-b`];
  onTestFinished(() => [one, two].forEach((name) => void ip(`netns del ${name}`)));
  const [left, right] = [`ca${process.pid}`, `cb${process.pid}`];
  const made = [
    `netns add ${one}`,
    `netns add ${two}`,
    `link add ${left} netns ${one} type veth peer name ${right} netns ${two}`,
    `-n ${one} addr add 10.213.7.1/24 dev ${left}`,
    `-n ${two} addr add 10.213.7.2/24 dev ${right}`,
    `-n ${one} link set ${left} up`,
    `-n ${two} link set ${right} up`,
    `-n ${one} link set lo up`,
    `-n ${two} link set lo up`,
  ].every(ip);
  return made ? { one, two, address: "10.213.7.1" } : undefined;
}

describe("two hosts, each in a network of its own where a test may make networks", () => {
  it("work together, and reach each other by nothing but TLS", async () => {
    const { one, two, address } = networks() ?? { address: ADDRESS };
    const home = await first(address, one);
    const away = await Machine.make(two);
    await play(home, away);
    const plain = { REDIS_URL: `redis://${address}:${home.env["REDIS_PORT"]}` };
    const stranger = await Machine.make(two);
    expect(await stranger.coord(["check", "--instance", "x"], { env: plain })).toMatchObject({ code: 69 });
  });
});
