"""Waiting without polling: listen first, then look, then sleep until something is published."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import AsyncGenerator, AsyncIterator, Awaitable, Callable, Protocol, TypeVar

from .definition import LIMITS
from .errors import CoordinationError, ErrorCode
from .link import timeout
from .results import SweepResult
from .store import Store

T = TypeVar("T")

#: A server that was stopped and not ended does not refuse, it is silent.
AWAY = (ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT)

#: Soonest the next sweep, also where there is more to do: others want to be served in between.
_SWEEP_AGAIN_SECONDS = 0.05


class Waiting(Protocol):
    """Whose wait it is."""

    store: Store
    sweeper: Sweeper


class Sweeper:
    """Deadlines pass while everybody waits for everybody, and no process has the task to look.

    Each client that waits or beats does a share, when the next deadline that it knows of has passed, at the latest every 30
    seconds.
    """

    def __init__(self, sweep: Callable[[], Awaitable[tuple[SweepResult, float]]]) -> None:
        self._sweep = sweep
        #: Of time.monotonic().
        self._due = 0.0

    def due_in(self, seconds: float) -> None:
        """A deadline was set."""
        self._due = min(self._due, time.monotonic() + seconds)

    async def sweep_when_due(self) -> float:
        """Returns the seconds until the next. Never fails: with Redis away there is nothing to do."""
        now = time.monotonic()
        if now < self._due:
            return self._due - now
        self._due = now + LIMITS["sweep_seconds_maximum"]  # first, so that several waits of one client sweep once
        try:
            result, following = await self._sweep()
            self.due_in(max(_SWEEP_AGAIN_SECONDS, 0.0 if result["more"] else following))
        except CoordinationError:
            pass
        return max(0.0, self._due - time.monotonic())


#: How soon it looks again where the last look found no Redis; the bell may ring earlier.
_AWAY_SECONDS = 1.0


class _Bell:
    """Rings for whoever waits; a ring while nobody waits is kept, so that none is lost between a look and the next wait."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self, event: str | None) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> None:
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
    """A Redis that stalls is away as well: what it did unseen comes again when its loan ends."""
    return error.code in AWAY and not store.closed


async def look_until(
    waiting: Waiting,
    instance: str | None,
    seconds: float,
    look: Callable[[], Awaitable[T]],
    found: Callable[[T], bool],
) -> T:
    """Looks until something is found or the time is over, and returns the last look.

    The subscription is confirmed before the first look: what is published in between rings. `instance`: whose events may
    change the answer; None for everybody's.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    async with _listening(waiting.store, instance) as bell:
        looked = False
        while True:
            left = deadline - loop.time()
            try:
                result = await look()
                if found(result) or left <= 0:
                    return result
                looked = True
                pause = min(left, await waiting.sweeper.sweep_when_due())
            except CoordinationError as error:
                # A Redis that was there and is away for a moment does not end the wait.
                if not looked or left <= 0 or not _away_for_now(waiting.store, error):
                    raise
                pause = min(left, _AWAY_SECONDS)
            await bell.wait(pause)


async def take_forever(
    waiting: Waiting,
    instance: str,
    loan_seconds: float,
    take: Callable[[], Awaitable[T]],
    has_some: Callable[[T], bool],
) -> AsyncGenerator[T, None]:
    """Takes from the store, yields what it got, and sleeps when there is nothing.

    Outlives a Redis that is away: the subscription rings when it is back.
    """
    async with _listening(waiting.store, instance) as bell:
        while True:
            try:
                taken = await take()
            except CoordinationError as error:
                if not _away_for_now(waiting.store, error):
                    raise
                await bell.wait(_AWAY_SECONDS)
                continue
            if has_some(taken):
                yield taken
            else:
                # What a reader that was killed had taken comes back without a ring, when its loan ends.
                await bell.wait(min(await waiting.sweeper.sweep_when_due(), max(loan_seconds, _AWAY_SECONDS)))
