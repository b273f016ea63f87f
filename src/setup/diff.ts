/** A change as a unified diff, as `patch -p1` takes it. */
import { relative } from "node:path";
import { FILE_HEADERS_ONLY, createTwoFilesPatch } from "diff";
import type { Change } from "./files.ts";

export function unifiedDiff({ path, before, after }: Change, root: string): string {
  const inside = relative(root, path);
  const [old, now] = inside.startsWith("..") ? [path, path] : [`a/${inside}`, `b/${inside}`];
  const [from, to] = [before === undefined ? "/dev/null" : old, after === undefined ? "/dev/null" : now];
  return createTwoFilesPatch(from, to, before ?? "", after ?? "", undefined, undefined, {
    context: 3,
    headerOptions: FILE_HEADERS_ONLY,
  });
}
