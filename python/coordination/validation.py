"""Every rule on input that needs no store, as `src/protocol/validation.ts` has it: `conformance/` compares word for word.

Clients run these before they send, so a refusal has changed nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any, Sequence

from .definition import INSTANCE_PATTERN, LIMITS, MESSAGE_TYPES, NAMESPACE_SETTINGS, RESERVED_NAMES, SENDERS
from .errors import CoordinationError, ErrorCode, invalid

#: LF, CR, VT, FF, NEL, LINE SEPARATOR, PARAGRAPH SEPARATOR: what any reader may take for a new line.
_LINE_BREAK = re.compile("[\n\r\v\f\u0085\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")

_NAME_HINT = "A name has 1-64 letters, digits, dots, underscores or hyphens and starts with a letter or digit."
_IDENTITY_HINT = (
    "Run coord init here, set CLAUDE_INSTANCE_ID, give --instance <name>, or name it in code. " + _NAME_HINT
)

#: How many UTF-16 units of a refused value a sentence shows.
_SHOWN_UNITS = 60


def shown(value: object) -> str:
    """A value as it appears in a sentence: quoted, short, on one line, without control characters."""
    text = value if isinstance(value, str) else _json(value)
    if _units(text) > _SHOWN_UNITS:
        text = text.encode("utf-16-le", "surrogatepass")[: 2 * _SHOWN_UNITS].decode("utf-16-le", "surrogatepass") + "…"
    return _json(text)


def _json(value: object) -> str:
    """As JavaScript writes it, which knows one kind of number and escapes half a character."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def _units(text: str) -> int:
    """Length as JavaScript counts it, so that both languages draw the same line."""
    return len(text) + sum(character > "\uffff" for character in text)


def missing_identity(reason: str | None = None, remedy: str | None = None) -> CoordinationError:
    """`reason`: why none was found, as a sentence without its full stop."""
    return CoordinationError(ErrorCode.IDENTITY, f"{reason or 'No instance name is set'}.", remedy or _IDENTITY_HINT)


def check_identity(value: object, source: str) -> str:
    """One's own name. Refused as IDENTITY; `source` says where the value came from."""
    problem = _name_problem(value)
    if problem is not None:
        raise CoordinationError(ErrorCode.IDENTITY, f"{source} is {shown(value)}: {problem}.", _IDENTITY_HINT)
    return str(value)


def check_instance(value: object, field: str) -> str:
    """Somebody else's name."""
    problem = _name_problem(value)
    if problem is not None:
        raise invalid(f"{field} is {shown(value)}: {problem}.", _NAME_HINT)
    return str(value)


def _name_problem(value: object) -> str | None:
    if not isinstance(value, str):
        return "a name is text"
    if value == "":
        return "a name has at least 1 character"
    if value.lower() in RESERVED_NAMES:
        return "this word is reserved and cannot name an instance"
    if _units(value) > 64:
        return f"a name has at most 64 characters, this has {_units(value)}"
    if INSTANCE_PATTERN.fullmatch(value) is None:
        return "a name has only letters, digits, '.', '_' and '-', the first a letter or digit"
    return None


def check_type(value: object) -> str:
    if isinstance(value, str) and value in MESSAGE_TYPES:
        return str(value)
    raise CoordinationError(
        ErrorCode.INVALID,
        f"type is {shown(value)}: no such type.",
        f"Use one of {', '.join(MESSAGE_TYPES)}.",
        valid_types=MESSAGE_TYPES,
    )


def check_subject(value: object) -> str:
    subject = _check_text(value, "subject")
    length, limit = len(subject), LIMITS["subject_characters"]
    if length == 0:
        raise invalid(
            f"subject is empty: it needs 1-{limit} characters.", "Say in a few words what it is about."
        )
    if length > limit:
        raise invalid(
            f"subject has {length} characters: the limit is {limit}.", "Put the details into the description."
        )
    if _LINE_BREAK.search(subject):
        raise invalid(
            "subject has a line break: it must be one line.", "Put further lines into the description."
        )
    return subject


def check_description(value: object) -> str:
    return _check_bytes(
        value, "description", LIMITS["description_bytes"], "Put long text into a file and say where it is."
    )


def check_comment(value: object) -> str:
    return _check_bytes(
        value, "comment", LIMITS["comment_bytes"], "Send long answers as a message with reply_to."
    )


