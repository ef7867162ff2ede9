"""Iterators over what comes, with an end that nobody can miss."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Generic, TypeVar

from .errors import Overflow

T = TypeVar("T")

LIMIT = 1_000
"""How many items of a kind may wait for whoever iterates."""


def nothing() -> None:
    """For an item that needs no acknowledgement."""


class Stream(AsyncIterator[T], Generic[T]):
    """What comes, one after the other, also over reconnects.

    Asking for the next item acknowledges the last one, so an item whose body raised comes again
    after a restart. It ends when it is closed, and raises when its agent is closed (`Disconnected`,
    `SessionTaken`) or when it is read too slowly (`Overflow`); it never just falls silent.

    ``async with`` closes it; so does `aclose`.
    """

    def __init__(self, name: str, *, limit: int | None = LIMIT) -> None:
        self._name = name
        self._limit = limit
        self._items: deque[tuple[T, Callable[[], None]]] = deque()
        self._current: Callable[[], None] = nothing
        self._ended: BaseException | None = None
        self._closed = False
        self._arrival: asyncio.Future[None] | None = None
        self._on_close: list[Callable[[], None]] = []

    # For who fills it

    def put(self, item: T, ack: Callable[[], None] = nothing) -> None:
        """Adds an item. One too many ends the stream with `Overflow`."""
        if self._closed or self._ended is not None:
            return
        if self._limit is not None and len(self._items) >= self._limit:
            self.fail(Overflow(f"{self._name}: {len(self._items)} wait unread"))
            return
        self._items.append((item, ack))
        self._arrived()

    def fail(self, error: BaseException) -> None:
        """Ends it with an error, once what came before is read."""
        if self._ended is None:
            self._ended = error
            self._arrived()

    def finish(self) -> None:
        """Ends it, once what came before is read."""
        self.fail(StopAsyncIteration())

    def on_close(self, call: Callable[[], None]) -> None:
        self._on_close.append(call)

    def _arrived(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # For who reads it

    @property
    def waiting(self) -> int:
        """How many items wait to be read."""
        return len(self._items)

    def ack(self) -> None:
        """Acknowledges the last item, without asking for the next."""
        current, self._current = self._current, nothing
        current()

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        self.ack()
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            if self._ended is not None:
                await self.aclose()
                raise self._ended
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        item, self._current = self._items.popleft()
        return item

    async def aclose(self) -> None:
        """Ends it. What was not read stays unacknowledged."""
        if not self._closed:
            self._closed = True
            for call in self._on_close:
                call()
            self._arrived()

    async def __aenter__(self) -> Stream[T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.ack()
        await self.aclose()
