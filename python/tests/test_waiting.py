"""[G7] [G8] Waiting, events, and sessions that live by themselves."""

from __future__ import annotations

import asyncio
from typing import Any

from coordination import ErrorCode, get_coordination_client

from .harness import RedisTestCase

PUBLISH: Any = {"msg_type": "GENERAL", "subject": "s", "description": "d", "to_instance": "bob"}


def _about(subject: str) -> Any:
    return {**PUBLISH, "subject": subject}


class Waiting(RedisTestCase):
    async def listening(self, channel: str = "coord:notify:bob") -> None:
        await self.until(lambda: dict(self.raw.pubsub_numsub(channel))[channel])

    async def test_a_wait_ends_with_the_first_message(self) -> None:
        waiting = asyncio.create_task(self.client("bob").wait_for_messages())
        await self.listening()
        await self.client("alice").publish_message(**PUBLISH)
        self.assertEqual([m["subject"] for m in (await waiting)["messages"]], ["s"])
        await self.until(lambda: not self.raw.pubsub_channels())

    async def test_a_wait_for_everybody_ends_with_a_message_between_others(self) -> None:
        waiting = asyncio.create_task(self.client("carol").check_messages(all=True, wait_seconds=50))
        await self.listening("coord:events")
        await self.client("alice").publish_message(**PUBLISH)
        self.assertEqual((await waiting)["count"], 1)

    async def test_what_is_published_while_the_listener_is_cut_off_is_found(self) -> None:
        waiting = asyncio.create_task(self.client("bob").wait_for_messages())
        await self.listening()
        alice = self.client("alice")
        self.raw.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await alice.publish_message(**PUBLISH)
        self.assertEqual((await waiting)["count"], 1)

    async def test_a_wait_that_is_cancelled_listens_no_more_and_the_client_goes_on(self) -> None:
        bob = self.client("bob")
        waiting = asyncio.create_task(bob.wait_for_messages())
        await self.listening()
        waiting.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await waiting
        await self.until(lambda: not self.raw.pubsub_channels())
        self.assertEqual((await bob.check_messages())["count"], 0)

    async def test_closing_the_client_ends_a_wait(self) -> None:
        bob = self.client("bob")
        waiting = asyncio.create_task(bob.wait_for_messages())
        await self.listening()
        await bob.close()
        self.assertEqual((await self.refused(waiting)).code, ErrorCode.UNAVAILABLE)


class Events(RedisTestCase):
    async def test_those_that_wait_and_those_to_come_in_order(self) -> None:
        alice = self.client("alice")
        for subject in ("one", "two"):
            await alice.publish_message(**_about(subject))
        heard = []
        async for event in self.client("bob").events():
            heard.append(event["subject"])
            if len(heard) == 2:
                await alice.publish_message(**_about("three"))
            if len(heard) == 3:
                break
        self.assertEqual(heard, ["one", "two", "three"])

    async def test_the_event_of_a_loop_that_was_left_does_not_come_again(self) -> None:
        alice = self.client("alice")
        for subject in ("one", "two"):
            await alice.publish_message(**_about(subject))
        for expected in ("one", "two"):
            async with self.client("bob") as bob:
                async for event in bob.events():
                    self.assertEqual(event["subject"], expected)
                    break
        await asyncio.sleep(0)
        self.assertEqual(self.state().get("loans:bob"), None)

    async def test_what_was_taken_by_a_block_that_failed_comes_again(self) -> None:
        await self.client("alice").publish_message(**PUBLISH)
        bob = self.client("bob", loan_seconds=0)
        with self.assertRaises(RuntimeError):
            async with bob.take_notifications() as taken:
                self.assertEqual(taken["count"], 1)
                raise RuntimeError
        self.assertEqual([(await bob.get_notifications())["count"] for _ in range(2)], [1, 0])


class Sessions(RedisTestCase):
    async def status(self, instance: str) -> str:
        watcher = self.client(None, presence_timeout_seconds=1)
        return (await watcher.get_presence())["instances"][instance]["status"]

    async def test_a_session_beats_by_itself_and_turns_stale_when_it_ends_without_leaving(self) -> None:
        client = await get_coordination_client(
            "bob", redis=self.redis.url, env={}, cwd="/", presence_timeout_seconds=1, session={"agent": "script"}
        )
        self.addAsyncCleanup(client.close)
        first = self.raw.hget("coord:presence", "bob")
        await self.until(lambda: self.raw.hget("coord:presence", "bob") != first)
        self.assertEqual(await self.status("bob"), "active")
        await client.close()
        for _ in range(400):
            if (status := await self.status("bob")) != "active":
                break
            await asyncio.sleep(0.005)
        self.assertEqual(status, "stale")

    async def test_a_session_that_leaves_is_offline_at_once(self) -> None:
        client = self.client("bob", presence_timeout_seconds=1)
        await client.stay({"agent": "script"})
        await client.leave()
        self.assertEqual(await self.status("bob"), "offline")

    async def test_a_session_joins_by_itself_when_redis_comes_back(self) -> None:
        client = self.client("bob", presence_timeout_seconds=1)
        self.raw.config_set("requirepass", "away")
        try:
            await client.stay({"agent": "script"})
        finally:
            self.raw.config_set("requirepass", "")
        self.assertFalse(self.raw.hexists("coord:presence", "bob"))
        await self.until(lambda: self.raw.hexists("coord:presence", "bob"))
