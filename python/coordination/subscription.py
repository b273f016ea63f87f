"""The one connection that listens. It comes back by itself and then says so, because a push that was missed is gone."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Optional

from redis.exceptions import RedisError

from .connection import Connection, ConnectionSettings, timeout
from .definition import LIMITS
from .errors import CoordinationError
from .failures import NeverSent, unavailable

#: Called with what was published; with None after a gap: look into the store for what was missed.
Listener = Callable[[Optional[str]], None]

#: Before the first attempt to come back, and the longest pause between two: it goes on as long as somebody listens.
_PAUSE_SECONDS = 0.05
_PAUSE_SECONDS_MAXIMUM = 1.0

_GONE = (RedisError, OSError, NeverSent, asyncio.TimeoutError)


class Subscription:
    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._connection = Connection(settings, self._receive, self._lost)
        self._listeners: dict[str, set[Listener]] = {}
        self._coming_back: asyncio.Task[None] | None = None
        self._closed = False

    async def listen(self, channel: str, listener: Listener) -> None:
        """Returns once Redis has confirmed: everything published from now on reaches the listener. Raises UNAVAILABLE."""
        # Before it is confirmed: somebody else's unlisten must not take the channel away in between.
        self._listeners.setdefault(channel, set()).add(listener)
        try:
            await self._subscribe(channel)
        except asyncio.CancelledError:
            await self.unlisten(channel, listener)  # Redis may have subscribed it already
            raise
        except (CoordinationError, *_GONE) as error:
            self._forget(channel, listener)
            raise error if isinstance(error, CoordinationError) else unavailable(self._settings, error)

    async def unlisten(self, channel: str, listener: Listener) -> None:
        if not self._forget(channel, listener) or self._closed:
            return
        try:
            link = await self._connection.open()
            if channel not in self._listeners:  # else somebody listens again
                async with timeout(LIMITS["connect_milliseconds"] / 1000):
                    await link.call("UNSUBSCRIBE", channel)
        except (CoordinationError, *_GONE):
            pass  # the connection is gone, and the subscription with it

    def _forget(self, channel: str, listener: Listener) -> bool:
        """Whether it was the last one of its channel."""
        listeners = self._listeners.get(channel, set())
        listeners.discard(listener)
        if listeners:
            return False
        self._listeners.pop(channel, None)
        return True

    async def close(self) -> None:
        """Wakes everybody who waits: nothing will come any more."""
        self._closed = True
        if self._coming_back is not None:
            self._coming_back.cancel()
        await self._connection.close()
        self._tell_all()

    async def _subscribe(self, channel: str) -> None:
        link = await self._connection.open()
        async with timeout(LIMITS["connect_milliseconds"] / 1000):
            await link.call("SUBSCRIBE", channel)

    def _lost(self) -> None:
        if self._coming_back is None or self._coming_back.done():
            self._coming_back = asyncio.create_task(self._come_back())

    async def _come_back(self) -> None:
        pause = _PAUSE_SECONDS
        while self._listeners and not self._closed:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_SECONDS_MAXIMUM)
            try:
                for channel in list(self._listeners):
                    await self._subscribe(channel)
            except (CoordinationError, *_GONE):
                continue
            self._tell_all()
            return

    def _receive(self, push: list[Any]) -> None:
        _, channel, event = push
        for listener in list(self._listeners.get(channel, ())):
            listener(event)

    def _tell_all(self) -> None:
        for listeners in list(self._listeners.values()):
            for listener in list(listeners):
                listener(None)
