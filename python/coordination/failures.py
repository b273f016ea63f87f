"""What went wrong with Redis, told once: where, why, and what to do next."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from dataclasses import replace
from typing import Mapping, TypeVar

from redis import exceptions

from .connection_settings import ConnectionSettings
from .errors import CoordinationError, ErrorCode
from .link import CLOSED, NeverSent
from .reply_shapes import WrongReply

E = TypeVar("E", bound=BaseException)


class NoPrimary(Exception):
    """Nobody who was asked leads to a server that takes writes."""

    def __init__(self, message: str, hint: str, passing: bool) -> None:
        """`passing`: somebody answered: a failover is probably under way, and asking again in a moment helps."""
        super().__init__(message)
        self.hint = hint
        self.passing = passing


#: Redis has refused a command, in one of its own words.
REPLIES = (exceptions.ResponseError, exceptions.AuthenticationError, exceptions.BusyLoadingError)
#: No answer; catch REPLIES first, which redis-py counts among these as well.
GONE = (exceptions.RedisError, OSError, NeverSent, asyncio.TimeoutError)

#: What to check when nothing is there, when something else is there, and when the login was refused; by who leads to the server.
_HINTS: Mapping[str, tuple[str, str, str]] = {
    "": (
        "Start one with `coord up`, or say where yours is with REDIS_URL or REDIS_HOST and REDIS_PORT.",
        "Check REDIS_URL, or REDIS_HOST and REDIS_PORT.",
        "Check REDIS_USERNAME and REDIS_PASSWORD, or the ones in REDIS_URL.",
    ),
    "sentinel": (
        "Check COORD_SENTINELS, and start what is missing.",
        "Check COORD_SENTINELS and COORD_SENTINEL_MASTER.",
        "Check REDIS_USERNAME and REDIS_PASSWORD, and for the Sentinels COORD_SENTINEL_USERNAME and COORD_SENTINEL_PASSWORD.",
    ),
    "cluster": (
        "Check COORD_CLUSTER, and start what is missing.",
        "Check COORD_CLUSTER.",
        "Check REDIS_USERNAME and REDIS_PASSWORD.",
    ),
}
_AGAIN = "Call again with the same content: a repeat is recognised and not stored twice."

#: redis-py takes these words off the replies that it has a class for.
_CODES = {
    exceptions.NoScriptError: "NOSCRIPT ",
    exceptions.ReadOnlyError: "READONLY ",
    exceptions.NoPermissionError: "NOPERM ",
    exceptions.BusyLoadingError: "LOADING ",
    exceptions.AuthenticationError: "NOAUTH ",
    getattr(exceptions, "OutOfMemoryError", None): "OOM ",  # since redis-py 5
    # Newer versions know these on every connection, older ones on those of their cluster client.
    exceptions.MovedError: "MOVED ",
    exceptions.AskError: "ASK ",
    exceptions.TryAgainError: "TRYAGAIN ",
    exceptions.ClusterDownError: "CLUSTERDOWN ",
    exceptions.ClusterCrossSlotError: "CROSSSLOT ",
    exceptions.MasterDownError: "MASTERDOWN ",
}


def address_of(settings: ConnectionSettings) -> str:
    if settings.discovery is not None:
        servers = (replace(settings, host=at.host, port=at.port, discovery=None) for at in settings.discovery.at)
        kind = "the Sentinels" if settings.discovery.by == "sentinel" else "the cluster"
        return f"{kind} {', '.join(map(address_of, servers))}"
    if settings.path is not None:
        return settings.path
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'rediss://' if settings.tls else ''}{host}:{settings.port}"


def unavailable(
    settings: ConnectionSettings, cause: BaseException, uncertain: bool = False
) -> CoordinationError:
    reason, hint = explain(settings, cause)
    suffix = " The connection was lost before the answer: the operation may have happened." if uncertain else ""
    message = f"Redis at {address_of(settings)}: {reason}.{suffix}"
    return CoordinationError(ErrorCode.UNAVAILABLE, message, _AGAIN if uncertain else hint)


def timed_out(settings: ConnectionSettings, seconds: float) -> CoordinationError:
    message = f"Redis at {address_of(settings)}: no answer within {seconds:g} seconds; the operation may have happened."
    return CoordinationError(ErrorCode.TIMEOUT, message, _AGAIN)


def too_old(settings: ConnectionSettings, version: str) -> CoordinationError:
    return CoordinationError(
        ErrorCode.UNAVAILABLE,
        f"Redis at {address_of(settings)}: it is version {version}, 7.0 is needed.",
        "Update it to Redis 7.0 or Valkey 7.2, or start one with `coord up` on another REDIS_PORT.",
    )


def reply_text(reply: Exception) -> str:
    """An error reply as Redis wrote it."""
    return f"{_CODES.get(type(reply), '')}{reply}"


def is_passing(reply: Exception) -> bool:
    """A refusal by a server that does not take this write now, and soon will, or another one: nothing was executed."""
    words = r"(MOVED|ASK|TRYAGAIN|CLUSTERDOWN|READONLY|MASTERDOWN|LOADING|BUSY)\b"
    return re.match(words, reply_text(reply)) is not None


def refusal(settings: ConnectionSettings, reply: Exception) -> CoordinationError:
    """Our own refusals are `CODE sentence<TAB>hint`, with LOOP `<TAB>seconds`; everything else comes from Redis."""
    text = reply_text(reply)
    parts = re.match(r"(\w+) ([^\t]*)(?:\t([^\t]*)(?:\t([0-9]{1,9}))?)?", text, re.DOTALL)
    if parts is not None and parts[1] in ErrorCode.__members__:
        seconds = None if parts[4] is None else int(parts[4])
        return CoordinationError(ErrorCode(parts[1]), parts[2], parts[3] or "", retry_after_seconds=seconds)
    if text.startswith("WRONGTYPE") or ("user_script" in text and not _NO_RIGHT.search(text)):
        hint = "A key of this namespace is damaged, or of another program: rename it, or set another COORD_KEY_PREFIX."
        return CoordinationError(ErrorCode.INTERNAL, f"Redis at {address_of(settings)}: {text}", hint)
    return unavailable(settings, reply)


#: The second is said of what a script calls, by Redis 7.0 as a plain ERR.
_NO_RIGHT = re.compile(r"^NOPERM|^ERR (ACL failure in script|The user executing the script can't)")


def explain(settings: ConnectionSettings, cause: BaseException) -> tuple[str, str]:
    """What went wrong and what to do next."""
    start, where, who = _HINTS["" if settings.discovery is None else settings.discovery.by]
    if isinstance(cause, NoPrimary):
        if cause.passing:
            return f"no primary at the moment ({cause})", "A failover takes a few seconds: try again."
        return str(cause), cause.hint
    text = reply_text(cause).split("\n", 1)[0] if isinstance(cause, Exception) else str(cause)
    root = _caused_by(cause, OSError)
    number = root.errno if root is not None else None
    if root is not None and number is None:  # several addresses were tried, and asyncio put all that failed into one text
        tried = re.search(r"\[Errno (\d+)\]", str(root))
        number = int(tried[1]) if tried else None
    if isinstance(cause, (asyncio.TimeoutError, exceptions.TimeoutError)) or number == errno.ETIMEDOUT:
        # A server without TLS takes our greeting for the beginning of a command, and waits for its end.
        return "no answer in time", f"{where} Does it speak TLS there?" if settings.tls else where
    if isinstance(root, ssl.SSLError) or "[SSL:" in text:
        hint = "Check REDIS_TLS_CA_FILE, REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE, the host name, and whether it speaks TLS."
        reason = root.args[-1] if isinstance(root, ssl.SSLError) else text  # redis-py keeps its number alone
        return f"no secure connection ({reason})", hint
    if isinstance(root, socket.gaierror):
        return f"the host name {settings.host} does not resolve", where
    if number == errno.ECONNREFUSED:
        return "nothing listens there", start
    if number == errno.ENOENT:
        return "there is no such socket", start
    if _caused_by(cause, exceptions.AuthenticationError) is not None or re.match("WRONGPASS|NOAUTH|.*AUTH", text):
        return f"the login was refused ({text})", who
    if _NO_RIGHT.search(text):
        hint = f"{who} `coord acl` prints a user's rights; for exports, `coord acl --export`."
        return f"the user may not do this ({text})", hint
    if re.match(r"BUSY\b", text):
        return "it is busy with a script that runs for too long", "Try again in a moment."
    if text.startswith("LOADING"):
        return "it is still loading its data", "Try again in a moment."
    if text.startswith("OOM"):
        hint = "Raise its maxmemory, or remove data. Reading and acknowledging still work."
        return "it is out of memory, nothing was stored", hint
    if re.match("MISCONF|READONLY|MASTERDOWN|NOREPLICAS", text):
        return f"it takes no writes ({text})", "Ask whoever runs it."
    if re.match(r"(MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b", text) or re.search("non local key|CROSSSLOT", text):
        if settings.discovery is None:
            return f"it is one node of a cluster ({text})", "Name some of its nodes in COORD_CLUSTER instead."
        return f"the cluster cannot serve this namespace now ({text})", "Look at CLUSTER INFO, and try again."
    if "DB index" in text:
        return f"there is no database {settings.db}", "Check REDIS_DB."
    if isinstance(cause, WrongReply):
        return text, where
    if isinstance(cause, exceptions.InvalidResponse) or re.search("[Pp]rotocol [Ee]rror", text):
        return "what answers there is not Redis", where
    if text == CLOSED:
        return "the client was closed", "Make a new one with get_coordination_client."
    # Those of asyncio have no number.
    reset = number in (errno.ECONNRESET, errno.EPIPE) or isinstance(root, (ConnectionResetError, BrokenPipeError))
    if isinstance(cause, NeverSent) or reset or "closed by server" in text:
        hint = "Where it speaks only TLS, write rediss:// or set REDIS_TLS_CA_FILE."
        if settings.tls:
            hint = "Where it asks for a client certificate, set REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE."
        return "the connection was closed by the other side", f"{where} {hint}"
    return text, where


def _caused_by(error: BaseException | None, kind: type[E]) -> E | None:
    """What the operating system or Redis said: redis-py wraps it, newer versions more of it, and keeps only the text."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error
