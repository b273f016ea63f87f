/** A Python with what the Python module, its type check and its wheel need: here already, from Debian, or in a folder of ours. */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const INSTALL_WITHIN_MS = 300_000;
const ASK_WITHIN_MS = 30_000;

const MODULES = ["redis", "mypy", "hatchling"];
/** At Debian, where they are for the system's own Python. */
const DEBIAN_PACKAGES = ["python3", "python3-redis", "mypy", "python3-hatchling"];
const SYSTEM_PYTHON = "/usr/bin/python3";
const OWN = path.resolve("node_modules/.cache/python");
const OWN_PYTHON = path.join(OWN, "bin/python");

/** Resolves with its path; rejects with the reason why there is none. */
export async function ensurePython({ onProgress }) {
  for (const python of ["python3", SYSTEM_PYTHON, OWN_PYTHON]) if (await isReady(python, MODULES)) return python;
  const failures = [];
  for (const install of [fromDebian, fromPyPI]) {
    try {
      return await install(onProgress);
    } catch (error) {
      failures.push(error.message.trim().split("\n").at(-1));
    }
  }
  throw new Error(`Python 3.10 with ${MODULES.join(", ")} is missing (${failures.join("; ")})`);
}

/** Imports and not versions alone: a Python without them is no use. */
async function isReady(python, modules) {
  const program = `import sys; assert sys.version_info >= (3, 10); import ${["asyncio", ...modules].join(", ")}`;
  return run(python, ["-c", program], { timeout: ASK_WITHIN_MS }).then(
    () => true,
    () => false,
  );
}

async function fromDebian(onProgress) {
  onProgress(`Installing ${DEBIAN_PACKAGES.join(", ")} …`);
  const asRoot = process.getuid() === 0 ? [] : ["sudo", "-n"];
  const apt = ([program, ...args]) => run(program, args, { timeout: INSTALL_WITHIN_MS });
  const command = [...asRoot, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
  const install = () => apt([...command, "install", "-y", "--no-install-recommends", ...DEBIAN_PACKAGES]);
  // A package index that is missing or out of date is the common reason for a first failure.
  await install().catch(async () => {
    await apt([...command, "update"]);
    await install();
  });
  if (await isReady(SYSTEM_PYTHON, MODULES)) return SYSTEM_PYTHON;
  throw new Error("the system's Python is older than 3.10");
}

async function fromPyPI(onProgress) {
  const python = (await isReady("python3", [])) ? "python3" : SYSTEM_PYTHON;
  onProgress(`Installing ${MODULES.join(", ")} into ${path.relative(".", OWN)} …`);
  await run(python, ["-m", "venv", OWN], { timeout: INSTALL_WITHIN_MS });
  await run(OWN_PYTHON, ["-m", "pip", "install", "--quiet", ...MODULES], { timeout: INSTALL_WITHIN_MS });
  return OWN_PYTHON;
}
