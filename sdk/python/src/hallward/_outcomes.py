"""Waiting for what comes of something: of a task, an approval, a call of a tool.

What came of it is delivered once, and may have been delivered to an earlier program, or be lost
with a session. So whoever waits is told when it is time to `LOOK`, and asks the gateway.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, Generic, TypeVar, Union, cast

from ._link import ConnectionStatus
from ._scope import Scope
from ._streams import Stream
from .errors import HallwardError

T = TypeVar("T")

_UNCLAIMED = 1_000


class Look:
    """Ask the gateway: it may be over."""


LOOK: Final = Look()
AT_ONCE: Final = 0.0
IN_A_MOMENT: Final = 1.0
"""For who wants all that came before the end: that may be on its way still."""


class Outcomes(Generic[T]):
    """Who waits for what, by its id; and what came before somebody did."""

    def __init__(self, scope: Scope, kind: str) -> None:
        self._scope = scope
        self._kind = kind
        self._streams: dict[str, list[Stream[Union[T, Look]]]] = {}
        self._unclaimed: OrderedDict[str, T] = OrderedDict()
        scope.link.on_status(self._connection_changed)

    def follow(self, id: str, *, look: float | None) -> Stream[Union[T, Look]]:
        """What comes of it, with what has come already. ``look``: after so many seconds it is time
        to look, because it may have come to an earlier program.
        """
        stream = cast("Stream[Union[T, Look]]", self._scope.stream(f"{self._kind} {id}"))
        self._streams.setdefault(id, []).append(stream)
        stream.on_close(lambda: self._unfollow(id, stream))
        if (kept := self._unclaimed.pop(id, None)) is not None:
            stream.put(kept)
        elif look is not None:
            alarm = asyncio.get_running_loop().call_later(look, stream.put, LOOK)
            stream.on_close(alarm.cancel)
        return stream

    def _unfollow(self, id: str, stream: Stream[Union[T, Look]]) -> None:
        self._streams[id].remove(stream)
        if not self._streams[id]:
            del self._streams[id]

    def put(self, id: str, item: T) -> bool:
        """Gives it to whoever waits; whether anybody does."""
        streams = self._streams.get(id, [])
        for stream in streams:
            stream.put(item)
        return bool(streams)

    def fail(self, id: str, error: HallwardError) -> bool:
        """Raises it for whoever waits; whether anybody does."""
        streams = self._streams.get(id, [])
        for stream in streams:
            stream.fail(error)
        return bool(streams)

    def look(self) -> None:
        """It is time for all to look: something may have come that nobody was told of."""
        for stream in [one for streams in self._streams.values() for one in streams]:
            stream.put(LOOK)

    def keep(self, id: str, item: T) -> None:
        """Keeps it for who waits later, as long as there is room for it."""
        self._unclaimed[id] = item
        self._unclaimed.move_to_end(id)
        if len(self._unclaimed) > _UNCLAIMED:
            self._unclaimed.popitem(last=False)

    def take_unclaimed(self) -> list[T]:
        """All that was kept, for who wants all."""
        kept = list(self._unclaimed.values())
        self._unclaimed.clear()
        return kept

    def _connection_changed(self, status: ConnectionStatus) -> None:
        if status.state == "connected" and not status.resumed:
            self.look()
