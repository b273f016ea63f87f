"""A server that speaks the protocol of Redis, and answers scripts with something else than they return."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any, Awaitable, Callable, Iterable

from coordination import CoordinationClient, CoordinationError, ErrorCode
from coordination.scripts import script

from .harness import ROOT, RedisTestCase

_VERBS = {script(file.stem).sha: file.stem for file in (ROOT / "lua").glob("*.lua") if file.stem != "prelude"}
_IDS = [f"msg-000000000{i}" for i in range(4)]
_NESTED = b"*1\r\n*1\r\n:3\r\n"
_CASES = 600

_GARBAGE = [
    b">2\r\n+invalidate\r\n*0\r\n", b"%1\r\n+a\r\n:1\r\n", b"~1\r\n+a\r\n", b",3.14\r\n", b"#t\r\n", b"_\r\n", b"$many\r\n",
    b":\r\n", b":1.5\r\n", b"*1\r\n-ERR inside\r\n", b"*1\r\n" * 5000, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-\r\n", b"-LOST\r\n",
    b"-INVALID \t\t\r\n", b"-LOOP x\ty\t" + b"9" * 5000 + b"\r\n", b"-MOVED 1 :99999\r\n", b"-ERR Error compiling script\r\n",
    b"+OK\r\n", b":3\r\n", b"*0\r\n", b"*-1\r\n", b"$-1\r\n", _NESTED,
]  # fmt: skip

#: What replaces a part of a reply, or of the JSON in it.
_WRONG: list[Any] = [
    None, True, False, 0, -1, 1e308, float("inf"), float("nan"), "", "OK", "nan", "9" * 5000, "\x00\r\n", "{}", "[]", "{",
    "[" * 50_000, '{"a":' * 20_000, '"\\ud800"', "2099-01-01T00:00:00.000Z", "__class__", [], [[]], {}, {"a": 1},
    '{"event":"x","further":' + "[" * 900 + "]" * 900 + "}", "9" * 5000,
]  # fmt: skip

Operation = Callable[[CoordinationClient, "list[str]"], Awaitable[Any]]

_OPERATIONS: dict[str, Operation] = {
    "publish": lambda c, ids: c.publish_message("GENERAL", "s", "d", to_instance="bob"),
    "publish to all": lambda c, ids: c.publish_message("GENERAL", "s", "d", to_instance="all"),
    "check": lambda c, ids: c.check_messages(),
    "check with a wait": lambda c, ids: c.check_messages(wait_seconds=0.01),
    "check others": lambda c, ids: c.check_messages(all=True),
    "search": lambda c, ids: c.search_messages("s"),
    "show": lambda c, ids: c.show_message(ids[0], thread=True),
    "ack": lambda c, ids: c.ack_message(ids, comment="done"),
    "notifications": lambda c, ids: c.get_notifications(),
    "presence": lambda c, ids: c.get_presence(),
    "stats": lambda c, ids: c.get_stats(),
    "sweep": lambda c, ids: c.sweep(),
    "dead": lambda c, ids: c.list_dead(),
    "retry": lambda c, ids: c.retry_dead(ids),
    "drop": lambda c, ids: c.drop_messages(ids),
    "settings": lambda c, ids: c.get_namespace_settings(),
    "register": lambda c, ids: c.register_instance(),
    "forget": lambda c, ids: c.forget_instance("carol"),
    "forget unseen": lambda c, ids: c.forget_unseen(86_400),
    "join": lambda c, ids: c.join({"id": "a", "agent": "test"}),
    "beat": lambda c, ids: c.set_activity("at work"),
    "speaks": lambda c, ids: c.speaks(),
    "touch": lambda c, ids: c.touch(),
    "leave": lambda c, ids: c.leave(),
}


class WrongReplies(RedisTestCase):
    async def liar(self, answer: Callable[[str], bytes]) -> str:
        """Where a server listens that answers each script as it is told."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while words := await _command(reader):
                writer.write(self._plain(words) or answer(_VERBS.get(words[1], "")))

        return await self._listen(serve)

    def _plain(self, words: list[str]) -> bytes | None:
        if words[0] == "PING":
            return b"+PONG\r\n"
        if words[0] in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return _encode([words[0].lower(), words[1], 1])
        return None if words[0] in ("EVAL", "EVALSHA") else b"+OK\r\n"

    async def _listen(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> str:
        writers: list[asyncio.StreamWriter] = []

        async def serve_until_it_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            try:
                await serve(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve_until_it_ends, "127.0.0.1", 0)

        def hang_up() -> None:
            for writer in writers:
                writer.transport.abort()

        self.addCleanup(hang_up)
        self.addCleanup(server.close)
        return f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def test_to_every_operation_one_sentence_that_says_so_whatever_comes(self) -> None:
        answer = _NESTED
        url = await self.liar(lambda verb: answer)
        sentence = f"{url.replace('redis://', 'Redis at ')}: its answer is not what the script returns. The connection was lost"
        for name, operation in _OPERATIONS.items():
            answer = _NESTED
            with self.subTest(name):
                refusal = await self.refused(self._run(operation, url, _IDS))
                self.assertEqual(refusal.code, ErrorCode.UNAVAILABLE)
                self.assertIn(sentence, str(refusal))
            for answer in _GARBAGE:
                with self.subTest(name, answer=answer[:20]):
                    await self._ends(operation, url, _IDS)

    async def test_parts_of_real_replies_replaced_left_out_or_doubled(self) -> None:
        recorded, ids = await self._record()
        dice = random.Random(seed := random.randrange(1_000_000))

        def answer(verb: str) -> bytes:
            replies = recorded.get(verb, ["OK"])
            if dice.randrange(4) == 0:
                return _encode(replies[0])
            if dice.randrange(8) == 0:
                return dice.choice(_GARBAGE)
            return _encode(_mutated(dice.choice(replies), dice))

        url = await self.liar(answer)
        for case in range(_CASES):
            name, operation = dice.choice(list(_OPERATIONS.items()))
            with self.subTest(name, case=case, seed=seed):
                await self._ends(operation, url, ids)

    async def _run(self, operation: Operation, url: str, ids: list[str]) -> Any:
        client = CoordinationClient(self._settings(url))
        try:
            return await operation(client, ids)
        finally:
            await client.close()

    def _settings(self, url: str) -> Any:
        return self.client("alice", redis=url)._session.settings

    async def _ends(self, operation: Operation, url: str, ids: list[str]) -> None:
        """With a result that can be written, or an error of ours in one line."""
        try:
            json.dumps(await self._run(operation, url, ids), allow_nan=False)
        except CoordinationError as error:
            self.assertNotIn("\n", str(error))
            self.assertNotEqual(error.code, ErrorCode.TIMEOUT)  # it was answered at once

    async def _record(self) -> tuple[dict[str, list[Any]], list[str]]:
        """What every operation gets from a real Redis, by the names of the verbs."""
        recorded: dict[str, list[Any]] = {}

        async def tap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up, down = await asyncio.open_unix_connection(self.redis.path)
            while words := await _command(reader):
                down.write(_encode(words))
                reply, raw = await _reply(up)
                if words[0] in ("EVALSHA", "EVAL") and not raw.startswith(b"-"):
                    recorded.setdefault(_VERBS.get(words[1], ""), []).append(reply)
                writer.write(raw)
            down.close()

        url = await self._listen(tap)
        await self.client("carol").touch()
        bob = self.client("bob")
        ids = [(await bob.publish_message("GENERAL", "s", "d", to_instance="alice"))["message_id"] for _ in range(3)]
        await self.client("alice").publish_message("GENERAL", "s", "d", to_instance="bob")
        for _ in range(2):  # the first loads the scripts
            for operation in _OPERATIONS.values():
                try:
                    await self._run(operation, url, ids)
                except CoordinationError:
                    pass
        return recorded, ids


async def _command(reader: asyncio.StreamReader) -> list[str]:
    line = await reader.readline()
    words = []
    for _ in range(int(line[1:]) if line else 0):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2].decode())
    return words


