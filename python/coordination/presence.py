"""Presence as the reader computes it from the stored heartbeat and Redis' clock."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Mapping, cast

from .definition import LIMITS
from .reply_shapes import parse_json
from .results import Doing, InstancePresence, PresenceStatus, SessionFacts


_AHEAD_MILLISECONDS = LIMITS["ahead_seconds"] * 1000


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

    A heartbeat from the future counts as now: the clock of Redis may have been stepped back; one that is more than a day ahead
    would count for ever, and is none. A value that cannot be read is
    reported, never raised: the other instances are still listed.
    """
    try:
        entry = parse_json(value)
    except ValueError:
        return _unreadable(instance, pending, "the entry is not JSON")
    fields = entry if isinstance(entry, dict) else {}
    heartbeat = parse_time(fields.get("last_heartbeat"))
    if heartbeat is None:
        return _unreadable(instance, pending, "last_heartbeat is not a time")
    if heartbeat > now_milliseconds + _AHEAD_MILLISECONDS:
        return _unreadable(instance, pending, "last_heartbeat is in the future")
    age = max(0.0, now_milliseconds - heartbeat) / 1000
    status: PresenceStatus = "offline" if fields.get("left") is True else _status_at(age, timeout_seconds)
    session = fields.get("session")
    doing, since = _doing_at(session, now_milliseconds) if status == "active" else ("away", None)
    presence: InstancePresence = {
        "instance_id": instance,
        "status": status,
        "doing": doing,
        "last_heartbeat": fields["last_heartbeat"],
        "seconds_since_heartbeat": int(age),
        "session": read_session(session),
        "pending": pending,
        "guests": _count_guests(session, now_milliseconds, timeout_seconds),
    }
    if since is not None:
        presence["doing_since"] = since
    return presence


def _doing_at(session: object, now_milliseconds: float) -> tuple[Doing, str | None]:
    """What the events of its host last told, and since when."""
    doing = session.get("doing") if isinstance(session, dict) else None
    if doing not in ("working", "idle", "waiting"):
        return "away", None
    told = cast(dict[str, object], session).get("doing_at")
    at = parse_time(told)
    age = None if at is None else now_milliseconds - at
    if age is None or age <= -_AHEAD_MILLISECONDS:
        return ("idle" if doing == "waiting" else doing), None
    waits = age < LIMITS["waiting_seconds_maximum"] * 1000
    return ("idle" if doing == "waiting" and not waits else doing), cast(str, told)


def _count_guests(session: object, now_milliseconds: float, timeout_seconds: int) -> int:
    """Who has tried to speak for an instance, or spoke for it before, and was seen within the time of an offline session."""
    guests = session.get("guests") if isinstance(session, dict) else None
    if not isinstance(guests, dict):
        return 0
    oldest = (now_milliseconds - LIMITS["offline_factor"] * timeout_seconds * 1000) * 1000
    latest = (now_milliseconds + _AHEAD_MILLISECONDS) * 1000
    times = [guest.get("at") for guest in guests.values() if isinstance(guest, dict)]
    return sum(1 for at in times if isinstance(at, str) and _MICROSECONDS.fullmatch(at) and oldest < int(at) <= latest)


def _unreadable(instance: str, pending: int, reason: str) -> InstancePresence:
    return {
        "instance_id": instance,
        "status": "unknown",
        "doing": "away",
        "last_heartbeat": None,
        "seconds_since_heartbeat": None,
        "session": {},
        "pending": pending,
        "guests": 0,
        "unreadable": reason,
    }


def _status_at(age_seconds: float, timeout_seconds: int) -> PresenceStatus:
    if age_seconds < timeout_seconds:
        return "active"
    return "stale" if age_seconds < LIMITS["offline_factor"] * timeout_seconds else "offline"


#: A time, as scripts write it.
_MICROSECONDS = re.compile(r"[0-9]{1,16}")
_TEXT = (str,)
_NUMBER = (int,)
_FACTS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "agent", "host", "cwd", "branch", "activity", "joined"), _TEXT),
    **dict.fromkeys(("pid", "agent_pid"), _NUMBER),
}


def read_stored_session(text: str) -> SessionFacts:
    """A session as JSON. What cannot be read tells nothing: that there was one is told all the same."""
    try:
        return read_session(parse_json(text))
    except ValueError:
        return {}


def read_session(stored: object) -> SessionFacts:
    """What a stored session tells; facts of another type or of a newer version are passed over."""
    if not isinstance(stored, dict):
        return {}
    facts = {name: value for name, value in stored.items() if type(value) in _FACTS.get(name, ())}
    return cast(SessionFacts, facts)
