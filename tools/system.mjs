/** What no npm package brings: programs and libraries from Debian or Homebrew, installed where they are missing. */
import { execFile } from "node:child_process";

const ASK_WITHIN_MS = 60_000;
/** An index and some packages, over a slow line. */
const INSTALL_WITHIN_MS = 600_000;
/** Another package manager may be at work, as on a machine that has just started. */
const LOCK_WITHIN_SECONDS = 120;
const OUTPUT_BYTES_MAXIMUM = 64 * 1024 * 1024;

/** `here`: a command that succeeds where nothing is missing. `debian`, `brew`: the packages that bring it. */
export const NEEDS = {
  luacheck: { here: ["luacheck", "--version"], debian: ["lua-check"], brew: ["luacheck"] },
  shellcheck: { here: ["shellcheck", "--version"], debian: ["shellcheck"], brew: ["shellcheck"] },
  openssl: { here: ["openssl", "version"], debian: ["openssl"], brew: ["openssl"] },
  zsh: { here: ["zsh", "--version"], debian: ["zsh"], brew: ["zsh"] },
  fish: { here: ["fish", "--version"], debian: ["fish"], brew: ["fish"] },
  // With a font: without one it shows no text, and what is not seen is not tested.
  chromium: {
    here: [
      "sh",
      "-c",
      "chromium --version || google-chrome --version || test -d '/Applications/Google Chrome.app' -o -d /Applications/Chromium.app",
    ],
    debian: ["chromium", "fonts-dejavu-core"],
  },
  // Both, or a machine that has one of them would be left without the other.
  clock: {
    here: ["sh", "-c", "ls /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/*/libtcmalloc_minimal.so.4"],
    debian: ["faketime", "libtcmalloc-minimal4"],
  },
};

/** Resolves when nothing of the need is missing any more; rejects with the reason, in one line. */
export async function ensure(need, onProgress) {
  const isHere = () => captured(need.here, { withinMs: ASK_WITHIN_MS });
  if (await isHere().then(always(true), always(false))) return;
  const packages = process.platform === "darwin" ? need.brew : need.debian;
  if (packages === undefined) throw new Error(`${need.debian.join(", ")}: only Debian has them`);
  onProgress(`Installing ${packages.join(", ")} …`);
  try {
    await (process.platform === "darwin" ? fromHomebrew(packages) : fromDebian(packages, onProgress));
    await isHere();
  } catch (error) {
    throw new Error(`${packages.join(", ")} could not be installed: ${lastLine(error)}`, { cause: error });
  }
}

/** Resolves with what it printed; rejects with that when it fails or takes too long. */
export function captured([program, ...args], { withinMs, cwd, env }) {
  const options = { env, cwd, timeout: withinMs, killSignal: "SIGKILL", maxBuffer: OUTPUT_BYTES_MAXIMUM };
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      const printed = `${stdout}${stderr}`.trim();
      if (error === null) return resolve(printed);
      if (error.killed) return reject(new Error(`${printed}\nstopped after ${withinMs / 1000} s`));
      reject(new Error(printed || error.message));
    });
  });
}

function fromHomebrew(packages) {
  return captured(["brew", "install", ...packages], { withinMs: INSTALL_WITHIN_MS });
}

/** Once is enough for all that is installed. */
let isUpdated = false;

async function fromDebian(packages, onProgress) {
  const asRoot = process.getuid() === 0 ? [] : ["sudo", "-n"];
  const command = [...asRoot, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
  const waiting = ["-o", `DPkg::Lock::Timeout=${LOCK_WITHIN_SECONDS}`];
  const apt = (...args) => captured([...command, ...waiting, ...args], { withinMs: INSTALL_WITHIN_MS });
  const install = () => apt("install", "-y", "--no-install-recommends", ...packages);
  try {
    await install();
  } catch (error) {
    if (isUpdated) throw error;
    // A package index that is missing or out of date is the common reason for a first failure.
    isUpdated = true;
    onProgress("Updating Debian's package index …");
    const trouble = await apt("update").then(always(undefined), (reason) => reason);
    // One of several sources that is away matters only where the packages are still not found.
    await install().catch((again) => Promise.reject(trouble ?? again));
  }
}

function always(value) {
  return () => value;
}

function lastLine(error) {
  return error.message.trim().split("\n").at(-1);
}
