"""A connection to Redis that is made when it is needed, fails fast, and is made anew after it was lost.

Of redis-py this takes the connection itself: the socket, TLS, the login, and reading and writing the protocol. Its pooled
client is not used because it sends again by itself (a message would be stored long after its sender was told that it was
not), and because a call that is cancelled leaves its reply to the next one, in redis-py before 4.5.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable

import redis
from redis.asyncio import Connection as TcpConnection
from redis.asyncio import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

from .definition import LIMITS
from .failures import CLOSED, NeverSent, unavailable

# As redis-py does it: before 3.11.3 asyncio.timeout may swallow a cancellation.
if sys.version_info >= (3, 11, 3):
    from asyncio import timeout, timeout_at
else:
    from async_timeout import timeout, timeout_at  # type: ignore[assignment]

__all__ = ["Connection", "ConnectionSettings", "Link", "TlsCertificates", "timeout", "timeout_at"]


@dataclass(frozen=True)
class TlsCertificates:
    """Paths of files in PEM: whom to trust instead of the system's authorities, and who we are."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class ConnectionSettings:
    host: str
    port: int
    db: int
    tls: bool
    #: A unix socket; wins over host and port.
    path: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    certificates: TlsCertificates | None = None


class Link:
    """One connection that is up. Callers do not wait for each other: each command is written at once, and the replies are
    handed out in the order of the commands."""

    def __init__(self, wire: Any, on_push: Callable[[list[Any]], None], on_end: Callable[[Link], None]) -> None:
        self._wire = wire
        self._on_push = on_push
        self._on_end = on_end
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._ended = False
        self._reading = asyncio.create_task(self._read())

    async def call(self, *command: str) -> Any:
        """Sends one command and returns its reply.

        Raises ResponseError where Redis answers with an error, NeverSent where the connection had already ended, and
        RedisError or OSError where it was lost.
        """
        # A connection that redis-py has closed would be opened again by the next command.
        if self._ended or not self._wire.is_connected:
            raise NeverSent
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
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
                    if isinstance(reply, list) and reply and reply[0] == "message":
                        self._on_push(reply)
                    else:
                        self._answer(reply)
        except (RedisError, OSError) as error:
            reason = error
        finally:
            self._end(reason)
            await self._wire.disconnect()

    def _answer(self, reply: Any) -> None:
        if not self._waiting:
            return
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


class Connection:
    def __init__(
        self,
        settings: ConnectionSettings,
        on_push: Callable[[list[Any]], None] = lambda reply: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_lost`: a connection that had been made is gone, and was not closed by us."""
        self._settings = settings
        self._on_push = on_push
        self._on_lost = on_lost
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._closed = False

    async def open(self) -> Link:
        """A connection on which Redis has answered: a port that accepts and stays silent is no Redis.

        Raises UNAVAILABLE after 0.7 seconds at the latest.
        """
        if self._link is not None:
            return self._link
        if self._opening is None:
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(self._opened)
        # Shielded: others may wait for the same connection.
        return await asyncio.shield(self._opening)

    def _opened(self, opening: asyncio.Task[Link]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # seen, also where all who waited have gone

    async def _connect(self) -> Link:
        if self._closed:
            raise unavailable(self._settings, redis.ConnectionError(CLOSED))
        wire = _wire(self._settings)
        link: Link | None = None
        try:
            async with timeout(LIMITS["connect_milliseconds"] / 1000):
                await wire.connect()
                link = Link(wire, self._on_push, self._lost)
                await link.call("PING")
            if self._closed:
                raise redis.ConnectionError(CLOSED)
        except (RedisError, OSError, NeverSent, asyncio.TimeoutError) as error:
            # Where the login was refused, redis-py may leave the socket open.
            await (wire.disconnect() if link is None else link.close())
            raise unavailable(self._settings, error) from error
        self._link = link
        return link

    def _lost(self, link: Link) -> None:
        if self._link is not link:
            return
        self._link = None
        if not self._closed:
            self._on_lost()

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._link is not None:
            await self._link.close()


def _wire(settings: ConnectionSettings) -> Any:
    """redis-py's connection, not yet made; its types differ from version to version."""
    options: dict[str, Any] = {
        "db": settings.db,
        "username": settings.username,
        "password": settings.password,
        "encoding_errors": "replace",
        "decode_responses": True,
        "socket_timeout": None,
        "socket_connect_timeout": LIMITS["connect_milliseconds"] / 1000,
        # Nothing is sent again behind our back; Store.run knows what may be sent twice.
        "retry": Retry(NoBackoff(), 0),
    }
    if int(redis.__version__.split(".")[0]) >= 5:
        options["protocol"] = 2  # what is pushed then arrives among the replies, as before
    if settings.path is not None:
        return UnixDomainSocketConnection(path=settings.path, **options)
    options |= {"host": settings.host, "port": settings.port}
    if settings.tls:
        files = settings.certificates or TlsCertificates()
        options |= {"ssl_ca_certs": files.ca, "ssl_certfile": files.cert, "ssl_keyfile": files.key}
        return SSLConnection(ssl_cert_reqs="required", ssl_check_hostname=True, **options)
    return TcpConnection(**options)
