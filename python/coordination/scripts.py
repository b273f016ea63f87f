"""The state machine's scripts: the very files that TypeScript runs, their arguments by the names in their headers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1

from .definition import DATA

#: Taking events: a repeat takes the next ones, and the first come again only when their loan has run out. Retried twice, a
#: message that has died again in between would be retried twice.
_NOT_REPEATABLE = frozenset({"notifications", "collect", "dead"})


@dataclass(frozen=True)
class Script:
    source: str
    sha: str
    #: The named arguments, in the order in which the script unpacks them.
    arguments: tuple[str, ...]
    #: Running it twice does no more than running it once, so it may be sent again when an answer was lost.
    repeatable: bool


@cache
def script(name: str) -> Script:
    """The first line of a verb holds its flags and must come first; then the prelude, and the rest with the parts it USES."""
    flags, newline, verb = _lua(name).partition("\n")
    rest = re.sub(r"^-- USES +(.+)\n", _parts, verb, flags=re.MULTILINE)
    source = "".join((flags, newline, _lua("prelude"), rest))
    return Script(source, sha1(source.encode()).hexdigest(), _arguments(verb), name not in _NOT_REPEATABLE)


def _parts(uses: re.Match[str]) -> str:
    return "".join(_lua(f"parts/{part}") for part in uses[1].split(" "))


def _lua(name: str) -> str:
    return (DATA / "lua" / f"{name}.lua").read_text("utf-8")


def _arguments(verb: str) -> tuple[str, ...]:
    """From `-- ARGV     a b c`, which goes on over lines until an explanation, `b: …`, or the next word of the header.

    A name with an ellipsis stands for further values behind the named ones.
    """
    header = re.search(r"^-- ARGV +(.*(?:\n--  .*)*)", verb, re.MULTILINE)
    assert header is not None, "every verb states its ARGV; a test of the scripts compares it with what it unpacks"
    lines = [line.lstrip("- ") for line in header[1].split("\n")]
    explained = next((i for i, line in enumerate(lines) if ":" in line), len(lines))
    names = " ".join(lines[:explained]).split()
    return tuple(name for name in names if not name.endswith("…"))
