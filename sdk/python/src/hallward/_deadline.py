"""Waiting for something, but not for ever.

`asyncio.wait_for` cannot tell its own time-out from a ``TimeoutError`` of what it waits for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

logger = logging.getLogger("hallward")

T = TypeVar("T")


class TimeIsUp(Exception):
    """What was waited for was not done in time, and was cancelled."""


async def in_time(
    work: Awaitable[T], limit: float | None, *, grace: float | None = None, name: str = "it"
) -> T:
    """Waits for it, at most ``limit`` seconds. Raises `TimeIsUp`.

    What goes on for ``grace`` seconds though it was cancelled is left to itself, and the log says
    so.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=limit)
        if task.done():
            return task.result()
    except asyncio.CancelledError:
        await _cancel(task, grace, name)
        raise
    await _cancel(task, grace, name)
    if task.done() and not task.cancelled() and task.exception() is None:
        return task.result()  # it was done in the very moment
    raise TimeIsUp


async def settled(future: asyncio.Future[T], limit: float) -> T:
    """What a future comes to, which is left alone; at most ``limit`` seconds. Raises `TimeIsUp`.

    A cancellation always arrives: `asyncio.wait_for` of Python 3.11 and older drops one that comes
    in the very moment in which the future is done.
    """
    await asyncio.wait({future}, timeout=limit)
    if not future.done():
        raise TimeIsUp
    return future.result()


async def _cancel(task: asyncio.Future[T], grace: float | None, name: str) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=grace)
    if not task.done():
        logger.error("%s goes on though it was cancelled, and is left to itself", name)
        task.add_done_callback(_ended)


def _ended(task: asyncio.Future[Any]) -> None:
    """Nobody waits any more for what comes of it."""
    if not task.cancelled() and task.exception() is not None:
        logger.debug("what was left to itself has failed", exc_info=task.exception())
