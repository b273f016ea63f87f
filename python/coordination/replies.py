"""What the scripts return, as the results of the operations."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from math import floor, inf
from typing import Any, Mapping, Sequence, cast

from .errors import CoordinationError, ErrorCode
from .presence import parse_time, read_presence
from .results import (
    AckRefusal,
    AckResult,
    CheckResult,
    CoordinationEvent,
    InstanceStats,
    Message,
    NamespaceSettings,
    NotificationsResult,
    PresenceResult,
    Receipt,
    ReceiptState,
    ReceiptStep,
    StatsResult,
    SweepResult,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_RECEIPT = re.compile(r"(\d+)(?: (\d+)(?: (.*))?)?", re.DOTALL)
_RECEIPT_ORDER: Sequence[ReceiptState] = ("dead", "stored", "presented", "dropped", "acknowledged")
_STEPS: Mapping[str, Any] = {
    "a": "announced",
    "o": "offline",
    "t": "unanswered",
    "d": "dead",
    "r": "retried",
    "x": "dropped",
}


def read_check(reply: str) -> CheckResult:
    (more, stopped_early, next_since, next_before), messages, unreadable = json.loads(reply)
    result: CheckResult = {
        "count": len(messages),
        "messages": [_read_message(message) for message in messages],
        "more": more == "1",
        "unreadable": [{"id": id, "reason": reason} for id, reason in unreadable],
    }
    if next_since != "":
        result["next_since"] = next_since
    if next_before != "":
        result["next_before"] = next_before
    if stopped_early == "1":
        result["stopped_early"] = True
    return result


def _read_message(stored: list[Any]) -> Message:
    id, kind, sender, to, timestamp, requires_ack, subject, description, reply_to, thread, acknowledged = stored[:11]
    receipts, waiting_seconds = stored[11:]
    message: Message = {
        "id": id,
        "type": kind,
        "from": sender,
        "to": to,
        "timestamp": timestamp,
        "requires_ack": requires_ack == "1",
        "acknowledged": acknowledged == "1",
        "subject": subject,
        "description": description,
    }
    if reply_to is not False:
        message["reply_to"] = reply_to
    if thread is not False:
        message["thread"] = thread
    if waiting_seconds is not False:
        message["waiting_seconds"] = int(waiting_seconds)
    if receipts is not False:
        # Who is missing comes first: that is what the sender looks for.
        message["receipts"] = sorted(
            (_read_receipt(*three, timestamp) for three in zip(receipts[::3], receipts[1::3], receipts[2::3])),
            key=lambda receipt: (_RECEIPT_ORDER.index(receipt["state"]), receipt["instance"]),
        )
    return message


def _read_receipt(instance: str, stored: str, steps: str, sent: str) -> Receipt:
    """`<presented at> <acknowledged at> <comment>`, see lua/parts/messages.lua."""
    parts = _RECEIPT.fullmatch(stored)
    presented, acknowledged, comment = parts.groups() if parts is not None else (None, None, None)
    history = _read_history(steps)
    last = history[-1]["step"] if history else None
    state: ReceiptState
    if acknowledged is not None:
        state = "acknowledged"
    elif last == "dead" or last == "dropped":
        state = last
    else:
        state = "stored" if presented is None else "presented"
    receipt: Receipt = {"instance": instance, "state": state}
    if presented is not None:
        receipt["presented_at"] = _iso(presented)
    if acknowledged is not None:
        receipt["acknowledged_at"] = _iso(acknowledged)
    if comment:
        receipt["comment"] = comment
    if state == "dead":
        receipt["reason"] = _reason(history, sent)
    if history:
        receipt["history"] = history
    return receipt


def _read_history(steps: str) -> list[ReceiptStep]:
    """`a1795000000000000 t…`, see lua/sweep.lua."""
    return [{"step": _STEPS[step[0]], "timestamp": _iso(step[1:])} for step in steps.split() if step[0] in _STEPS]


def _reason(history: Sequence[ReceiptStep], sent: str) -> str:
    names = [step["step"] for step in history]
    since = max((i for i, name in enumerate(names, 1) if name == "retried"), default=0)
    reminders = names[since:].count("announced")
    begun = parse_time(history[since - 1]["timestamp"] if since else sent) or 0
    seconds = floor(((parse_time(history[-1]["timestamp"]) or 0) - begun) / 1000 + 0.5)
    after = "it was retried" if since else "it was sent"
    plural = "reminder" if reminders == 1 else "reminders"
    return f"Not acknowledged in the {seconds} seconds after {after}, with {reminders} {plural}."


def _iso(microseconds: str) -> str:
    """Redis' microseconds as the time shown to people and agents; what is no time is shown as it is stored."""
    try:
        time = _EPOCH + timedelta(milliseconds=int(microseconds) // 1000)
    except OverflowError:
        return microseconds
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


def read_acks(reply: Sequence[str], ids: Sequence[str], acknowledged_by: str) -> list[AckResult | AckRefusal]:
    return [_read_one(reply[5 * i : 5 * i + 5], id, acknowledged_by) for i, id in enumerate(ids)]


def _read_one(reply: Sequence[str], id: str, acknowledged_by: str) -> AckResult | AckRefusal:
    try:
        return read_ack(reply, id, acknowledged_by)
    except CoordinationError as refusal:
        return {"message_id": id, "code": refusal.code.value, "error": str(refusal), "hint": refusal.hint}


def read_ack(reply: Sequence[str], id: str, acknowledged_by: str) -> AckResult:
    """Raises what one id was refused with."""
    code, first, second, comment, _ = reply
    if code != "OK":
        raise CoordinationError(ErrorCode(code), first, second)
    result: AckResult = {
        "message_id": id,
        "acknowledged_by": acknowledged_by,
        "timestamp": _iso(first),
        "already": second == "1",
    }
    if comment:
        result["comment"] = comment
    return result


def read_presences(reply: Sequence[str], timeout_seconds: int) -> PresenceResult:
    *entries, about = reply
    now, *seen = json.loads(about)
    return {
        "instances": {
            name: read_presence(name, entry, pending, int(now), timeout_seconds)
            for name, pending, entry in sorted(zip(seen[::2], seen[1::2], entries))
        }
    }


def read_notifications(reply: Sequence[str]) -> tuple[NotificationsResult, str]:
    """The events, and the lease that holds them until they are confirmed ("" where there are none)."""
    remaining, lease, *events = reply
    result: NotificationsResult = {
        "count": len(events),
        "notifications": [_read_event(event) for event in events],
        "remaining": int(remaining),
    }
    return result, lease


def _read_event(text: str) -> CoordinationEvent:
    """Unknown fields of a newer version come along."""
    try:
        event = json.loads(text)
    except ValueError:
        return {"event": "unreadable", "reason": "the queue holds something that is not JSON"}
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return {"event": "unreadable", "reason": "the queue holds something that is not an event"}
    # What is not of the type that everybody relies on is as good as absent.
    return cast(CoordinationEvent, {name: value for name, value in event.items() if _relied_on(name, value)})


_EVENT_FIELDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("event", "message_id", "type", "from", "to", "subject", "timestamp", "reply_to", "comment"), (str,)),
    **dict.fromkeys(("requires_ack", "acknowledged"), (bool,)),
    **dict.fromkeys(("waiting_seconds", "instances_total", "count"), (int, float)),
}


