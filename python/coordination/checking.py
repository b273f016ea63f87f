"""A check as the script takes it."""

from __future__ import annotations

from .definition import BROADCAST, LIMITS
from .validation import check_flag, check_instance, check_limit, check_message_id, check_type


def check_arguments(
    me: str,
    *,
    to_instance: object,
    from_instance: object,
    msg_type: object,
    pending_only: object,
    all: object,
    since: object,
    before: object,
    thread: object,
    limit: object,
) -> dict[str, str]:
    """Raises INVALID."""
    everything = check_flag(all, "all") or to_instance == BROADCAST
    sender = "" if from_instance is None else check_instance(from_instance, "from")
    reader = "" if to_instance in (None, BROADCAST) else check_instance(to_instance, "to")
    return {
        "inbox": reader or ("" if everything or sender == me else me),
        "from": sender,
        "type": "" if msg_type is None else check_type(msg_type),
        "thread": _id(thread, "thread"),
        "since": _id(since, "since"),
        "before": _id(before, "before"),
        "pending": "1" if check_flag(pending_only, "pending_only") else "0",
        "unread": "0",
        "limit": str(LIMITS["list_default"] if limit is None else check_limit(limit)),
        **_UNBOUNDED,
    }


def newest_arguments(inbox: str) -> dict[str, str]:
    """The newest message of that inbox."""
    filters = {"from": "", "type": "", "thread": "", "since": "", "before": "", "pending": "0", "unread": "0"}
    return {"inbox": inbox, **filters, "limit": "1", **_UNBOUNDED}


#: Results are never cut here, and what is read counts as presented.
_UNBOUNDED = {"budget": "0", "cut": "0", "mark": "1"}


def _id(value: object, field: str) -> str:
    return "" if value is None else check_message_id(value, field)
