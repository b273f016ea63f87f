"""What a client that lives long knows of its namespace.

Each of its calls says so, and a script refuses the first one that finds another namespace, or an older state of it. See
lua/prelude.lua.
"""

from __future__ import annotations


class KnownNamespace:
    def __init__(self) -> None:
        self._id = ""
        self._published = ""
        self._is_seen = False

    @property
    def is_unnamed(self) -> bool:
        """Whether there is something of it that may be lost for this client, and it is not known yet which one it is."""
        return self._is_seen and self._id == ""

    def identify(self, namespace_id: str | None) -> None:
        """`None` where nothing was ever published."""
        self._id = namespace_id or ""

    def saw(self) -> None:
        """Messages were read; by their ids, which others may have written, nothing is judged."""
        self._is_seen = True

    def published(self, message_id: str) -> None:
        """Ids sort like their stamps."""
        self._is_seen = True
        self._published = max(self._published, message_id)

    def forget(self) -> None:
        """After it was told what was lost: what is there now is what it knows."""
        self._id = self._published = ""

    def beside(self, session: str) -> str:
        """The session of a call, and what its caller knows."""
        return f"{session}\t{self._id} {self._published}" if self._id or self._published else session
