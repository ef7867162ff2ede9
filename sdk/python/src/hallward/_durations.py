"""Durations, as people write them: ``"10m"``, a `datetime.timedelta`, or milliseconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Union

Duration = Union[str, timedelta, int]
"""``"250ms"``, ``"30s"``, ``"1.5h"``, ``"7d"``; a timedelta; or an integer of milliseconds."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")


def milliseconds(duration: Duration) -> int:
    """The duration in whole milliseconds.

    Raises ``ValueError`` for words that are none, or for less than nothing. A float is a
    ``TypeError``: whoever writes ``1.5`` means seconds, and an integer here is milliseconds.
    """
    if type(duration) is bool or type(duration) is float:
        raise TypeError(f"a duration is '1.5s', a timedelta or milliseconds, not {duration!r}")
    if isinstance(duration, str):
        found = _TEXT.fullmatch(duration)
        if found is None:
            raise ValueError(f"a duration is such as '250ms', '30s', '10m', not {duration!r}")
        return round(float(found[1]) * _UNITS[found[2]])
    result = duration if isinstance(duration, int) else round(duration / timedelta(milliseconds=1))
    if result < 0:
        raise ValueError(f"a duration is not negative: {duration!r}")
    return result


def seconds(duration: Duration) -> float:
    """The duration in seconds, for the standard library."""
    return milliseconds(duration) / 1_000


def optional_milliseconds(duration: Duration | None) -> int | None:
    """As `milliseconds`, and ``None`` stays ``None``."""
    return None if duration is None else milliseconds(duration)


def in_words(duration: float) -> str:
    """Seconds, for an error message: ``30 s``, ``250 ms``."""
    return f"{duration:g} s" if duration >= 1 else f"{duration * 1_000:g} ms"
