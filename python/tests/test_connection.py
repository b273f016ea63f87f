"""[G4] [G9] Without Redis, with a bad network, and with a caller who does not wait."""

from __future__ import annotations

import asyncio
from typing import Callable
from unittest.mock import patch

from coordination import CoordinationClient, CoordinationError, ErrorCode, MessageType, PublishResult
from coordination.definition import LIMITS

from .harness import RedisTestCase, closed_port

Verdict = str  # "pass", "drop" or "cut"


class Proxy:
    """A bad network between a client and a Redis: the rules may be changed at any time."""

    def __init__(self) -> None:
        self.request: Callable[[bytes], Verdict] = lambda data: "pass"
        self.reply: Callable[[bytes], Verdict] = lambda data: "pass"
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, socket_path: str) -> str:
        self._path = socket_path
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _join(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        self.connections += 1
        far, to_far = await asyncio.open_unix_connection(self._path)
        both = (to_near, to_far)
        for source, target, rule in ((near, to_far, "request"), (far, to_near, "reply")):
            task = asyncio.create_task(self._pump(source, target, rule, both))
            self._tasks.add(task)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, rule: str, both: tuple[asyncio.StreamWriter, ...]
    ) -> None:
        try:
            while data := await source.read(65536):
                verdict = getattr(self, rule)(data)
                if verdict == "cut":
                    return
                if verdict == "pass":
                    target.write(data)
        finally:
            for writer in both:
                writer.close()


def once(needle: bytes, verdict: Verdict) -> Callable[[bytes], Verdict]:
    """The first piece with these bytes has that fate, everything else passes."""
    seen = False

    def rule(data: bytes) -> Verdict:
        nonlocal seen
        hit = needle in data and not seen
        seen = seen or hit
        return verdict if hit else "pass"

    return rule


async def publish(client: CoordinationClient, subject: str = "s") -> PublishResult:
    return await client.publish_message(MessageType.GENERAL, subject, "d", "bob")


