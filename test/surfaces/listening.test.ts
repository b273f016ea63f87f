/** `coord up --listen`: what other machines can reach, and what they cannot. */
import { execFileSync } from "node:child_process";
import { connect } from "node:net";
import { existsSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { ensureRedisServer } from "../../src/server/install.ts";
import { lacks } from "../needs.ts";
import { coord, type Environment, environment, freePort, json, ROOT, run, temporaryFolder } from "./run.ts";

/** Of this machine, and not what our programs take for loopback. */
const ADDRESS = process.platform === "linux" ? "127.0.0.2" : "127.0.0.1";
const missing = lacks("openssl");
beforeEach(({ skip }) => skip(missing !== undefined, missing));

async function somebody(port: number): Promise<Environment> {
  const folder = await temporaryFolder();
  const env = environment({ XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder, REDIS_PORT: String(port) });
  Object.assign(env, { CLAUDE_INSTANCE_ID: "backend", COORD_REDIS_SERVER: await ensureRedisServer() });
  onTestFinished(async () => void (await coord(["down"], { env })));
  return env;
}

const SEND = ["publish", "GENERAL", "s", "d", "--to", "all", "--no-ack"];

it("speaks TLS with a password there and on loopback, and our programs of this machine find their way", async () => {
  const port = await freePort();
  const env = await somebody(port);
  const up = ["up", "--listen", ADDRESS];
  const started = await coord(up, { env });
  expect([started.code, started.stdout]).toEqual([0, expect.stringContaining(`Listens with TLS on ${ADDRESS};`)]);
  const { data_dir: dataDir } = json(await coord([...up, "--json"], { env }));
  const tls = (name: string): string => path.join(String(dataDir), "tls", name);
  expect([existsSync(tls("ca.key")), statSync(tls("key.pem")).mode & 0o077]).toEqual([false, 0]);

  expect(await coord(SEND, { env })).toMatchObject({ code: 0 });
  if (existsSync("/usr/bin/python3")) {
    const program =
      "import asyncio; from coordination import get_coordination_client as g; print(asyncio.run(g('py')) and 'in')";
    const python = { ...env, PYTHONPATH: path.join(ROOT, "python") };
    expect(await run("/usr/bin/python3", ["-c", program], { env: python })).toMatchObject({ stdout: "in\n" });
  }

  const password = readFileSync(path.join(env["XDG_CONFIG_HOME"]!, `cli-coordination/password-${port}`), "utf8").trim();
  const other = { XDG_CONFIG_HOME: "/nowhere", CLAUDE_INSTANCE_ID: "far", COORD_REDIS_HOST: ADDRESS };
  const elsewhere = environment({ ...other, COORD_REDIS_PORT: String(port) });
  const known = { ...elsewhere, COORD_REDIS_TLS_CA_FILE: tls("ca.pem") };
  expect(await coord(["check", "--all"], { env: { ...known, COORD_REDIS_PASSWORD: password } })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("Subject: s"),
  });
  for (const [stranger, sentence] of [
    [known, "NOAUTH"],
    [{ ...elsewhere, COORD_REDIS_PASSWORD: password }, "closed"],
    [
      { ...elsewhere, COORD_REDIS_HOST: "", COORD_REDIS_PORT: "", COORD_REDIS_URL: `rediss://${ADDRESS}:${port}` },
      "secure",
    ],
  ] as const) {
    const { code, stderr } = await coord(["check"], { env: stranger });
    expect([code, stderr]).toEqual([69, expect.stringContaining(sentence)]);
  }
  const plain = connect(port, ADDRESS);
  plain.on("error", () => undefined);
  plain.write("PING\r\n");
  let heard = "";
  plain.on("data", (bytes) => (heard += bytes.toString("latin1")));
  await new Promise((resolve) => plain.on("close", resolve));
  expect(heard).not.toContain("PONG");

  const otherwise = await coord(["up", "--listen", "localhost"], { env });
  expect([otherwise.code, otherwise.stderr]).toEqual([1, expect.stringContaining(`listens on ${ADDRESS} already`)]);
  expect(await coord(["down"], { env })).toMatchObject({ code: 0, stdout: expect.stringContaining("Stopped") });
  const alone = await coord(["up"], { env });
  expect([alone.code, alone.stdout.includes("TLS")]).toEqual([0, false]);
  expect(await coord(["check", "--all"], { env })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("Subject: s"),
  });
  expect((await coord(up, { env })).stderr).toContain("listens on loopback only already");
});

it("starts nothing where it would listen to everybody, without a certificate, or with one for another address", async () => {
  const port = await freePort();
  const env = await somebody(port);
  const folder = await temporaryFolder();
  const file = (name: string): string => path.join(folder, name);
  const subject = ["-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.9"];
  const files = ["-newkey", "rsa:2048", "-nodes", "-keyout", file("key"), "-out", file("cert")];
  execFileSync("openssl", ["req", "-x509", ...files, ...subject], { stdio: "pipe" });
  writeFileSync(file("text"), "text");
  const given = (cert: string): string[] => [
    "--tls-cert",
    file(cert),
    "--tls-key",
    file("key"),
    "--tls-ca",
    file("cert"),
  ];
  for (const [args, sentence, more] of [
    [["--listen", "0.0.0.0"], "that is every network of this machine", {}],
    [["--listen", "a b"], "it is no address and no host name", {}],
    [["--tls-cert", file("cert")], "go together, and with --listen", {}],
    [["--listen", ADDRESS, ...given("cert")], `does not name ${ADDRESS}`, {}],
    [["--listen", ADDRESS, ...given("text")], "is no certificate in PEM", {}],
    [["--listen", ADDRESS, ...given("absent")], "cannot be read", {}],
    [["--listen", ADDRESS], "without TLS nothing listens for other machines", { PATH: path.dirname(process.execPath) }],
  ] as const) {
    if (sentence.startsWith("without TLS") && existsSync(path.join(path.dirname(process.execPath), "openssl")))
      continue;
    const { code, stderr } = await coord(["up", ...args], { env: { ...env, ...more } });
    expect([args, code === 0, stderr]).toEqual([args, false, expect.stringContaining(sentence)]);
  }
  expect(await coord(["down"], { env })).toMatchObject({ stdout: `Nothing runs on port ${port}.\n` });
});

it.runIf(process.platform === "linux")(
  "stops what was started with a certificate that is for no loopback, also once its files are renewed or gone",
  async () => {
    const port = await freePort();
    const folder = await temporaryFolder();
    const env = await somebody(port);
    const file = (name: string): string => path.join(folder, name);
    const renew = (): void => {
      const subject = ["-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.9"];
      const files = ["-newkey", "rsa:2048", "-nodes", "-keyout", file("key"), "-out", file("cert")];
      execFileSync("openssl", ["req", "-x509", ...files, ...subject], { stdio: "pipe" });
    };
    const up = ["up", "--listen", "127.0.0.9", "--tls-cert", file("cert"), "--tls-key", file("key")];
    up.push("--tls-ca", file("cert"));
    for (const change of [renew, () => unlinkSync(file("cert"))]) {
      renew();
      const started = await coord(up, { env });
      expect([started.code, started.stdout]).toEqual([0, expect.stringContaining("does not name localhost")]);
      change();
      expect(await coord(["up"], { env })).toMatchObject({
        code: 0,
        stdout: expect.stringContaining(`Already running: Redis`),
      });
      expect(await coord(["down"], { env })).toMatchObject({
        code: 0,
        stdout: expect.stringContaining("Stopped: Redis"),
      });
    }
  },
);
