"""What takes several calls, each from the cursor of the one before."""

from __future__ import annotations

from typing import Iterator

from .errors import CoordinationError, ErrorCode

#: Far more than any namespace takes: 2,000 instances a step, a message an export's.
_STEPS_MAXIMUM = 100_000


def steps() -> Iterator[int]:
    """Counts them, so that a server which always has a further page ends. Raises UNAVAILABLE."""
    yield from range(_STEPS_MAXIMUM)
    sentence = f"What answers as Redis has a further page after {_STEPS_MAXIMUM}: it is not Redis."
    raise CoordinationError(ErrorCode.UNAVAILABLE, sentence, "Check REDIS_URL, or REDIS_HOST and REDIS_PORT.")
