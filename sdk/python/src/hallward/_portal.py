"""From plain threads to the event loop: what `hallward.sync` stands on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Portal:
    """Calls coroutines on an event loop, from threads that are not its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread | None) -> None:
        self._loop = loop
        self._thread = thread

    @classmethod
    def start(cls) -> Portal:
        """With an event loop of its own, in a thread of its own."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="hallward-loop", daemon=True)
        thread.start()
        return cls(loop, thread)

    @classmethod
    def here(cls) -> Portal:
        """To the event loop that runs in this thread."""
        return cls(asyncio.get_running_loop(), None)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for a coroutine. An interrupt (Ctrl-C) cancels it."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("called on the event loop, which would wait for itself")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def run(self, function: Callable[[], T]) -> T:
        """Calls a plain function on the event loop."""

        async def work() -> T:
            return function()

        return self.call(work())

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """The items of an asynchronous iterator."""

        async def following() -> tuple[T] | None:
            try:
                return (await items.__anext__(),)
            except StopAsyncIteration:
                return None

        try:
            while (item := self.call(following())) is not None:
                yield item[0]
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                self.call(close())

    def close(self) -> None:
        """Ends the event loop, if it is this portal's own."""
        if self._thread is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
