"""The password of a server that `coord up` has started. The rules of `src/client/local-password.ts`, which writes it."""

from __future__ import annotations

import os
from dataclasses import replace

from .connection_settings import ConnectionSettings
from .own_file import read_own_file
from .variables import Variables

_PASSWORD_BYTES = 1024
#: Names, not what they resolve to: who answers for a name may be anybody.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def with_local_password(connection: ConnectionSettings, register_file: str) -> ConnectionSettings:
    """The same, with that password where nothing else says how to log in. It is sent to this machine only."""
    named = connection.username is not None or connection.password is not None
    elsewhere = connection.path is not None or connection.discovery is not None or connection.host not in _LOOPBACK
    if named or connection.tls or elsewhere:
        return connection
    text = read_own_file(os.path.join(os.path.dirname(register_file), f"password-{connection.port}"), _PASSWORD_BYTES)
    return replace(connection, password=(text or "").strip() or None)
