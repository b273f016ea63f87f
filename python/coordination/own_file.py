"""Files that only our own programs write, read so that nothing put in their place can hold up a start or be taken for them."""

from __future__ import annotations

import os
import stat

#: A link is not followed; the opening of a pipe without a writer, or of a terminal, does not wait. Windows has none of these.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def read_own_file(path: str, limit: int) -> str | None:
    """None for what is absent, no plain file of this user, or longer than `limit` bytes."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        # Asked of what was opened: the name may lead elsewhere by now.
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid() or about.st_size > limit:
            return None
        with os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read(limit + 1)  # it may grow meanwhile
        return None if len(content) > limit else content.decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)
