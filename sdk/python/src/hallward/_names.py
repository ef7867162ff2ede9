"""Names and ids, as the gateway wants them."""

from __future__ import annotations

import os
import re
from typing import Any, cast

from .errors import Malformed

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def checked(kind: str, name: str) -> str:
    """The name itself. Raises ``Malformed`` if the gateway would not take it."""
    given = cast(object, name)  # callers without types may give anything
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise Malformed(f"{kind}: 1 to 64 of A-Z a-z 0-9 _ . -, not {name!r:.100}", code=400)
    return name


def listed(field: str, names: object) -> list[Any]:
    """A list of names. A single text would be taken for its letters."""
    if not isinstance(names, (list, tuple, set, frozenset)):
        raise TypeError(f"{field} is a list, not {names!r:.100}")
    return list(cast("list[Any]", names))


def checked_key(key: str) -> str:
    """A key of the blackboard: 1 to 8 names, joined by ``/``."""
    names = checked_text("a key", key).split("/")
    if len(names) > 8:
        raise Malformed(f"a key has at most 8 levels: {key!r:.100}", code=400)
    for name in names:
        checked("key", name)
    return key


def checked_text(what: str, text: str) -> str:
    """Text that UTF-8 can say. Raises ``Malformed`` for half of a surrogate pair, or no text."""
    try:
        text.encode()
    except (AttributeError, UnicodeEncodeError):
        raise Malformed(f"{what} is text of UTF-8, not {text!r:.100}", code=400) from None
    return text


def new_id() -> str:
    """An id that nobody else will make: 96 random bits."""
    return os.urandom(12).hex()
