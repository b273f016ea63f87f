"""Calls of the Python module for tests in TypeScript: lines of [client, operation, keywords] come in, answers by number go out."""

import asyncio
import json
import sys
from typing import Any

from coordination import CoordinationClient, CoordinationError, resolve_settings


async def main() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    clients: dict[str, CoordinationClient] = {}
    calls = set()

    async def answer(number: int, instance: str, operation: str, keywords: dict[str, Any]) -> None:
        if instance not in clients:
            clients[instance] = CoordinationClient(resolve_settings(instance_id=instance, cwd="/"))
        try:
            outcome = {"result": await getattr(clients[instance], operation)(**keywords)}
        except CoordinationError as error:
            outcome = {"refused": {"code": error.code, "error": str(error), "receipt": error.receipt}}
        print(json.dumps([number, outcome]), flush=True)

    async for line in lines:
        calls.add(asyncio.create_task(answer(*json.loads(line))))
    for client in clients.values():
        await client.close()


asyncio.run(main())
