/** The sections of docs/reliability.md that are written from what was found; each runner replaces its own. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import path from "node:path";
import { ROOT } from "./server.ts";

const FILE = path.join(ROOT, "docs/reliability.md");

export function writeSection(name: "fuzz" | "soak", text: string): void {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const section = `${begin}\n\n${text}\n\n${end}`;
  const before = existsSync(FILE) ? readFileSync(FILE, "utf8") : "# Reliability\n";
  const [from, to] = [before.indexOf(begin), before.indexOf(end)];
  const after =
    from === -1 || to === -1
      ? `${before.trimEnd()}\n\n${section}\n`
      : before.slice(0, from) + section + before.slice(to + end.length);
  writeFileSync(FILE, after);
}

/** Where and when the figures were taken. */
export function circumstances(redis: string): string {
  return `${new Date().toISOString().slice(0, 10)}, Redis ${redis}, Node ${process.versions.node}, ${cpus().length} cores`;
}
