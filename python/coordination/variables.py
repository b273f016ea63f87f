"""Checked values, each refused by the name of where it stands."""

from __future__ import annotations

import re
from typing import Mapping

from .errors import invalid
from .validation import shown

#: An empty variable counts as unset, since `${NAME:-}` in a configuration makes one.
Variables = Mapping[str, str]


def check_whole(value: object, source: str, least: int, most: int) -> int:
    """Raises INVALID."""
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}", value) else value
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, int) and not isinstance(number, bool) and least <= number <= most:
        return number
    raise invalid(
        f"{source} is {shown(value)}: it must be a whole number from {least} to {most}.",
        "Correct the value, or unset it for the default.",
    )


def variable_whole(env: Variables, name: str, otherwise: int, least: int, most: int) -> int:
    """Raises INVALID."""
    return check_whole(env[name], name, least, most) if env.get(name) else otherwise


def variable_choice(env: Variables, name: str, choices: tuple[str, ...]) -> str:
    """The first choice is the default. Raises INVALID."""
    value = env.get(name)
    if not value:
        return choices[0]
    if value in choices:
        return value
    raise invalid(f"{name} is {shown(value)}: it must be {' or '.join(choices)}.", f"Unset it for {choices[0]}.")


#: Certificates of all authorities together have a quarter of it.
_FILE_BYTES_MAXIMUM = 4 * 1024 * 1024


def check_plain(value: str | None, name: str) -> str | None:
    """Of what is sent to a server or looked up: a line break would end it there. The value is not shown, which may be a secret.

    Raises INVALID.
    """
    if value is not None and re.search(r"[\x00-\x1f\x7f]", value):
        raise invalid(f"{name} holds a control character.", "Correct the value: it is one line.")
    return value


def variable_file(env: Variables, name: str) -> str | None:
    """The text of the file that a variable names. Raises INVALID when it cannot be read, or is empty."""
    path = env.get(name)
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            content = file.read(_FILE_BYTES_MAXIMUM + 1)
        if len(content) > _FILE_BYTES_MAXIMUM:
            raise ValueError(f"it has more than {_FILE_BYTES_MAXIMUM} bytes")
        text = content.decode("utf-8", "replace")
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise invalid(f"{name} cannot be read: {error}.", "Correct the path, or make it readable.") from error
    if text.strip() == "":
        raise invalid(f"{name} names {shown(path)}, which is empty.", "Correct the path.")
    return text
