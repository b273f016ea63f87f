"""Speaks for one instance: runs scripts in its name, fenced by the session, and keeps a long-lived session alive.

Two runs of different agents under one name would answer each other's mail; the older one is refused until the newer has gone.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Awaitable, Callable, Mapping, Sequence, TypeVar

from .definition import LIMITS
from .errors import CoordinationError, ErrorCode
from .known_namespace import KnownNamespace
from .presence import read_stored_session
from .replies import presences_cursor, read_presences, read_sweep
from .results import Joined, PresenceResult, SessionFacts, SweepResult
from .settings import Settings
from .steps import steps
from .store import Replicated, Store
from .waiting import Sweeper

#: The cursor with which a listing of instances begins, and at which it has ended.
FIRST = "0"

T = TypeVar("T")

#: So many heartbeats may be missing before a session elsewhere is taken for dead.
_BEATS_MISSED = 3
#: What is refused where another session speaks.
_GUEST = (ErrorCode.TAKEN, ErrorCode.SUPERSEDED)
#: One process of these holds several sessions, which only the host's id tells apart.
_SEVERAL_SESSIONS = ("codex", "opencode")

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
        #: What this client knows of the namespace, for who publishes and reads to add to.
        self.known = KnownNamespace()
        self._facts: SessionFacts | None = None
        #: The number of the session that was joined from here.
        self._joined: str | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def instance(self) -> str:
        """Raises IDENTITY."""
        return self.settings.require_identity()

    async def run(self, name: str, arguments: Mapping[str, str], further: Sequence[str] = ()) -> Any:
        """Raises SUPERSEDED, TAKEN, and what the script refuses."""
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
        # A guest's reading is no sign of life of whoever speaks.
        reader = "" if self._is_guest else self.settings.instance_id or ""
        return await self._run_as(reader, name, arguments, further)

    async def _run_as(self, instance: str, name: str, arguments: Mapping[str, str], further: Sequence[str]) -> Any:
        async def call(session: str) -> Any:
            return await self.store.run(name, {"instance": instance, "session": session, **arguments}, further)

        return await self._speak(instance, call)

    async def _speak(self, instance: str, call: Callable[[str], Awaitable[T]]) -> T:
        try:
            result = await self._speak_as(instance, lambda session: call(self.known.beside(session)))
        except CoordinationError as error:
            if error.code == ErrorCode.LOST:
                self.known.forget()
            raise
        if self.known.is_unnamed:
            with suppress(CoordinationError):  # the call itself is done
                self.known.identify(await self.store.namespace_id())
        return result

    async def _speak_as(self, instance: str, call: Callable[[str], Awaitable[T]]) -> T:
        if instance and self._facts is not None and self._is_guest:
            await self.join(self._facts, unless_taken=True, tell=False)
        try:
            return await call(self._fence if instance else "")
        except CoordinationError as error:
            if error.code not in _GUEST:
                raise
            # The other session may have gone since: a long-lived one then speaks again, a single command just goes through.
            if self._facts is not None:
                await self._join_again(self._facts, error)
            elif await self._somebody_is_there(instance):
                raise
            return await call("" if self._facts is None else self._fence)

    async def sweep(self) -> tuple[SweepResult, float]:
        """One share of what is due for everybody, and the seconds until the next."""
        reader = "" if self._is_guest else self.settings.instance_id or ""
        named = {"instance": reader, "session": self._fence if reader else ""}
        # Not by `read`: it goes on in the background, where nobody would be told of what was lost.
        return read_sweep(await self.store.run("sweep", {**named, "orchestrator": self.settings.orchestrator}))

    async def _join_again(self, facts: SessionFacts, refusal: CoordinationError) -> None:
        try:
            await self.join(facts, unless_taken=True, tell=False)
        except CoordinationError as error:
            raise (refusal if error.code == ErrorCode.TAKEN else error)  # it has spoken before, and is told so

    @property
    def _is_guest(self) -> bool:
        """This run has a session of its own to begin, and has not: another one speaks, or Redis was away."""
        return self._facts is not None and self._joined is None

    async def presences(self, reader: str | None = None) -> PresenceResult:
        """Every instance, in as many steps as that takes."""
        name = (self.settings.instance_id or "") if reader is None else reader
        pages, cursor = [], FIRST
        for _ in steps():
            pages.append(await self._run_as(name, "presence", {"cursor": cursor}, ()))
            cursor = presences_cursor(pages[-1])
            if cursor == FIRST:
                break
        return read_presences(pages, self.settings.presence_timeout_seconds)

    async def _somebody_is_there(self, instance: str) -> bool:
        instances = (await self.presences(""))["instances"]
        return instance in instances and instances[instance]["status"] in ("active", "stale")

    async def join(self, facts: SessionFacts, *, unless_taken: bool, tell: bool = True) -> Joined:
        """Begins or renews the session of this run of the agent.

        Beside the agent's other surfaces it is the same session; any other that speaks for the name is superseded, or with
        `unless_taken` left as it is and this one refused. `tell`: the caller can tell the agent the news.
        """
        self._facts = facts
        process = _process_of(facts)
        told: dict[str, object] = {**facts, "process": process} if process else {**facts}
        told_back = await self.store.run(
            "join",
            {
                "instance": self.instance,
                "facts": json.dumps(told, ensure_ascii=False, separators=(",", ":")),
                "id": facts.get("id", ""),
                "run": _run_name(facts),
                "surface": "",
                "mode": "yield" if unless_taken else "start",
                "named": self.settings.named,
                "gone": "",
                "offline_seconds": str(LIMITS["offline_factor"] * self.settings.presence_timeout_seconds),
                "alive_seconds": f"{_BEATS_MISSED * self._beat_seconds:g}",
                "tell": "1" if tell else "0",
            },
        )
        if "code" in told_back:
            raise CoordinationError(ErrorCode(told_back["code"]), told_back["error"], hint=told_back["hint"])
        self._fence = self._joined = told_back["number"]
        joined: Joined = {"first": told_back.get("first", False)}
        if "superseded" in told_back:
            joined["superseded"] = read_stored_session(told_back["superseded"])
        return joined

    @property
    def _beat_seconds(self) -> float:
        return min(self.settings.presence_timeout_seconds / 3, LIMITS["beat_seconds_maximum"])

    async def stay(self, facts: SessionFacts, *, unless_taken: bool) -> None:
        """Joins, and beats until `leave` or `stop`.

        Redis may be away: each beat tries again, and joins where that is missing. While another session speaks for the name,
        it is left alone: the next operation tries again.
        """
        await self.stop()
        self._facts = facts
        settled = await self._beat(facts, unless_taken, settled=False)
        self._beating = asyncio.create_task(self._beat_on(facts, unless_taken, settled))

    async def _beat_on(self, facts: SessionFacts, unless_taken: bool, settled: bool) -> None:
        while True:
            await asyncio.sleep(self._beat_seconds if settled else min(self._beat_seconds, _JOIN_SECONDS))
            settled = await self._beat(facts, unless_taken, settled)

    async def _beat(self, facts: SessionFacts, unless_taken: bool, settled: bool) -> bool:
        """Whether it has joined, or was told that another session speaks."""
        try:
            if self._joined is None and not settled:
                await self.join(facts, unless_taken=unless_taken, tell=False)
            elif self._joined is not None and await self._beat_once() == "0":
                await self.join(facts, unless_taken=True, tell=False)
            settled = True
            await self.sweeper.sweep_when_due()  # a share of the work that nobody else is there to do
        except CoordinationError as error:
            return settled or error.code in _GUEST  # else Redis is away: the next beat tries again
        return True

    async def _beat_once(self) -> Any:
        """Not by `run`: a superseded session that beats must not take the name back, which only a call may."""
        arguments = {"instance": self.instance, "session": self._fence, "activity": "", "doing": ""}
        return await self.store.run("beat", arguments)

    async def speaks(self) -> bool:
        """Whether no newer session has taken the name."""
        if self._is_guest:
            return False
        try:
            await self.run("beat", {"activity": "", "doing": ""})
        except CoordinationError as error:
            if error.code in _GUEST:
                return False
            raise
        return True

    async def set_activity(self, activity: str) -> None:
        """One line about what the agent does; empty removes it."""
        await self.run("beat", {"activity": activity or "\n", "doing": ""})

    async def leave(self) -> None:
        """Ends the session properly; a guest ends its asking."""
        await self.stop()
        run = "" if self._facts is None else _run_name(self._facts)
        session = "" if self._is_guest else self._fence
        await self.store.run("leave", {"instance": self.instance, "session": session, "server": "", "run": run})

    async def stop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
            self._beating = None

    async def close(self) -> None:
        await self.stop()
        await self.store.close()

def _run_name(facts: SessionFacts) -> str:
    """The run among the guests of a name: its session where a process may hold several, else its process."""
    by_id = f"id:{facts['id']}" if "id" in facts else ""
    if by_id and facts.get("agent") in _SEVERAL_SESSIONS:
        return by_id
    return _process_of(facts) or by_id


def _process_of(facts: SessionFacts) -> str:
    """As the other client names it; what it knows of the machine and of the start of the process is not known here."""
    return f"pid {facts['host']}  {facts['agent_pid']} " if "host" in facts and "agent_pid" in facts else ""
