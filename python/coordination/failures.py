"""What went wrong with Redis, told once: where, why, and what to do next."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from typing import TYPE_CHECKING

from redis import exceptions

from .errors import CoordinationError, ErrorCode

if TYPE_CHECKING:
    from .connection import ConnectionSettings


class NeverSent(Exception):
    """The connection had ended before anything was written, so that nothing can have happened."""


_START = "Start one with `coord up`, or say where yours is with REDIS_URL or REDIS_HOST and REDIS_PORT."
_WHERE = "Check REDIS_URL, or REDIS_HOST and REDIS_PORT."
_WHO = "Check REDIS_USERNAME and REDIS_PASSWORD, or the ones in REDIS_URL."
_AGAIN = "Call again with the same content: a repeat is recognised and not stored twice."

#: redis-py takes these words off the replies that it has a class for; newer ones keep them in `status_code`.
_CODES = {
    exceptions.NoScriptError: "NOSCRIPT ",
    exceptions.ReadOnlyError: "READONLY ",
    exceptions.NoPermissionError: "NOPERM ",
    exceptions.BusyLoadingError: "LOADING ",
    exceptions.AuthenticationError: "NOAUTH ",
    getattr(exceptions, "OutOfMemoryError", None): "OOM ",  # not in every version
}


def address_of(settings: ConnectionSettings) -> str:
    if settings.path is not None:
        return settings.path
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'rediss://' if settings.tls else ''}{host}:{settings.port}"


def unavailable(
    settings: ConnectionSettings, cause: BaseException, uncertain: bool = False
) -> CoordinationError:
    reason, hint = _explain(settings, cause)
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
    code = getattr(reply, "status_code", None)
    return f"{code} {reply}" if code else f"{_CODES.get(type(reply), '')}{reply}"


def refusal(settings: ConnectionSettings, reply: Exception) -> CoordinationError:
    """Our own refusals are `CODE sentence<TAB>hint`; everything else comes from Redis."""
    text = reply_text(reply)
    parts = re.match(r"(\w+) ([^\t]*)(?:\t(.*))?", text, re.DOTALL)
    if parts is not None and parts[1] in ErrorCode.__members__:
        return CoordinationError(ErrorCode(parts[1]), parts[2], parts[3] or "")
    if text.startswith("WRONGTYPE") or "user_script" in text:
        hint = "A key of this namespace is damaged, or of another program: rename it, or set another COORD_KEY_PREFIX."
        return CoordinationError(ErrorCode.INTERNAL, f"Redis at {address_of(settings)}: {text}", hint)
    return unavailable(settings, reply)


def _explain(settings: ConnectionSettings, cause: BaseException) -> tuple[str, str]:
    text = reply_text(cause).split("\n", 1)[0] if isinstance(cause, Exception) else str(cause)
    root = _system_error(cause)
    number = root.errno if root is not None else None
    if root is not None and number is None:  # several addresses were tried, and asyncio put all that failed into one text
        tried = re.search(r"\[Errno (\d+)\]", str(root))
        number = int(tried[1]) if tried else None
    if isinstance(cause, (asyncio.TimeoutError, exceptions.TimeoutError)) or number == errno.ETIMEDOUT:
        # A server without TLS takes our greeting for the beginning of a command, and waits for its end.
        return "no answer in time", f"{_WHERE} Does it speak TLS there?" if settings.tls else _WHERE
    if isinstance(root, ssl.SSLError):
        hint = "Check REDIS_TLS_CA_FILE, REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE, the host name, and whether it speaks TLS."
        return f"no secure connection ({root.strerror or root})", hint
    if isinstance(root, socket.gaierror):
        return f"the host name {settings.host} does not resolve", _WHERE
    if number == errno.ECONNREFUSED:
        return "nothing listens there", _START
    if number == errno.ENOENT:
        return "there is no such socket", _START
    if isinstance(cause, exceptions.AuthenticationError) or re.match("WRONGPASS|NOAUTH|.*AUTH", text):
        return f"the login was refused ({text})", _WHO
    if text.startswith("NOPERM"):
        return f"the user may not do this ({text})", _WHO
    if text.startswith("LOADING"):
        return "it is still loading its data", "Try again in a moment."
    if text.startswith("OOM"):
        hint = "Raise its maxmemory, or remove data. Reading and acknowledging still work."
        return "it is out of memory, nothing was stored", hint
    if re.match("MOVED|ASK |TRYAGAIN|CLUSTERDOWN", text) or "non local key" in text or "CROSSSLOT" in text:
        return f"it is one node of a cluster ({text})", "Use the TypeScript side: the Python module knows no clusters."
    if re.match("MISCONF|READONLY|MASTERDOWN|NOREPLICAS", text):
        return f"it takes no writes ({text})", "Ask whoever runs it."
    if "DB index" in text:
        return f"there is no database {settings.db}", "Check REDIS_DB."
    if isinstance(cause, exceptions.InvalidResponse) or re.search("[Pp]rotocol [Ee]rror", text):
        return "what answers there is not Redis", _WHERE
    if text == CLOSED:
        return "the client was closed", "Make a new one with get_coordination_client."
    if isinstance(cause, NeverSent) or number in (errno.ECONNRESET, errno.EPIPE) or "closed by server" in text:
        tls = "" if settings.tls else " Where it speaks only TLS, write rediss:// or set REDIS_TLS_CA_FILE."
        return "the connection was closed by the other side", _WHERE + tls
    return text, _WHERE


#: The text of the error that ends what a closed client was still asked for.
CLOSED = "the client is closed"


def _system_error(error: BaseException | None) -> OSError | None:
    """What the operating system said: redis-py wraps it, and keeps only the text of it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
