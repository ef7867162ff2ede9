"""Whether what came is what was expected, and filling in what was kept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

MISSING = object()
_VARIABLE = re.compile(r"\$([a-z_]+)")


def filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """The value with its variables: `$name` alone keeps its type, within a text it is a text."""
    if isinstance(value, str):
        whole = _VARIABLE.fullmatch(value)
        if whole and whole[1] in variables:
            return variables[whole[1]]
        return _VARIABLE.sub(lambda found: str(variables.get(found[1], found[0])), value)
    if isinstance(value, list):
        return [filled(one, variables) for one in value]
    if isinstance(value, dict):
        return {key: filled(one, variables) for key, one in value.items()}
    return value


def differs(expected: Any, found: Any, path: str = "") -> str | None:
    """Why they do not match; `None` if they do."""
    if isinstance(expected, dict):
        special = next((key for key in expected if key.startswith("$")), None)
        if special is not None:
            return _special(special, expected[special], found, path)
        if not isinstance(found, dict):
            return f"{path or 'it'} should be an object, and is {short(found)}"
        for key, value in expected.items():
            why = differs(value, found.get(key, MISSING), f"{path}.{key}" if path else key)
            if why:
                return why
        return None
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return f"{path} should be {short(expected)}, and is {short(found)}"
        pairs = enumerate(zip(expected, found))
        return next(
            (why for i, (one, other) in pairs if (why := differs(one, other, f"{path}[{i}]"))),
            None,
        )
    if same(expected, found):
        return None
    return f"{path or 'it'} should be {short(expected)}, and is {short(found)}"


def _special(name: str, argument: Any, found: Any, path: str) -> str | None:
    there = found is not MISSING and found is not None
    tests = {
        "$any": lambda: there,
        "$absent": lambda: not there,
        "$has": lambda: isinstance(found, str) and argument in found,
        "$min": lambda: isinstance(found, (int, float)) and found >= argument,
        "$exactly": lambda: identical(argument, found),
    }
    if tests[name]():
        return None
    return f"{path} should be {name} {short(argument)}, and is {short(found)}"


def same(expected: Any, found: Any) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    return bool(expected == found)


def identical(expected: Any, found: Any) -> bool:
    """Equal through and through, with no field more; numbers by their value."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and expected.keys() == found.keys()
            and all(identical(value, found[key]) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) == len(found)
            and all(map(identical, expected, found))
        )
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return math.isclose(expected, found, rel_tol=0, abs_tol=0)
    return same(expected, found)


def picked(document: Any, path: str) -> Any:
    """`result.items.0.key` of a document."""
    for step in path.split("."):
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def short(value: Any) -> str:
    text = "missing" if value is MISSING else repr(value)
    return text if len(text) <= 300 else text[:300] + "…"
