"""Speaks for one instance: runs scripts in its name, fenced by the session, and keeps a long-lived session alive.

Two runs of different agents under one name would answer each other's mail; the older one is refused until the newer has gone.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Awaitable, Callable, Mapping, Sequence, TypeVar

from .definition import LIMITS
from .errors import CoordinationError, ErrorCode
from .presence import read_stored_session
from .replies import presences_cursor, read_presences, read_sweep
from .results import Joined, PresenceResult, SessionFacts, SweepResult
from .settings import Settings
from .store import Replicated, Store
from .waiting import Sweeper

#: The cursor with which a listing of instances begins, and at which it has ended.
FIRST = "0"

T = TypeVar("T")

#: How soon joining is tried again where Redis was away.
_JOIN_SECONDS = 5.0


class Session:
    def __init__(self, settings: Settings) -> None:
        """Connects with the first call."""
        self.settings = settings
        self.store = Store(settings.connection, settings.key_prefix)
        self.sweeper = Sweeper(self.sweep)
        #: The number of a joined session, the agent's own session id, or nothing.
        self._fence = "" if settings.agent_session_id is None else f"id:{settings.agent_session_id}"
        self._facts: SessionFacts | None = None
        #: The number of the session that was joined from here.
        self._joined: str | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def instance(self) -> str:
        """Raises IDENTITY."""
        return self.settings.require_identity()

    async def run(self, name: str, arguments: Mapping[str, str], further: Sequence[str] = ()) -> Any:
        """Raises SUPERSEDED, and what the script refuses."""
        return await self._run_as(self.instance, name, arguments, further)

    async def run_replicated(self, name: str, arguments: Mapping[str, str]) -> Replicated:
        """As `run`, and waits for replicas."""
        instance = self.instance

        async def call(session: str) -> Replicated:
            named = {"instance": instance, "session": session, **arguments}
            return await self.store.run_replicated(name, named, self.settings.replication)

        return await self._speak(instance, call)

    async def read(self, name: str, arguments: Mapping[str, str], further: Sequence[str] = ()) -> Any:
        """As `run`; without a name it reads for nobody, and leaves no trace."""
        return await self._run_as(self.settings.instance_id or "", name, arguments, further)

    async def _run_as(self, instance: str, name: str, arguments: Mapping[str, str], further: Sequence[str]) -> Any:
        async def call(session: str) -> Any:
            return await self.store.run(name, {"instance": instance, "session": session, **arguments}, further)

        return await self._speak(instance, call)

    async def _speak(self, instance: str, call: Callable[[str], Awaitable[T]]) -> T:
        try:
            return await call(self._fence if instance else "")
        except CoordinationError as error:
            if error.code != ErrorCode.SUPERSEDED:
                raise
            # The newer session may have gone since: a long-lived one then speaks again, a single command just goes through.
            if self._facts is not None:
                await self.join(self._facts, unless_taken=True, tell=False)
            elif await self._somebody_is_there(instance):
                raise
            return await call("" if self._facts is None else self._fence)

    async def sweep(self) -> tuple[SweepResult, float]:
        """One share of what is due for everybody, and the seconds until the next."""
        return read_sweep(await self.read("sweep", {"orchestrator": self.settings.orchestrator}))

    async def presences(self, reader: str | None = None) -> PresenceResult:
        """Every instance, in as many steps as that takes."""
        name = (self.settings.instance_id or "") if reader is None else reader
        pages = [await self._run_as(name, "presence", {"cursor": FIRST}, ())]
        while (cursor := presences_cursor(pages[-1])) != FIRST:
            pages.append(await self._run_as(name, "presence", {"cursor": cursor}, ()))
        return read_presences(pages, self.settings.presence_timeout_seconds)

    async def _somebody_is_there(self, instance: str) -> bool:
        instances = (await self.presences(""))["instances"]
        return instance in instances and instances[instance]["status"] in ("active", "stale")

    async def join(self, facts: SessionFacts, *, unless_taken: bool, tell: bool = True) -> Joined:
        """Begins or renews the session of this run of the agent.

        Beside the agent's other surfaces it is the same session; any other that speaks for the name is superseded, or with
        `unless_taken` left as it is and this one refused. `tell`: the caller can tell the agent the news.
        """
        number, first, superseded = await self.store.run(
            "join",
            {
                "instance": self.instance,
                "facts": json.dumps(facts, ensure_ascii=False, separators=(",", ":")),
                "id": facts.get("id", ""),
                "host": facts.get("host", ""),
                "agent_pid": str(facts.get("agent_pid", "")),
                "yield": "1" if unless_taken else "0",
                "offline_seconds": str(LIMITS["offline_factor"] * self.settings.presence_timeout_seconds),
                "tell": "1" if tell else "0",
            },
        )
        self._fence = self._joined = number
        self._facts = facts
        joined: Joined = {"first": first == "1"}
        if superseded:
            joined["superseded"] = read_stored_session(superseded)
        return joined

    async def stay(self, facts: SessionFacts, *, unless_taken: bool) -> None:
        """Joins, and beats until `leave` or `stop`.

        Redis may be away: each beat tries again, and joins where that is missing.
        """
        await self.stop()
        self._facts = facts
        joined = await self._beat(facts, unless_taken, joined=False)
        self._beating = asyncio.create_task(self._beat_on(facts, unless_taken, joined))

    async def _beat_on(self, facts: SessionFacts, unless_taken: bool, joined: bool) -> None:
        seconds = min(self.settings.presence_timeout_seconds / 3, LIMITS["beat_seconds_maximum"])
        while True:
            await asyncio.sleep(seconds if joined else min(seconds, _JOIN_SECONDS))
            joined = await self._beat(facts, unless_taken, joined)

    async def _beat(self, facts: SessionFacts, unless_taken: bool, joined: bool) -> bool:
        """Whether the session has been joined."""
        try:
            if not joined:
                await self.join(facts, unless_taken=unless_taken, tell=False)
            elif await self.run("beat", {"activity": ""}) == "0":
                await self.join(facts, unless_taken=True, tell=False)
            joined = True
            await self.sweeper.sweep_when_due()  # a share of the work that nobody else is there to do
        except CoordinationError:
            return joined  # superseded, or Redis is away: the next beat tries again
        return True

    async def speaks(self) -> bool:
        """Whether no newer session has taken the name."""
        try:
            await self.run("beat", {"activity": ""})
        except CoordinationError as error:
            if error.code == ErrorCode.SUPERSEDED:
                return False
            raise
        return True

    async def set_activity(self, activity: str) -> None:
        """One line about what the agent does; empty removes it."""
        await self.run("beat", {"activity": activity or "\n"})

    async def leave(self) -> None:
        """Ends the session properly."""
        await self.stop()
        if self._facts is not None and self._fence != self._joined:
            return  # never joined: somebody else's session
        await self.store.run("leave", {"instance": self.instance, "session": self._fence})

    async def stop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
            self._beating = None

    async def close(self) -> None:
        await self.stop()
        await self.store.close()
