"""Random JSON values, with all that is awkward in JSON."""

from __future__ import annotations

import random
from typing import Any

_TEXTS = [
    "",
    "ümläut",
    "日本",
    "🜚",
    '"quoted"',
    "back\\slash",
    "new\nline",
    "\u0000",
    "camelCase",
]
_LETTERS = [0x41, 0x20, 0xE4, 0x1F71A]
_KEYS = ["ifVersion", "snake_case", "createdAt", "", "type", "result", "ä", "a.b", "0"]


def random_value(source: random.Random, depth: int = 0) -> Any:
    """Any JSON value. Integers stay within 2^53, which every language has."""
    makers = [_scalar] * 3 + ([_array, _object] if depth < 4 else [])
    return source.choice(makers)(source, depth)


def _scalar(source: random.Random, depth: int) -> Any:
    return source.choice(
        [
            None,
            True,
            False,
            0,
            -1,
            source.randint(-(2**53) + 1, 2**53 - 1),
            source.uniform(-1e6, 1e6),
            source.choice([1.5, -0.25, 1e-9, 1.7976931348623157e308, 5e-324, 0.1]),
            source.choice(_TEXTS),
            "".join(chr(source.choice(_LETTERS)) for _ in range(source.randint(0, 40))),
        ]
    )


def _array(source: random.Random, depth: int) -> list[Any]:
    return [random_value(source, depth + 1) for _ in range(source.randint(0, 4))]


def _object(source: random.Random, depth: int) -> dict[str, Any]:
    names = [source.choice(_KEYS) for _ in range(source.randint(0, 4))]
    return {name: random_value(source, depth + 1) for name in names}
