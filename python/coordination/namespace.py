"""What concerns the whole namespace, and so works without a name; the half of the client that is not about one instance."""

from __future__ import annotations

from types import TracebackType
from typing import Sequence, TypeVar

from .definition import LIMITS
from .publishing import namespace_argument
from .replies import read_check, read_namespace_settings, read_presences, read_stats, read_sweep
from .results import CheckResult, ForgetResult, NamespaceSettings, PresenceResult, StatsResult, SweepResult
from .settings import Settings
from .speaker import Speaker
from .store import Store
from .validation import (
    check_instance,
    check_limit,
    check_message_id,
    check_message_ids,
    check_setting,
    check_setting_name,
)
from .waiting import Sweeper

Client = TypeVar("Client", bound="NamespaceClient")


class NamespaceClient:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._store = Store(settings.connection, settings.key_prefix)
        self._sweeper = Sweeper(self._sweep)
        self._speaker = Speaker(self._store, settings, self._sweeper)

    async def __aenter__(self: Client) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Raises UNAVAILABLE."""
        await self._store.open()

    async def close(self) -> None:
        await self._speaker.stop()
        await self._store.close()

    async def show_message(self, message_id: str, *, thread: bool = False) -> CheckResult:
        """One message whole with everybody's receipts, or its conversation, oldest first, at most 1,000.

        Raises INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT.
        """
        id = check_message_id(message_id, "message_id")
        limit = str(LIMITS["list_maximum"])
        arguments = {"message_id": id, "thread": "1" if thread else "0", "limit": limit, "mark": "1"}
        return read_check(await self._speaker.read("show", arguments))

    async def get_presence(self) -> PresenceResult:
        """Every instance that has been seen, by name."""
        reply = await self._speaker.read("presence", {})
        return read_presences(reply, self.settings.presence_timeout_seconds)

    async def get_stats(self) -> StatsResult:
        """What the namespace holds."""
        return read_stats(await self._speaker.read("stats", {}))

    async def forget_instance(self, instance: str) -> ForgetResult:
        """Takes an instance out of presence and so out of broadcasts, until it is seen again. Its messages stay.

        Raises INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT.
        """
        name = check_instance(instance, "instance")
        return {"instance": name, "pending": int(await self._store.run("forget", {"instance": name}))}

    async def sweep(self) -> SweepResult:
        """Does what is due for everybody, a bounded part of it: announces what is overdue, tells its sender, lists it as dead,
        and takes what retention lets go. Clients with a session, and those that wait, do it by themselves."""
        result, _ = await self._sweep()
        return result

    async def _sweep(self) -> tuple[SweepResult, float]:
        return read_sweep(await self._speaker.read("sweep", {"orchestrator": self.settings.orchestrator}))

    async def list_dead(self, *, limit: int | None = None) -> CheckResult:
        """Messages that nobody is reminded of any more, those that died first first, with all receipts."""
        return await self._dead("list", LIMITS["list_default"] if limit is None else check_limit(limit), ())

    async def retry_dead(self, message_ids: list[str]) -> CheckResult:
        """Announces dead messages anew, with a new deadline. Returns them as they are then.

        Raises INVALID, NOT_FOUND for one that is not dead; then none is retried.
        """
        return await self._dead("retry", 0, check_message_ids(message_ids))

    async def drop_dead(self, message_ids: list[str]) -> CheckResult:
        """Asks nobody for dead messages any more: they are settled, without being acknowledged. As `retry_dead`."""
        return await self._dead("drop", 0, check_message_ids(message_ids))

    async def _dead(self, action: str, limit: int, ids: Sequence[str]) -> CheckResult:
        return read_check(await self._speaker.read("dead", {"action": action, "limit": str(limit)}, ids))

    async def get_namespace_settings(self) -> NamespaceSettings:
        """What acts on everyone in this namespace."""
        return await self._settings("", "")

    async def change_namespace_setting(self, name: str, value: int) -> NamespaceSettings:
        """Changes one of them, for everyone from now on. Raises INVALID, UNAVAILABLE, TIMEOUT."""
        known = check_setting_name(name)
        return await self._settings(known, str(check_setting(value, known)))

    async def _settings(self, name: str, value: str) -> NamespaceSettings:
        arguments = {"name": name, "value": value, "settings": namespace_argument(self.settings.namespace)}
        return read_namespace_settings(await self._speaker.read("settings", arguments))
