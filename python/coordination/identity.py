"""Who speaks: the first place that has a name for it, and where there is none the reason. As `src/client/identity.ts`."""

from __future__ import annotations

from dataclasses import dataclass

from .naming import name_from
from .register import Surroundings
from .run_record import RunRecord, is_held_above
from .validation import check_identity, shown
from .variables import Variables
from .work_tree import MAIN


@dataclass(frozen=True)
class FoundName:
    instance: str | None = None
    source: str | None = None
    #: Why there is none, as a sentence without its full stop.
    reason: str | None = None
    #: What to do, where that is not to give one.
    remedy: str | None = None


_KEPT_OUT = FoundName(
    reason="COORD_OFF=1 keeps this run out", remedy="Unset COORD_OFF, or give --instance <name> to a command."
)


def find_name(option: str | None, env: Variables, run: RunRecord | None, surroundings: Surroundings) -> FoundName:
    """Raises IDENTITY for a malformed name."""
    if option is not None:
        return FoundName(check_identity(option, "instance_id"), "instance_id")
    if env.get("COORD_OFF") == "1":
        return _KEPT_OUT
    of_run = None if run is None else run.instance
    variable = env.get("CLAUDE_INSTANCE_ID") or None
    # The variable comes down to whatever an agent starts: another agent is not thereby the same instance.
    inherited = variable is not None and variable != of_run and is_held_above(variable, run)
    if variable is not None and not inherited:
        return FoundName(check_identity(variable, "CLAUDE_INSTANCE_ID"), "CLAUDE_INSTANCE_ID")
    if of_run is not None:
        return FoundName(check_identity(of_run, "this run"))
    if surroundings.name is not None:
        return FoundName(check_identity(surroundings.name, f"worktrees in {surroundings.file}"))
    proposed = _name_of_worktree(surroundings)
    if inherited and proposed.instance is None:
        return FoundName(reason=f"CLAUDE_INSTANCE_ID is {shown(variable)}, the name of the agent that started this one")
    return proposed


def _name_of_worktree(surroundings: Surroundings) -> FoundName:
    """In a repository that was set up, a worktree that was made by whatever tool is called as git calls it."""
    tree, project = surroundings.tree, surroundings.project
    if tree.problem is not None:
        sentence = f"No instance name is set, and {tree.problem}, so that only the environment can name this one"
        return FoundName(reason=sentence)
    if project is None or tree.id == MAIN:
        return FoundName()
    name = name_from(tree.id)
    others = [other for worktree, other in project.worktrees.items() if worktree != tree.id]
    taken = name.lower() in [other.lower() for other in (project.orchestrator or "orchestrator", *others)]
    if name and not taken:
        return FoundName(name)
    problem = "is another's" if taken else "leaves none"
    return FoundName(reason=f"No instance name is set, and git's name for this worktree, {shown(tree.id)}, {problem}")
