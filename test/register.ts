/** A register, as `coord init` writes it, for tests that set nothing up. */
import { existsSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";

/** With one project. @returns the value of XDG_CONFIG_HOME with which it is found */
export function writeRegister(place: string, workTree: string, project: object): string {
  const config = path.join(place, "config");
  writeProjects(config, { [workTree]: project });
  return config;
}

/** @param projects by the folder of their main work tree */
export function writeProjects(config: string, projects: Readonly<Record<string, object>>): void {
  mkdirSync(path.join(config, "cli-coordination"), { recursive: true });
  const byKey = Object.entries(projects).map(([folder, project]): [string, object] => {
    const git = path.join(realpathSync(folder), ".git");
    return [existsSync(git) ? git : path.dirname(git), project];
  });
  const text = JSON.stringify({ version: 1, projects: Object.fromEntries(byKey) });
  writeFileSync(path.join(config, "cli-coordination", "projects.json"), text);
}
