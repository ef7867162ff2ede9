"""What can be read of a message that cannot be decoded: whom it is about.

A document may be nested deeper than a decoder goes, or broken at some place. Its first level can
mostly be read all the same, so that whoever waits for it is told.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Any, Final

_TOKEN = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
_LONGEST = 1_024
"""Characters of a name or an id; what is longer is none."""


def skim(payload: bytes) -> dict[str, Any]:
    """The strings and numbers of the first level of an object in JSON or CBOR, up to where it
    cannot be read.
    """
    found: dict[str, Any] = {}
    try:
        if payload[:1] >= b"\x80":
            _skim_cbor(payload, found)
        else:
            _skim_json(payload.decode(errors="replace"), found)
    except (ValueError, IndexError, struct.error):
        pass  # so far and no further
    return found


def _skim_json(text: str, found: dict[str, Any]) -> None:
    depth = 0
    key: str | None = None
    last = ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "{[":
            depth += 1
        elif token in "}]":
            depth -= 1
            if depth == 0:
                return
        elif depth == 1 and token == ":":
            key = str(json.loads(last)) if len(last) <= _LONGEST else None
        elif depth == 1 and token == ",":
            key = None
        elif depth == 1 and key is not None and len(token) <= _LONGEST:
            found[key] = json.loads(token)
        last = token


_STOP: Final = object()
_OTHER: Final = object()
"""The end of what has no length; and what is neither a string nor an integer."""


def _skim_cbor(data: bytes, found: dict[str, Any]) -> None:
    """RFC 8949, as far as it is needed."""
    at = 0

    def head() -> tuple[int, int | None]:
        """The major type of the next item, and its argument; ``None`` if its length is open."""
        nonlocal at
        first = data[at]
        at += 1
        kind, argument = first >> 5, first & 0x1F
        if argument < 24:
            return kind, argument
        if argument == 31:
            return kind, None
        width = {24: ">B", 25: ">H", 26: ">I", 27: ">Q"}.get(argument)
        if width is None:
            raise ValueError(f"no head of an item: {first:#x}")
        (number,) = struct.unpack_from(width, data, at)
        at += struct.calcsize(width)
        return kind, number

    def item() -> Any:
        """Steps over an item with all that is in it. What it is, if that is simple."""
        nonlocal at
        value: Any = _OTHER
        left: list[float] = [1]
        outermost = True
        while left:
            kind, argument = head()
            left[-1] -= 1
            inside: float = 0
            if kind in (0, 1) and argument is not None:
                value = (argument if kind == 0 else -1 - argument) if outermost else value
            elif kind in (2, 3) and argument is not None:
                if at + argument > len(data):
                    raise ValueError("it ends early")
                if kind == 3 and outermost and argument <= _LONGEST:
                    value = data[at : at + argument].decode()
                at += argument
            elif kind == 7 and argument is None:
                if outermost:
                    return _STOP
                left.pop()
            elif kind == 6:
                inside = 1
            elif kind != 7:
                inside = float("inf") if argument is None else argument * (2 if kind == 5 else 1)
            outermost = False
            if inside:
                left.append(inside)
            while left and left[-1] == 0:
                left.pop()
        return value

    kind, pairs = head()
    while kind == 6:
        kind, pairs = head()
    if kind != 5:
        return
    while pairs is None or pairs > 0:
        key = item()
        if key is _STOP:
            return
        value = item()
        if isinstance(key, str) and isinstance(value, (str, int)):
            found[key] = value
        pairs = None if pairs is None else pairs - 1
