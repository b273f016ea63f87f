"""Agents of both languages in one namespace, as processes of their own kind: neither can tell what the other is."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from coordination import ErrorCode, MessageType

from .harness import PREFIX, ROOT, RedisTestCase

_ANSWER_SECONDS = 20.0
_SESSION = {"agent": "script", "host": "h", "cwd": "/w"}


class TypeScriptRefusal(Exception):
    pass


class TypeScriptClient:
    """The published library in a Node process; operations and fields by their TypeScript names."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, options: dict[str, Any]) -> TypeScriptClient:
        program = str(ROOT / "python/tests/typescript_client.mjs")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec("node", program, json.dumps(options), stdin=pipe, stdout=pipe)
        client = cls(process)
        await client._answer()
        return client

    async def call(self, operation: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([operation, *arguments]).encode() + b"\n")
        answer = await self._answer()
        if "code" in answer:
            raise TypeScriptRefusal(answer["code"])
        return answer.get("result")

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _ANSWER_SECONDS)
        return json.loads(line)

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), _ANSWER_SECONDS)


class MixedFleet(RedisTestCase):
    async def typescript(self, instance: str, **options: Any) -> TypeScriptClient:
        options = {"instanceId": instance, "redis": self.redis.url, "keyPrefix": PREFIX, "env": {}, "cwd": "/", **options}
        client = await TypeScriptClient.start(options)
        self.addAsyncCleanup(client.stop)
        await client.call("touch")
        return client

    async def test_a_python_publisher_and_a_typescript_reader(self) -> None:
        """[G1] [G5] [G10]"""
        reader = await self.typescript("orchestrator")
        text = "grüße 👩‍👩‍👧 \u0000 \u202e <b>"
        backend = self.client("backend")
        waiting = asyncio.create_task(reader.call("waitForMessages"))
        await self.until(lambda: self.raw.pubsub_channels())
        sent = await backend.publish_message(MessageType.READY_FOR_REVIEW, text, text)
        (message,) = (await waiting)["messages"]
        self.assertEqual(
            [message[field] for field in ("id", "from", "subject", "description", "timestamp", "requiresAck")],
            [sent["message_id"], "backend", text, text, sent["timestamp"], True],
        )
        acknowledged = await reader.call("ackMessage", message["id"], {"comment": text})
        (event,) = (await backend.get_notifications())["notifications"]
        self.assertEqual((event["event"], event["comment"]), ("message_acknowledged", text))
        (shown,) = (await backend.show_message(message["id"]))["messages"]
        (receipt,) = shown["receipts"]
        self.assertEqual((receipt["state"], receipt["acknowledged_at"]), ("acknowledged", acknowledged["timestamp"]))

    async def test_a_typescript_publisher_and_a_python_reader(self) -> None:
        """[G1] [G5] [G10]"""
        sender = await self.typescript("backend")
        text = "grüße 👩‍👩‍👧 \u0000 \u202e <b>"
        orchestrator = self.client("orchestrator")
        waiting = asyncio.create_task(orchestrator.wait_for_messages())
        await self.until(lambda: self.raw.pubsub_channels())
        content = {"type": "READY_FOR_REVIEW", "subject": text, "description": text}
        sent = await sender.call("publishMessage", content)
        (message,) = (await waiting)["messages"]
        self.assertEqual(
            [message["id"], message["subject"], message["description"], message["timestamp"]],
            [sent["messageId"], text, text, sent["timestamp"]],
        )
        answer = await orchestrator.publish_message("REVIEW_COMPLETE", "done", "", reply_to=message["id"])
        self.assertEqual((answer["to"], answer["acknowledged"]), ("backend", True))
        (event,) = (await sender.call("getNotifications"))["notifications"]
        self.assertEqual((event["messageId"], event["acknowledged"]), (answer["message_id"], True))

    async def test_one_broadcast_acknowledged_by_both_kinds(self) -> None:
        """[G6]"""
        orchestrator, snake = self.client("orchestrator"), self.client("snake")
        node = await self.typescript("node")
        await snake.touch()
        sent = await orchestrator.publish_message(MessageType.CONTRACT_APPROVED, "api v2", "as agreed")
        self.assertEqual(
            sent["recipients"], [{"instance": name, "presence": "active"} for name in ("node", "snake")]
        )
        await node.call("ackMessage", sent["message_id"])
        (open_one,) = (await orchestrator.check_messages(from_instance="orchestrator"))["messages"]
        self.assertEqual(
            ([(r["instance"], r["state"]) for r in open_one["receipts"]], open_one["acknowledged"]),
            ([("snake", "stored"), ("node", "acknowledged")], False),
        )
        await snake.ack_message(sent["message_id"])
        (settled,) = (await node.call("checkMessages", {"to": "snake"}))["messages"]
        self.assertTrue(settled["acknowledged"])
        self.assertEqual((await orchestrator.get_stats())["pending"], 0)

    async def test_a_publish_repeated_in_the_other_language_is_stored_once(self) -> None:
        """[G4]"""
        first = await self.client("backend").publish_message("GENERAL", "s", "d", "bob", idempotency_key="k")
        content = {"type": "GENERAL", "subject": "s", "description": "d", "to": "bob", "idempotencyKey": "k"}
        again = await (await self.typescript("backend")).call("publishMessage", content)
        self.assertEqual((again["messageId"], again["repeated"]), (first["message_id"], True))

    async def test_reading_on_from_a_cursor_of_the_other_language(self) -> None:
        """[G3]"""
        node, reader = await self.typescript("node"), self.client("reader")
        for i in range(4):
            await reader.publish_message("GENERAL", str(i), "", "node")
        first = await node.call("checkMessages", {"all": True, "limit": 2})
        rest = await reader.check_messages(all=True, before=first["nextBefore"])
        self.assertEqual([m["subject"] for m in (*first["messages"], *rest["messages"])], ["3", "2", "1", "0"])

    async def test_a_name_is_taken_over_across_languages(self) -> None:
        """[G8]"""
        python = self.client("backend")
        await python.join({"agent": "script", "host": "h", "cwd": "/python", "agent_pid": 1})
        node = await self.typescript("backend")
        joined = await node.call("join", {**_SESSION, "agentPid": 2})
        self.assertEqual((joined["superseded"]["cwd"], joined["superseded"]["agentPid"]), ("/python", 1))
        refusal = await self.refused(python.check_messages())
        self.assertEqual(refusal.code, ErrorCode.SUPERSEDED)
        self.assertRegex(str(refusal), "^A newer session speaks for backend: script on h in /w, since ")
        taken = await python.join({"agent": "script", "host": "h", "cwd": "/python", "agent_pid": 3})
        self.assertEqual(taken["superseded"]["agent_pid"], 2)
        with self.assertRaisesRegex(TypeScriptRefusal, "SUPERSEDED"):
            await node.call("checkMessages")
        await python.leave()
        self.assertEqual((await node.call("checkMessages"))["count"], 0)
