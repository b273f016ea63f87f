"""The work tree around a folder and its repository, read from files. The rules of `src/client/work-tree.ts`.

Only a `.git` entry counts, and it is believed only what the repository itself confirms: an archive may bring a `.git` file
that points into anybody's repository.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

#: What stands for the id of a work tree that is no linked one.
MAIN = "."
#: Files of git that hold one path.
_PATH_BYTES = 4_096
_CONFIG_BYTES = 1_048_576


@dataclass(frozen=True)
class WorkTree:
    #: The real path of the folder that holds `.git`; outside of git that of the folder itself.
    root: str
    #: By what the register knows the project: the real path of the common git directory, outside of git of the folder.
    key: str
    #: git's own id of a linked worktree.
    id: str = MAIN
    git_directory: str | None = None
    #: The work tree that this submodule lies in.
    outer: WorkTree | None = None
    #: Why the `.git` entry could not be followed.
    problem: str | None = None


def find_work_tree(start: str) -> WorkTree:
    """Never fails: of what cannot be read nothing is known."""
    real = os.path.realpath(start)
    for folder in (real, *map(str, Path(real).parents)):
        entry = os.path.join(folder, ".git")
        if os.path.isdir(entry) and not os.path.islink(entry):
            # Its `commondir` counts for nothing: git writes none there, but an archive may.
            return WorkTree(folder, entry, git_directory=entry)
        if os.path.lexists(entry):
            return _followed(folder, entry)
    return WorkTree(real, real)


def _followed(root: str, entry: str) -> WorkTree:
    """From a `.git` that is a file, or a link."""
    alone = WorkTree(root, root)
    named = re.match(r"gitdir: ([^\r\n]+)", _read_short(entry) or "")
    if os.path.isdir(entry):
        git = os.path.realpath(entry)
    elif named is not None:
        git = os.path.realpath(os.path.join(root, named[1]))
    else:
        return replace(alone, problem=f"{entry} names no git directory")
    if not os.path.exists(os.path.join(git, "HEAD")):
        return replace(alone, problem=f"the git directory {git} is not here")
    common = _first_line(os.path.join(git, "commondir"))
    if common is not None:
        back = _first_line(os.path.join(git, "gitdir"))
        if back is None or os.path.realpath(os.path.join(git, back)) != entry:
            return replace(alone, problem=f"{git} belongs to another worktree")
        key = os.path.realpath(os.path.join(git, common))
        # An archive may bring a git directory as well, which names anybody's repository as the common one.
        if os.path.dirname(git) != os.path.join(key, "worktrees"):
            return replace(alone, problem=f"{git} is no worktree of {key}")
        return WorkTree(root, key, os.path.basename(git), git_directory=git)
    # A submodule's says where its work tree is; that of the layout with a `.bare` lies in the folder.
    config = _read_short(os.path.join(git, "config"), _CONFIG_BYTES) or ""
    told = re.search(r"^[ \t]*worktree[ \t]*=[ \t]*(.+?)[ \t]*$", config, re.MULTILINE)
    own = told is not None and os.path.realpath(os.path.join(git, told[1])) == root
    if not own and not git.startswith(root + os.sep):
        return replace(alone, problem=f"{git} does not say that this is its work tree")
    found = WorkTree(root, git, git_directory=git)
    outer = find_work_tree(os.path.dirname(root)) if own else None
    inside = outer is not None and outer.git_directory and git.startswith(outer.git_directory + os.sep)
    return replace(found, outer=outer) if inside else found


def _first_line(path: str) -> str | None:
    lines = (_read_short(path) or "").splitlines()
    return lines[0] or None if lines else None


def _read_short(path: str, maximum: int = _PATH_BYTES) -> str | None:
    """A link to /dev/zero may stand there as well."""
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > maximum:
            return None
        return Path(path).read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
