"""The deep module: every operation of the protocol, for one instance, over one connection."""

from __future__ import annotations

import os
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import AsyncGenerator, AsyncIterator, Mapping, cast, overload

from .checking import check, check_arguments, show_message
from .definition import LIMITS, MessageType
from .errors import CoordinationError, ErrorCode
from .namespace import Namespace
from .publishing import Publisher, publish_arguments
from .replies import read_acks, read_notifications
from .results import (
    AckRefusal,
    AckResult,
    CheckResult,
    CoordinationEvent,
    ForgetResult,
    ForgetUnseenResult,
    Joined,
    NamespaceSettings,
    NotificationsResult,
    PresenceResult,
    PublishResult,
    SessionFacts,
    StatsResult,
    SweepResult,
)
from .searching import search
from .session import Session
from .settings import Settings, resolve_settings
from .validation import check_activity, check_comment, check_limit, check_message_ids
from .waiting import AWAY, take_forever

#: How many events the iterator takes at a time. They are confirmed together, so more would come twice after a crash.
_EVENTS_AT_ONCE = 1

async def get_coordination_client(
    instance_id: str | None = None,
    *,
    redis: str | None = None,
    key_prefix: str | None = None,
    orchestrator: str | None = None,
    presence_timeout_seconds: int | None = None,
    loan_seconds: int | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    session: SessionFacts | None = None,
) -> CoordinationClient:
    """Connects and returns a client that reconnects by itself; close it, or use it with `async with`.

    `redis` is a URL: `redis://`, `rediss://` or `unix:`. `loan_seconds`: how long events that were handed out wait for their
    confirmation. `cwd`: the folder whose project it is about. `env`: default `os.environ`. `session`: joins as this run
    of an agent, and beats by itself; without one each operation is a sign of life.

    Raises IDENTITY without an instance name, INVALID for a malformed setting, UNAVAILABLE when Redis does not answer within
    3 seconds, or a failover is not over within 5.
    """
    settings = resolve_settings(
        instance_id=instance_id,
        redis=redis,
        key_prefix=key_prefix,
        orchestrator=orchestrator,
        presence_timeout_seconds=presence_timeout_seconds,
        loan_seconds=loan_seconds,
        cwd=cwd,
        env=env,
    )
    settings.require_identity()
    client = CoordinationClient(settings)
    try:
        await client.open()
        if session is not None:
            await client.stay(session)
    except BaseException:
        await client.close()
        raise
    return client


