"""What the scripts return, as the results of the operations."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any, Sequence

from .errors import CoordinationError, ErrorCode
from .presence import read_presence
from .results import (
    AckRefusal,
    AckResult,
    CheckResult,
    CoordinationEvent,
    InstanceStats,
    Message,
    NotificationsResult,
    PresenceResult,
    Receipt,
    StatsResult,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_RECEIPT = re.compile(r"(\d+)(?: (\d+)(?: (.*))?)?", re.DOTALL)
_RECEIPT_ORDER = {"stored": 0, "presented": 1, "acknowledged": 2}


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
    id, kind, sender, to, timestamp, requires_ack, subject, description, reply_to, thread, acknowledged, receipts = stored
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
    if receipts is not False:
        # Who is missing comes first: that is what the sender looks for.
        message["receipts"] = sorted(
            (_read_receipt(*pair) for pair in zip(receipts[::2], receipts[1::2])),
            key=lambda receipt: (_RECEIPT_ORDER[receipt["state"]], receipt["instance"]),
        )
    return message


def _read_receipt(instance: str, stored: str) -> Receipt:
    """`<presented at> <acknowledged at> <comment>`, see lua/prelude.lua."""
    parts = _RECEIPT.fullmatch(stored)
    if parts is None:
        return {"instance": instance, "state": "stored"}
    presented, acknowledged, comment = parts.groups()
    receipt: Receipt = {"instance": instance, "state": "presented", "presented_at": _iso(presented)}
    if acknowledged is not None:
        receipt["state"] = "acknowledged"
        receipt["acknowledged_at"] = _iso(acknowledged)
    if comment:
        receipt["comment"] = comment
    return receipt


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
    now, *entries = reply
    listed = sorted(zip(entries[::3], entries[1::3], entries[2::3]))
    return {
        "instances": {
            name: read_presence(name, value, int(pending or 0), int(now), timeout_seconds)
            for name, value, pending in listed
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
    read: CoordinationEvent = event  # type: ignore[assignment]
    return read


def read_stats(reply: Sequence[str]) -> StatsResult:
    total, pending, oldest, oldest_time, types, *rest = reply
    counted, listed = rest[: 2 * int(types)], rest[2 * int(types) :]
    instances = (listed[i : i + 6] for i in range(0, len(listed), 6))
    return {
        "total": int(total),
        "pending": int(pending),
        "dead": 0,
        "settled": int(total) - int(pending),
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
