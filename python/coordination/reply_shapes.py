"""Whether a reply is what the script returns, as `lua/replies.json` says it for every language.

A server that is none, or a proxy that has lost count, may answer with anything: what comes through here has every part that
the client relies on, of its type, and everything behind it may do so.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import Any, Callable, Mapping

from redis.exceptions import InvalidResponse

from .definition import DATA
from .errors import ErrorCode

#: Returns what a value holds: JSON as what it says, names and values as a mapping. The number is how many were asked for.
_Reader = Callable[[Any, int], Any]


class WrongReply(InvalidResponse):
    """It speaks the protocol of Redis, and says something else than a script of ours."""

    def __init__(self) -> None:
        super().__init__("its answer is not what the script returns")


def read_reply(verb: str, reply: Any, asked: int) -> Any:
    """`verb` with the part that is asked for, where it has several; `asked`: how many values stood behind the named arguments.

    Raises WrongReply.
    """
    return _reader_of_verb(verb)(reply, asked)


def parse_json(text: str) -> Any:
    """Raises ValueError, also for what is nested without end."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None


@cache
def _shapes() -> dict[str, Any]:
    shapes: dict[str, Any] = json.loads((DATA / "lua" / "replies.json").read_text("utf-8"))
    return shapes


@cache
def _reader_of_verb(verb: str) -> _Reader:
    return _reader_of(_shapes()[verb])


def _require(right: bool) -> None:
    if not right:
        raise WrongReply


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_WHOLE = re.compile(r"-?[0-9]{1,16}")
_SINGLE: Mapping[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "whole": lambda value: isinstance(value, str) and _WHOLE.fullmatch(value) is not None,
    "number": _is_number,
    "flag": lambda value: isinstance(value, bool),
    "yes": lambda value: value is True,
    "no": lambda value: value is False,
    "code": lambda value: isinstance(value, str) and value in ErrorCode.__members__,
}


def _reader_of(shape: Any) -> _Reader:
    if isinstance(shape, str):
        return _single(_SINGLE[shape]) if shape in _SINGLE else _reader_of(_shapes()["parts"][shape])
    if isinstance(shape, dict):
        return _record(shape)
    kind, *shapes = shape
    return _word(shapes) if kind == "word" else _KINDS[kind](*map(_reader_of, shapes))


def _single(is_right: Callable[[Any], bool]) -> _Reader:
    def read(value: Any, asked: int) -> Any:
        _require(is_right(value))
        return value

    return read


def _record(shape: Mapping[str, Any]) -> _Reader:
    """What a shape has no name for belongs to a newer version, and passes."""
    fields = [(name.rstrip("?"), name.endswith("?"), _reader_of(of)) for name, of in shape.items() if name != "*"]
    names = {name for name, _, _ in fields}
    read_other = _reader_of(shape["*"]) if "*" in shape else None

    def read(value: Any, asked: int) -> Any:
        _require(isinstance(value, dict))
        for name, optional, read_field in fields:
            if name in value:
                value[name] = read_field(value[name], asked)
            else:
                _require(optional)
        if read_other is not None:
            for name in value.keys() - names:
                read_other(value[name], asked)
        return value

    return read


def _word(words: list[str]) -> _Reader:
    """One of these texts."""
    return _single(lambda value: isinstance(value, str) and value in words)


def _list(read_part: _Reader) -> _Reader:
    def read(value: Any, asked: int) -> Any:
        _require(isinstance(value, list))
        return [read_part(part, asked) for part in value]

    return read


def _each(read_part: _Reader) -> _Reader:
    """One for each value that was asked for."""
    read_list = _list(read_part)

    def read(value: Any, asked: int) -> Any:
        parts = read_list(value, asked)
        _require(len(parts) == asked)
        return parts

    return read


def _tuple(*reads: _Reader) -> _Reader:
    def read(value: Any, asked: int) -> Any:
        _require(isinstance(value, list) and len(value) == len(reads))
        return [read_part(part, asked) for read_part, part in zip(reads, value)]

    return read


def _pairs(read_record: _Reader) -> _Reader:
    """Names and values in turn."""

    def read(value: Any, asked: int) -> Any:
        _require(isinstance(value, list) and len(value) % 2 == 0)
        _require(all(isinstance(name, str) for name in value[::2]))
        return read_record(dict(zip(value[::2], value[1::2])), asked)

    return read


def _entries(read_about: _Reader) -> _Reader:
    """Texts, and at the end what is said about each of them: its lists have as many parts."""
    read_json = _json(read_about)

    def read(value: Any, asked: int) -> Any:
        _require(isinstance(value, list) and len(value) > 0 and all(isinstance(text, str) for text in value))
        *texts, last = value
        about = read_json(last, asked)
        lists = [part for part in about.values() if isinstance(part, list)]
        _require(all(len(part) == len(texts) for part in lists) and (bool(lists) or not texts))
        return {**about, "entries": texts}

    return read


def _json(read_held: _Reader) -> _Reader:
    def read(value: Any, asked: int) -> Any:
        _require(isinstance(value, str))
        try:
            held = parse_json(value)
        except ValueError:
            raise WrongReply from None
        return read_held(held, asked)

    return read


def _either(*reads: _Reader) -> _Reader:
    """The first that fits."""

    def read(value: Any, asked: int) -> Any:
        for read_one in reads[:-1]:
            try:
                return read_one(value, asked)
            except WrongReply:
                continue
        return reads[-1](value, asked)

    return read


#: Those that only exports and imports have are not here.
_KINDS: Mapping[str, Callable[..., _Reader]] = {
    "list": _list,
    "each": _each,
    "tuple": _tuple,
    "pairs": _pairs,
    "entries": _entries,
    "json": _json,
    "either": _either,
}
