"""Reading messages: a check as the script takes it, its wait, and one message whole."""

from __future__ import annotations

from functools import partial
from typing import Any, Awaitable, Callable, Sequence

from .definition import BROADCAST, LIMITS
from .replies import read_page, read_pages
from .results import CheckResult, Debt, Message
from .session import Session
from .steps import steps
from .validation import check_flag, check_instance, check_limit, check_message_id, check_type, check_wait_seconds
from .waiting import look_until

#: An id before all others.
_BEGINNING = "msg-0000000000"


async def check(session: Session, arguments: dict[str, str], wait_seconds: float) -> CheckResult:
    """With `wait_seconds` as soon as something matches."""

    async def look() -> CheckResult:
        result = await _check_in_steps(partial(session.run, "check"), arguments)
        if result["count"] > 0:
            session.known.saw()
        return result

    seconds = check_wait_seconds(wait_seconds)
    if seconds == 0:
        return await look()
    inbox = arguments["inbox"]
    if arguments["since"] == "" and arguments["pending"] == "0":
        if inbox == session.instance:
            arguments["unread"] = "1"
        else:
            # Nothing is new to a reader of other people's messages: it waits for what comes from now on. Read for nobody,
            # since this look must not count as presented.
            newest = {"instance": "", "session": "", **_newest_arguments(inbox)}
            arguments["since"] = read_page(await session.store.run("check", newest)).get("next_since") or _BEGINNING

    # What cannot be read is told as well; but where it stays pending, only when it fills the result: else nobody could wait.
    def found(result: CheckResult) -> bool:
        told = arguments["pending"] == "0" or result["more"]
        return result["count"] > 0 or (bool(result["unreadable"]) and told)

    return await look_until(session, inbox or None, seconds, look, found)


async def show_message(session: Session, message_id: str, thread: bool) -> CheckResult:
    """One message whole, or its conversation."""
    id = check_message_id(message_id, "message_id")
    pages, since, left = [], "", LIMITS["list_maximum"]
    for _ in steps():
        arguments = {"message_id": id, "thread": "1" if thread else "0", "since": since, "limit": str(left), "mark": "1"}
        page = read_page(await session.read("show", arguments))
        pages.append(page)
        since, left = page.get("next_since", ""), left - len(page["messages"]) - len(page["unreadable"])
        if left <= 0:
            page["step"] = False
        if not page["step"]:
            break
    result = read_pages(pages, True)
    if thread:
        result["owed"] = _debts_in(result["messages"])
    return result


def _debts_in(messages: Sequence[Message]) -> list[Debt]:
    """Who has still to acknowledge which of these messages, in their order; the dead ones, whom nobody reminds, among them."""
    return [
        {
            "instance": receipt["instance"],
            "message_id": message["id"],
            "type": message["type"],
            "from": message["from"],
            "state": receipt["state"],
            "since": message["timestamp"],
        }
        for message in messages
        for receipt in message.get("receipts", ())
        if message["requires_ack"] and receipt["state"] != "acknowledged" and receipt["state"] != "dropped"
    ]


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


async def _check_in_steps(call: Callable[[dict[str, str]], Awaitable[Any]], arguments: dict[str, str]) -> CheckResult:
    """Reads on while one call may not read enough (G12), until the result is full or so many entries have been looked at."""
    ascending = arguments["pending"] == "1" or arguments["unread"] == "1" or arguments["since"] != ""
    limit, examined = int(arguments["limit"]), 0
    pages = []
    while True:
        page = read_page(await call(arguments))
        pages.append(page)
        examined += max(1, page["examined"])
        limit -= len(page["messages"]) + len(page["unreadable"])
        if limit <= 0:
            page["step"] = False  # it is not the search that ended
        cursor = page.get("next_since" if ascending else "next_before", "")
        if not page["step"] or examined >= LIMITS["examined_maximum"] or not cursor:
            return read_pages(pages, ascending)
        arguments = {**arguments, "limit": str(limit), "since" if ascending else "before": cursor}


def _newest_arguments(inbox: str) -> dict[str, str]:
    """The newest message of that inbox."""
    filters = {"from": "", "type": "", "thread": "", "since": "", "before": "", "pending": "0", "unread": "0"}
    return {"inbox": inbox, **filters, "limit": "1", **_UNBOUNDED}


#: Results are never cut here, and what is read counts as presented.
_UNBOUNDED = {"bytes": "0", "description_bytes": "0", "mark": "1"}


def _id(value: object, field: str) -> str:
    return "" if value is None else check_message_id(value, field)
