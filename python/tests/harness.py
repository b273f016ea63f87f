"""What the tests share: a real Redis, clients that get closed, and the whole state as one comparable value."""

from __future__ import annotations

import asyncio
import atexit
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from functools import cache
from pathlib import Path
from typing import Any, Awaitable, Callable

import redis

from coordination import CoordinationClient, CoordinationError, resolve_settings

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "coord"

_READY_SECONDS = 10.0
#: All but the example that a hint gives.
_ID = re.compile(r"msg-(?!0123456789)[0-9a-z]{10}")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class ThrowawayRedis:
    """Keeps nothing on disk, opens no TCP port unless `options` do, and is gone with us."""

    def __init__(self, *options: str) -> None:
        self.folder = tempfile.mkdtemp(prefix="coord-redis-", dir="/tmp")
        self.path = f"{self.folder}/redis.sock"
        self.url = f"unix:{self.path}"
        program = os.environ.get("COORD_REDIS_SERVER") or "redis-server"
        quiet = ["--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no", "--dir", self.folder]
        self.process = subprocess.Popen([program, *quiet, *options], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        atexit.register(self.stop)
        self.raw: Any = redis.Redis(unix_socket_path=self.path, decode_responses=True)
        deadline = time.monotonic() + _READY_SECONDS
        while not self._listens():
            assert time.monotonic() < deadline and self.process.poll() is None, f"{program} does not start"
            time.sleep(0.01)

    def _listens(self) -> bool:
        # That its socket is there is not enough: it is refused until Redis listens.
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.path) == 0

    def pause(self, paused: bool) -> None:
        """A Redis that accepts and does not answer."""
        self.process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def shared_redis() -> ThrowawayRedis:
    return ThrowawayRedis()


def closed_port() -> int:
    """Of loopback; nothing listens there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class RedisTestCase(unittest.IsolatedAsyncioTestCase):
    """One Redis for all tests of a run, emptied before each."""

    def setUp(self) -> None:
        self.redis = shared_redis()
        self.raw = self.redis.raw
        self.raw.flushall()

    def client(self, instance: str | None, **options: Any) -> CoordinationClient:
        """Connects with the first call; nothing of the environment of the tests reaches it."""
        options = {"redis": self.redis.url, "key_prefix": PREFIX, "env": {}, "cwd": "/", **options}
        client = CoordinationClient(resolve_settings(instance_id=instance, **options))
        self.addAsyncCleanup(client.close)
        return client

    async def refused(self, awaitable: Awaitable[Any]) -> CoordinationError:
        with self.assertRaises(CoordinationError) as caught:
            await awaitable
        return caught.exception

    async def until(self, probe: Callable[[], Any], seconds: float = 10.0) -> Any:
        """What `probe` returns, once that is something."""
        deadline = time.monotonic() + seconds
        while not (found := probe()):
            self.assertLess(time.monotonic(), deadline, f"it did not happen within {seconds} s")
            await asyncio.sleep(0.005)
        return found

    def seen(self, ages: dict[str, float], left: bool) -> None:
        """Puts instances into presence as if they were last heard of so many seconds ago."""
        for name, age in ages.items():
            heartbeat = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - age))
            session = {"number": 1} if left else {}
            entry = {"last_heartbeat": f"{heartbeat}.000Z", "left": left, "session": session}
            self.raw.hset(f"{PREFIX}:presence", name, json.dumps(entry, separators=(",", ":")))

    def timeline(self) -> list[str]:
        key = f"{PREFIX}:timeline"
        return list(self.raw.zrange(key, 0, -1)) if self.raw.type(key) == "zset" else []

    def state(self) -> dict[str, Any]:
        """The whole namespace, made comparable by `plain`; the same as `state` of test/harness.ts."""
        keys = sorted(self.raw.keys(f"{PREFIX}:*"))
        with self.raw.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.type(key)
            kinds = pipe.execute()
            for key, kind in zip(keys, kinds):
                _READ[kind](pipe, key)
                pipe.ttl(key)
            replies = iter(pipe.execute())
        state = {
            key[len(PREFIX) + 1 :]: _value(kind, next(replies), next(replies)) for key, kind in zip(keys, kinds)
        }
        newest = self.timeline()[-1:]
        state.get("meta", {}).pop("id", None)  # another one each time
        if newest and state.get("meta", {}).get("stamp") == str(_stamp(newest[0])):
            state["meta"]["stamp"] = newest[0]
        plain: dict[str, Any] = self.plain(state)
        return plain

    def plain(self, value: Any) -> Any:
        """Ids become m1, m2 … in their order, times `<time>`, idempotency keys that clients made up `<uuid>`."""
        text = json.dumps([value, self.timeline()], ensure_ascii=False)
        labels = {id: f"m{i}" for i, id in enumerate(sorted(set(_ID.findall(text))), 1)}

        def replaced(part: str) -> str:
            part = _ID.sub(lambda id: labels[id[0]], part)
            part = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z", "<time>", part)
            part = re.sub(r"(?<![0-9])[0-9]{16}(?![0-9])", "<time>", part)
            part = re.sub(r"\A[0-9a-f]{40}\Z", "<digest>", part)
            return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>", part)

        return map_strings(value, replaced)


_READ: dict[str, Callable[[Any, str], Any]] = {
    "hash": lambda pipe, key: pipe.hgetall(key),
    "zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
    "set": lambda pipe, key: pipe.smembers(key),
    "list": lambda pipe, key: pipe.lrange(key, 0, -1),
    "string": lambda pipe, key: pipe.get(key),
}


def _value(kind: str, value: Any, seconds_left: int) -> Any:
    if kind == "hash":
        return {name: _parsed(item) for name, item in sorted(value.items())}
    if kind == "zset":
        # A score that is the stamp of its id goes without saying.
        return [m if _stamp(m) == int(score) else f"{m} scored {score:.0f}" for m, score in value]
    if kind == "set":
        return sorted(value)
    if kind == "list":
        return [_parsed(item) for item in value]
    return {"text": value, "expires_hours": math.ceil(seconds_left / 3600)}


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {change(name): map_strings(item, change) for name, item in value.items()}
    return value


def _stamp(id: str) -> int:
    digits = id[len("msg-") :]
    return int(digits, 36) if digits and all(digit in _DIGITS for digit in digits) else -1


def _parsed(text: str) -> Any:
    """What is JSON of a presence entry or an event, as its value."""
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
