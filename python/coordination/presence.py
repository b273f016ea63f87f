"""Presence as the reader computes it from the stored heartbeat and Redis' clock."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Mapping, cast

from .definition import LIMITS
from .results import InstancePresence, PresenceStatus, SessionFacts


def parse_time(text: object) -> float | None:
    """Milliseconds of a time as Lua writes it, or None."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp() * 1000


def read_presence(
    instance: str, value: str, pending: int, now_milliseconds: float, timeout_seconds: int
) -> InstancePresence:
    """Reads one value of the presence hash.

    A heartbeat from the future counts as now: the clock of Redis may have been stepped back. A value that cannot be read is
    reported, never raised: the other instances are still listed.
    """
    try:
        entry = json.loads(value)
    except ValueError:
        return _unreadable(instance, pending, "the entry is not JSON")
    fields = entry if isinstance(entry, dict) else {}
    heartbeat = parse_time(fields.get("last_heartbeat"))
    if heartbeat is None:
        return _unreadable(instance, pending, "last_heartbeat is not a time")
    age = max(0.0, now_milliseconds - heartbeat) / 1000
    return {
        "instance_id": instance,
        "status": "offline" if fields.get("left") is True else _status_at(age, timeout_seconds),
        "last_heartbeat": fields["last_heartbeat"],
        "seconds_since_heartbeat": int(age),
        "session": read_session(fields.get("session")),
        "pending": pending,
    }


def _unreadable(instance: str, pending: int, reason: str) -> InstancePresence:
    return {
        "instance_id": instance,
        "status": "unknown",
        "last_heartbeat": None,
        "seconds_since_heartbeat": None,
        "session": {},
        "pending": pending,
        "unreadable": reason,
    }


def _status_at(age_seconds: float, timeout_seconds: int) -> PresenceStatus:
    if age_seconds < timeout_seconds:
        return "active"
    return "stale" if age_seconds < LIMITS["offline_factor"] * timeout_seconds else "offline"


_TEXT = (str,)
_NUMBER = (int, float)
_FACTS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "agent", "host", "cwd", "branch", "activity", "joined"), _TEXT),
    **dict.fromkeys(("pid", "agent_pid"), _NUMBER),
}


def read_stored_session(text: str) -> SessionFacts:
    """A session as JSON. What cannot be read tells nothing: that there was one is told all the same."""
    try:
        return read_session(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def read_session(stored: object) -> SessionFacts:
    """What a stored session tells; facts of another type or of a newer version are passed over."""
    if not isinstance(stored, dict):
        return {}
    facts = {name: value for name, value in stored.items() if type(value) in _FACTS.get(name, ())}
    return cast(SessionFacts, facts)