def _check_bytes(value: object, field: str, limit: int, hint: str) -> str:
    text = _check_text(value, field)
    size = len(text.encode())
    if size > limit:
        raise invalid(f"{field} has {size} bytes: the limit is {limit}.", hint)
    return text


def _check_text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise invalid(f"{field} is {shown(value)}: it must be text.", f"Give {field} as a string.")
    if not value.isascii() and _SURROGATE.search(value):
        raise invalid(
            f"{field} has an unpaired surrogate: it is not valid Unicode.",
            "Send text that can be written as UTF-8.",
        )
    return value


def check_activity(value: object) -> str:
    activity = _check_text(value, "activity")
    limit = LIMITS["activity_characters"]
    if len(activity) <= limit and not _LINE_BREAK.search(activity):
        return activity
    raise invalid(
        f"activity has {len(activity)} characters: it is one line of up to {limit}.", "Say it in a few words."
    )


def check_message_id(value: object, field: str) -> str:
    """Ids are looked up whatever their form; only emptiness and length are refused."""
    hint = "Message ids look like msg-0123456789; check lists them."
    return check_length(value, field, LIMITS["message_id_characters"], hint)


def check_message_ids(message_ids: Sequence[object]) -> list[str]:
    """Several ids for one call."""
    maximum = LIMITS["ack_ids_maximum"]
    if 1 <= len(message_ids) <= maximum:
        return [check_message_id(id, "message_id") for id in message_ids]
    raise invalid(
        f"message_id names {len(message_ids)} messages: it takes 1-{maximum} at once.", "Name them in several calls."
    )


def check_idempotency_key(value: object) -> str:
    return check_length(
        value, "idempotency_key", LIMITS["idempotency_key_characters"], "A UUID is a good key."
    )


def check_length(value: object, field: str, limit: int, hint: str) -> str:
    text = _check_text(value, field)
    length = _units(text)
    if 1 <= length <= limit:
        return text
    raise invalid(f"{field} has {length} characters: it needs 1-{limit}.", hint)


def check_flag(value: object, field: str) -> bool:
    if isinstance(value, bool):
        return value
    raise invalid(f"{field} is {shown(value)}: it must be true or false.", f"Give {field} as a boolean.")


def check_limit(value: object) -> int:
    hint = f"The default is {LIMITS['list_default']}; read on from the cursor for more."
    return int(_check_number(value, "limit", 1, LIMITS["list_maximum"], True, hint))


def check_wait_seconds(value: object) -> float:
    hint = "Call again to wait longer; nothing is lost in between."
    return _check_number(value, "wait_seconds", 0, LIMITS["wait_seconds_maximum"], False, hint)


def check_ack_within(value: object) -> int:
    """Seconds until a message that is not acknowledged is announced again; 0 for never."""
    hint = "It is in seconds; 0 sets no deadline."
    return int(_check_number(value, "ack_within", 0, LIMITS["ack_within_seconds_maximum"], True, hint))


def check_unseen_seconds(value: object) -> int:
    """For how long an instance was not seen that is to be forgotten."""
    return int(_check_number(value, "unseen", 1, LIMITS["unseen_seconds_maximum"], True, "It is in seconds."))


def check_setting_name(value: object) -> str:
    if isinstance(value, str) and (value in NAMESPACE_SETTINGS or value == "senders"):
        return value
    raise invalid(f"name is {shown(value)}: no such setting.", f"Use one of {', '.join((*NAMESPACE_SETTINGS, 'senders'))}.")


def check_setting(value: object, name: str) -> int | str:
    if name == "senders":
        if isinstance(value, str) and value in SENDERS:
            return value
        raise invalid(f"senders is {shown(value)}: it must be {', '.join(SENDERS)}.", f"The default is {SENDERS[0]}.")
    setting = NAMESPACE_SETTINGS[name]
    hint = f"The default is {setting['default']}."
    return int(_check_number(value, name, setting["minimum"], setting["maximum"], True, hint))


def _check_number(value: Any, field: str, least: int, most: int, whole: bool, hint: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and least <= value <= most and (not whole or value == int(value)):
        return float(value)
    kind = "whole number" if whole else "number"
    raise invalid(f"{field} is {shown(value)}: it must be a {kind} from {least} to {most}.", hint)
