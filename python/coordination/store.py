"""The only door to Redis: runs the scripts of the state machine, one round trip each, and listens."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Awaitable, Callable, Mapping, NamedTuple, Sequence

from redis.exceptions import NoScriptError, RedisError

from .connection import FAILOVER_PAUSE_SECONDS, Connection
from .connection_settings import ConnectionSettings
from .definition import LIMITS
from .errors import CoordinationError
from .failures import GONE, REPLIES, is_passing, refusal, reply_text, timed_out, too_old, unavailable
from .keys import events_channel, meta_key, notify_channel
from .link import Link, NeverSent, timeout_at
from .reply_shapes import WrongReply, read_reply
from .scripts import Script, script
from .subscription import Listener, Subscription

#: How often a repeatable script is sent when the connection is lost before the answer.
_SENDS_MAXIMUM = 3


@dataclass(frozen=True)
class Replication:
    """How many replicas must have a write, and how long that is waited for."""

    replicas: int
    milliseconds: int


_NO_REPLICAS = Replication(replicas=0, milliseconds=0)


class Replicated(NamedTuple):
    reply: Any
    #: None where none were asked for.
    replicas: int | None


class Store:
    def __init__(self, settings: ConnectionSettings, prefix: str) -> None:
        self._settings = settings
        self._prefix = prefix
        self._meta = meta_key(prefix)
        self._connection = Connection(settings, prefix)
        self._subscription: Subscription | None = None
        self.closed = False

    async def open(self) -> None:
        """Raises UNAVAILABLE."""
        await self._connection.open()

    async def namespace_id(self) -> str | None:
        """Which namespace this is; None where nothing was ever published. Raises UNAVAILABLE, TIMEOUT."""
        deadline = asyncio.get_running_loop().time() + LIMITS["operation_milliseconds"] / 1000
        link = await self._connection.open(deadline)
        try:
            async with timeout_at(deadline):
                reply = await link.call("HGET", self._meta, "id")
        except (asyncio.TimeoutError, *GONE, *REPLIES) as error:
            link.drop()
            raise unavailable(self._settings, error) from error
        return reply if isinstance(reply, str) else None

    async def run(self, name: str, arguments: Mapping[str, str], further: Sequence[str] = ()) -> Any:
        """Runs one script; `further` are values behind the named arguments, for scripts that take a list.

        What it refuses is raised as the CoordinationError it stands for; what it returns has every part that
        `lua/replies.json` says of it, JSON as what it holds. UNAVAILABLE when nothing was sent, or when an
        answer was lost and could not be had again (the sentence says so); TIMEOUT after 5 seconds without an answer.
        """
        reply, _ = await self._run(name, arguments, further, _NO_REPLICAS)
        return reply

    async def run_replicated(self, name: str, arguments: Mapping[str, str], replication: Replication) -> Replicated:
        """As `run`, and returns when so many replicas have what it wrote, or the time is over; says how many there are, where
        any were asked for. Only for a script whose repeat writes something: `WAIT` is about the last write of the connection.
        """
        return await self._run(name, arguments, (), replication)

    async def _run(
        self, name: str, arguments: Mapping[str, str], further: Sequence[str], replication: Replication
    ) -> Replicated:
        verb = script(name)
        asked = len(further)
        values = [arguments[argument] for argument in verb.arguments]
        values += further
        deadline = asyncio.get_running_loop().time() + LIMITS["operation_milliseconds"] / 1000
        link = await self._connection.open(deadline)
        lost = 1
        while True:
            try:
                async with timeout_at(deadline):
                    reply, replicas = await self._send(link, verb, values, replication)
                    return Replicated(read_reply(name, reply, asked), replicas)
            except REPLIES as refused:
                if not self._may_pass(refused, deadline):
                    raise await self._refused(link, refused) from refused
                link.drop()
                await asyncio.sleep(FAILOVER_PAUSE_SECONDS)
                link = await self._connection.open(deadline)
            except asyncio.TimeoutError:
                # A stalled connection would stall every later call as well.
                link.drop()
                raise timed_out(self._settings, LIMITS["operation_milliseconds"] / 1000) from None
            except GONE as error:
                link.drop()
                sent = not isinstance(error, NeverSent)
                if lost == _SENDS_MAXIMUM or (sent and not verb.repeatable):
                    raise unavailable(self._settings, error, uncertain=sent) from error
                lost += 1
                try:
                    link = await self._connection.open(deadline)
                except CoordinationError:
                    if not sent:
                        raise
                    raise unavailable(self._settings, error, uncertain=True) from error

    def _may_pass(self, reply: Exception, deadline: float) -> bool:
        """Where there is more than one server, the one that takes the write may be just about to change."""
        left = deadline - asyncio.get_running_loop().time()
        return self._settings.discovery is not None and is_passing(reply) and left > FAILOVER_PAUSE_SECONDS

    async def _send(self, link: Link, verb: Script, values: Sequence[str], replication: Replication) -> Replicated:
        try:
            return await self._call(link, replication, "EVALSHA", verb.sha, "1", self._meta, *values)
        except NoScriptError:
            # After a restart or SCRIPT FLUSH: EVAL loads and runs it in one step.
            return await self._call(link, replication, "EVAL", verb.source, "1", self._meta, *values)

    async def _call(self, link: Link, replication: Replication, *command: str) -> Replicated:
        if replication.replicas == 0:
            return Replicated(await link.call(*command), None)
        # Behind the script on the same connection and at once: no further round trip, and nobody's write in between, since
        # tasks that are made together take their first step together.
        return Replicated(*await asyncio.gather(link.call(*command), _confirmed(link, replication)))

    async def _refused(self, link: Link, reply: Exception) -> CoordinationError:
        """Redis before 7.0 cannot compile the first line of the scripts; asking then keeps the version out of every start."""
        if "compiling script" in reply_text(reply).lower():
            try:
                info = await link.call("INFO", "server")
            except (*REPLIES, *GONE):
                info = ""
            version = re.search(r"^redis_version:(([0-9]{1,4})\S*)", str(info), re.MULTILINE)
            if version is not None and int(version[2]) < 7:
                return too_old(self._settings, version[1])
        return refusal(self._settings, reply)

    async def listen(self, instance: str | None, listener: Listener) -> Callable[[], Awaitable[None]]:
        """Listens for one instance's events, or for everybody's. Returns, once it listens, what ends it."""
        channel = events_channel(self._prefix) if instance is None else notify_channel(self._prefix, instance)
        if self._subscription is None:
            self._subscription = Subscription(self._settings, self._prefix)
        subscription = self._subscription
        await subscription.listen(channel, listener)
        return lambda: subscription.unlisten(channel, listener)

    async def close(self) -> None:
        """After it every call is refused."""
        self.closed = True
        await self._connection.close()
        if self._subscription is not None:
            await self._subscription.close()


async def _confirmed(link: Link, replication: Replication) -> int:
    """The script has run: a refusal to wait is an answer that was lost, and not a refusal of the script."""
    try:
        count: object = await link.call("WAIT", str(replication.replicas), str(replication.milliseconds))
    except REPLIES as reply:
        raise RedisError(reply_text(reply)) from reply
    if not isinstance(count, int):
        raise WrongReply
    return count
