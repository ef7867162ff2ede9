"""Waiting for something, but not for ever.

`asyncio.wait_for` cannot tell its own time-out from a ``TimeoutError`` of what it waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class TimeIsUp(Exception):
    """What was waited for was not done in time, and was cancelled."""


async def in_time(work: Awaitable[T], limit: float) -> T:
    """Waits for it, at most ``limit`` seconds. Raises `TimeIsUp`."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=limit)
        if task.done():
            return task.result()
    except asyncio.CancelledError:
        await _cancel(task)
        raise
    await _cancel(task)
    if task.done() and not task.cancelled() and task.exception() is None:
        return task.result()  # it was done in the very moment
    raise TimeIsUp


async def _cancel(task: asyncio.Future[T]) -> None:
    task.cancel()
    await asyncio.wait({task})
