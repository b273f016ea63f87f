"""[G12] A search goes on over as many steps as it takes, or as its time allows."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

from coordination import CoordinationClient

from .harness import RedisTestCase

CROWD = 120


class Searching(RedisTestCase):
    async def published(self, client: CoordinationClient, count: int, **more: Any) -> list[str]:
        ask: Any = {"msg_type": "GENERAL", "subject": "hay", "description": "", "to_instance": "bob", **more}
        sent = await asyncio.gather(*(client.publish_message(**ask) for _ in range(count)))
        return sorted(each["message_id"] for each in sent)

    async def test_it_finds_the_first_of_hundreds_and_the_last_comment_of_many(self) -> None:
        alice = self.client("alice")
        [needle] = await self.published(alice, 1, subject="needle")
        self.seen({f"i{n}": 0 for n in range(CROWD)}, left=False)
        [broadcast] = await self.published(alice, 1, to_instance="all")
        for n in range(CROWD):
            await self.client(f"i{n}").ack_message(broadcast, comment="x" * 4000 + (" pin" if n == 0 else " straw"))
        hay = await self.published(alice, 600)
        bob = self.client("bob")
        for query, found in (("needle", [needle]), ("pin", [broadcast]), ("to:all -straw", []), ("to:all pin straw", [broadcast])):
            result = await bob.search_messages(query)
            self.assertEqual(([m["id"] for m in result["messages"]], result["more"]), (found, False), query)
        listed = await bob.search_messages("hay", limit=1000)
        self.assertEqual([m["id"] for m in listed["messages"]], [*reversed(hay), broadcast])

    async def test_without_more_time_it_says_so_and_goes_on_from_its_cursor(self) -> None:
        alice = self.client("alice")
        [needle] = await self.published(alice, 1, subject="needle")
        await self.published(alice, 300)
        with patch.dict("coordination.searching.LIMITS", search_milliseconds=0):
            first = await alice.search_messages("needle")
            self.assertEqual((first["count"], first["more"], first.get("stopped_early")), (0, True, True))
            second = await alice.search_messages("needle", before=first["next_before"])
        self.assertEqual(([m["id"] for m in second["messages"]], second["more"]), ([needle], False))
