/** A register with one project, as `coord init` writes it, for tests that set nothing up. */
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";

/** @returns the value of XDG_CONFIG_HOME with which it is found */
export function writeRegister(place: string, workTree: string, project: object): string {
  const config = path.join(place, "config");
  mkdirSync(path.join(config, "cli-coordination"), { recursive: true });
  const key = path.join(realpathSync(workTree), ".git");
  const text = JSON.stringify({ version: 1, projects: { [key]: project } });
  writeFileSync(path.join(config, "cli-coordination", "projects.json"), text);
  return config;
}
