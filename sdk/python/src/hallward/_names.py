"""Names and ids, as the gateway wants them."""

from __future__ import annotations

import os
import re

from .errors import Malformed

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def checked(kind: str, name: str) -> str:
    """The name itself. Raises ``Malformed`` if the gateway would not take it."""
    if not _NAME.fullmatch(name):
        raise Malformed(f"{kind}: 1 to 64 of A-Z a-z 0-9 _ . -, not {name!r:.100}", code=400)
    return name


def checked_key(key: str) -> str:
    """A key of the blackboard: 1 to 8 names, joined by ``/``."""
    names = key.split("/")
    if len(names) > 8:
        raise Malformed(f"a key has at most 8 levels: {key!r:.100}", code=400)
    for name in names:
        checked("key", name)
    return key


def new_id() -> str:
    """An id that nobody else will make: 96 random bits."""
    return os.urandom(12).hex()
