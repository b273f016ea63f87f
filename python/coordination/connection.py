"""A connection to Redis that is made when it is needed, fails fast, and is made anew after it was lost."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import redis

from .connection_settings import ConnectionSettings
from .definition import LIMITS
from .errors import CoordinationError
from .failures import GONE, REPLIES, NoPrimary, unavailable
from .link import CLOSED, Link, dial
from .primary import dial_primary

#: Pause before a server that is about to change its role is asked again; a failover takes seconds.
FAILOVER_PAUSE_SECONDS = 0.1


class Connection:
    def __init__(
        self,
        settings: ConnectionSettings,
        prefix: str,
        on_push: Callable[[list[Any]], None] = lambda reply: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`prefix` of the namespace: in a cluster, its slot says which server it is kept on. `on_lost`: a connection that had
        been made is gone, and was not closed by us."""
        self._settings = settings
        self._prefix = prefix
        self._on_push = on_push
        self._on_lost = on_lost
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._closed = False

    async def open(self, deadline: float | None = None) -> Link:
        """A connection to the server that takes the writes of the namespace, on which it has answered.

        `deadline`, of the loop's time, by default in 5 seconds: how long a failover that is under way is waited for. Raises
        UNAVAILABLE after 3 seconds at the latest, unless a failover is under way.
        """
        loop = asyncio.get_running_loop()
        if deadline is None:
            deadline = loop.time() + LIMITS["operation_milliseconds"] / 1000
        while True:
            if self._link is not None:
                return self._link
            if self._opening is None:
                self._opening = asyncio.create_task(self._connect())
                self._opening.add_done_callback(self._opened)
            try:
                # Shielded: others may wait for the same connection.
                return await asyncio.shield(self._opening)
            except CoordinationError as error:
                passing = isinstance(error.__cause__, NoPrimary) and error.__cause__.passing
                if not passing or self._closed or loop.time() + FAILOVER_PAUSE_SECONDS > deadline:
                    raise
            await asyncio.sleep(FAILOVER_PAUSE_SECONDS)

    def _opened(self, opening: asyncio.Task[Link]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # seen, also where all who waited have gone

    async def _connect(self) -> Link:
        link: Link | None = None
        try:
            self._refuse_closed()
            link = await self._dial(asyncio.get_running_loop().time() + LIMITS["connect_milliseconds"] / 1000)
            self._refuse_closed()
            link.serve(self._on_push, self._lost)
        except (*REPLIES, *GONE, NoPrimary) as error:
            if link is not None:
                await link.close()
            raise unavailable(self._settings, error) from error
        self._link = link
        return link

    async def _dial(self, deadline: float) -> Link:
        if self._settings.discovery is not None:
            return await dial_primary(self._settings, self._settings.discovery, self._prefix, deadline)

        async def greet(link: Link) -> Link:
            await link.call("PING")
            return link

        return await dial(self._settings, deadline, greet)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise redis.ConnectionError(CLOSED)

    def _lost(self, link: Link) -> None:
        if self._link is not link:
            return
        self._link = None
        if not self._closed:
            self._on_lost()

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._link is not None:
            await self._link.close()
