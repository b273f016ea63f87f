"""What concerns the whole namespace, and so works without a name; the half of the client that is not about one instance."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Sequence, TypeVar

from .definition import LIMITS
from .publishing import namespace_argument
from .replies import read_namespace_settings, read_page, read_pages, read_stats, read_sweep
from .results import CheckResult, ForgetResult, ForgetUnseenResult, NamespaceSettings, PresenceResult, StatsResult, SweepResult
from .settings import Settings
from .speaker import FIRST, Speaker
from .store import Store
from .validation import (
    check_instance,
    check_limit,
    check_message_id,
    check_message_ids,
    check_setting,
    check_setting_name,
    check_unseen_seconds,
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
        pages, since, left = [], "", LIMITS["list_maximum"]
        while True:
            arguments = {"message_id": id, "thread": "1" if thread else "0", "since": since, "limit": str(left), "mark": "1"}
            page = read_page(await self._speaker.read("show", arguments))
            pages.append(page)
            since, left = page["next_since"], left - len(page["messages"]) - len(page["unreadable"])
            if left <= 0:
                page["step"] = False
            if not page["step"]:
                return read_pages(pages, True)

    async def get_presence(self) -> PresenceResult:
        """Every instance that has been seen, by name."""
        return await self._speaker.presences()

    async def get_stats(self) -> StatsResult:
        """What the namespace holds."""
        pages = [read_page(await self._speaker.read("stats", {"cursor": FIRST}))]
        while pages[-1]["cursor"] != FIRST:
            pages.append(read_page(await self._speaker.read("stats", {"cursor": pages[-1]["cursor"]})))
        return read_stats(pages)

    async def forget_instance(self, instance: str) -> ForgetResult:
        """Takes an instance out of presence and so out of broadcasts; nobody can send to it until it is seen again.

        What it has not acknowledged is dead, and holds nothing up; its messages stay. After an interruption, call it again.
        Raises INVALID, NOT_FOUND, UNAVAILABLE, TIMEOUT.
        """
        result = await self._forget(check_instance(instance, "instance"), "")
        assert result is not None, "without a time it is forgotten whenever it was seen"
        return result

    async def forget_unseen(self, seconds: int) -> ForgetUnseenResult:
        """Forgets every instance that was not seen for so many seconds. Raises INVALID, UNAVAILABLE, TIMEOUT."""
        unseen = check_unseen_seconds(seconds)
        forgotten = []
        for presence in (await self.get_presence())["instances"].values():
            age = presence["seconds_since_heartbeat"]
            result = None if age is None or age < unseen else await self._forget(presence["instance_id"], str(unseen))
            if result is not None:
                forgotten.append(result)
        return {"forgotten": forgotten}

    async def _forget(self, instance: str, unseen_seconds: str) -> ForgetResult | None:
        """None where it was seen in the meantime."""
        pending = 0
        while True:
            step = json.loads(await self._store.run("forget", {"instance": instance, "unseen_seconds": unseen_seconds}))
            pending += step["pending"]
            if not step["more"]:
                return None if step["seen"] else {"instance": instance, "pending": pending}

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
        pages, cursor, left = [], "", limit
        while True:
            arguments = {"action": action, "limit": str(left), "cursor": cursor}
            page = read_page(await self._speaker.read("dead", arguments, ids))
            pages.append(page)
            cursor, left = page["cursor"], left - len(page["messages"]) - len(page["unreadable"])
            if cursor == "":
                return read_pages(pages, True)

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
