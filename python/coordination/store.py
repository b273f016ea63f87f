"""The only door to Redis: runs the scripts of the state machine, one round trip each, and listens."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Awaitable, Callable, Mapping, Sequence

from redis.exceptions import AuthenticationError, BusyLoadingError, NoScriptError, RedisError, ResponseError

from .connection import Connection, ConnectionSettings, Link, timeout_at
from .definition import LIMITS
from .errors import CoordinationError
from .failures import NeverSent, refusal, reply_text, timed_out, too_old, unavailable
from .scripts import Script, script
from .subscription import Listener, Subscription

#: How often a repeatable script is sent when the connection is lost before the answer.
_SENDS_MAXIMUM = 3

_REPLIES = (ResponseError, AuthenticationError, BusyLoadingError)


class Store:
    def __init__(self, settings: ConnectionSettings, prefix: str) -> None:
        self._settings = settings
        self._prefix = prefix
        #: The key every script call declares: it names the namespace, and the scripts name all others.
        self._meta = f"{prefix}:meta"
        self._connection = Connection(settings)
        self._subscription: Subscription | None = None
        self.closed = False

    async def open(self) -> None:
        """Raises UNAVAILABLE."""
        await self._connection.open()

    async def run(self, name: str, arguments: Mapping[str, str], further: Sequence[str] = ()) -> Any:
        """Runs one script; `further` are values behind the named arguments, for scripts that take a list.

        What it refuses is raised as the CoordinationError it stands for. UNAVAILABLE when nothing was sent, or when an
        answer was lost and could not be had again (the sentence says so); TIMEOUT after 5 seconds without an answer.
        """
        verb = script(name)
        values = [arguments[argument] for argument in verb.arguments]
        values += further
        deadline = asyncio.get_running_loop().time() + LIMITS["operation_milliseconds"] / 1000
        link = await self._connection.open()
        sends = 1
        while True:
            try:
                async with timeout_at(deadline):
                    return await self._send(link, verb, values)
            except _REPLIES as reply:
                raise await self._refused(link, reply) from reply
            except asyncio.TimeoutError:
                # A stalled connection would stall every later call as well.
                link.drop()
                raise timed_out(self._settings, LIMITS["operation_milliseconds"] / 1000) from None
            except (RedisError, OSError, NeverSent) as error:
                link.drop()
                sent = not isinstance(error, NeverSent)
                if sends == _SENDS_MAXIMUM or (sent and not verb.repeatable):
                    raise unavailable(self._settings, error, uncertain=sent) from error
                try:
                    link = await self._connection.open()
                except CoordinationError:
                    if not sent:
                        raise
                    raise unavailable(self._settings, error, uncertain=True) from error
                sends += 1

    async def _send(self, link: Link, verb: Script, values: Sequence[str]) -> Any:
        try:
            return await link.call("EVALSHA", verb.sha, "1", self._meta, *values)
        except NoScriptError:
            # After a restart or SCRIPT FLUSH: EVAL loads and runs it in one step.
            return await link.call("EVAL", verb.source, "1", self._meta, *values)

    async def _refused(self, link: Link, reply: Exception) -> CoordinationError:
        """Redis before 7.0 cannot compile the first line of the scripts; asking then keeps the version out of every start."""
        if "compiling script" in reply_text(reply).lower():
            try:
                info = await link.call("INFO", "server")
            except (RedisError, OSError, NeverSent):
                info = ""
            version = re.search(r"^redis_version:((\d+)\S*)", info, re.MULTILINE)
            if version is not None and int(version[2]) < 7:
                return too_old(self._settings, version[1])
        return refusal(self._settings, reply)

    async def listen(self, instance: str | None, listener: Listener) -> Callable[[], Awaitable[None]]:
        """Listens for one instance's events, or for everybody's. Returns, once it listens, what ends it."""
        channel = f"{self._prefix}:events" if instance is None else f"{self._prefix}:notify:{instance}"
        if self._subscription is None:
            self._subscription = Subscription(self._settings)
        subscription = self._subscription
        await subscription.listen(channel, listener)
        return lambda: subscription.unlisten(channel, listener)

    async def close(self) -> None:
        """After it every call is refused."""
        self.closed = True
        await self._connection.close()
        if self._subscription is not None:
            await self._subscription.close()
