/** What keeps Claude Code from starting what is set up in its files, without saying so. */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";
import { type Finding, problem, warning } from "./finding.ts";
import type { Place } from "./place.ts";

const SETTINGS = [".claude/settings.json", ".claude/settings.local.json"];
/** A settings file that is larger is none that a person wrote. */
const SETTINGS_CHARACTERS = 1_048_576;
/** Where Claude Code keeps, among much else, what its user has answered. */
const ANSWERS = ".claude.json";
const ANSWERS_CHARACTERS = 16 * SETTINGS_CHARACTERS;
const ABOUT = "claude";

/** @param isSetUp whether coord init has put server and hooks into the project's files */
export function examineClaude({ root, tree }: Place, isSetUp: boolean): Finding[] {
  const home = process.env["HOME"] || homedir();
  const files = [...SETTINGS.map((name) => join(root, name)), join(home, SETTINGS[0]!)];
  const findings: Finding[] = [];
  const answers = answersOf(home, [root, dirname(tree.key)]);
  /** Whether anybody has said yes or no to the server; without a file of Claude Code nothing is known. */
  let decided = answers === undefined || names(answers["enabledMcpjsonServers"]).includes("coord");
  for (const file of files) {
    const name = file.startsWith(root) ? relative(root, file) : file;
    const settings = readSettings(file);
    if (settings === "unreadable") {
      findings.push(
        problem(ABOUT, `${name} is not strict JSON, so Claude Code ignores all of it`, "Take its comments out."),
      );
      continue;
    }
    if (isSetUp && settings["disableAllHooks"] === true) {
      findings.push(problem(ABOUT, `disableAllHooks in ${name} switches the hooks off`, "Take that line out."));
    }
    if (isSetUp && names(settings["disabledMcpjsonServers"]).includes("coord")) {
      decided = true;
      findings.push(disabled(name));
    }
    decided ||= settings["enableAllProjectMcpServers"] === true;
    decided ||= names(settings["enabledMcpjsonServers"]).includes("coord");
    if (isSetUp && hasPlugin(settings["enabledPlugins"])) {
      findings.push(
        warning(
          ABOUT,
          `the plugin in ${name} and coord init are both active: each message is shown once, but every hook runs twice`,
          "Keep one: coord init --remove --agent claude, or disable the plugin.",
        ),
      );
    }
  }
  if (isSetUp && names(answers?.["disabledMcpjsonServers"]).includes("coord")) {
    findings.push(disabled(join(home, ANSWERS)));
  } else if (isSetUp && !decided) {
    findings.push(
      warning(
        ABOUT,
        "nobody has allowed Claude Code to start the server coord of .mcp.json yet, so it has no tools",
        "Start claude here and approve it, or name coord in enabledMcpjsonServers of .claude/settings.local.json.",
      ),
    );
  }
  return findings;
}

function disabled(file: string): Finding {
  return problem(
    ABOUT,
    `disabledMcpjsonServers in ${file} names coord, so it has no tools`,
    "Take coord out of the list.",
  );
}

/** What its user has answered about the servers of a project; undefined where Claude Code has never run, or it cannot be read. */
function answersOf(home: string, folders: readonly string[]): Record<string, unknown> | undefined {
  const file = join(home, ANSWERS);
  const whole = existsSync(file) ? readSettings(file, ANSWERS_CHARACTERS) : "unreadable";
  if (whole === "unreadable") return undefined;
  const projects = isRecord(whole["projects"]) ? whole["projects"] : {};
  return folders.map((folder) => projects[folder]).find(isRecord) ?? {};
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function readSettings(file: string, characters = SETTINGS_CHARACTERS): Record<string, unknown> | "unreadable" {
  if (!existsSync(file)) return {};
  try {
    const text = readFileSync(file, "utf8");
    const value: unknown = text.length > characters ? undefined : JSON.parse(text);
    return isRecord(value) ? value : "unreadable";
  } catch {
    return "unreadable";
  }
}

function names(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function hasPlugin(value: unknown): boolean {
  return (
    isRecord(value) && Object.entries(value).some(([name, enabled]) => name.startsWith("coord@") && enabled === true)
  );
}