def _relied_on(name: str, value: object) -> bool:
    if name == "instances":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return name not in _EVENT_FIELDS or type(value) in _EVENT_FIELDS[name]


def read_namespace_settings(reply: Sequence[str]) -> NamespaceSettings:
    return cast(NamespaceSettings, {name: int(value) for name, value in zip(reply[::2], reply[1::2])})


def read_sweep(reply: Sequence[str]) -> tuple[SweepResult, float]:
    """With the seconds until the next deadline."""
    announced, told, dead, removed, more, following = reply
    result: SweepResult = {
        "announced": int(announced),
        "told": int(told),
        "dead": int(dead),
        "removed": int(removed),
        "more": more == "1",
    }
    return result, int(following) / 1000 if following else inf


def read_stats(reply: Sequence[str]) -> StatsResult:
    total, pending, dead, oldest, oldest_time, types, *rest = reply
    counted, listed = rest[: 2 * int(types)], rest[2 * int(types) :]
    instances = (listed[i : i + 6] for i in range(0, len(listed), 6))
    return {
        "total": int(total),
        "pending": int(pending),
        "dead": int(dead),
        "settled": int(total) - int(pending) - int(dead),
        "by_type": {kind: int(count) for kind, count in sorted(zip(counted[::2], counted[1::2]))},
        "oldest_pending": {"id": oldest, "timestamp": oldest_time} if oldest else None,
        "instances": {name: _read_instance_stats(*counts) for name, *counts in sorted(instances)},
    }


def _read_instance_stats(inbox: str, outbox: str, pending: str, unread: str, notifications: str) -> InstanceStats:
    return {
        "inbox": int(inbox),
        "outbox": int(outbox),
        "pending": int(pending),
        "unread": int(unread),
        "notifications": int(notifications),
    }
