"""Where a message goes when nobody says, and whether it goes the way its type is meant to go."""

from __future__ import annotations

from typing import Iterable

from .definition import BROADCAST, TYPE_RULES

#: How many names a warning about an unknown recipient offers.
_NEAREST_NAMES = 3


def default_recipient(message_type: str, sender: str, orchestrator: str) -> str | None:
    """The default recipient of a type from this sender; None when one must be given."""
    rule = TYPE_RULES[message_type]["default_to"]
    if rule == "orchestrator":
        return orchestrator
    if rule == "all":
        return BROADCAST
    if rule == "counterpart":
        return BROADCAST if sender == orchestrator else orchestrator
    return None


def asks_for_acknowledgement(message_type: str, *, replies: bool, to: str) -> bool:
    """Whether a message asks for an acknowledgement when its sender does not say. A reply to one instance ends a matter,
    unless its type asks for work."""
    rule = TYPE_RULES[message_type]
    if replies and to != BROADCAST:
        return rule.get("asks_for_work", False)
    return rule.get("requires_ack", True)


def direction_problem(message_type: str, sender: str, to: str | None, orchestrator: str) -> str | None:
    """What is against the direction of the type, as a sentence. Without `to` only the sender is judged."""
    rule = TYPE_RULES[message_type]

    def plays(role: str, name: str) -> bool:
        if role == "any":
            return True
        if role == "all":
            return name == BROADCAST
        if role == "orchestrator":
            return name == orchestrator
        return name not in (orchestrator, BROADCAST)

    if plays(rule["from"], sender) and (to is None or plays(rule["to"], to)):
        return None

    def named(role: str) -> str:
        return f"the orchestrator ({orchestrator})" if role == "orchestrator" else f"a {role}"

    goal = "all" if rule["to"] == "all" else named(rule["to"])
    direction = f"{message_type} goes from {named(rule['from'])} to {goal}"
    return f"{direction}, not from {sender}" + ("" if to is None else f" to {to}")


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """The known names most like `name`, nearest first, by edit distance; none that differs in more than half of it."""
    wanted = name.lower()
    near = [
        (distance, other)
        for other in known
        if (distance := _edit_distance(wanted, other.lower())) <= max(len(wanted), len(other)) / 2
    ]
    return [other for _, other in sorted(near)[:_NEAREST_NAMES]]


def _edit_distance(a: str, b: str) -> int:
    """Levenshtein distance, one row at a time."""
    row = list(range(len(b) + 1))
    for i, character in enumerate(a, 1):
        following = [i]
        for j, other in enumerate(b, 1):
            replaced = row[j - 1] + (character != other)
            following.append(min(replaced, row[j] + 1, following[j - 1] + 1))
        row = following
    return row[len(b)]
