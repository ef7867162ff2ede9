"""W3C trace context, from and to OpenTelemetry, if the program uses it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from typing import Any


def _propagate() -> Any:
    """`opentelemetry.propagate`, unless the program has not imported OpenTelemetry."""
    if "opentelemetry" not in sys.modules:
        return None
    try:
        from opentelemetry import propagate  # pyright: ignore
    except ImportError:
        return None
    return propagate  # pyright: ignore[reportUnknownVariableType]


def current() -> dict[str, str]:
    """``traceparent`` and ``tracestate`` of the current span, if there is one."""
    propagate = _propagate()
    carrier: dict[str, str] = {}
    if propagate is not None:
        propagate.inject(carrier)
    return {key: carrier[key] for key in ("traceparent", "tracestate") if key in carrier}


@contextlib.contextmanager
def restored(traceparent: str | None, tracestate: str | None) -> Generator[None, None, None]:
    """Within, spans belong to that trace."""
    propagate = _propagate()
    if propagate is None or traceparent is None:
        yield
        return
    from opentelemetry import context  # pyright: ignore

    carrier = {"traceparent": traceparent, "tracestate": tracestate or ""}
    token: Any = context.attach(propagate.extract(carrier))  # pyright: ignore
    try:
        yield
    finally:
        context.detach(token)  # pyright: ignore
