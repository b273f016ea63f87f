"""Names that are proposed: what is left of a text as a name of ours. The rules of `src/protocol/naming.ts`."""

from __future__ import annotations

import re
import unicodedata

from .definition import PEOPLE_NAMES, RESERVED_NAMES


def name_from(text: str) -> str:
    """`feat/login#2` gives `feat-login-2`; empty when nothing is left."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.category(c).startswith("M"))
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:64]
    plain = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+\Z", "", plain)
    return f"{plain}-agent" if plain.lower() in (*RESERVED_NAMES, *PEOPLE_NAMES) else plain
