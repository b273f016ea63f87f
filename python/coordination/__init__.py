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
    Debt,
    ForgetResult,
    ForgetUnseenResult,
    InstancePresence,
    InstanceStats,
    Joined,
    Message,
    NamespaceSettings,
    NotificationsResult,
    PresenceResult,
    PresenceStatus,
    PublishResult,
    Receipt,
    ReceiptTotals,
    ReceiptStep,
    Recipient,
    SessionFacts,
    StatsResult,
    SweepResult,
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
    "Debt",
    "ErrorCode",
    "ForgetResult",
    "ForgetUnseenResult",
    "InstancePresence",
    "InstanceStats",
    "Joined",
    "Message",
    "MessageType",
    "NamespaceSettings",
    "NotificationsResult",
    "PresenceResult",
    "PresenceStatus",
    "PublishResult",
    "Receipt",
    "ReceiptTotals",
    "ReceiptStep",
    "Recipient",
    "SessionFacts",
    "Settings",
    "StatsResult",
    "SweepResult",
    "Unreadable",
    "get_coordination_client",
    "resolve_settings",
]
