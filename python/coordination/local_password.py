"""How to log in to a server that `coord up` has started. The rules of `src/client/local-password.ts`, which writes it."""

from __future__ import annotations

import os
from dataclasses import replace

from .connection_settings import ConnectionSettings, TlsCertificates
from .own_file import read_own_file
from .variables import Variables

_PASSWORD_BYTES = 1024
_AUTHORITY_BYTES = 65_536
#: Names, not what they resolve to: who answers for a name may be anybody.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def with_local_password(connection: ConnectionSettings, register_file: str) -> ConnectionSettings:
    """The same, with that password, and the authority where it speaks TLS, where nothing else says how to log in. It is sent to
    this machine only."""
    named = connection.username is not None or connection.password is not None
    elsewhere = connection.path is not None or connection.discovery is not None or connection.host not in _LOOPBACK
    if named or connection.tls or elsewhere:
        return connection
    folder = os.path.dirname(register_file)
    password = (read_own_file(os.path.join(folder, f"password-{connection.port}"), _PASSWORD_BYTES) or "").strip()
    if not password:
        return connection
    authority = os.path.join(folder, f"authority-{connection.port}.pem")
    if read_own_file(authority, _AUTHORITY_BYTES) is None:
        return replace(connection, password=password)
    return replace(connection, password=password, tls=True, certificates=TlsCertificates(ca=authority))
