"""Searching: a query as the script takes it, in as many steps as two seconds allow."""

from __future__ import annotations

import asyncio

from .definition import LIMITS
from .query import parse_query
from .replies import read_page, read_pages
from .results import CheckResult
from .session import Session
from .steps import steps
from .validation import check_limit, check_message_id


async def search(session: Session, query: object, limit: object, before: object) -> CheckResult:
    """Nothing is ever marked."""
    conditions = parse_query(query)
    further = [text for excludes, name, value in conditions for text in (("-" if excludes else "") + name, value)]
    # Only what is unread is somebody's; all else may be looked for without a name.
    unread = any(condition.name == "unread" for condition in conditions)
    run = session.run if unread or session.settings.instance_id is not None else session.read
    left = LIMITS["list_default"] if limit is None else check_limit(limit)
    cursor = {"before": "" if before is None else check_message_id(before, "before"), "cursor": ""}
    now = asyncio.get_running_loop().time
    deadline = now() + LIMITS["search_milliseconds"] / 1000
    pages = []
    for _ in steps():
        page = read_page(await run("search", {**cursor, "limit": str(left), **_UNBOUNDED}, further))
        pages.append(page)
        left -= len(page["messages"]) + len(page["unreadable"])
        if left <= 0:
            page["step"] = False  # it is not the time that ended it
        cursor = {"before": page.get("next_before", ""), "cursor": page.get("cursor", "")}
        # Not within a message: the caller's cursor knows nothing of that, and it would begin with this one again.
        over = now() >= deadline and not cursor["cursor"]
        if not page["step"] or over:
            break
    return read_pages(pages, False)


#: Results are never cut here, and a library does not look: its calls keep the presence of its instance.
_UNBOUNDED = {"bytes": "0", "description_bytes": "0", "continued": "0", "look": ""}
