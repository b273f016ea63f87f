"""Where Redis is and how to log in: taken whole from the first place that names any part of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Mapping, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

from .connection import ConnectionSettings, TlsCertificates
from .errors import invalid
from .validation import shown
from .variables import check_whole, variable_file, variable_whole

_CONNECTION_VARIABLES = (
    "REDIS_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_DB",
    "REDIS_USERNAME",
    "REDIS_PASSWORD",
    "REDIS_PASSWORD_FILE",
    "REDIS_TLS_CA_FILE",
    "REDIS_TLS_CERT_FILE",
    "REDIS_TLS_KEY_FILE",
)


def refuse_unknown(env: Mapping[str, str]) -> None:
    """What only the TypeScript side can do: to pass over it would publish elsewhere, or claim what is not so."""
    for name in ("COORD_SENTINELS", "COORD_CLUSTER"):
        if env.get(name):
            raise invalid(
                f"{name} is set: the Python module speaks to one server only.",
                "Unset it here, and name the primary with REDIS_URL; on a cluster use the TypeScript side.",
            )
    if env.get("COORD_WAIT_REPLICAS", "0") not in ("", "0"):
        raise invalid(
            "COORD_WAIT_REPLICAS is set: the Python module does not wait for replicas.",
            "Unset it here, or publish with the TypeScript side.",
        )


def resolve_connection(
    option: str | None, env: Mapping[str, str], file: tuple[object, str] | None
) -> ConnectionSettings:
    """Half of one server and half of another is nobody's wish. `file`: a field of a project file, with where it stands."""
    if option is not None:
        return parse_redis_url(option, "redis")
    if any(env.get(name) for name in _CONNECTION_VARIABLES):
        return _environment_connection(env)
    if file is not None:
        return parse_redis_url(*file)
    return ConnectionSettings("localhost", 6379, 0, tls=False)


def _environment_connection(env: Mapping[str, str]) -> ConnectionSettings:
    certificates = _read_certificates(env)
    username, password = env.get("REDIS_USERNAME") or None, _read_password(env)
    if env.get("REDIS_URL"):
        connection = parse_redis_url(env["REDIS_URL"], "REDIS_URL")
        if certificates is not None and not connection.tls:
            raise invalid(
                "REDIS_URL is not a rediss:// URL, but certificates are named.", "Write rediss://, or unset them."
            )
        if connection.username is None and connection.password is None:
            connection = replace(connection, username=username, password=password)
        return replace(connection, certificates=certificates)
    return ConnectionSettings(
        host=env.get("REDIS_HOST") or "localhost",
        port=variable_whole(env, "REDIS_PORT", 6379, 1, 65_535),
        db=variable_whole(env, "REDIS_DB", 0, 0, 65_535),
        tls=certificates is not None,
        username=username,
        password=password,
        certificates=certificates,
    )


def _read_password(env: Mapping[str, str]) -> str | None:
    """A password in a file ends before the line break that editors and `echo` leave there."""
    if env.get("REDIS_PASSWORD") and env.get("REDIS_PASSWORD_FILE"):
        raise invalid("REDIS_PASSWORD and REDIS_PASSWORD_FILE are both set.", "Unset one of them.")
    text = env.get("REDIS_PASSWORD") or variable_file(env, "REDIS_PASSWORD_FILE")
    return re.sub(r"\r?\n\Z", "", text) if text and env.get("REDIS_PASSWORD_FILE") else text or None


def _read_certificates(env: Mapping[str, str]) -> TlsCertificates | None:
    names = ("REDIS_TLS_CA_FILE", "REDIS_TLS_CERT_FILE", "REDIS_TLS_KEY_FILE")
    # Read here so that what is missing is refused by its name; redis-py takes the paths.
    ca, cert, key = (env[name] if variable_file(env, name) is not None else None for name in names)
    if (cert is None) != (key is None):
        given, missing = ("KEY", "CERT") if cert is None else ("CERT", "KEY")
        raise invalid(
            f"REDIS_TLS_{given}_FILE is set and REDIS_TLS_{missing}_FILE is not.", "A client certificate needs both."
        )
    return None if ca is None and cert is None else TlsCertificates(ca, cert, key)


def parse_redis_url(value: object, source: str) -> ConnectionSettings:
    """A password in a URL never appears in the refusal."""

    def refuse(problem: str) -> NoReturn:
        hint = "Write redis://host:6379/0, rediss://user:password@host:6379/0 or unix:/path/to/redis.sock."
        raise invalid(f"{source} {problem}.", hint)

    if not isinstance(value, str) or value == "":
        refuse("is not text")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*:)", value)
    if scheme is None:
        refuse("is not a URL")
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:  # also a port that is no number, or beyond 65535
        refuse("is not a URL")
    # As it was written: urlsplit would make the host lower case.
    host = re.sub(r"^\[(.*)\]$", r"\1", re.sub(r":[0-9]*$", "", url.netloc.rpartition("@")[2]))
    username, password = unquote(url.username or "") or None, unquote(url.password or "") or None
    if scheme[1].lower() == "unix:":
        path = unquote(url.path)
        if not path.startswith("/"):
            refuse("names no absolute path")
        db = parse_qs(url.query, keep_blank_values=True).get("db", ["0"])[0]
        return ConnectionSettings(
            "", 0, check_whole(db, f"{source}: db", 0, 65_535), tls=False, path=path, username=username, password=password
        )
    if scheme[1].lower() not in ("redis:", "rediss:"):
        refuse(f"has the scheme {shown(scheme[1].lower())}")
    if not host:
        refuse("names no host")
    return ConnectionSettings(
        host=host,
        port=6379 if port is None else check_whole(port, f"{source}: port", 1, 65_535),
        db=check_whole(url.path[1:] or "0", f"{source}: database", 0, 65_535),
        tls=scheme[1].lower() == "rediss:",
        username=username,
        password=password,
    )
