/** docs/reliability.md: the trials of faults write it, other long runs each keep a section of it. */
import { readFile, writeFile } from "node:fs/promises";

export const REPORT = "docs/reliability.md";
const SECTIONS = ["fuzz", "soak"] as const;

/** Puts a section into its place, in place of the one of an earlier run. */
export async function writeSection(name: (typeof SECTIONS)[number], text: string): Promise<void> {
  const report = await readFile(REPORT, "utf8").catch(() => "# Reliability\n");
  await writeFile(REPORT, withSections(report.replace(sectionOf(name), ""), `${report}\n${marked(name, text)}`));
}

/** `report` with the sections of `former` behind it; the last of a name counts. */
export function withSections(report: string, former: string): string {
  const own = SECTIONS.reduce((text, name) => text.replace(sectionOf(name), ""), report).trimEnd();
  const kept = SECTIONS.flatMap(
    (name) => [...former.matchAll(new RegExp(sectionOf(name), "g"))].at(-1)?.[0].trim() ?? [],
  );
  return `${[own, ...kept].join("\n\n")}\n`;
}

function sectionOf(name: string): RegExp {
  return new RegExp(`\\n*<!-- ${name} -->\\n[\\s\\S]*?<!-- /${name} -->\\n?`);
}

function marked(name: string, text: string): string {
  return `<!-- ${name} -->\n\n${text.trim()}\n\n<!-- /${name} -->\n`;
}
