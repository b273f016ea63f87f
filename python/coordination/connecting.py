"""Where Redis is and how to log in: taken whole from the first place that names any part of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

from .connection_settings import Address, ConnectionSettings, Discovery, Login, TlsCertificates
from .definition import LIMITS
from .errors import CoordinationError, invalid
from .validation import shown
from .variables import Variables, check_plain, check_whole, variable_file, variable_whole

#: Each of these says by itself where the server is, as a URL does.
_DISCOVERIES = ("COORD_SENTINELS", "COORD_CLUSTER")

_PARTS = ("URL", "HOST", "PORT", "DB", "USERNAME", "PASSWORD", "PASSWORD_FILE")
_CERTIFICATES = ("TLS_CA_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE")

_SENTINEL_PORT = 26_379
_REDIS_PORT = 6379

DEFAULT_SERVER = ConnectionSettings("localhost", _REDIS_PORT, 0, tls=False)


def server_of_option(url: str) -> ConnectionSettings:
    """Raises INVALID."""
    return _parse_redis_url(url, "redis")


def server_of_own_variables(env: Variables) -> ConnectionSettings | None:
    """Named by our own variables, which come before what the project was set up with. Raises INVALID."""
    if _names_any(env, "COORD_REDIS"):
        return _connection_from(env, "COORD_REDIS")
    return _connection_from(env, "REDIS") if any(env.get(name) for name in _DISCOVERIES) else None


def server_of_plain_variables(env: Variables) -> ConnectionSettings | None:
    """Named by the variables of any application, which come behind it. Raises INVALID."""
    return _connection_from(env, "REDIS") if _names_any(env, "REDIS") else None


def server_of_written(variables: Variables, source: str) -> ConnectionSettings:
    """Of a record or the register; without variables it is the default. Raises INVALID, naming where it stands."""
    try:
        return server_of_own_variables(variables) or DEFAULT_SERVER
    except CoordinationError as error:
        raise invalid(f"{source}: {error}", error.hint) from None


def _names_any(env: Variables, spelling: str) -> bool:
    return any(env.get(f"{spelling}_{part}") for part in (*_PARTS, *_CERTIFICATES))


def _connection_from(env: Variables, spelling: str) -> ConnectionSettings:
    """Half of one server and half of another is nobody's wish: taken whole from variables of one spelling."""

    def part(name: str) -> str:
        return f"{spelling}_{name}"

    place, other, *_ = *(name for name in (*_DISCOVERIES, part("URL")) if env.get(name)), None, None
    if other is not None:
        raise invalid(f"{place} and {other} are both set: each says where Redis is.", "Unset one of them.")
    certificates = _read_certificates(env, spelling)
    login = _read_login(env, spelling)
    if place == part("URL"):
        connection = _parse_redis_url(env[place], place)
        if certificates is not None and not connection.tls:
            raise invalid(f"{place} is not a rediss:// URL, but certificates are named.", "Write rediss://, or unset them.")
        if connection.username is None and connection.password is None:
            connection = replace(connection, username=login.username, password=login.password)
        return replace(connection, certificates=certificates)
    there = ConnectionSettings(
        host="",
        port=0,
        db=variable_whole(env, part("DB"), 0, 0, 65_535),
        tls=certificates is not None,
        username=login.username,
        password=login.password,
        certificates=certificates,
    )
    if place is None:
        port = variable_whole(env, part("PORT"), _REDIS_PORT, 1, 65_535)
        return replace(there, host=_check_host(env.get(part("HOST")) or "localhost", part("HOST")), port=port)
    single = next((name for name in (part("HOST"), part("PORT")) if env.get(name)), None)
    if single is not None:
        raise invalid(f"{place} and {single} are both set: each says where Redis is.", "Unset one of them.")
    if place == "COORD_CLUSTER" and there.db != 0:
        hint = "Unset it; use COORD_KEY_PREFIX to keep apart."
        raise invalid(f"{part('DB')} is {there.db}: a cluster has only database 0.", hint)
    return replace(there, discovery=_read_discovery(env, place))


def _read_discovery(env: Variables, place: str) -> Discovery:
    if place == "COORD_CLUSTER":
        return Discovery("cluster", _parse_addresses(env[place], place, _REDIS_PORT))
    return Discovery(
        "sentinel",
        _parse_addresses(env[place], place, _SENTINEL_PORT),
        master=check_plain(env.get("COORD_SENTINEL_MASTER") or "mymaster", "COORD_SENTINEL_MASTER"),
        login=_read_login(env, "COORD_SENTINEL"),
    )


