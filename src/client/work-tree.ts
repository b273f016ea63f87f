/**
 * The work tree around a folder and the repository that it belongs to, read from files: starting git would cost more than
 * all the rest. Only a `.git` entry counts, never the shape of a folder or a variable, and it is believed only what the
 * repository itself confirms: an archive may bring a `.git` file that points into anybody's repository.
 */
import { type Stats, existsSync, lstatSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";

export interface WorkTree {
  /** The real path of the folder that holds `.git`; outside of git that of the folder itself. */
  readonly root: string;
  /** By what the register knows the project: the real path of the common git directory, outside of git of the folder. */
  readonly key: string;
  /** git's own id of a linked worktree; MAIN for any other. */
  readonly id: string;
  /** Its own git directory, where there is one. */
  readonly gitDirectory: string | undefined;
  /** The work tree that this submodule lies in. */
  readonly outer?: WorkTree;
  /** Why the `.git` entry could not be followed, as a sentence without its full stop. */
  readonly problem?: string;
}

export const MAIN = ".";
/** Files of git that hold one path. */
const PATH_BYTES = 4_096;
const CONFIG_BYTES = 1_048_576;

/** Never fails: of what cannot be read nothing is known. */
export function findWorkTree(start: string): WorkTree {
  const real = realPath(start);
  for (let folder = real; ; folder = dirname(folder)) {
    const entry = join(folder, ".git");
    const stat = statOf(entry, lstatSync);
    // Its `commondir` counts for nothing: git writes none there, but an archive may.
    if (stat?.isDirectory()) return { root: folder, key: entry, id: MAIN, gitDirectory: entry };
    if (stat !== undefined) return followed(folder, entry);
    if (folder === dirname(folder)) return { root: real, key: real, id: MAIN, gitDirectory: undefined };
  }
}

/** From a `.git` that is a file, or a link. */
function followed(root: string, entry: string): WorkTree {
  const alone = (problem: string): WorkTree => ({ root, key: root, id: MAIN, gitDirectory: undefined, problem });
  const named = statOf(entry, statSync)?.isDirectory()
    ? entry
    : /^gitdir: ([^\r\n]+)/.exec(readShort(entry) ?? "")?.[1];
  if (named === undefined) return alone(`${entry} names no git directory`);
  const git = realPath(resolve(root, named));
  if (!existsSync(join(git, "HEAD"))) return alone(`the git directory ${git} is not here`);
  const common = firstLine(readShort(join(git, "commondir")));
  if (common !== undefined) {
    const back = firstLine(readShort(join(git, "gitdir")));
    if (back === undefined || realPath(resolve(git, back)) !== entry)
      return alone(`${git} belongs to another worktree`);
    const key = realPath(resolve(git, common));
    // An archive may bring a git directory as well, which names anybody's repository as the common one.
    if (dirname(git) !== join(key, "worktrees")) return alone(`${git} is no worktree of ${key}`);
    return { root, key, id: basename(git), gitDirectory: git };
  }
  // A submodule's says where its work tree is; that of the layout with a `.bare` lies in the folder.
  const told = /^[ \t]*worktree[ \t]*=[ \t]*(.+?)[ \t]*$/m.exec(
    readShort(join(git, "config"), CONFIG_BYTES) ?? "",
  )?.[1];
  const own = told !== undefined && realPath(resolve(git, told)) === root;
  if (!own && !git.startsWith(root + sep)) return alone(`${git} does not say that this is its work tree`);
  const found: WorkTree = { root, key: git, id: MAIN, gitDirectory: git };
  const outer = own ? findWorkTree(dirname(root)) : undefined;
  return outer?.gitDirectory !== undefined && git.startsWith(outer.gitDirectory + sep) ? { ...found, outer } : found;
}

/** What `HEAD` names: a branch, or the beginning of a commit's id. */
export function currentBranch({ gitDirectory }: WorkTree): string | undefined {
  const head = gitDirectory === undefined ? undefined : firstLine(readShort(join(gitDirectory, "HEAD")));
  return head?.startsWith("ref: refs/heads/") ? head.slice(16) : head?.slice(0, 12);
}

/** The real path of the deepest parent that is there, with the rest. */
function realPath(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch {
    return dirname(absolute) === absolute ? absolute : join(realPath(dirname(absolute)), basename(absolute));
  }
}

/** Nothing as well for what may not be looked at, and for a link to itself. */
function statOf(path: string, look: (path: string) => Stats): Stats | undefined {
  try {
    return look(path);
  } catch {
    return undefined;
  }
}

function firstLine(text: string | undefined): string | undefined {
  return text?.split(/\r?\n/, 1)[0] || undefined;
}

/** A link to /dev/zero may stand there as well. */
function readShort(path: string, bytes = PATH_BYTES): string | undefined {
  const stat = statOf(path, statSync);
  try {
    return stat?.isFile() && stat.size <= bytes ? readFileSync(path, "utf8") : undefined;
  } catch {
    return undefined;
  }
}