async def _reply(reader: asyncio.StreamReader) -> tuple[Any, bytes]:
    line = await reader.readline()
    kind, text = line[:1], line[1:-2].decode()
    if kind == b"$" and int(text) >= 0:
        body = await reader.readexactly(int(text) + 2)
        return body[:-2].decode(), line + body
    if kind == b"*" and int(text) >= 0:
        parts = [await _reply(reader) for _ in range(int(text))]
        return [part for part, _ in parts], line + b"".join(raw for _, raw in parts)
    return (int(text) if kind == b":" else None if kind in b"$*" else text), line


def _encode(reply: Any) -> bytes:
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(map(_encode, reply))
    if isinstance(reply, str):
        data = reply.encode("utf-8", "surrogatepass")
        return b"$%d\r\n%s\r\n" % (len(data), data)
    if isinstance(reply, int) and not isinstance(reply, bool):
        return b":%d\r\n" % reply
    return b"$-1\r\n" if reply is None else _encode(json.dumps(reply))


def _mutated(value: Any, dice: random.Random, in_json: bool = False) -> Any:
    """With one part changed, in the lists or in the JSON of a text."""
    if not in_json and isinstance(value, str) and value[:1] in ("{", "[") and dice.randrange(6) > 0:
        return json.dumps(_mutated(json.loads(value), dice, True))
    keys: list[Any] = list(_keys(value))
    if not keys or dice.randrange(6) == 0:
        return dice.choice(_WRONG)
    key, copy = dice.choice(keys), value.copy()
    what = dice.randrange(10)
    if what == 0:
        del copy[key]
    elif what == 1 and isinstance(copy, list):
        copy.append(copy[key])
    else:
        copy[key] = _mutated(copy[key], dice, in_json)
    return copy


def _keys(value: Any) -> Iterable[Any]:
    return range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
