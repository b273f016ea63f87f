"""[G9] Finding the primary among servers that are away, silent, demoted or refusing; what is not executed is sent again."""

from __future__ import annotations

import asyncio
from typing import Callable
from unittest.mock import patch

from coordination import CoordinationClient, ErrorCode
from coordination.definition import LIMITS

from .harness import RedisTestCase, closed_port
from .test_connection import Proxy, publish

#: Raw RESP for the words of a command; None stays silent.
Answer = Callable[[list[str]], "str | None"]


def bulk(*words: str) -> str:
    return f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)


class Primary(RedisTestCase):
    async def fake(self, answer: Answer) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while count := (await reader.readline())[1:]:
                words = []
                for _ in range(int(count)):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2].decode())
                reply = answer(words)
                if reply is not None:
                    writer.write(reply.encode())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.addCleanup(server.close)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def sentinel(self, *ports: int) -> int:
        """Names these ports, one an answer, the last for ever."""
        left = list(ports)

        def answer(words: list[str]) -> str:
            return bulk("127.0.0.1", str(left.pop(0) if len(left) > 1 else left[0])) if words[0] == "SENTINEL" else "+OK\r\n"

        return await self.fake(answer)

    async def real(self) -> int:
        proxy = Proxy()
        url = await proxy.start(self.redis.path)
        self.addAsyncCleanup(proxy.stop)
        return int(url.rpartition(":")[2])

    def alice(self, variable: str, *ports: int) -> CoordinationClient:
        servers = ",".join(f"127.0.0.1:{port}" for port in ports)
        return self.client("alice", redis=None, key_prefix="{coord}", env={variable: servers})

    def stored(self) -> list[str]:
        return list(self.raw.zrange("{coord}:timeline", 0, -1))

    async def test_the_first_sentinel_that_answers_is_believed(self) -> None:
        ports = [closed_port(), await self.fake(lambda words: None), await self.sentinel(await self.real())]
        sent = await publish(self.alice("COORD_SENTINELS", *ports))
        self.assertEqual(self.stored(), [sent["message_id"]])

    async def test_while_the_one_they_name_is_away_or_no_primary_any_more_a_call_waits(self) -> None:
        demoted = await self.fake(lambda words: bulk("slave") if words[0] == "ROLE" else "+OK\r\n")
        sentinel = await self.sentinel(closed_port(), demoted, await self.real())
        sent = await publish(self.alice("COORD_SENTINELS", sentinel))
        self.assertEqual(self.stored(), [sent["message_id"]])

    async def test_when_no_sentinel_answers_or_it_knows_nothing_it_ends_at_once(self) -> None:
        gone = closed_port()
        silent = await self.fake(lambda words: None)
        refusal = await self.refused(publish(self.alice("COORD_SENTINELS", silent, gone)))
        self.assertEqual(
            (refusal.code, str(refusal), refusal.hint),
            (
                ErrorCode.UNAVAILABLE,
                f"Redis at the Sentinels 127.0.0.1:{silent}, 127.0.0.1:{gone}: 127.0.0.1:{gone}: nothing listens there.",
                "Check COORD_SENTINELS, and start what is missing.",
            ),
        )
        for reply, cause, hint in (
            ("*-1\r\n", "it watches no mymaster", "COORD_SENTINEL_MASTER"),
            ("-NOAUTH Authentication required.\r\n", "the login was refused", "COORD_SENTINEL_PASSWORD"),
        ):
            knows_nothing = await self.fake(lambda words: reply)
            refusal = await self.refused(publish(self.alice("COORD_SENTINELS", knows_nothing)))
            self.assertIn(cause, str(refusal))
            self.assertIn(hint, refusal.hint)

    async def test_a_node_that_does_not_hold_the_namespace_names_the_one_that_does(self) -> None:
        holder = await self.real()
        node = await self.fake(lambda words: f"-MOVED 7 :{holder}\r\n")  # it does not know its own name
        sent = await publish(self.alice("COORD_CLUSTER", closed_port(), node))
        self.assertEqual(self.stored(), [sent["message_id"]])

    async def test_a_script_that_was_not_executed_is_sent_again_and_stored_once(self) -> None:
        """[G1] [G4]"""
        holder = await self.real()
        for refused in ("MOVED 7 127.0.0.1:1", "TRYAGAIN resharding", "CLUSTERDOWN down", "READONLY a replica", "LOADING data"):
            self.raw.flushall()
            answered: list[str] = []

            def answer(words: list[str]) -> str:
                if answered:
                    return f"-MOVED 7 127.0.0.1:{holder}\r\n"
                if words[0] != "EVALSHA":
                    return ":0\r\n"
                answered.append(refused)
                return f"-{refused}\r\n"

            sent = await publish(self.alice("COORD_CLUSTER", await self.fake(answer)))
            self.assertEqual((sent["repeated"], self.stored()), (False, [sent["message_id"]]), refused)

    async def test_a_node_that_was_configured_as_if_it_were_all_says_what_to_do(self) -> None:
        node = await self.fake(lambda words: "+PONG\r\n" if words[0] == "PING" else "-MOVED 7 127.0.0.1:1\r\n")
        refusal = await self.refused(publish(self.client("alice", redis=f"redis://127.0.0.1:{node}")))
        self.assertEqual(refusal.hint, "Name some of its nodes in COORD_CLUSTER instead.")

    async def test_a_failover_that_takes_longer_than_an_operation_may(self) -> None:
        gone = closed_port()
        sentinel = await self.sentinel(gone)
        asked = 0

        def circle(words: list[str]) -> str:
            nonlocal asked
            asked += words[0] == "EXISTS"  # and not what redis-py says of itself first
            return f"-MOVED 7 127.0.0.1:{node}\r\n"

        node = await self.fake(circle)
        with patch.dict(LIMITS, operation_milliseconds=1000):
            named, circling = await asyncio.gather(
                self.refused(publish(self.alice("COORD_SENTINELS", sentinel))),
                self.refused(publish(self.alice("COORD_CLUSTER", node))),
            )
        self.assertEqual(
            (str(named), named.hint),
            (
                f"Redis at the Sentinels 127.0.0.1:{sentinel}: "
                f"no primary at the moment (127.0.0.1:{gone}: nothing listens there).",
                "A failover takes a few seconds: try again.",
            ),
        )
        self.assertIn("its nodes disagree", str(circling))
        self.assertLessEqual(asked, 4 * 10)  # four redirects a time, at most ten times a second

    async def test_a_listener_whose_server_fell_silent_comes_back(self) -> None:
        """[G7]"""
        proxy = Proxy()
        url = await proxy.start(self.redis.path)
        self.addAsyncCleanup(proxy.stop)
        bob = self.client("bob", redis=url)
        await bob.touch()
        with patch("coordination.subscription._PROBE_SECONDS", 0.05):
            waiting = asyncio.create_task(bob.wait_for_messages())
            await self.until(lambda: self.raw.pubsub_channels())
            proxy.reply = lambda data: "drop" if b"pong" in data else "pass"
            connections = proxy.connections
            await self.until(lambda: proxy.connections > connections)
            proxy.reply = lambda data: "pass"
            sent = await publish(self.client("alice"))
            self.assertEqual([m["id"] for m in (await waiting)["messages"]], [sent["message_id"]])
