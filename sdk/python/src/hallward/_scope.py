"""What every pattern of a room is made with: commands, subscriptions, streams, handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ._commands import BUSY, Again, Commands
from ._deadline import TimeIsUp, in_time
from ._durations import Duration, in_words, seconds
from ._handlers import Handler, Handlers
from ._link import ConnectionStatus, Delivery, Link, Route
from ._names import checked
from ._streams import LIMIT, Stream
from .errors import Refused, Timeout
from .messages import Reply

T = TypeVar("T")

DEFAULT_WAIT: Duration = "15m"
"""How long calls wait for people and workers, if nobody says otherwise."""


class Listener:
    """A handler that was registered. ``stop()`` ends that."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._stopped = False

    def stop(self) -> None:
        """The handler gets nothing new; what it is at, it may finish."""
        if not self._stopped:
            self._stopped = True
            self._stop()


class Scope:
    """A room, as its patterns see it."""

    def __init__(self, room: str, commands: Commands, handlers: Handlers) -> None:
        self.room = checked("room", room)
        self.commands = commands
        self.handlers = handlers
        self.link: Link = commands.link
        self.me = commands.me

    def topic(self, *levels: str) -> str:
        return self.commands.topic(self.room, *levels)

    def below(self, delivery: Delivery) -> list[str]:
        """The levels of its topic below the room."""
        return delivery.levels[self.commands.root.count("/") + 2 :]

    async def call(
        self,
        command: str,
        body: dict[str, Any],
        *,
        rest: str = "",
        timeout: Duration | None = None,
        again: Again = BUSY,
        empty: bool = False,
    ) -> Reply:
        """See `Commands.call`."""
        wait = None if timeout is None else seconds(timeout)
        return await self.commands.call(
            self.room, command, body, rest=rest, timeout=wait, again=again, empty=empty
        )

    async def publish(
        self,
        payload: bytes,
        *levels: str,
        timeout: Duration | None = None,
        content_type: str | None = None,
    ) -> None:
        """Publishes below the room, and waits for the PUBACK. If that refuses it, the reply that
        came before says more.
        """
        wait = self.commands.timeout if timeout is None else seconds(timeout)
        try:
            await self.link.publish(self.topic(*levels), payload, wait, content_type)
        except Refused as refused:
            raise self.commands.as_replied(refused) from None

    async def subscribe(
        self,
        suffix: str,
        sink: Callable[[Delivery], None],
        *,
        qos: int = 1,
        mail: bool = False,
        retained: bool = False,
    ) -> Route:
        """Subscribes below the room."""
        return await self.link.subscribe(
            self.topic(suffix),
            sink,
            qos=qos,
            mail=mail,
            retained=retained,
            timeout=self.commands.timeout,
        )

    def stream(self, name: str, *, limit: int | None = LIMIT) -> Stream[Any]:
        """A stream that ends with the agent, at the latest."""
        stream: Stream[Any] = Stream(f"{self.room}: {name}", limit=limit)

        def changed(_: ConnectionStatus) -> None:
            if self.link.ended and self.link.error is not None:
                stream.fail(self.link.error)

        stream.on_close(self.link.on_status(changed))
        return stream

    def handle(
        self, name: str, handler: Handler[Any], argument: object, done: Callable[[], None]
    ) -> None:
        """Runs a handler in the background until it has not failed, and then ``done``."""

        async def run() -> None:
            await self.handlers.until_done(f"{self.room}: {name}", handler, argument)
            done()

        self.handlers.spawn(run(), name)


async def within(work: Awaitable[T], timeout: Duration, what: str, handle: object = None) -> T:
    """Waits for it, not longer than ``timeout``; then raises `Timeout`, which names ``what``."""
    limit = seconds(timeout)
    try:
        return await in_time(work, limit)
    except TimeIsUp:
        raise Timeout(f"{what}: nothing in {in_words(limit)}", handle=handle) from None
