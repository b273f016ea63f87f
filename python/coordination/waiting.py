"""Waiting without polling: listen first, then look, then sleep until something is published."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import AsyncGenerator, AsyncIterator, Awaitable, Callable, TypeVar

from .connection import timeout
from .errors import CoordinationError, ErrorCode
from .store import Store

T = TypeVar("T")

#: How soon it looks again where the last look found no Redis; the bell may ring earlier.
_AWAY_SECONDS = 1.0


class _Bell:
    """Rings for whoever waits; a ring while nobody waits is kept, so that none is lost between a look and the next wait."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self, event: str | None) -> None:
        self._rung.set()

    async def wait(self, seconds: float | None) -> None:
        try:
            async with timeout(seconds):
                await self._rung.wait()
        except asyncio.TimeoutError:
            pass
        self._rung.clear()


@asynccontextmanager
async def _listening(store: Store, instance: str | None) -> AsyncIterator[_Bell]:
    bell = _Bell()
    stop_listening = await store.listen(instance, bell.ring)
    try:
        yield bell
    finally:
        await stop_listening()


def _away_for_now(store: Store, error: CoordinationError) -> bool:
    return error.code == ErrorCode.UNAVAILABLE and not store.closed


async def look_until(
    store: Store, instance: str | None, seconds: float, look: Callable[[], Awaitable[T]], found: Callable[[T], bool]
) -> T:
    """Looks until something is found or the time is over, and returns the last look.

    The subscription is confirmed before the first look: what is published in between rings. `instance`: whose events may
    change the answer; None for everybody's.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    async with _listening(store, instance) as bell:
        looked = False
        while True:
            left = deadline - loop.time()
            try:
                result = await look()
                if found(result) or left <= 0:
                    return result
                looked = True
                pause = left
            except CoordinationError as error:
                # A Redis that was there and is away for a moment does not end the wait.
                if not looked or left <= 0 or not _away_for_now(store, error):
                    raise
                pause = min(left, _AWAY_SECONDS)
            await bell.wait(pause)


async def take_forever(
    store: Store, instance: str, take: Callable[[], Awaitable[T]], has_some: Callable[[T], bool]
) -> AsyncGenerator[T, None]:
    """Takes from the store, yields what it got, and sleeps when there is nothing.

    Outlives a Redis that is away: the subscription rings when it is back.
    """
    async with _listening(store, instance) as bell:
        while True:
            try:
                taken = await take()
            except CoordinationError as error:
                if not _away_for_now(store, error):
                    raise
                await bell.wait(_AWAY_SECONDS)
                continue
            if has_some(taken):
                yield taken
            else:
                await bell.wait(None)
