"""A publish as the script takes it, its receipt as the caller gets it, and what is remembered where there was none."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Any, Mapping, Sequence
from uuid import uuid4

from .addressing import asks_for_acknowledgement, default_recipient, direction_problem, nearest_names
from .definition import BROADCAST, TYPE_RULES
from .errors import CoordinationError, ErrorCode, invalid
from .presence import parse_time, read_presence
from .results import NamespaceSettings, PublishResult, Recipient
from .session import Session
from .settings import Settings
from .store import Replication
from .validation import (
    check_ack_within,
    check_description,
    check_flag,
    check_idempotency_key,
    check_instance,
    check_message_id,
    check_subject,
    check_type,
)
from .waiting import AWAY

#: How many publishes with unknown outcome are remembered; more than an agent has in flight.
_UNCERTAIN_MAXIMUM = 100
#: How many names a warning lists.
_LISTED_NAMES = 10
#: After these a publish is expected again with the same content.
_UNSETTLED = (*AWAY, ErrorCode.NOT_REPLICATED)


class Publisher:
    def __init__(self, session: Session) -> None:
        self._session = session
        #: Keys of publishes that may or may not have been stored, or are on too few servers, by content: a repeat takes the same.
        self._uncertain: dict[tuple[str, ...], str] = {}

    async def publish(self, arguments: dict[str, str]) -> PublishResult:
        session = self._session
        given = arguments.pop("idempotency_key")
        content = tuple(arguments.values())
        repeated = self._uncertain.get(content)
        key = given or repeated or str(uuid4())
        try:
            reply, replicas = await session.run_replicated("publish", {**arguments, "idempotency_key": key})
            if arguments["ack_within"]:
                session.sweeper.due_in(int(arguments["ack_within"]))
            receipt = _read_publish(reply, arguments, session.instance, session.settings)
            if not receipt["repeated"]:  # a repeat says what stands there
                session.known.published(receipt["message_id"])
            result = _require_replicas(receipt, replicas, session.settings.replication)
        except CancelledError:
            self._remember(content, key)
            raise
        except CoordinationError as error:
            if error.code in _UNSETTLED:
                self._remember(content, key)
            raise
        if repeated is not None:
            self._uncertain.pop(content, None)
        return result

    def _remember(self, content: tuple[str, ...], key: str) -> None:
        if len(self._uncertain) == _UNCERTAIN_MAXIMUM:
            del self._uncertain[next(iter(self._uncertain))]
        self._uncertain[content] = key


def publish_arguments(
    me: str,
    settings: Settings,
    *,
    msg_type: object,
    subject: object,
    description: object,
    to_instance: object,
    requires_ack: object,
    ack_within: object,
    reply_to: object,
    idempotency_key: object,
) -> dict[str, str]:
    """Every rule that needs no store, with the defaults filled in. Raises INVALID."""
    kind = check_type(msg_type)
    rule = TYPE_RULES[kind]
    subject = check_subject(subject)
    description = check_description(description)
    replied = "" if reply_to is None else check_message_id(reply_to, "reply_to")
    within = settings.ack_timeout_seconds if ack_within is None else check_ack_within(ack_within)
    to: str | None
    if to_instance is not None:
        to = BROADCAST if to_instance == BROADCAST else check_instance(to_instance, "to")
    elif replied == "" or rule["to"] == "all":
        to = default_recipient(kind, me, settings.orchestrator)
    else:
        to = ""  # a reply goes to whom it answers, which the store knows
    if to is None:
        raise invalid(
            f"to is missing: {kind} has no default recipient.",
            "Give the instance, or reply_to with the message it answers.",
        )
    if to == me:
        raise invalid(f'to is "{me}": that is yourself.', 'Give another instance, or "all".')
    asks = (
        asks_for_acknowledgement(kind, replies=replied != "", to=to)
        if requires_ack is None
        else check_flag(requires_ack, "requires_ack")
    )
    strict = settings.direction == "strict"
    problem = direction_problem(kind, me, to or None, settings.orchestrator) if strict else None
    if problem is not None:
        raise invalid(f"{problem}.", "Use GENERAL, or unset COORD_DIRECTION=strict.")
    return {
        "type": kind,
        "to": to,
        "subject": subject,
        "description": description,
        "requires_ack": "1" if asks else "0",
        "ack_within": str(within) if asks and within > 0 else "",
        "reply_to": replied,
        "idempotency_key": "" if idempotency_key is None else check_idempotency_key(idempotency_key),
        "direction": rule["to"] if strict and rule["to"] != "any" else "",
        "orchestrator": settings.orchestrator,
        "unknown": settings.unknown_recipient,
        "settings": namespace_argument(settings.namespace),
        "governed": "",
        "via": "",
    }


def namespace_argument(settings: NamespaceSettings) -> str:
    """The settings that this client would give a new namespace, as the scripts take them."""
    return " ".join(str(value) for value in settings.values() if value != "off")


def _read_publish(fields: Mapping[str, str], arguments: Mapping[str, str], me: str, settings: Settings) -> PublishResult:
    to = fields["to"]
    now = parse_time(fields["timestamp"]) or 0
    unwoken = fields.get("asleep", "").split()
    recipients: list[Recipient] = []
    for field, entry in sorted(fields.items()):
        if not field.startswith("presence:"):
            continue
        name = field[len("presence:") :]
        presence = read_presence(name, entry or "{}", 0, now, settings.presence_timeout_seconds)
        recipient: Recipient = {"instance": name, "presence": presence["status"]}
        if presence["doing"] == "idle" and name in unwoken:  # not where it has gone without a word
            recipient["asleep"] = True
        recipients.append(recipient)
    warnings = []
    if "known" in fields:
        nearest = nearest_names(to, fields["known"].split())
        hint = f" Known names like it: {', '.join(nearest)}." if nearest else ""
        warnings.append(f'No instance "{to}" has ever been seen: it gets the message when it starts.{hint}')
    asleep = [recipient["instance"] for recipient in recipients if "asleep" in recipient]
    if asleep:
        warnings.append(_asleep_warning(asleep))
    if to == BROADCAST and not recipients:
        warnings.append("Nobody else has been seen here: no instance gets this message.")
    direction = direction_problem(arguments["type"], me, to, settings.orchestrator)
    if direction is not None:
        warnings.append(f"Unusual direction: {direction}.")
    return {
        "message_id": fields["message_id"],
        "type": arguments["type"],
        "from": me,
        "to": to,
        "timestamp": fields["timestamp"],
        "requires_ack": arguments["requires_ack"] == "1",
        "recipients": recipients,
        "warnings": warnings,
        "repeated": fields["repeated"] == "1",
        "acknowledged": fields["acknowledged"] == "1",
    }


def _asleep_warning(names: Sequence[str]) -> str:
    who = f"{len(names)} recipients" if len(names) > _LISTED_NAMES else ", ".join(names)
    are, them, each = ("is", "it", "it sees") if len(names) == 1 else ("are", "them", "each sees")
    return f"{who} {are} idle, and nobody wakes {them}: {each} this at its next prompt."


def _require_replicas(receipt: PublishResult, replicas: int | None, replication: Replication) -> PublishResult:
    """Raises NOT_REPLICATED, with the receipt, when fewer have it than was asked for."""
    if replicas is None:
        return receipt
    result = receipt.copy()
    result["replicas"] = replicas
    if replicas >= replication.replicas:
        return result
    raise CoordinationError(
        ErrorCode.NOT_REPLICATED,
        f"{receipt['message_id']} is stored, but after {replication.milliseconds} ms "
        f"{replicas} of {replication.replicas} replicas have it.",
        "Publish the same content again, in a shell with the same --idempotency-key: it is stored once, and waits again. "
        "Or lower COORD_WAIT_REPLICAS.",
        receipt=result,
    )
