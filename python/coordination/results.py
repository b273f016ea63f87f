"""The shapes that operations return: dictionaries with the fields that the MCP tools return, never cut.

Times are UTC, ISO 8601 with milliseconds, from Redis' clock. A field that does not apply is absent.
"""

from __future__ import annotations

from typing import Literal, TypedDict

#: `active` until the presence timeout after the last heartbeat, `offline` from three times that or once it has left.
PresenceStatus = Literal["active", "stale", "offline", "unknown"]

#: What an agent does, as the events of its host tell: it works, has ended its turn, or waits for a person (until its next
#: event, ten minutes at most). `away` where its status is not `active`, or no host has told anything.
Doing = Literal["working", "idle", "waiting", "away"]


class _Recipient(TypedDict):
    instance: str
    #: `unknown`: nobody by that name has ever been seen.
    presence: PresenceStatus


class Recipient(_Recipient, total=False):
    #: It is idle and nobody wakes it: it sees the message at its next prompt.
    asleep: bool


_PublishResult = TypedDict(
    "_PublishResult",
    {
        "message_id": str,
        "type": str,
        "from": str,
        "to": str,
        "timestamp": str,
        "requires_ack": bool,
        "recipients": "list[Recipient]",
        "warnings": "list[str]",
        "repeated": bool,
        "acknowledged": bool,
    },
)


class PublishResult(_PublishResult, total=False):
    """`recipients`: whom it was stored for, by name. `repeated`: it had been stored before, under the same idempotency key.
    `acknowledged`: the message this one replies to counts as acknowledged by the sender."""

    #: How many replicas have it, where it waited for any.
    replicas: int


#: `dead`: nobody is reminded of it any more; `dropped`: nobody is asked for it any more.
ReceiptState = Literal["dead", "stored", "presented", "dropped", "acknowledged"]


class ReceiptTotals(TypedDict):
    """Of a broadcast in a list."""

    recipients: int
    acknowledged: int
    dead: int
    #: Nobody is asked for these any more; those of instances that were forgotten are among them.
    dropped: int


class ReceiptStep(TypedDict):
    #: `announced` again to the recipient; `offline`, `unanswered`: its sender was told so.
    step: Literal["announced", "offline", "unanswered", "dead", "retried", "dropped", "forgotten"]
    timestamp: str


#: What one recipient has still to acknowledge.
Debt = TypedDict(
    "Debt",
    {
        "instance": str,
        "message_id": str,
        "type": str,
        "from": str,
        #: `dead`: nobody reminds it any more.
        "state": Literal["dead", "stored", "presented"],
        #: When the message was sent.
        "since": str,
    },
)


class _Receipt(TypedDict):
    instance: str
    state: ReceiptState


class Receipt(_Receipt, total=False):
    presented_at: str
    acknowledged_at: str
    comment: str
    #: By id, and while the message is only stored for it: it is idle and nobody wakes it, so it sees it at its next prompt.
    asleep: bool
    #: Acknowledged from outside of the session that spoke for the instance: its agent is still shown the message once.
    outside: bool
    #: By id: whether the acknowledgement was written by the instance's own Redis user; only where the namespace asks for proofs.
    proven: bool
    #: Why it is dead, one sentence.
    reason: str
    #: What happened since its deadline passed, oldest first.
    history: list[ReceiptStep]


_Message = TypedDict(
    "_Message",
    {
        "id": str,
        "type": str,
        "from": str,
        "to": str,
        "timestamp": str,
        "requires_ack": bool,
        "acknowledged": bool,
        "subject": str,
        "description": str,
    },
)


class Message(_Message, total=False):
    """`acknowledged` is the caller's own receipt where it is a recipient, else whether all recipients have."""

    reply_to: str
    #: The first message of the conversation, where this is a reply.
    thread: str
    #: Sent from outside of the session that spoke for its sender, for example by a person in a terminal.
    outside: bool
    #: Where a person has written it: `ui`, the page. What programs and agents send has none.
    via: str
    #: Whether its sender's own Redis user has written it; only where the namespace asks for proofs.
    proven: bool
    #: The caller's own receipt is one that came from outside of the session that spoke for it.
    acknowledged_outside: bool
    #: Where it was announced again to the caller: for how long it has been waiting.
    waiting_seconds: int
    #: Only on messages the caller sent, or asked for by id: who has seen and acknowledged it, those who are missing first. Of a
    #: broadcast to more than 50 a list has the first 50 that are missing; by id it has all.
    receipts: list[Receipt]
    #: Only in lists, of broadcasts.
    receipt_totals: ReceiptTotals


class Unreadable(TypedDict):
    """Something stored that cannot be read; everything else still is."""

    id: str
    reason: str


class _CheckResult(TypedDict):
    count: int
    messages: list[Message]
    #: There may be more in the direction of reading.
    more: bool
    unreadable: list[Unreadable]


class CheckResult(_CheckResult, total=False):
    #: Read on towards newer ones with `since`.
    next_since: str
    #: Read on towards older ones with `before`.
    next_before: str
    #: It ended at the bound of examined entries, a search after two seconds; go on from the cursor.
    stopped_early: bool
    #: Only of a conversation: who has still to acknowledge which of these messages, the oldest first.
    owed: list[Debt]


