"""The names a client needs itself; all other keys are named in lua/prelude.lua."""

from __future__ import annotations

import re

#: What a cluster hashes instead of the whole key: the text in the first braces, unless they are empty.
_HASH_TAG = re.compile(r"[^{]*\{[^}]+\}")


def one_slot(prefix: str) -> str | None:
    """The prefix as a cluster needs it: with a hash tag, so that all keys share a slot. None where none can be made."""
    return next((candidate for candidate in (prefix, f"{{{prefix}}}") if _HASH_TAG.match(candidate)), None)


def meta_key(prefix: str) -> str:
    """The key every script call declares: it names the namespace."""
    return f"{prefix}:meta"


def notify_channel(prefix: str, instance: str) -> str:
    """Carries one instance's events, once each."""
    return f"{prefix}:notify:{instance}"


def events_channel(prefix: str) -> str:
    """Carries every event of the namespace, once each."""
    return f"{prefix}:events"