class Unreachable(RedisTestCase):
    async def unreachable(self, url: str, address: str, cause: str) -> CoordinationError:
        refusal = await self.refused(publish(self.client("alice", redis=url)))
        self.assertEqual(refusal.code, ErrorCode.UNAVAILABLE)
        self.assertEqual(str(refusal)[: len(f"Redis at {address}: {cause}")], f"Redis at {address}: {cause}")
        self.assertNotEqual(refusal.hint, "")
        return refusal

    async def server(self, answer: bytes | None) -> str:
        """Answers the first command with these bytes; with None it stays silent."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            if answer is None:
                await reader.read()  # until the client goes
            else:
                writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.addCleanup(server.close)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def test_on_a_closed_port_every_operation_names_the_address_and_what_to_do(self) -> None:
        port = closed_port()
        url = f"redis://127.0.0.1:{port}"
        await self.unreachable(url, f"127.0.0.1:{port}", "nothing listens there.")
        client = self.client("alice", redis=url)
        calls = (
            client.open(),
            client.check_messages(),
            client.check_messages(wait_seconds=30),
            client.show_message("x"),
            client.ack_message("x"),
            client.get_presence(),
            client.get_notifications(),
            client.get_stats(),
            client.forget_instance("bob"),
            client.join({}),
            anext(client.events()),
        )
        for call in calls:
            refusal = await self.refused(call)
            self.assertEqual((refusal.code, str(port) in str(refusal)), (ErrorCode.UNAVAILABLE, True))

    async def test_a_name_of_two_addresses_that_nothing_listens_at(self) -> None:
        port = closed_port()
        await self.unreachable(f"redis://localhost:{port}", f"localhost:{port}", "nothing listens there.")

    async def test_no_such_socket_and_no_such_host(self) -> None:
        await self.unreachable("unix:/nowhere/redis.sock", "/nowhere/redis.sock", "there is no such socket.")
        host = "no-such-host.invalid"
        refusal = await self.refused(publish(self.client("alice", redis=f"redis://{host}")))
        self.assertRegex(str(refusal), f"^Redis at {host}:6379: (the host name {host} does not resolve|no answer in time)")

    async def test_a_server_that_stays_silent_or_is_not_redis_or_hangs_up(self) -> None:
        silent = await self.server(None)
        await self.unreachable(f"redis://{silent}", silent, "no answer in time.")
        web = await self.server(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await self.unreachable(f"redis://{web}", web, "what answers there is not Redis.")
        closing = await self.server(b"")
        await self.unreachable(f"redis://{closing}", closing, "the connection was closed by the other side.")

    async def test_what_no_redis_sends_is_refused_with_a_sentence(self) -> None:
        not_redis = "what answers there is not Redis."
        for hostile in (b">2\r\n+invalidate\r\n*0\r\n", b"*1\r\n" * 100_000, b"$many\r\n", b"\x16\x03\x01\x02 garbage\r\n"):
            address = await self.server(hostile)
            await self.unreachable(f"redis://{address}", address, not_redis)

    async def test_a_reply_of_another_kind_than_the_script_has_may_have_happened(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while command := await reader.read(65536):
                writer.write(b"+PONG\r\n" if b"PING" in command else reply)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.addCleanup(server.close)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = self.client("alice", redis=f"redis://{address}")
        sentence = f"Redis at {address}: its answer is not what the script returns. The connection was lost before the answer"
        reply = b"+OK\r\n"
        for call in (publish(client), client.check_messages(), client.get_notifications()):
            self.assertIn(sentence, str(await self.refused(call)))
        reply = b"*0\r\n"
        self.assertIn(sentence, str(await self.refused(client.check_messages())))

    async def test_a_login_that_is_refused_and_a_database_that_does_not_exist(self) -> None:
        self.raw.config_set("requirepass", "right")
        self.addCleanup(self.raw.config_set, "requirepass", "")
        path = self.redis.path
        for login in (":wr0ng@", "", "nobody:wr0ng@"):
            refusal = await self.unreachable(f"unix://{login}localhost{path}", path, "the login was refused")
            self.assertNotIn("wr0ng", str(refusal))
        await publish(self.client("alice", redis=f"unix://:right@localhost{path}"))
        await self.unreachable(f"unix://:right@localhost{path}?db=99", path, "there is no database 99.")

    async def test_a_closed_client_says_so(self) -> None:
        client = self.client("alice")
        await publish(client)
        await client.close()
        self.assertIn("the client was closed", str(await self.refused(publish(client))))


class BadNetwork(RedisTestCase):
    async def asyncSetUp(self) -> None:
        self.proxy = Proxy()
        self.url = await self.proxy.start(self.redis.path)
        self.addAsyncCleanup(self.proxy.stop)
        self.alice = self.client("alice", redis=self.url)
        await self.client("bob").touch()
        await self.alice.open()

    def stored(self) -> int:
        return len(self.timeline())

    async def test_a_publish_whose_answer_was_lost_is_sent_again_under_its_key(self) -> None:
        self.proxy.reply = once(b"msg-", "cut")
        result = await publish(self.alice)
        self.assertEqual((result["repeated"], self.stored()), (True, 1))

    async def test_events_whose_answer_was_lost_are_not_taken_a_second_time(self) -> None:
        await publish(self.client("carol"))
        bob = self.client("bob", redis=self.url, loan_seconds=0)
        await bob.open()
        self.proxy.reply = once(b"msg-", "cut")
        refusal = await self.refused(bob.get_notifications())
        self.assertEqual(refusal.code, ErrorCode.UNAVAILABLE)
        self.assertIn("the operation may have happened", str(refusal))
        self.assertEqual((await bob.get_notifications())["count"], 1)

    async def test_an_answer_that_does_not_come_is_a_timeout_and_the_same_content_is_stored_once(self) -> None:
        self.proxy.reply = lambda data: "drop" if b"msg-" in data else "pass"
        with patch.dict(LIMITS, operation_milliseconds=200):
            refusal = await self.refused(publish(self.alice))
        self.assertEqual(refusal.code, ErrorCode.TIMEOUT)
        self.assertIn("no answer within 0.2 seconds; the operation may have happened", str(refusal))
        self.proxy.reply = lambda data: "pass"
        other = await publish(self.alice, "other")
        again = await publish(self.alice)
        third = await publish(self.alice)
        self.assertEqual([other["repeated"], again["repeated"], third["repeated"]], [False, True, False])
        self.assertEqual(self.stored(), 3)

    async def test_a_caller_who_goes_leaves_every_answer_to_whom_it_belongs(self) -> None:
        await publish(self.alice)  # Redis knows the script from now on
        with self.assertRaises(asyncio.TimeoutError):
            self.redis.pause(True)
            try:
                await asyncio.wait_for(publish(self.alice, "given up"), 0.05)
            finally:
                self.redis.pause(False)
        others = await asyncio.gather(*(self.alice.show_message(id) for id in await self.several(20)))
        self.assertEqual([other["messages"][0]["subject"] for other in others], [str(i) for i in range(20)])
        # It was stored all the same; the same content is recognised.
        self.assertTrue((await publish(self.alice, "given up"))["repeated"])
        self.assertEqual(self.proxy.connections, 1)

    async def several(self, count: int) -> list[str]:
        results = await asyncio.gather(*(publish(self.alice, str(i)) for i in range(count)))
        return [result["message_id"] for result in results]

    async def test_many_at_a_time_share_one_connection_and_keep_their_order(self) -> None:
        ids = await self.several(200)
        self.assertEqual(ids, sorted(ids))
        self.assertEqual(self.proxy.connections, 1)

    async def test_a_lost_connection_and_forgotten_scripts_are_made_good(self) -> None:
        await publish(self.alice)
        self.raw.script_flush()
        self.raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self.assertEqual([(await publish(self.alice))["repeated"], self.stored()], [False, 2])

    async def test_without_memory_nothing_is_stored_and_draining_goes_on(self) -> None:
        message_id = (await publish(self.alice))["message_id"]
        self.raw.config_set("maxmemory", 1)
        self.addCleanup(self.raw.config_set, "maxmemory", 0)
        self.assertIn("it is out of memory, nothing was stored", str(await self.refused(publish(self.alice))))
        self.assertFalse((await self.client("bob").ack_message(message_id))["already"])