class _AckResult(TypedDict):
    message_id: str
    acknowledged_by: str
    #: When it was first acknowledged.
    timestamp: str
    #: It had been acknowledged before; `timestamp`, `comment` and `outside` are those of the first time.
    already: bool


class AckResult(_AckResult, total=False):
    comment: str
    #: From outside of the session that speaks for the instance: its agent is still shown the message once.
    outside: bool


class AckRefusal(TypedDict):
    message_id: str
    code: str
    error: str
    hint: str


class SessionFacts(TypedDict, total=False):
    """Facts of the session that speaks for an instance; absent where nobody told them."""

    #: The agent's own id of the session.
    id: str
    #: `claude-code`, `codex`, `gemini-cli`, …
    agent: str
    host: str
    #: The process that joined.
    pid: int
    #: The process of the agent itself.
    agent_pid: int
    cwd: str
    branch: str
    #: What the agent says it does, one line.
    activity: str
    #: Since when this session speaks for the instance.
    joined: str


class _InstancePresence(TypedDict):
    instance_id: str
    status: PresenceStatus
    doing: Doing
    last_heartbeat: str | None
    seconds_since_heartbeat: int | None
    session: SessionFacts
    #: How many messages it still has to acknowledge.
    pending: int
    #: How many other runs would like to speak for it, and get no messages.
    guests: int


class InstancePresence(_InstancePresence, total=False):
    #: Since when it is `doing` that; absent where it is `away`.
    doing_since: str
    #: True where it is idle and nobody wakes it: it sees a message at its next prompt.
    asleep: bool
    #: Why the entry could not be read in full.
    unreadable: str


class PresenceResult(TypedDict):
    instances: dict[str, InstancePresence]


#: `event` is `message_published`, `message_acknowledged`; past a deadline `message_overdue` to the recipient,
#: `message_undelivered` (it is offline), `message_unanswered` and `message_dead` to the sender; `events_skipped` (`count` were
#: dropped at the bound of the queue), `unreadable`, or one of a newer version, which may have further fields.
CoordinationEvent = TypedDict(
    "CoordinationEvent",
    {
        "event": str,
        "message_id": str,
        "type": str,
        "from": str,
        "to": str,
        "subject": str,
        "requires_ack": bool,
        "timestamp": str,
        "reply_to": str,
        "acknowledged": bool,
        "comment": str,
        "outside": bool,
        "waiting_seconds": int,
        "instances": "list[str]",
        "instances_total": int,
        "count": int,
        "reason": str,
    },
    total=False,
)


class NotificationsResult(TypedDict):
    count: int
    notifications: list[CoordinationEvent]
    #: How many wait in the queue behind these.
    remaining: int


class SweepResult(TypedDict):
    #: Messages announced again to their recipients.
    announced: int
    #: Messages whose senders were told that nobody answers.
    told: int
    #: Messages listed as dead.
    dead: int
    #: Settled messages that retention has taken.
    removed: int
    #: There is more to do: sweep again.
    more: bool


class NamespaceSettings(TypedDict):
    """What acts on everyone."""

    #: Settled messages older than this go.
    retention_days: int
    #: Beyond so many messages the oldest settled ones go; where none is settled, publish refuses with `FULL`.
    max_messages: int
    #: How often an unanswered message is announced again.
    ack_attempts: int
    #: Between two announcements, and before the sender is told and the message is listed as dead.
    ack_interval_seconds: int
    #: By which deadlines judge whether a recipient is active.
    presence_timeout_seconds: int
    #: So many messages of one agent to one recipient within `loop_seconds`, unasked and not acknowledged, are enough; 0 for no limit.
    loop_messages: int
    #: The time in which loops are looked for, and for which one is braked.
    loop_seconds: int
    #: After so many short messages in turn of the same two agents the next is refused; 0 for no limit.
    loop_replies: int
    #: Whether messages say if their sender is proven (`mark`), and unproven ones are not shown (`proven`).
    senders: Literal["off", "mark", "proven"]


class OldestPending(TypedDict):
    id: str
    timestamp: str


class _InstanceStats(TypedDict):
    inbox: int
    outbox: int
    pending: int
    unread: int
    notifications: int


class InstanceStats(_InstanceStats, total=False):
    #: When the oldest message was sent that it has still to acknowledge; absent where there is none.
    oldest_pending: str


class StatsResult(TypedDict):
    total: int
    pending: int
    dead: int
    settled: int
    #: Messages ever published, by type.
    by_type: dict[str, int]
    oldest_pending: OldestPending | None
    instances: dict[str, InstanceStats]


class ForgetResult(TypedDict):
    instance: str
    #: Messages it never acknowledged; its receipts of them are dead, and hold nothing up.
    pending: int


class ForgetUnseenResult(TypedDict):
    forgotten: list[ForgetResult]


class _Joined(TypedDict):
    #: No session has spoken for the name before.
    first: bool


class Joined(_Joined, total=False):
    """News for the agent; each session is told them once, whichever of its surfaces joined first."""

    #: The session that spoke for the name until now.
    superseded: SessionFacts
