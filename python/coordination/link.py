"""One connection to one server, and what is needed to make it.

Of redis-py this takes the connection itself: the socket, TLS, the login, and reading and writing the protocol. Its pooled
client is not used because it sends again by itself (a message would be stored long after its sender was told that it was
not), and because a call that is cancelled leaves its reply to the next one, in redis-py before 4.5.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import deque
from typing import Any, Awaitable, Callable, TypeVar

import redis
from redis.asyncio import Connection as TcpConnection
from redis.asyncio import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, RedisError, ResponseError

from .connection_settings import ConnectionSettings, TlsCertificates
from .definition import LIMITS

# As redis-py does it: before 3.11.3 asyncio.timeout may swallow a cancellation.
if sys.version_info >= (3, 11, 3):
    from asyncio import timeout, timeout_at  # type: ignore
else:
    from async_timeout import timeout, timeout_at  # type: ignore

__all__ = ["CLOSED", "Link", "NeverSent", "dial", "timeout", "timeout_at"]

T = TypeVar("T")


#: The steps in which redis-py connects: TCP, TLS, login, database and its own name, our question. A server that is far away
#: takes as long as each of them takes, and redis-py tells us of the first two only.
_STEPS_MAXIMUM = 5

#: The text of the error that ends what a closed client was still asked for.
CLOSED = "the client is closed"


class NeverSent(Exception):
    """The connection had ended before anything was written, so that nothing can have happened."""


class Link:
    """One connection that is up. Callers do not wait for each other: each command is written at once, and the replies are
    handed out in the order of the commands."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self._on_push: Callable[[list[Any]], None] = lambda push: None
        self._on_end: Callable[[Link], None] = lambda link: None
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._subscribed = False
        self._ended = False
        self._reading = asyncio.create_task(self._read())

    def serve(self, on_push: Callable[[list[Any]], None], on_end: Callable[[Link], None]) -> None:
        """From now on somebody is told of pushes, and of its end. Raises NeverSent where it has ended already."""
        if self._ended:
            raise NeverSent
        self._on_push, self._on_end = on_push, on_end

    async def call(self, *command: str) -> Any:
        """Sends one command and returns its reply.

        Raises ResponseError where Redis answers with an error, NeverSent where the connection had already ended, and
        RedisError or OSError where it was lost.
        """
        # A connection that redis-py has closed would be opened again by the next command.
        if self._ended or not self._wire.is_connected:
            raise NeverSent
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._subscribed = self._subscribed or command[0] == "SUBSCRIBE"
        # Written before anybody else can write: nothing is awaited between this line and the socket.
        self._waiting.append(answer)
        try:
            await self._wire.send_command(*command)
            return await answer
        except BaseException:
            # The caller goes: the reply is for nobody, and what it failed with was told already.
            if answer.done() and not answer.cancelled():
                answer.exception()
            answer.cancel()
            raise

    async def _read(self) -> None:
        reason: Exception = redis.ConnectionError(CLOSED)
        try:
            while True:
                try:
                    reply = await self._wire.read_response()
                except ResponseError as error:
                    self._answer(error)
                except (AuthenticationError, BusyLoadingError) as error:
                    self._answer(error)  # replies as well, behind which redis-py closes the connection
                    raise
                else:
                    if self._subscribed and isinstance(reply, list) and reply[:1] == ["message"]:
                        if len(reply) != 3 or not all(isinstance(part, str) for part in reply):
                            raise InvalidResponse("a message is a channel and a text")
                        self._on_push(reply)
                    else:
                        self._answer(reply)
        except (RedisError, OSError) as error:
            reason = error
        except (RecursionError, ValueError) as error:  # arrays without end in each other, a length that is no number
            reason = InvalidResponse(str(error))
        finally:
            self._end(reason)
            await self._wire.disconnect()

    def _answer(self, reply: Any) -> None:
        if not self._waiting:
            raise InvalidResponse("a reply that nobody waits for")
        answer = self._waiting.popleft()
        if answer.done():
            return
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def _end(self, reason: Exception) -> None:
        if self._ended:
            return
        self._ended = True
        while self._waiting:
            self._answer(reason)
        self._on_end(self)

    def drop(self) -> None:
        """Gives up a connection that did not answer; whoever else waits for it is told now."""
        self._cut(redis.TimeoutError("no answer"))

    async def close(self) -> None:
        self._cut(redis.ConnectionError(CLOSED))
        await asyncio.wait([self._reading])

    def _cut(self, reason: Exception) -> None:
        if not self._ended:  # else it is being closed already, and a cancellation would leave that half done
            self._end(reason)
            self._reading.cancel()


async def dial(settings: ConnectionSettings, deadline: float, ask: Callable[[Link], Awaitable[T]]) -> T:
    """Connects and asks the first question: a port that accepts and stays silent is no Redis.

    Returns the answer, after which the connection is open unless the question has closed it. Raises the reason, of whatever
    kind, when the deadline (of the loop's time) has passed at the latest; the connection is closed then.
    """
    wire = _wire(settings)
    link: Link | None = None
    silent = _STEPS_MAXIMUM * LIMITS["silent_milliseconds"] / 1000
    try:
        async with timeout_at(min(deadline, asyncio.get_running_loop().time() + silent)):
            await wire.connect()
            link = Link(wire)
            return await ask(link)
    except BaseException:
        # Where the login was refused, redis-py may leave the socket open.
        await (wire.disconnect() if link is None else link.close())
        raise


def _wire(settings: ConnectionSettings) -> Any:
    """redis-py's connection, not yet made; its types differ from version to version."""
    options: dict[str, Any] = {
        "db": settings.db,
        "username": settings.username,
        "password": settings.password,
        "encoding_errors": "replace",
        "decode_responses": True,
        "socket_timeout": None,
        # TCP and TLS, each of which may be silent for so long.
        "socket_connect_timeout": (2 if settings.tls else 1) * LIMITS["silent_milliseconds"] / 1000,
        # Nothing is sent again behind our back; Store.run knows what may be sent twice.
        "retry": Retry(NoBackoff(), 0),
    }
    if int(redis.__version__.split(".")[0]) >= 5:
        options["protocol"] = 2  # what is pushed then arrives among the replies, as before
    if settings.path is not None:
        return UnixDomainSocketConnection(path=settings.path, **options)
    options |= {"host": settings.host, "port": settings.port}
    if settings.tls:
        wire: Any = SSLConnection(ssl_cert_reqs="required", ssl_check_hostname=True, **options)
        wire.ssl_context.context = _tls_context(settings.certificates or TlsCertificates())
        return wire
    return TcpConnection(**options)


def _tls_context(certificates: TlsCertificates) -> ssl.SSLContext:
    """Made here because redis-py would trust the system's authorities beside the one that was named."""
    try:
        context = ssl.create_default_context(cafile=certificates.ca)
        if certificates.cert is not None:
            context.load_cert_chain(certificates.cert, certificates.key)
    except OSError as error:
        raise error if isinstance(error, ssl.SSLError) else ssl.SSLError(str(error)) from error
    return context
