"""The one language of searches, as `src/protocol/query.ts` has it: `conformance/search.json` compares word for word.

Words and `"phrases"`, all of them required, filters such as `from:backend`, and `-` before any of them for its opposite.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Callable, Mapping, NamedTuple

from .definition import BROADCAST, LIMITS
from .errors import invalid
from .validation import check_instance, check_length, check_message_id, check_type, shown


class Condition(NamedTuple):
    """One thing that has to be true of a message, or with `excludes` must not be; by the names of lua/search.lua."""

    excludes: bool
    name: str
    value: str


def _from(value: str, excludes: bool) -> Condition:
    return Condition(excludes, "from", check_instance(value, "from"))


def _to(value: str, excludes: bool) -> Condition:
    if value == BROADCAST:
        return Condition(excludes, "broadcast", "")
    return Condition(excludes, "to", check_instance(value, "to"))


def _type(value: str, excludes: bool) -> Condition:
    return Condition(excludes, "type", check_type(value.upper()))


def _thread(value: str, excludes: bool) -> Condition:
    return Condition(excludes, "thread", check_message_id(value, "thread"))


def _is(value: str, excludes: bool) -> Condition:
    state = value.lower()
    if state in _STATES:
        return Condition(excludes, state, "")
    raise invalid(f"query has {shown('is:' + value)}: no such state.", f"Use one of {', '.join(_STATES)}.")


def _before(value: str, excludes: bool) -> Condition:
    if value.startswith("msg-"):
        return Condition(excludes, "before", check_message_id(value, "before"))
    return Condition(excludes, "before_time", _read_date(value, "before"))


def _after(value: str, excludes: bool) -> Condition:
    if value.startswith("msg-"):
        return Condition(excludes, "after", check_message_id(value, "after"))
    # A date is a moment, and what was sent at it was sent "after" it: so nothing lies between two searches that share a date.
    return Condition(not excludes, "before_time", _read_date(value, "after"))


def _id(value: str, excludes: bool) -> Condition:
    return Condition(excludes, "id", check_message_id(value, "id"))


#: By the name of the filter; each refuses the values that it does not take.
_FILTERS: Mapping[str, Callable[[str, bool], Condition]] = {
    "from": _from,
    "to": _to,
    "type": _type,
    "thread": _thread,
    "is": _is,
    "before": _before,
    "after": _after,
    "id": _id,
}
_STATES = ("pending", "dead", "unread")

_QUERY_HINT = 'Write words, "a phrase" or filters, as in: login -draft from:backend'
_FILTERS_HINT = f"Filters are {': '.join(_FILTERS)}:; text with a colon goes in quotation marks."
_DATE_HINT = "Give the id of a message, or a date in UTC, as 2026-11-30 or 2026-11-30T09:07."

#: A dash, and either a phrase up to its closing mark, or what stands up to the next space.
_TERM = re.compile(r'(-(?=[^ \t\r\n]))?(?:"((?:\\["\\]|[^"])*)("?)|([^ \t\r\n]+))')
_WORD = re.compile(r"([A-Za-z]+):(.*)", re.DOTALL)


def parse_query(query: object) -> list[Condition]:
    """Raises INVALID, naming what it does not understand."""
    text = check_length(query, "query", LIMITS["query_characters"], _QUERY_HINT)
    terms = list(_TERM.finditer(text))
    if not terms:
        raise invalid(f"query is {shown(text)}: it has no words.", _QUERY_HINT)
    maximum = LIMITS["query_terms_maximum"]
    if len(terms) > maximum:
        raise invalid(
            f"query has {len(terms)} words and filters: the limit is {maximum}.",
            "Leave some out, or join words to a phrase.",
        )
    return [_read_term(term) for term in terms]


def _read_term(term: re.Match[str]) -> Condition:
    dash, phrase, closing, word = term.groups()
    excludes = dash is not None
    if phrase is None:
        return _read_word(word, excludes)
    if not closing:
        raise invalid(f"query has {shown(term[0])}: the phrase does not end.", 'Close it with ", or write \\" within it.')
    if not phrase:
        raise invalid("query has an empty phrase.", _QUERY_HINT)
    return Condition(excludes, "text", re.sub(r'\\(["\\])', r"\1", phrase))


def _read_word(word: str, excludes: bool) -> Condition:
    filtering = _WORD.fullmatch(word)
    if filtering is None:
        return Condition(excludes, "text", word)
    name, value = filtering.groups()
    read = _FILTERS.get(name.lower())
    if read is None:
        raise invalid(f"query has {shown(name + ':')}: no such filter.", _FILTERS_HINT)
    return read(value, excludes)


_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))?)?"
)
_1970 = datetime(1970, 1, 1)


def _read_date(value: str, field: str) -> str:
    """In microseconds since 1970, as text."""
    problem = invalid(f"{field} is {shown(value)}: no id, and no date since 1970.", _DATE_HINT)
    match = _DATE.fullmatch(value)
    if match is None:
        raise problem
    day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        time = datetime.strptime(f"{day}T{hour or '00'}:{minute or '00'}:{second or '00'}", "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise problem from None
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    seconds = round((time - _1970 - (-offset if sign == "-" else offset)).total_seconds())
    if (hours or "00") > "23" or (minutes or "00") > "59" or seconds < 0:
        raise problem
    return f"{seconds}{(fraction or '').ljust(6, '0')}"
