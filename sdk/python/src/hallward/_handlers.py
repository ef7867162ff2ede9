"""Calling what users wrote: coroutines on the event loop, plain functions in threads."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar, Union, cast

from .errors import Fatal

logger = logging.getLogger("hallward")

R = TypeVar("R")
Handler = Callable[..., Union[Awaitable[R], R]]

_FIRST_PAUSE = 1.0
_LAST_PAUSE = 60.0
_MAX_THREADS = 256
_REST = 1.0
"""Seconds for what is left when a program ends: it was cancelled before, or is not ours."""
_CANCELLED = 30.0
"""Seconds that a handler which was cancelled may go on."""


def is_coroutine_function(handler: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine; also of an object with an ``async`` ``__call__``."""
    call = getattr(handler, "__call__", None)  # noqa: B004  # not whether, but how it is called
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


async def in_thread(function: Callable[..., R], *arguments: Any, **named: Any) -> R:
    """Calls a plain function in a thread of its own, which does not keep the program from ending.

    When this is cancelled the thread goes on (nothing can stop it), and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[R] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: R | None, error: BaseException | None) -> None:
        if done.cancelled():
            if error is not None:
                logger.debug("%s raised after it was given up", function, exc_info=error)
        elif error is None:
            done.set_result(cast(R, result))
        else:
            done.set_exception(error)

    def run() -> None:
        result: R | None = None
        error: BaseException | None = None
        try:
            result = context.run(function, *arguments, **named)
        except StopIteration as stop:  # a future cannot carry one
            error = RuntimeError(f"{function} raised StopIteration({stop.value!r})")
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            logger.debug("%s ended after its event loop", function)

    threading.Thread(target=run, name="hallward-handler", daemon=True).start()
    return await done


class Handlers:
    """Runs handlers, and keeps track of those that run."""

    def __init__(self) -> None:
        self._threads = asyncio.Semaphore(_MAX_THREADS)
        self._running: set[asyncio.Task[Any]] = set()

    async def call(self, handler: Handler[R], *arguments: Any, **named: Any) -> R:
        """Calls it and returns what it returns. A plain function runs in a thread."""
        if is_coroutine_function(handler):
            return await cast("Awaitable[R]", handler(*arguments, **named))
        async with self._threads:
            result = await in_thread(cast("Callable[..., R]", handler), *arguments, **named)
        if inspect.isawaitable(result):  # a lambda around a coroutine function
            return cast(R, await result)
        return result

    def spawn(self, work: Coroutine[Any, Any, R], name: str) -> asyncio.Task[R]:
        """Runs a coroutine in the background, until it or this is at its end."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def until_done(self, name: str, handler: Handler[Any], *arguments: Any) -> None:
        """Calls a handler until it has not failed.

        What it is about stays unacknowledged as long as it fails, so it is not lost, whatever
        happens. A handler that raises `Fatal` wants no other try.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                await self.call(handler, *arguments)
                return
            except Fatal:
                logger.exception("%s: given up", name)
                return
            except Exception:
                logger.exception("%s: not acknowledged, tried again in %g s", name, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE)

    async def close(self) -> None:
        """Cancels what runs, and waits until it has ended, or for long enough."""
        current = asyncio.current_task()
        running = [task for task in self._running if task is not current]
        if not running:
            return
        for task in running:
            task.cancel()
        ended, left = await asyncio.wait(running, timeout=_CANCELLED)
        for task in ended:
            if not task.cancelled():
                task.exception()  # it was cancelled, so nobody asks
        for task in left:
            logger.error(
                "%s goes on though it was cancelled, and is left to itself", task.get_name()
            )


def _never_destroy(task: asyncio.Task[Any]) -> None:
    """What catches everything catches also its destruction, and the program would not end."""
    import ctypes  # of no use to any other program, and a third of a megabyte

    with suppress(AttributeError):  # other interpreters than CPython destroy nothing at their end
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))


def run_to_its_end(work: Coroutine[Any, Any, R]) -> R:
    """As `asyncio.run`, which would wait for ever for what goes on though it was cancelled."""
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(work)
    finally:
        try:
            rest = asyncio.all_tasks(loop)
            for task in rest:
                task.cancel()
            if rest:
                _, left = loop.run_until_complete(asyncio.wait(rest, timeout=_REST))
                for task in left:
                    _never_destroy(task)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
