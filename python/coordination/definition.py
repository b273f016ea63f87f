"""The protocol's one data file, typed. TypeScript reads the same file, and the same Lua scripts lie beside it."""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import Path
from typing import Any, Mapping, TypedDict

_HERE = Path(__file__).resolve().parent
#: Where `protocol.json` and `lua/` lie: in this package when it was installed, at the root of the source tree otherwise.
DATA = _HERE if (_HERE / "protocol.json").is_file() else _HERE.parents[1]

_definition: dict[str, Any] = json.loads((DATA / "protocol.json").read_text("utf-8"))


class MessageType(str, Enum):
    """What a message is about; the orchestrator and the features each have their own."""

    READY_FOR_REVIEW = "READY_FOR_REVIEW"
    REVIEW_COMPLETE = "REVIEW_COMPLETE"
    REVIEW_FAILED = "REVIEW_FAILED"
    CONTRACT_CHANGE_PROPOSED = "CONTRACT_CHANGE_PROPOSED"
    CONTRACT_APPROVED = "CONTRACT_APPROVED"
    META_CHANGE_REQUEST = "META_CHANGE_REQUEST"
    GENERAL = "GENERAL"
    NOTIFICATION = "NOTIFICATION"

    __str__ = str.__str__  # Python 3.11 changed what the default prints


#: Everybody who has been seen; a recipient, never a name.
BROADCAST = "all"


#: Who is expected to send and to receive a type (`orchestrator`, `feature`, `any` or `all`), where it goes when no recipient
#: is given (`counterpart`: the orchestrator, and from the orchestrator everybody), and whether it asks for an
#: acknowledgement when the sender does not say (true where absent), as a reply too (`asks_for_work`).
TypeRule = TypedDict(
    "TypeRule",
    {"from": str, "to": str, "default_to": "str | None", "requires_ack": bool, "asks_for_work": bool},
    total=False,
)

TYPE_RULES: Mapping[str, TypeRule] = _definition["types"]
MESSAGE_TYPES: tuple[str, ...] = tuple(TYPE_RULES)

#: Every bound of the protocol.
LIMITS: Mapping[str, int] = _definition["limits"]


class NamespaceSetting(TypedDict):
    """A whole number that acts on everyone: the environment gives a new namespace its first value."""

    variable: str
    default: int
    minimum: int
    maximum: int


NAMESPACE_SETTINGS: Mapping[str, NamespaceSetting] = _definition["settings"]

#: Whether senders are proven: a setting of the namespace as well, from `COORD_SENDERS`; the first is the default.
SENDERS: tuple[str, ...] = tuple(_definition["senders"])

INSTANCE_PATTERN = re.compile(_definition["instance"]["pattern"])
RESERVED_NAMES: tuple[str, ...] = tuple(_definition["instance"]["reserved"])
#: Names of people: no agent speaks under one.
PEOPLE_NAMES: tuple[str, ...] = tuple(_definition["instance"]["people"])
KEY_PREFIX_PATTERN = re.compile(_definition["key_prefix_pattern"])
#: What stands behind the prefix in the names of our keys and channels.
KIND_WORDS: frozenset[str] = frozenset((*_definition["key_kinds"]["single"], *_definition["key_kinds"]["named"], "notify"))
