/** What keeps Gemini CLI from starting what is set up in its settings, without saying so. */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, relative, sep } from "node:path";
import { parse } from "jsonc-parser";
import { type Finding, problem, warning } from "./finding.ts";
import type { Place } from "./place.ts";

const ABOUT = "gemini";
const SETTINGS = ".gemini/settings.json";
/** What its user has said of folders. */
const TRUSTED = ".gemini/trustedFolders.json";
/** A file that is larger is none that a person wrote. */
const CHARACTERS = 1_048_576;

export function examineGemini({ root }: Pick<Place, "root">): Finding[] {
  const home = process.env["HOME"] || homedir();
  const findings: Finding[] = [];
  const user = recordIn(join(home, SETTINGS));
  for (const [file, settings] of [
    [join(root, SETTINGS), recordIn(join(root, SETTINGS))],
    [join(home, SETTINGS), user],
  ] as const) {
    const name = file.startsWith(root) ? relative(root, file) : file;
    if (inside(settings, "hooksConfig", "enabled") === false) {
      findings.push(problem(ABOUT, `hooksConfig.enabled in ${name} switches the hooks off`, "Take that line out."));
    }
    const [allowed, excluded] = [inside(settings, "mcp", "allowed"), inside(settings, "mcp", "excluded")];
    if (
      (Array.isArray(allowed) && !allowed.includes("coord")) ||
      (Array.isArray(excluded) && excluded.includes("coord"))
    ) {
      findings.push(
        problem(ABOUT, `mcp in ${name} keeps the server coord out, so it has no tools`, "Let coord in there."),
      );
    }
  }
  // Where it has never run, nothing is known of what its user would say.
  const asks = existsSync(join(home, ".gemini")) && inside(user, "security", "folderTrust", "enabled") !== false;
  if (asks && !isTrusted(root, recordIn(join(home, TRUSTED)))) {
    findings.push(
      warning(
        ABOUT,
        "nobody has said that Gemini CLI may trust this folder, and where it asks about folders it reads no settings of one before",
        "Start gemini here and trust it; for scripts set GEMINI_CLI_TRUST_WORKSPACE=true.",
      ),
    );
  }
  return findings;
}

/** By the longest rule that holds here; TRUST_PARENT is said of a folder and means the one above it. */
function isTrusted(root: string, rules: Record<string, unknown>): boolean {
  if (process.env["GEMINI_CLI_TRUST_WORKSPACE"] === "true") return true;
  const holds = Object.entries(rules).filter(([folder, said]) => {
    const top = said === "TRUST_PARENT" ? dirname(folder) : folder;
    return root === top || root.startsWith(top.endsWith(sep) ? top : top + sep);
  });
  const [longest] = holds.toSorted(([one], [other]) => other.length - one.length);
  return longest?.[1] === "TRUST_FOLDER" || longest?.[1] === "TRUST_PARENT";
}

function inside(value: unknown, ...keys: string[]): unknown {
  return keys.reduce((inner, key) => (inner as Record<string, unknown> | null | undefined)?.[key], value);
}

/** With comments, as Gemini CLI reads it; nothing where there is none, or it is no record. */
function recordIn(file: string): Record<string, unknown> {
  if (!existsSync(file)) return {};
  const text = readFileSync(file, "utf8");
  const value: unknown = text.length > CHARACTERS ? undefined : parse(text);
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
