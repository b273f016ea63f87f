"""The one error class: a `code` to act on, a sentence that says what happened, a `hint` that says what to do next."""

from __future__ import annotations

from enum import Enum
from typing import Sequence

from .results import PublishResult


class ErrorCode(str, Enum):
    """What a caller can act on differently."""

    #: A value breaks a rule of the protocol; the sentence names the field and the limit. Nothing was changed.
    INVALID = "INVALID"
    #: No usable instance name: none given, malformed, or reserved.
    IDENTITY = "IDENTITY"
    #: No such message or instance.
    NOT_FOUND = "NOT_FOUND"
    #: The message exists, but is not addressed to the caller.
    NOT_RECIPIENT = "NOT_RECIPIENT"
    #: The namespace holds as many messages that nobody has acknowledged as it may; the sentence names who holds it up.
    FULL = "FULL"
    #: An agent would go on in a loop; `retry_after_seconds` says when it may send this. Nothing was stored.
    LOOP = "LOOP"
    #: The namespace was emptied, replaced or set back since this client last saw it. Said once; nothing was changed.
    LOST = "LOST"
    #: A newer session speaks for this instance now.
    SUPERSEDED = "SUPERSEDED"
    #: Another session speaks for this instance, and this one has never done so: it is a guest.
    TAKEN = "TAKEN"
    #: The namespace was written by a newer, incompatible version.
    PROTOCOL = "PROTOCOL"
    #: Redis cannot be reached or used. Nothing was changed, unless the sentence says otherwise.
    UNAVAILABLE = "UNAVAILABLE"
    #: The message is stored, but fewer replicas than asked for have it; `receipt` is what was stored.
    NOT_REPLICATED = "NOT_REPLICATED"
    #: Redis did not answer in time: the operation may have happened.
    TIMEOUT = "TIMEOUT"
    #: Stored data or this program is broken; the sentence names the key.
    INTERNAL = "INTERNAL"

    __str__ = str.__str__  # Python 3.11 changed what the default prints


class CoordinationError(Exception):
    """Every refusal of every operation. `str(error)` is the sentence.

    `valid_types` names the valid message types where a type was wrong; `receipt` is that of the message that was stored, where
    not enough replicas have it; `retry_after_seconds` when a message that is braked may be sent.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        hint: str,
        valid_types: Sequence[str] | None = None,
        receipt: PublishResult | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.valid_types = valid_types
        self.receipt = receipt
        self.retry_after_seconds = retry_after_seconds


def invalid(message: str, hint: str) -> CoordinationError:
    return CoordinationError(ErrorCode.INVALID, message, hint)
