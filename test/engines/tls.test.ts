import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createServer } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CoordinationClient } from "../../src/client/client.ts";
import { resolveSettings } from "../../src/client/settings.ts";
import { startThrowawayRedis, type ThrowawayRedis } from "../../src/server/throwaway.ts";
import { accessRule } from "../../src/store/acl.ts";
import { refused } from "../harness.ts";
import { lacks } from "../needs.ts";
import { coord, environment, freePort } from "../surfaces/run.ts";

const REQUEST = { type: "GENERAL", subject: "s", description: "d", to: "bob" } as const;

describe("TLS", () => {
  let folder: string;
  let redis: ThrowawayRedis;
  let port: number;
  const file = (name: string): string => path.join(folder, name);

  const missing = lacks("openssl");
  beforeEach(({ skip }) => skip(missing !== undefined, missing));
  beforeAll(async () => {
    if (missing !== undefined) return;
    folder = mkdtempSync(path.join(tmpdir(), "coord-tls-"));
    const openssl = (...args: string[]): Buffer => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
    const key = (name: string): string[] => [
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      name,
    ];
    openssl("req", "-x509", ...key("ca.key"), "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca");
    for (const name of ["server", "client"]) {
      openssl("req", ...key(`${name}.key`), "-out", `${name}.csr`, "-subj", `/CN=${name}`);
      writeFileSync(file(`${name}.ext`), "subjectAltName=IP:127.0.0.1");
      const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", `${name}.ext`, "-days", "2"];
      openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...signed);
    }
    writeFileSync(file("password"), "s3cret\n");
    port = await freePort();
    const files = [
      "--tls-ca-cert-file",
      file("ca.pem"),
      "--tls-cert-file",
      file("server.pem"),
      "--tls-key-file",
      file("server.key"),
    ];
    const [, , ...rule] = accessRule("coord", "agents").rule.replace("PASSWORD", "s3cret").split(" ");
    const user = ["--user", ...rule];
    redis = await startThrowawayRedis({
      args: [...user, "--user", "default", "off", "--tls-port", String(port), ...files],
    });
  });
  afterAll(async () => {
    if (missing !== undefined) return;
    await redis.stop();
    rmSync(folder, { recursive: true });
  });

  /** Everything that a client needs here, by the names of the files. */
  const all = (): Record<string, string> => ({
    REDIS_HOST: "127.0.0.1",
    REDIS_PORT: String(port),
    REDIS_USERNAME: "agents",
    REDIS_PASSWORD_FILE: file("password"),
    REDIS_TLS_CA_FILE: file("ca.pem"),
    REDIS_TLS_CERT_FILE: file("client.pem"),
    REDIS_TLS_KEY_FILE: file("client.key"),
  });

  test("authority, client certificate and password come from files, for messages and for listening", async () => {
    const settings = (instanceId: string): CoordinationClient =>
      new CoordinationClient(resolveSettings({ instanceId, env: all(), cwd: "/" }));
    await using alice = settings("alice");
    await using bob = settings("bob");
    const waiting = bob.waitForMessages();
    const { messageId } = await alice.publishMessage(REQUEST);
    expect((await waiting).messages.map(({ id }) => id)).toEqual([messageId]);
    const { code, stdout } = await coord(["check", "--pending"], {
      env: environment({ ...all(), CLAUDE_INSTANCE_ID: "bob" }),
    });
    expect([code, stdout]).toEqual([0, expect.stringContaining(messageId)]);
  });

  test.each<[what: string, change: Record<string, string>, reason: RegExp]>([
    ["an authority that is not trusted", { REDIS_TLS_CA_FILE: "client.pem" }, /no secure connection/],
    ["no client certificate", { REDIS_TLS_CERT_FILE: "", REDIS_TLS_KEY_FILE: "" }, /no secure connection/],
    ["a key of another certificate", { REDIS_TLS_KEY_FILE: "server.key" }, /no secure connection/],
    ["a file that holds none", { REDIS_TLS_CERT_FILE: "password" }, /no secure connection/],
    ["a host that the certificate does not name", { REDIS_HOST: "localhost" }, /no secure connection/],
    ["a wrong password", { REDIS_PASSWORD_FILE: "server.ext" }, /login was refused/],
  ])("[G9] %s is UNAVAILABLE, with the settings to look at", async (_what, change, reason) => {
    const changed = Object.entries(change).map(([name, value]) => [
      name,
      name.endsWith("FILE") && value !== "" ? file(value) : value,
    ]);
    const env = { ...all(), ...(Object.fromEntries(changed) as Record<string, string>) };
    await using alice = new CoordinationClient(resolveSettings({ instanceId: "alice", env, cwd: "/" }));
    const { code, message, hint } = await refused(alice.publishMessage(REQUEST));
    expect([code, message]).toEqual(["UNAVAILABLE", expect.stringMatching(reason)]);
    expect(hint).toMatch(/REDIS_TLS_CA_FILE|REDIS_PASSWORD/);
    expect(`${message}${hint}`).not.toContain("s3cret");
  });

  test("a server that is not trusted is told nothing: no password goes to whoever took the place of Redis", async () => {
    let told = "";
    const key = { cert: readFileSync(file("server.pem")), key: readFileSync(file("server.key")) };
    const impostor = createServer(key, (socket) => {
      socket.on("data", (bytes) => (told += String(bytes)));
      socket.on("error", () => undefined); // cut by the client
    });
    await new Promise<void>((resolve) => impostor.listen(0, "127.0.0.1", resolve));
    const { port: taken } = impostor.address() as AddressInfo;
    const env = { ...all(), REDIS_PORT: String(taken), REDIS_TLS_CA_FILE: file("client.pem") };
    await using alice = new CoordinationClient(resolveSettings({ instanceId: "alice", env, cwd: "/" }));
    const { message } = await refused(alice.publishMessage(REQUEST));
    impostor.close();
    await once(impostor, "close"); // when every connection has ended
    expect([message, told]).toEqual([expect.stringContaining("no secure connection"), ""]);
  });

  test("[G9] a server that does not speak TLS, and one that speaks nothing else, are told apart from no Redis", async () => {
    const plain = await freePort();
    await using other = await startThrowawayRedis({ args: ["--port", String(plain), "--bind", "127.0.0.1"] });
    expect(other.pid).toBeGreaterThan(0);
    const env = { ...all(), REDIS_PORT: String(plain) };
    await using secure = new CoordinationClient(resolveSettings({ instanceId: "alice", env, cwd: "/" }));
    const silence = await refused(secure.publishMessage(REQUEST));
    expect([silence.message, silence.hint]).toEqual([
      expect.stringContaining("no answer in time"),
      expect.stringContaining("Does it speak TLS there?"),
    ]);
    const url = `redis://127.0.0.1:${port}`;
    await using open = new CoordinationClient(resolveSettings({ instanceId: "alice", redis: url, env: {}, cwd: "/" }));
    const { message, hint } = await refused(open.publishMessage(REQUEST));
    expect([message, hint]).toEqual([
      expect.stringContaining("closed by the other side"),
      expect.stringContaining("rediss://"),
    ]);
  });
});
