"""What the scripts return, as the results of the operations.

The store has compared it with `lua/replies.json`: what is said here of a reply is so.
"""

from __future__ import annotations

from math import inf
from typing import Any, Mapping, Sequence, cast

from .definition import NAMESPACE_SETTINGS
from .presence import read_presence
from .reply_shapes import parse_json
from .results import (
    AckRefusal,
    AckResult,
    CheckResult,
    CoordinationEvent,
    Message,
    NamespaceSettings,
    NotificationsResult,
    PresenceResult,
    StatsResult,
    SweepResult,
)

def read_page(reply: Any) -> dict[str, Any]:
    """What one call of a script has read of a list. `step`: one call may read no more, go on from the cursor."""
    return cast("dict[str, Any]", reply)


#: Of a message, see lua/parts/messages.lua; behind these stands what only some have.
_FIELDS = ("id", "type", "from", "to", "timestamp", "requires_ack", "subject", "description", "acknowledged")


def _read_message(stored: Sequence[Any]) -> Message:
    return cast("Message", {**dict(zip(_FIELDS, stored)), **(stored[-1] or {})})


def read_pages(pages: Sequence[dict[str, Any]], ascending: bool) -> CheckResult:
    """Pages that were read one after the other, as one result."""
    first, last = pages[0], pages[-1]
    messages = [_read_message(message) for page in pages for message in page["messages"]]
    result: CheckResult = {
        "count": len(messages),
        "messages": messages,
        "more": last["more"],
        "unreadable": [unreadable for page in pages for unreadable in page["unreadable"]],
    }
    newest, oldest = (last, first) if ascending else (first, last)
    if newest.get("next_since"):
        result["next_since"] = newest["next_since"]
    if oldest.get("next_before"):
        result["next_before"] = oldest["next_before"]
    if last["step"]:
        result["stopped_early"] = True
    return result


def read_acks(reply: Sequence[dict[str, Any]], ids: Sequence[str], acknowledged_by: str) -> list[AckResult | AckRefusal]:
    results: list[AckResult | AckRefusal] = []
    for id, outcome in zip(ids, reply):
        by = {} if "code" in outcome else {"acknowledged_by": acknowledged_by}
        results.append(cast("AckResult", {"message_id": id, **by, **outcome}))
    return results


def read_presences(pages: Sequence[dict[str, Any]], timeout_seconds: int) -> PresenceResult:
    """The pages of all instances; one that was seen on two of them stands once."""
    listed = {}
    for page in pages:
        for name, pending, entry in zip(page.get("names", ()), page.get("pending", ()), page["entries"]):
            listed[name] = presence = read_presence(name, entry, pending, int(page["now"]), timeout_seconds)
            if presence["doing"] == "idle" and name in page["asleep"].split(" "):
                presence["asleep"] = True  # else it has gone without a word
    return {"instances": {name: listed[name] for name in sorted(listed)}}


def presences_cursor(page: dict[str, Any]) -> str:
    return cast("str", page["cursor"])


def read_notifications(stored: dict[str, Any]) -> tuple[NotificationsResult, str]:
    """The events, and the loan that holds them until they are confirmed ("" where there are none)."""
    events = [_read_event(event) for event in stored["events"]]
    return {"count": len(events), "notifications": events, "remaining": stored["remaining"]}, stored["loan"]


def _read_event(text: str) -> CoordinationEvent:
    """Unknown fields of a newer version come along."""
    try:
        event = parse_json(text)
    except ValueError:
        return {"event": "unreadable", "reason": "the queue holds something that is not JSON"}
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return {"event": "unreadable", "reason": "the queue holds something that is not an event"}
    # What is not of the type that everybody relies on is as good as absent.
    return cast(CoordinationEvent, {name: value for name, value in event.items() if _relied_on(name, value)})


_EVENT_FIELDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("event", "message_id", "type", "from", "to", "subject", "timestamp", "reply_to", "comment"), (str,)),
    **dict.fromkeys(("requires_ack", "acknowledged", "outside"), (bool,)),
    **dict.fromkeys(("waiting_seconds", "instances_total", "count"), (int, float)),
}


def _relied_on(name: str, value: object) -> bool:
    if name == "instances":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return _is_flat(value) if name not in _EVENT_FIELDS else type(value) in _EVENT_FIELDS[name]


#: How deep a field of a newer version may be nested: what has no bound cannot be written as JSON again.
_DEPTH_MAXIMUM = 32


def _is_flat(value: object, depth: int = 0) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return depth < _DEPTH_MAXIMUM and all(_is_flat(part, depth + 1) for part in parts)


def read_namespace_settings(reply: Mapping[str, str]) -> NamespaceSettings:
    settings = reply.items()
    # One of a newer version may be anything.
    return cast(NamespaceSettings, {name: int(value) if name in NAMESPACE_SETTINGS else value for name, value in settings})


def read_sweep(result: dict[str, Any]) -> tuple[SweepResult, float]:
    """With the seconds until the next deadline."""
    following = result.pop("next_milliseconds", inf)
    return cast(SweepResult, result), following / 1000


def read_stats(pages: Sequence[dict[str, Any]]) -> StatsResult:
    """The numbers of the last page, and the instances of all."""
    last = pages[-1]
    total, pending, dead = last["total"], last["pending"], last["dead"]
    instances = {name: sizes for page in pages for name, sizes in page.get("instances", {}).items()}
    return {
        "total": total,
        "pending": pending,
        "dead": dead,
        "settled": total - pending - dead,
        "by_type": dict(sorted(last.get("by_type", {}).items())),
        "oldest_pending": last.get("oldest_pending"),
        "instances": dict(sorted(instances.items())),
    }
