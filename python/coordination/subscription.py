"""The one connection that listens. It comes back by itself and then says so, because a push that was missed is gone."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Optional

from .connection import Connection
from .connection_settings import ConnectionSettings
from .definition import LIMITS
from .errors import CoordinationError
from .failures import GONE, unavailable
from .link import Link, timeout

#: Called with what was published; with None after a gap: look into the store for what was missed.
Listener = Callable[[Optional[str]], None]

#: Before the first attempt to come back, and the longest pause between two: it goes on as long as somebody listens.
_PAUSE_SECONDS = 0.05
_PAUSE_SECONDS_MAXIMUM = 1.0

#: How often a connection on which nothing may come for hours is asked whether its server is still there.
_PROBE_SECONDS = 5.0


class Subscription:
    def __init__(self, settings: ConnectionSettings, prefix: str) -> None:
        self._settings = settings
        self._connection = Connection(settings, prefix, self._receive, self._lost)
        self._probing: asyncio.Task[None] | None = None
        self._listeners: dict[str, set[Listener]] = {}
        self._coming_back: asyncio.Task[None] | None = None
        self._closed = False

    async def listen(self, channel: str, listener: Listener) -> None:
        """Returns once Redis has confirmed: everything published from now on reaches the listener. Raises UNAVAILABLE."""
        # Before it is confirmed: somebody else's unlisten must not take the channel away in between.
        listeners = self._listeners.setdefault(channel, set())
        listeners.add(listener)
        try:
            await self._subscribe(await self._connection.open(), channel)
        except asyncio.CancelledError:
            await self.unlisten(channel, listener)  # Redis may have confirmed in this very moment
            raise
        except Exception as error:
            listeners.discard(listener)
            if not listeners:
                self._listeners.pop(channel, None)
            raise unavailable(self._settings, error) if isinstance(error, GONE) else error

    async def unlisten(self, channel: str, listener: Listener) -> None:
        listeners = self._listeners.get(channel, set())
        listeners.discard(listener)
        if listeners or self._closed:
            return
        self._listeners.pop(channel, None)
        try:
            link = await self._connection.open(asyncio.get_running_loop().time())
            if channel not in self._listeners:  # else somebody listens again
                async with timeout(LIMITS["connect_milliseconds"] / 1000):
                    await link.call("UNSUBSCRIBE", channel)
        except (CoordinationError, *GONE):
            pass  # the connection is gone, and the subscription with it

    async def close(self) -> None:
        """Wakes everybody who waits: nothing will come any more."""
        self._closed = True
        for task in (self._coming_back, self._probing):
            if task is not None:
                task.cancel()
        await self._connection.close()
        self._tell_all()

    async def _subscribe(self, link: Link, channel: str) -> None:
        if self._probing is None:
            self._probing = asyncio.create_task(self._probe(link))
        async with timeout(LIMITS["connect_milliseconds"] / 1000):
            await link.call("SUBSCRIBE", channel)

    async def _probe(self, link: Link) -> None:
        """A machine that lost its power closes no connection: its listeners would be deaf for hours."""
        try:
            while True:
                await asyncio.sleep(_PROBE_SECONDS)
                async with timeout(LIMITS["connect_milliseconds"] / 1000):
                    await link.call("PING")
        except GONE:
            link.drop()

    def _lost(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None
        if self._coming_back is None or self._coming_back.done():
            self._coming_back = asyncio.create_task(self._come_back())

    async def _come_back(self) -> None:
        pause = _PAUSE_SECONDS
        while self._listeners and not self._closed:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_SECONDS_MAXIMUM)
            link: Link | None = None
            try:
                link = await self._connection.open()
                for channel in list(self._listeners):
                    await self._subscribe(link, channel)
            except (CoordinationError, *GONE):
                if link is not None:
                    link.drop()  # a connection that does not subscribe is of no use, though it may look alive
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
