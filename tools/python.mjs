/** A Python with what the Python module, its type check and its wheel need: the system's with Debian's packages, or one in a folder of ours. */
import path from "node:path";
import { captured, ensure } from "./system.mjs";

const ASK_WITHIN_MS = 60_000;
const INSTALL_WITHIN_MS = 600_000;

/** mypy's package has the types of redis-py in another one, which it only recommends. */
const DEBIAN_PACKAGES = ["python3", "python3-redis", "mypy", "python3-typeshed", "python3-hatchling"];
const SYSTEM_PYTHON = "/usr/bin/python3";
const PYPI_PACKAGES = ["redis==8.1.0", "mypy==2.4.0", "hatchling==1.32.4"];
const OWN = path.resolve("node_modules/.cache/python");
const OWN_PYTHON = path.join(OWN, "bin/python");

/** Whether a Python has all of it: that mypy is there says nothing about whether it knows the types of redis-py. */
const PROBE = `
import sys
assert sys.version_info >= (3, 10), f"Python {sys.version.split()[0]} is older than 3.10"
import asyncio, hatchling, redis.asyncio
from mypy import api
printed, _, failed = api.run(["--config-file=", "--cache-dir=${OWN}.mypy", "-c", "import redis.asyncio"])
sys.exit(printed if failed else 0)`;

/**
 * Resolves with its path; rejects with the reason why there is none. A `python3` that a person has put first is left alone: what
 * it happens to have would decide what is checked.
 */
export async function ensurePython({ onProgress }) {
  if (await hasAll(OWN_PYTHON)) return OWN_PYTHON;
  const failures = [];
  for (const install of [fromDebian, fromPyPI]) {
    try {
      return await install(onProgress);
    } catch (error) {
      failures.push(error.message.trim().split("\n").at(-1));
    }
  }
  throw new Error(`no Python 3.10 with ${PYPI_PACKAGES.join(", ")} (${failures.join("; ")})`);
}

function ask(python, program) {
  return captured([python, "-c", program], { withinMs: ASK_WITHIN_MS });
}

function hasAll(python) {
  return ask(python, PROBE).then(
    () => true,
    () => false,
  );
}

async function fromDebian(onProgress) {
  await ensure({ here: [SYSTEM_PYTHON, "-c", PROBE], debian: DEBIAN_PACKAGES }, onProgress);
  return SYSTEM_PYTHON;
}

async function fromPyPI(onProgress) {
  onProgress(`Installing ${PYPI_PACKAGES.join(", ")} into ${path.relative(".", OWN)} …`);
  await captured(["python3", "-m", "venv", OWN], { withinMs: INSTALL_WITHIN_MS });
  await captured([OWN_PYTHON, "-m", "pip", "install", "--quiet", ...PYPI_PACKAGES], { withinMs: INSTALL_WITHIN_MS });
  await ask(OWN_PYTHON, PROBE);
  return OWN_PYTHON;
}
