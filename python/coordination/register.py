"""The register of projects, as `coord init` writes it. The rules of `src/client/register.ts`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from .definition import LIMITS
from .errors import CoordinationError, invalid
from .validation import shown
from .variables import Variables
from .work_tree import WorkTree, find_work_tree


@dataclass(frozen=True)
class Project:
    key_prefix: str
    #: The variables that name the server, as COORD_REDIS_URL.
    server: Mapping[str, str]
    orchestrator: str | None
    #: Names by git's own id of the worktree.
    worktrees: Mapping[str, str]


@dataclass(frozen=True)
class Surroundings:
    """Where somebody works, and what the register says about it."""

    tree: WorkTree
    file: str
    project: Project | None = None

    @property
    def name(self) -> str | None:
        return None if self.project is None else self.project.worktrees.get(self.tree.id)


def surroundings_of(folder: str, env: Variables) -> Surroundings:
    """Raises INVALID for a register that cannot be read."""
    file = _register_file(env)
    register = _read_register(file)
    own = find_work_tree(folder)
    tree: WorkTree | None = own
    while tree is not None:
        if tree.key in register:
            return Surroundings(tree, file, register[tree.key])
        tree = _outside(tree)
    return Surroundings(own, file)


def _outside(tree: WorkTree) -> WorkTree | None:
    """Where else a project may be that this folder is in: around a submodule, and around a folder outside of git."""
    if tree.outer is not None:
        return tree.outer
    parent = os.path.dirname(tree.root)
    if tree.git_directory is not None or tree.problem is not None or parent == tree.root:
        return None
    return WorkTree(parent, parent, tree.id)


def _register_file(env: Variables) -> str:
    configured = env.get("XDG_CONFIG_HOME") or ""
    home = os.path.join(_home(env), ".config")
    return os.path.join(configured if os.path.isabs(configured) else home, "cli-coordination", "projects.json")


def _home(env: Variables) -> str:
    """A relative one would be looked for in whatever folder somebody works in, which may be a clone."""
    home = env.get("HOME") or os.path.expanduser("~")
    return home if os.path.isabs(home) else "/"  # as for a user without an entry in passwd


def _read_register(file: str) -> dict[str, Project]:
    try:
        size, maximum = os.stat(file).st_size, LIMITS["register_bytes"]
        if not os.path.isfile(file):  # a link to /dev/zero has no end
            raise _unreadable(file, "it is no file")
        if size > maximum:
            raise _unreadable(file, f"it has {size} bytes, at most {maximum} are read")
        text = Path(file).read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _unreadable(file, str(error)) from error
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        raise _unreadable(file, "it is not JSON") from None  # nothing of it is quoted: it may be a password
    projects = whole.get("projects") if isinstance(whole, dict) else None
    if not isinstance(projects, dict):
        raise _unreadable(file, "it has no projects")
    return {key: _project_from(value, key, file) for key, value in projects.items()}


def _project_from(value: Any, key: str, file: str) -> Project:
    def refuse(field: str) -> CoordinationError:
        return _unreadable(file, f"{field} of {shown(key)} is not what it should be")

    if not isinstance(value, dict):
        raise refuse("the entry")
    if not isinstance(value.get("keyPrefix"), str):
        raise refuse("keyPrefix")
    for field in ("server", "worktrees"):
        texts = value.get(field, {})
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise refuse(field)
    if not isinstance(value.get("orchestrator", ""), str):
        raise refuse("orchestrator")
    return Project(
        value["keyPrefix"], value.get("server", {}), value.get("orchestrator"), value.get("worktrees", {})
    )


def _unreadable(file: str, problem: str) -> CoordinationError:
    return invalid(f"The register {file} cannot be read: {problem}.", "Correct it, or remove it and run coord init.")
