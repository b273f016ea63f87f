"""A check as the script takes it."""

from __future__ import annotations

from typing import Awaitable, Callable

from .definition import BROADCAST, LIMITS
from .replies import read_page, read_pages
from .results import CheckResult
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


async def check_in_steps(call: Callable[[dict[str, str]], Awaitable[str]], arguments: dict[str, str]) -> CheckResult:
    """Reads on while one call may not read enough (G12), until the result is full or so many entries have been looked at."""
    ascending = arguments["pending"] == "1" or arguments["unread"] == "1" or arguments["since"] != ""
    limit, examined = int(arguments["limit"]), 0
    pages = []
    while True:
        page = read_page(await call(arguments))
        pages.append(page)
        examined += page["examined"]
        limit -= len(page["messages"]) + len(page["unreadable"])
        if limit <= 0:
            page["step"] = False  # it is not the search that ended
        if not page["step"] or examined >= LIMITS["examined_maximum"]:
            return read_pages(pages, ascending)
        cursor = {"since": page["next_since"]} if ascending else {"before": page["next_before"]}
        arguments = {**arguments, "limit": str(limit), **cursor}


def newest_arguments(inbox: str) -> dict[str, str]:
    """The newest message of that inbox."""
    filters = {"from": "", "type": "", "thread": "", "since": "", "before": "", "pending": "0", "unread": "0"}
    return {"inbox": inbox, **filters, "limit": "1", **_UNBOUNDED}


#: Results are never cut here, and what is read counts as presented.
_UNBOUNDED = {"bytes": "0", "description_bytes": "0", "mark": "1"}


def _id(value: object, field: str) -> str:
    return "" if value is None else check_message_id(value, field)