def _read_login(env: Variables, prefix: str) -> Login:
    """A password in a file ends before the line break that editors and `echo` leave there."""
    word, file = f"{prefix}_PASSWORD", f"{prefix}_PASSWORD_FILE"
    if env.get(word) and env.get(file):
        raise invalid(f"{word} and {file} are both set.", "Unset one of them.")
    user = f"{prefix}_USERNAME"
    if env.get(word):
        password = check_plain(env[word], word)
    else:
        password = check_plain(re.sub(r"\r?\n\Z", "", variable_file(env, file) or "") or None, file)
    return Login(check_plain(env.get(user) or None, user), password)


def _read_certificates(env: Variables, spelling: str) -> TlsCertificates | None:
    names = [f"{spelling}_{part}" for part in _CERTIFICATES]
    ca, cert, key = (env[name] if variable_file(env, name) is not None else None for name in names)
    if (cert is None) != (key is None):
        given, missing = ("KEY", "CERT") if cert is None else ("CERT", "KEY")
        raise invalid(
            f"{spelling}_TLS_{given}_FILE is set and {spelling}_TLS_{missing}_FILE is not.", "A client certificate needs both."
        )
    return None if ca is None and cert is None else TlsCertificates(ca, cert, key)


def _check_host(host: str, source: str) -> str:
    """It is looked up, and shown: part of a password must not be. Raises INVALID."""
    check_plain(host, source)
    if "@" in host:
        raise invalid(f"{source} holds a login: it takes a server only.", "Put it into REDIS_USERNAME and REDIS_PASSWORD.")
    if re.search(r"[\s/?#]", host):
        raise invalid(f"{source} is {shown(host)}, which is no server.", "Write the name or the address of a host.")
    return host


def _parse_addresses(value: str, source: str, default_port: int) -> tuple[Address, ...]:
    """`host`, `host:port` or `[IPv6]:port`, separated by commas."""
    # Not shown: a password never appears in a refusal.
    if "@" in value:
        raise invalid(f"{source} holds a login: it takes servers only.", "Put it into REDIS_USERNAME and REDIS_PASSWORD.")
    parts = [part.strip() for part in value.split(",")]
    maximum = LIMITS["addresses_maximum"]
    if len(parts) > maximum:
        raise invalid(f"{source} names {len(parts)} servers: it takes 1-{maximum}.", "Name some of them.")

    def parsed(part: str) -> Address:
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]+))?", part)
        if match is None:
            hint = f"Write host:{default_port},host:{default_port}."
            raise invalid(f"{source} names {shown(part)}, which is no server.", hint)
        port = default_port if match[3] is None else check_whole(match[3], f"{source}: port", 1, 65_535)
        return Address(match[1] or match[2], port)

    return tuple(parsed(part) for part in parts)


def _problem_of_url(value: str) -> str | None:
    """A character of a password that ends it for a URL would make the rest a host, which is looked up and shown."""
    if re.search(r"[\s\x00-\x1f\x7f]", value):
        return "is not a URL"
    if re.search(r"%(?:[01][0-9a-f]|7f)", value, re.IGNORECASE):
        return "holds a control character"
    parts = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*):(?://)?(.*)", value)
    scheme, rest = ("", "") if parts is None else (parts[1], parts[2])
    behind = re.sub(r"^[^/?#]*", "", rest)
    known = r"[^?#]*(?:\?db=[^&#@]*)?" if scheme.lower() == "unix" else r"[^?#@]*"
    if re.fullmatch(known, behind):
        return None
    return "holds /, ? or # in its login, which are %2F, %3F and %23 there, or parameters, of which none but db of unix: is known"


def _parse_redis_url(value: object, source: str) -> ConnectionSettings:
    """A password in a URL never appears in the refusal."""

    def refuse(problem: str) -> NoReturn:
        hint = "Write redis://host:6379/0, rediss://user:password@host:6379/0 or unix:/path/to/redis.sock."
        raise invalid(f"{source} {problem}.", hint)

    if not isinstance(value, str) or value == "":
        refuse("is not text")
    problem = _problem_of_url(value)
    if problem is not None:
        refuse(problem)
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
        port=_REDIS_PORT if port is None else check_whole(port, f"{source}: port", 1, 65_535),
        db=check_whole(url.path[1:] or "0", f"{source}: database", 0, 65_535),
        tls=scheme[1].lower() == "rediss:",
        username=username,
        password=password,
    )
