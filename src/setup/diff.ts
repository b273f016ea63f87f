/** A change as a unified diff, as `patch -p1` takes it. */
import { relative } from "node:path";
import type { Change } from "./files.ts";

/** Unchanged lines shown around a change. */
const CONTEXT = 3;

interface Line {
  readonly sign: " " | "-" | "+";
  readonly text: string;
}

export function unifiedDiff({ path, before, after }: Change, root: string): string {
  const inside = relative(root, path);
  const [old, now] = inside.startsWith("..") ? [path, path] : [`a/${inside}`, `b/${inside}`];
  const lines = compare(linesOf(before), linesOf(after));
  const head = `--- ${before === undefined ? "/dev/null" : old}\n+++ ${after === undefined ? "/dev/null" : now}\n`;
  return head + hunksOf(lines).join("");
}

/** With their ends, so that a missing one at the end of a file is a difference. */
function linesOf(text = ""): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** The longest common subsequence between what is equal at both ends; configuration files are short. */
function compare(before: readonly string[], after: readonly string[]): Line[] {
  let start = 0;
  while (start < before.length && before[start] === after[start]) start++;
  let end = 0;
  while (end < Math.min(before.length, after.length) - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const [a, b] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  /** common[i][j]: how many lines the rests from i and from j have in common. */
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i]![j] = a[i] === b[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
    }
  }
  const same = (text: string): Line => ({ sign: " ", text });
  const lines = before.slice(0, start).map(same);
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) lines.push(same(a[i++]!), ...(j++, []));
    else if (j === b.length || (i < a.length && common[i + 1]![j]! >= common[i]![j + 1]!))
      lines.push({ sign: "-", text: a[i++]! });
    else lines.push({ sign: "+", text: b[j++]! });
  }
  return [...lines, ...before.slice(before.length - end).map(same)];
}

function hunksOf(lines: readonly Line[]): string[] {
  const near = (at: number): boolean =>
    lines.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(({ sign }) => sign !== " ");
  const hunks: string[] = [];
  let [old, now] = [1, 1];
  for (let i = 0; i < lines.length;) {
    const from = i;
    while (i < lines.length && near(i)) i++;
    const hunk = lines.slice(from, i);
    const [removed, added] = ["+", "-"].map((other) => hunk.filter(({ sign }) => sign !== other).length) as [
      number,
      number,
    ];
    if (hunk.length > 0)
      hunks.push(`@@ -${range(old, removed)} +${range(now, added)} @@\n${hunk.map(printed).join("")}`);
    old += removed;
    now += added;
    if (i < lines.length && !near(i)) [i, old, now] = [i + 1, old + 1, now + 1];
  }
  return hunks;
}

/** Of no lines the one before them is named. */
function range(start: number, count: number): string {
  return `${count === 0 ? start - 1 : start},${count}`;
}

function printed({ sign, text }: Line): string {
  return text.endsWith("\n") ? sign + text : `${sign}${text}\n\\ No newline at end of file\n`;
}
