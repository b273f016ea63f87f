"""What concerns the whole namespace and no instance, and so works without a name."""

from __future__ import annotations

from typing import Sequence

from .definition import LIMITS
from .publishing import namespace_argument
from .replies import read_namespace_settings, read_page, read_pages, read_stats
from .results import CheckResult, ForgetResult, ForgetUnseenResult, NamespaceSettings, StatsResult
from .session import FIRST, Session
from .steps import steps
from .validation import (
    check_instance,
    check_limit,
    check_message_ids,
    check_setting,
    check_setting_name,
    check_unseen_seconds,
)


class Namespace:
    """What each does for its caller is said at the method of the client that has its name."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get_stats(self) -> StatsResult:
        pages, cursor = [], FIRST
        for _ in steps():
            pages.append(read_page(await self._session.read("stats", {"cursor": cursor})))
            cursor = pages[-1]["cursor"]
            if cursor == FIRST:
                break
        return read_stats(pages)

    async def forget_instance(self, instance: str) -> ForgetResult:
        result = await self._forget(check_instance(instance, "instance"), "")
        assert result is not None, "without a time it is forgotten whenever it was seen"
        return result

    async def forget_unseen(self, seconds: int) -> ForgetUnseenResult:
        unseen = check_unseen_seconds(seconds)
        forgotten = []
        for presence in (await self._session.presences())["instances"].values():
            age = presence["seconds_since_heartbeat"]
            result = None if age is None or age < unseen else await self._forget(presence["instance_id"], str(unseen))
            if result is not None:
                forgotten.append(result)
        return {"forgotten": forgotten}

    async def _forget(self, instance: str, unseen_seconds: str) -> ForgetResult | None:
        """None where it was seen in the meantime."""
        pending, seen = 0, False
        for _ in steps():
            arguments = {"instance": instance, "unseen_seconds": unseen_seconds}
            step = await self._session.store.run("forget", arguments)
            pending += step["pending"]
            seen = step["seen"] and unseen_seconds != ""
            if not step["more"]:
                break
        return None if seen else {"instance": instance, "pending": pending}

    async def list_dead(self, limit: int | None) -> CheckResult:
        return await self._dead("list", LIMITS["list_default"] if limit is None else check_limit(limit), ())

    async def retry_dead(self, message_ids: list[str]) -> CheckResult:
        return await self._dead("retry", 0, check_message_ids(message_ids))

    async def drop_dead(self, message_ids: list[str]) -> CheckResult:
        return await self._dead("drop", 0, check_message_ids(message_ids))

    async def drop(self, message_ids: list[str]) -> CheckResult:
        return await self._dead("settle", 0, check_message_ids(message_ids))

    async def _dead(self, action: str, limit: int, ids: Sequence[str]) -> CheckResult:
        pages, cursor, left = [], "", limit
        for _ in steps():
            orchestrator = self._session.settings.orchestrator
            arguments = {"action": action, "limit": str(left), "cursor": cursor, "orchestrator": orchestrator}
            page = read_page(await self._session.read("dead", arguments, ids))
            pages.append(page)
            cursor, left = page.get("cursor", ""), left - len(page["messages"]) - len(page["unreadable"])
            if cursor == "":
                break
        return read_pages(pages, True)

    async def get_settings(self) -> NamespaceSettings:
        return await self._settings("", "")

    async def change_setting(self, name: str, value: int | str) -> NamespaceSettings:
        known = check_setting_name(name)
        return await self._settings(known, str(check_setting(value, known)))

    async def _settings(self, name: str, value: str) -> NamespaceSettings:
        arguments = {"name": name, "value": value, "settings": namespace_argument(self._session.settings.namespace)}
        return read_namespace_settings(await self._session.read("settings", arguments))
