"""Messages between parallel CLI coding agents over Redis: the Python side, on the same Lua scripts as the TypeScript side.

What is named here is public; see docs/python.md.
"""

from .client import CoordinationClient, get_coordination_client
from .definition import MessageType
from .errors import CoordinationError, ErrorCode
from .results import (
    AckRefusal,
    AckResult,
    CheckResult,
    CoordinationEvent,
    ForgetResult,
    InstancePresence,
    InstanceStats,
    Joined,
    Message,
    NotificationsResult,
    PresenceResult,
    PresenceStatus,
    PublishResult,
    Receipt,
    Recipient,
    SessionFacts,
    StatsResult,
    Unreadable,
)
from .settings import Settings, resolve_settings

__all__ = [
    "AckRefusal",
    "AckResult",
    "CheckResult",
    "CoordinationClient",
    "CoordinationError",
    "CoordinationEvent",
    "ErrorCode",
    "ForgetResult",
    "InstancePresence",
    "InstanceStats",
    "Joined",
    "Message",
    "MessageType",
    "NotificationsResult",
    "PresenceResult",
    "PresenceStatus",
    "PublishResult",
    "Receipt",
    "Recipient",
    "SessionFacts",
    "Settings",
    "StatsResult",
    "Unreadable",
    "get_coordination_client",
    "resolve_settings",
]
