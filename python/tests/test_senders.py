"""Who sent a message, proven by Redis users of their own: the scripts are the same, so are the refusals and what is read."""

from __future__ import annotations

from typing import Any

from coordination import CoordinationClient, ErrorCode, MessageType

from .harness import PREFIX, RedisTestCase


class Senders(RedisTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("alice", "bob", "mallory"):
            # In short what `coord acl --instance` prints; its rule itself is the TypeScript tests'.
            rule = f"on >secret +@all -@admin %R~{PREFIX}:* &* ~{PREFIX}:[^s]* ~{PREFIX}:seal:{name}"
            self.raw.execute_command("ACL", "SETUSER", name, "reset", *rule.split())
        self.addCleanup(self.raw.execute_command, "ACL", "DELUSER", "alice", "bob", "mallory")

    def as_user(self, user: str, instance: str, **env: str) -> CoordinationClient:
        login = {"REDIS_URL": self.redis.url, "REDIS_USERNAME": user, "REDIS_PASSWORD": "secret"}
        return self.client(instance, redis=None, env={**login, **env})

    async def test_alice_is_proven_and_mallory_is_refused_and_what_she_changes_is_not_shown(self) -> None:
        alice = self.as_user("alice", "alice", COORD_SENDERS="proven")
        bob, forger = self.as_user("bob", "bob"), self.as_user("mallory", "alice")

        def publish(client: CoordinationClient) -> Any:
            return client.publish_message(MessageType.GENERAL, "s", "d", "bob")

        id = (await publish(alice))["message_id"]
        refusal = await self.refused(publish(forger))
        self.assertEqual(refusal.code, ErrorCode.IDENTITY)
        self.assertEqual(str(refusal), "This Redis user may not speak for alice.")
        checked = await bob.check_messages()
        self.assertEqual([(message["id"], message["proven"]) for message in checked["messages"]], [(id, True)])
        await bob.ack_message(id, comment="done")
        [shown] = (await alice.show_message(id))["messages"]
        self.assertEqual([shown["proven"], shown["receipts"][0]["proven"]], [True, True])
        self.raw.hset(f"{PREFIX}:msg:{id}", "description", "changed")
        checked = await bob.check_messages()
        reason = "its sender is not proven: alice has not written it, or not so"
        self.assertEqual([checked["messages"], checked["unreadable"]], [[], [{"id": id, "reason": reason}]])
        self.assertEqual((await alice.change_namespace_setting("senders", "mark"))["senders"], "mark")
        [marked] = (await bob.check_messages())["messages"]
        self.assertEqual([marked["description"], marked["proven"]], ["changed", False])
