"""[G2] A namespace that was emptied or set back: who knew it is told once, and nothing goes on as if nothing were."""

from __future__ import annotations

from coordination import CoordinationClient, ErrorCode, MessageType

from .harness import PREFIX, RedisTestCase


async def publish(client: CoordinationClient, subject: str = "s") -> str:
    result = await client.publish_message(MessageType.GENERAL, subject, "d", "bob", ack_within=0)
    return result["message_id"]


class Lost(RedisTestCase):
    async def test_an_emptied_namespace_is_said_once_to_a_sender_and_to_a_reader(self) -> None:
        alice, bob = self.client("alice"), self.client("bob")
        for _ in range(3):
            await publish(alice)
            await bob.check_messages()
        self.raw.flushall()
        for refusal in (await self.refused(publish(alice)), await self.refused(bob.check_messages())):
            self.assertEqual(refusal.code, ErrorCode.LOST)
            self.assertIn("was emptied or replaced", str(refusal))
        self.assertEqual(self.raw.keys(f"{PREFIX}:*"), [])
        await publish(alice)
        self.assertEqual((await bob.check_messages())["count"], 1)

    async def test_lost_last_messages_are_said_once_to_their_sender(self) -> None:
        alice = self.client("alice")
        ids = [await publish(alice) for _ in range(3)]
        self.raw.hset(f"{PREFIX}:meta", "stamp", str(int(ids[0][4:], 36)))
        refusal = await self.refused(publish(alice))
        self.assertEqual(refusal.code, ErrorCode.LOST)
        self.assertIn(f"{ids[2]} came after all that is stored", str(refusal))
        await publish(alice)
