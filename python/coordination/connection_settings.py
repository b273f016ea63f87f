"""Where Redis is: one server, or servers that know which one it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Address:
    host: str
    port: int


@dataclass(frozen=True)
class Login:
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Discovery:
    """Servers that know which one takes the writes of the namespace at the moment."""

    by: Literal["sentinel", "cluster"]
    at: tuple[Address, ...]
    #: The name under which Sentinels watch it.
    master: str | None = None
    #: Of the Sentinels.
    login: Login | None = None


@dataclass(frozen=True)
class TlsCertificates:
    """Files in PEM, since Python reads a client's certificate from nothing else: whom to trust instead of the system's
    authorities, and who we are."""

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
    #: Who is asked for host and port, which are empty then.
    discovery: Discovery | None = None