class CoordinationClient:
    """Belongs to the event loop it is used in."""

    def __init__(self, settings: Settings) -> None:
        """Connects with the first call. `get_coordination_client` makes one from arguments and environment."""
        self.settings = settings
        self._session = Session(settings)
        self._publisher = Publisher(self._session)
        self._namespace = Namespace(self._session)
        #: Loans of events that a loop over `events` has been given and not yet confirmed.
        self._given: set[str] = set()

    async def __aenter__(self) -> CoordinationClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connects now, and not with the first call. Raises UNAVAILABLE."""
        await self._session.store.open()

    async def close(self) -> None:
        """Ends the heartbeats and the connections. A session is left with `leave`; without, it turns stale by itself."""
        # A loop over `events` that was left by `break` has its event; asyncio would end the generator only after this.
        for loan in tuple(self._given):
            await self._confirm_given(loan)
        await self._session.close()

    async def touch(self) -> None:
        """Keeps this instance's presence. Every other operation of a named instance does so as well."""
        await self._session.run("touch", {})

    async def publish_message(
        self,
        msg_type: MessageType | str,
        subject: str,
        description: str,
        to_instance: str | None = None,
        *,
        requires_ack: bool | None = None,
        ack_within: int | None = None,
        reply_to: str | None = None,
        idempotency_key: str | None = None,
    ) -> PublishResult:
        """Stores a message for its recipients, atomically.

        `subject` has 1-200 characters without line breaks, `description` up to 64 KiB of UTF-8. `to_instance` is an instance
        or `all`; absent, it is the sender of `reply_to`, else the default of the type. `requires_ack` is true by default, for
        NOTIFICATION false. `ack_within`: seconds until it is announced again where it is not acknowledged, and later
        listed as dead; 0 for never. `reply_to` joins the thread of that message and, from one of its recipients, acknowledges it.
        `idempotency_key` makes a repeat safe for 24 hours.

        Raises INVALID, NOT_FOUND (`reply_to`, or a recipient never seen where that is refused), FULL, SUPERSEDED,
        UNAVAILABLE, TIMEOUT; NOT_REPLICATED when it is stored and fewer replicas have it than `COORD_WAIT_REPLICAS` asks for. Where
        the sentence says that the message is or may be stored, and after a cancellation, publish the same content again: the
        client then reuses the key, and nothing is stored twice.
        """
        arguments = publish_arguments(
            self._session.instance,
            self.settings,
            msg_type=msg_type,
            subject=subject,
            description=description,
            to_instance=to_instance,
            requires_ack=requires_ack,
            ack_within=ack_within,
            reply_to=reply_to,
            idempotency_key=idempotency_key,
        )
        return await self._publisher.publish(arguments)

    async def check_messages(
        self,
        *,
        to_instance: str | None = None,
        from_instance: str | None = None,
        msg_type: MessageType | str | None = None,
        pending_only: bool = False,
        all: bool = False,
        since: str | None = None,
        before: str | None = None,
        thread: str | None = None,
        message_id: str | None = None,
        limit: int | None = None,
        wait_seconds: float = 0,
    ) -> CheckResult:
        """Reads messages; what it returns to one of its recipients counts as presented to it.

        Without `to_instance`, `all` or a `from_instance` that is the caller: the own inbox, newest first. `pending_only`: what
        still has to be acknowledged, oldest first. `since` and `before` are message ids, exclusive; with `since` oldest first.
        `message_id` returns exactly that message, whole, and goes with no other filter. `limit` is 1-1000, default 50.
        `wait_seconds`, up to 50, returns as soon as something matches; without `since` and `pending_only` that is what was not
        yet presented.

        Raises INVALID, NOT_FOUND (`message_id`, `thread`, a cursor), SUPERSEDED, UNAVAILABLE, TIMEOUT.
        """
        if message_id is not None:
            return await show_message(self._session, message_id, False)
        arguments = check_arguments(
            self._session.instance,
            to_instance=to_instance,
            from_instance=from_instance,
            msg_type=msg_type,
            pending_only=pending_only,
            all=all,
            since=since,
            before=before,
            thread=thread,
            limit=limit,
        )
        return await check(self._session, arguments, wait_seconds)

    async def wait_for_messages(
        self,
        *,
        to_instance: str | None = None,
        from_instance: str | None = None,
        msg_type: MessageType | str | None = None,
        pending_only: bool = False,
        all: bool = False,
        since: str | None = None,
        thread: str | None = None,
        limit: int | None = None,
        wait_seconds: float = LIMITS["wait_seconds_maximum"],
    ) -> CheckResult:
        """As `check_messages` with the longest wait, unless `wait_seconds` says otherwise."""
        return await self.check_messages(
            to_instance=to_instance,
            from_instance=from_instance,
            msg_type=msg_type,
            pending_only=pending_only,
            all=all,
            since=since,
            thread=thread,
            limit=limit,
            wait_seconds=wait_seconds,
        )

    async def search_messages(
        self, query: str, *, limit: int | None = None, before: str | None = None
    ) -> CheckResult:
        """Finds messages of the whole namespace, newest first; nothing counts as presented.

        All words of the query are required, as parts of the subject, the description or a comment; docs/protocol.md has the
        rest of the language. After two seconds it ends with `stopped_early`: go on from `next_before`.

        Raises INVALID, NOT_FOUND (a cursor), SUPERSEDED, UNAVAILABLE, TIMEOUT.
        """
        return await search(self._session, query, limit, before)

    @overload
    async def ack_message(self, message_id: str, *, comment: str | None = None) -> AckResult: ...

    @overload
    async def ack_message(
        self, message_id: list[str], *, comment: str | None = None
    ) -> list[AckResult | AckRefusal]: ...

    async def ack_message(
        self, message_id: str | list[str], *, comment: str | None = None
    ) -> AckResult | list[AckResult | AckRefusal]:
        """Acknowledges one message, or several (up to 100), each on its own. `comment` has up to 4 KiB.

        Raises INVALID, UNAVAILABLE, TIMEOUT; for one id also NOT_FOUND and NOT_RECIPIENT. For several a refusal stands in the
        place of its result.
        """
        me = self._session.instance
        ids = check_message_ids(message_id if isinstance(message_id, list) else [message_id])
        arguments = {"comment": "" if comment is None else check_comment(comment)}
        results = read_acks(await self._session.run("ack", arguments, ids), ids, me)
        if isinstance(message_id, list):
            return results
        if "code" in results[0]:
            refusal = cast(AckRefusal, results[0])
            raise CoordinationError(ErrorCode(refusal["code"]), refusal["error"], refusal["hint"])
        return cast(AckResult, results[0])

    async def get_notifications(self, *, limit: int | None = None) -> NotificationsResult:
        """Takes the oldest events from this instance's queue; what is not returned stays.

        Raises INVALID, SUPERSEDED, UNAVAILABLE, TIMEOUT.
        """
        async with self.take_notifications(limit=limit) as result:
            return result

    @asynccontextmanager
    async def take_notifications(self, *, limit: int | None = None) -> AsyncIterator[NotificationsResult]:
        """As `get_notifications`, but confirmed only when the block ends well; not within 10 seconds, they come again.

        For whoever has to show them first.
        """
        result, loan = await self._take(LIMITS["list_default"] if limit is None else check_limit(limit))
        yield result
        await self._confirm(loan)

    async def _take(self, limit: int) -> tuple[NotificationsResult, str]:
        loan_seconds = str(self.settings.loan_seconds)
        arguments = {"limit": str(limit), "bytes": "0", "loan_seconds": loan_seconds, "confirmed": "", "look": ""}
        return read_notifications(await self._session.run("notifications", arguments))

    async def _confirm(self, loan: str) -> None:
        if loan:
            await self._session.run("confirm", {"loan": loan, "reminded": "0", "shown": "0"})

    async def events(self) -> AsyncGenerator[CoordinationEvent, None]:
        """This instance's events, those that wait and those to come, in order.

        One is confirmed when the next is asked for, and when the loop or the client ends.
        """
        taking = take_forever(
            self._session,
            self._session.instance,
            self.settings.loan_seconds,
            lambda: self._take(_EVENTS_AT_ONCE),
            _has_events,
        )
        async with aclosing(taking) as taken:
            async for result, loan in taken:
                self._given.add(loan)
                try:
                    for event in result["notifications"]:
                        yield event
                finally:
                    await self._confirm_given(loan)

    async def _confirm_given(self, loan: str) -> None:
        if loan not in self._given:
            return
        self._given.discard(loan)
        try:
            await self._confirm(loan)
        except CoordinationError as error:
            if error.code not in AWAY:  # with Redis away they come again after their loan
                raise

    async def join(self, session: SessionFacts, *, unless_taken: bool = False) -> Joined:
        """Begins or renews the session of this run of an agent; a session of somebody else is superseded.

        With `unless_taken` it is not, and this one is refused while the other is there. Raises SUPERSEDED.
        """
        return await self._session.join(session, unless_taken=unless_taken)

    async def stay(self, session: SessionFacts, *, unless_taken: bool = False) -> None:
        """Joins and beats by itself until `leave` or `close`. Never fails: while Redis is away, each beat tries again."""
        await self._session.stay(session, unless_taken=unless_taken)

    async def leave(self) -> None:
        """Ends the session: offline at once."""
        await self._session.leave()

    async def speaks(self) -> bool:
        """Whether this client still speaks for its instance, or a newer session does."""
        return await self._session.speaks()

    async def set_activity(self, activity: str) -> None:
        """One line for presence about what the agent does; empty removes it."""
        await self._session.set_activity(check_activity(activity))

    async def register_instance(self) -> None:
        """Makes this instance known before it starts, so that broadcasts reach it."""
        await self._session.store.run("register", {"instance": self._session.instance})

    async def show_message(self, message_id: str, *, thread: bool = False) -> CheckResult:
        """One message whole with everybody's receipts, or its conversation, oldest first, at most 1,000.

        Raises INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT.
        """
        return await show_message(self._session, message_id, thread)

    async def get_presence(self) -> PresenceResult:
        """Every instance that has been seen, by name."""
        return await self._session.presences()

    async def get_stats(self) -> StatsResult:
        """What the namespace holds."""
        return await self._namespace.get_stats()

    async def forget_instance(self, instance: str) -> ForgetResult:
        """Takes an instance out of presence and so out of broadcasts; nobody can send to it until it is seen again.

        What it has not acknowledged is dead, and holds nothing up; its messages stay. After an interruption, call it again.
        Raises INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT.
        """
        return await self._namespace.forget_instance(instance)

    async def forget_unseen(self, seconds: int) -> ForgetUnseenResult:
        """Forgets every instance that was not seen for so many seconds. Raises INVALID, UNAVAILABLE, TIMEOUT."""
        return await self._namespace.forget_unseen(seconds)

    async def sweep(self) -> SweepResult:
        """Does what is due for everybody, a bounded part of it: announces what is overdue, tells its sender, lists it as dead,
        and takes what retention lets go. Clients with a session, and those that wait, do it by themselves."""
        result, _ = await self._session.sweep()
        return result

    async def list_dead(self, *, limit: int | None = None) -> CheckResult:
        """Messages that nobody is reminded of any more, those that died first first, with all receipts."""
        return await self._namespace.list_dead(limit)

    async def retry_dead(self, message_ids: list[str]) -> CheckResult:
        """Announces dead messages anew, with a new deadline. Returns them as they are then.

        Raises INVALID, NOT_FOUND for one that is not dead; then none is retried.
        """
        return await self._namespace.retry_dead(message_ids)

    async def drop_dead(self, message_ids: list[str]) -> CheckResult:
        """Asks nobody for dead messages any more: they are settled, without being acknowledged. As `retry_dead`."""
        return await self._namespace.drop_dead(message_ids)

    async def drop_messages(self, message_ids: list[str]) -> CheckResult:
        """Settles messages that nobody will answer, without being acknowledged: as their sender, the orchestrator or the operator
        for all who have not, as a recipient for oneself. Returns them as they are then.

        Raises INVALID, NOT_FOUND for one that nobody is asked for, NOT_RECIPIENT; then none is dropped.
        """
        return await self._namespace.drop(message_ids)

    async def get_namespace_settings(self) -> NamespaceSettings:
        """What acts on everyone in this namespace."""
        return await self._namespace.get_settings()

    async def change_namespace_setting(self, name: str, value: int | str) -> NamespaceSettings:
        """Changes one of them, for everyone from now on. Raises INVALID, UNAVAILABLE, TIMEOUT."""
        return await self._namespace.change_setting(name, value)


def _has_events(taken: tuple[NotificationsResult, str]) -> bool:
    return taken[0]["count"] > 0
