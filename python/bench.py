"""What the module adds to Redis: publish and check beside the same bare EVALSHA through redis-py, in turn, in one process.

`npm run bench -- python` runs it against a Redis of its own and prints the figures; alone: `python3 python/bench.py <url>`.
Prints JSON: for each operation the times of each side in microseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import count
from typing import Any, Awaitable, Callable

import redis.asyncio

from coordination import CoordinationClient, MessageType, get_coordination_client
from coordination.checking import check_arguments
from coordination.publishing import publish_arguments
from coordination.scripts import script

_CHECKED = 20
#: Runs of one side before the next, rounds of all, and those before that do not count.
_BLOCK, _ROUNDS, _WARM_UP = 10, 150, 15

_SUBJECT = "backend: cursor paging is ready for review"
_DESCRIPTION = ("Branch feature/paging, 14 files, tests green. Please look at the cursor first. " * 4)[:300]

Side = Callable[[], Awaitable[Any]]


async def main(url: str) -> None:
    bare: Any = redis.asyncio.Redis.from_url(url.replace("unix:", "unix://"), decode_responses=True)
    clients = [await client(url, prefix, name) for prefix in ("ours", "bare") for name in ("backend", "orchestrator")]
    ours, reader = clients[0], clients[1]
    for each in clients:
        await each.touch()
        if each.settings.instance_id == "backend":
            for _ in range(_CHECKED):
                await publish(each, MessageType.READY_FOR_REVIEW)

    async def drain() -> None:
        # A queue of events at its bound makes every further publish dearer.
        await bare.delete("ours:notifications:orchestrator", "bare:notifications:orchestrator")

    numbers = count()
    published = publish_arguments(
        "backend",
        ours.settings,
        msg_type=MessageType.NOTIFICATION,
        subject=_SUBJECT,
        description=_DESCRIPTION,
        to_instance=None,
        requires_ack=None,
        ack_within=None,
        reply_to=None,
        idempotency_key=None,
    )
    checked = check_arguments(
        "orchestrator",
        to_instance=None,
        from_instance=None,
        msg_type=None,
        pending_only=True,
        all=False,
        since=None,
        before=None,
        thread=None,
        limit=_CHECKED,
    )

    async def evalsha(name: str, instance: str, arguments: dict[str, str]) -> None:
        verb = script(name)
        values = {"instance": instance, "session": "", **arguments}
        await bare.evalsha(verb.sha, 1, "bare:meta", *(values[argument] for argument in verb.arguments))

    rows: dict[str, dict[str, Side]] = {
        "Python publish, one recipient": {
            "ping": bare.ping,
            "ours": lambda: publish(ours, MessageType.NOTIFICATION),
            "bare": lambda: evalsha("publish", "backend", {**published, "idempotency_key": str(next(numbers))}),
        },
        f"Python check of {_CHECKED} pending": {
            "ping": bare.ping,
            "ours": lambda: reader.check_messages(pending_only=True, limit=_CHECKED),
            "bare": lambda: evalsha("check", "orchestrator", checked),
        },
    }
    measured = [
        {"operation": operation, "times": await interleave(sides, drain)} for operation, sides in rows.items()
    ]
    print(json.dumps(measured))
    for each in clients:
        await each.close()
    await bare.connection_pool.disconnect()


async def client(url: str, prefix: str, name: str) -> CoordinationClient:
    return await get_coordination_client(name, redis=url, key_prefix=prefix, env={}, cwd="/")


async def publish(sender: CoordinationClient, kind: MessageType) -> None:
    await sender.publish_message(kind, _SUBJECT, _DESCRIPTION)


async def interleave(sides: dict[str, Side], between: Side) -> dict[str, list[float]]:
    """In short blocks in turn, so that a noisy machine hits all sides alike."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-_WARM_UP, _ROUNDS):
        for name, run in sides.items():
            for _ in range(_BLOCK):
                begun = time.perf_counter()
                await run()
                if turn >= 0:
                    times[name].append((time.perf_counter() - begun) * 1e6)
        await between()
    return times


asyncio.run(main(sys.argv[1]))
