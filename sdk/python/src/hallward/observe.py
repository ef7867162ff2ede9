"""Observe: what happens in a room, as it happens, and what has happened before."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Union, cast

from ._codec import decode, decode_object, encode
from ._commands import wire
from ._durations import Duration, milliseconds
from ._handlers import Handler
from ._link import ConnectionStatus, Delivery, Route
from ._names import checked
from ._scope import Listener, Scope
from ._streams import LIMIT, Stream
from .errors import Gap, HallwardError, Malformed, ProtocolError
from .messages import Event, ReplayPage

logger = logging.getLogger("hallward")

Moment = Union[datetime, Duration]
"""A point in time: a datetime with a time zone, or how long ago (``"1h"``)."""


class Observed:
    """Something that somebody told: ``source`` is an agent, or ``gateway``.

    ``body`` is what came. An agent's event has by convention a ``severity`` and a ``payload``; the
    gateway's is an `Event`, see ``event``.
    """

    __slots__ = ("_fields", "body", "category", "event", "source")

    def __init__(self, source: str, category: str, body: Any) -> None:
        self.source = source
        self.category = category
        self.body: Any = body
        self._fields = cast("dict[str, Any]", body if isinstance(body, dict) else {})
        self.event = Event.read(self._fields) if source == "gateway" else None

    def _field(self, name: str) -> Any:
        return self._fields.get(name)

    @property
    def severity(self) -> Any:
        return self._field("severity")

    @property
    def payload(self) -> Any:
        return self._field("payload")

    def __repr__(self) -> str:
        return f"Observed(source={self.source!r}, category={self.category!r}, body={self.body!r})"


class Observe:
    """The events of a room: ``room.observe``."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def emit(
        self,
        category: str,
        payload: Any = None,
        *,
        severity: str = "info",
        timeout: Duration | None = None,
    ) -> None:
        """Tells whoever listens. Who does not listen now misses it."""
        body = encode({"severity": severity, "payload": payload}, "json")
        levels = ("observe/events", self._scope.me, checked("category", category))
        await self._scope.publish(body, *levels, timeout=timeout)

    async def live(self, category: str = "*", *, source: str = "*") -> Stream[Observed]:
        """What happens from now on, of one category or of all (``*``), as `Observed`."""
        stream = cast("Stream[Observed]", self._scope.stream("events"))

        def received(delivery: Delivery) -> None:
            delivery.ack()
            try:
                stream.put(_observed(self._scope, delivery))
            except ProtocolError as error:
                logger.error("%s: %s", delivery.topic, error)

        route = await self._scope.subscribe(_filter(source, category), received)
        stream.on_close(lambda: self._scope.link.unsubscribe(route))
        return stream

    def on(self, category: str, handler: Handler[Any], *, source: str = "*") -> Listener:
        """Has the handler called with everything that happens, in order, one after the other.

        If it cannot keep up with it, what is too much is lost, and the log says so.
        """

        _filter(source, category)  # says at once what is wrong with it

        async def run() -> None:
            while True:
                async with await self.live(category, source=source) as events:
                    try:
                        async for event in events:
                            await self._call(handler, event)
                    except HallwardError as error:
                        if self._scope.link.ended:
                            return
                        logger.error("%s: events were lost: %s", self._scope.room, error)

        task = self._scope.handlers.spawn(run(), "events")
        return Listener(lambda: cast(None, task.cancel()))

    async def _call(self, handler: Handler[Any], event: Observed) -> None:
        try:
            await self._scope.handlers.call(handler, event)
        except Exception:
            logger.exception("%s: handler of %s", self._scope.room, event.category)

    async def replay(
        self,
        *,
        from_seq: int | None = None,
        since: Moment | None = None,
        until: int | None = None,
        category: str | None = None,
        limit: int | None = None,
        timeout: Duration | None = None,
    ) -> ReplayPage:
        """A page of past events of the gateway. ``next`` is the ``from_seq`` of the page behind it,
        and ``end`` says that there is nothing more; ``complete`` is false where something that was
        asked for is not kept any more. ``until`` is Unix milliseconds.
        """
        body = wire(
            from_seq=from_seq,
            since=None if since is None else _unix(since),
            until=until,
            filter=None if category is None else _filter("gateway", category),
            limit=limit,
        )
        reply = await self._scope.call("observe/replay", body, timeout=timeout)
        return ReplayPage.read(reply.data)

    async def events(
        self,
        *,
        since: Moment | None = None,
        from_seq: int | None = None,
        category: str = "*",
    ) -> Events:
        """Every event of the room from a point on, and then as they happen, each once and in order.

        Without a point it begins now. Raises `Gap` for what is not kept any more, and goes on
        behind it.
        """
        events = Events(self._scope, self, category)
        await events.start(since, from_seq)
        return events


class Events:
    """An iterator over a room's events, without a gap: see `Observe.events`.

    It listens to all of them, so that a number that is missing shows; what it missed, it asks for.
    So it needs no buffer without a limit: what is too much now is replayed later.
    """

    def __init__(self, scope: Scope, observe: Observe, category: str) -> None:
        self._scope = scope
        self._observe = observe
        self._category = category
        self._live: deque[Event] = deque()
        self._past: deque[Event] = deque()
        self._next = 0
        """The number of the next event."""
        self._behind = False
        """Whether the next event must be asked for."""
        self._arrival = asyncio.Event()
        self._route: Route | None = None
        self._unlisten: Callable[[], None] | None = None
        self._closed = False

    async def start(self, since: Moment | None, from_seq: int | None) -> None:
        self._unlisten = self._scope.link.on_status(self._connection_changed)
        self._route = await self._scope.subscribe(_filter("gateway", "*"), self._received)
        if from_seq is not None:
            self._next = from_seq
        else:
            page = await self._observe.replay(since=since, limit=1)
            self._next = _first_of(page) if since is not None else page.newest + 1
        self._behind = True

    def _received(self, delivery: Delivery) -> None:
        delivery.ack()
        try:
            event = Event.read(decode_object(delivery.payload))
        except ProtocolError as error:
            logger.error("%s: %s", delivery.topic, error)
            return
        if len(self._live) >= LIMIT:
            self._live.clear()
            self._behind = True
        self._live.append(event)
        self._arrival.set()

    def _connection_changed(self, status: ConnectionStatus) -> None:
        if status.state == "connected" and not status.resumed:
            self._behind = True
        self._arrival.set()

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = await self._any()
            if self._category in ("*", event.what.split(".", 1)[0]):
                return event

    async def _any(self) -> Event:
        """The next event of any category."""
        while not self._closed:
            if self._past:
                return self._step(self._past.popleft())
            while self._live and self._live[0].seq < self._next:
                self._live.popleft()
            if self._live and self._live[0].seq == self._next:
                return self._step(self._live.popleft())
            if self._live or self._behind:
                await self._catch_up()
            else:
                await self._wait()
        raise StopAsyncIteration

    def _step(self, event: Event) -> Event:
        self._next = event.seq + 1
        return event

    async def _wait(self) -> None:
        if self._scope.link.ended and self._scope.link.error is not None:
            await self.aclose()
            raise self._scope.link.error
        self._arrival.clear()
        await self._arrival.wait()

    async def _catch_up(self) -> None:
        """Asks for a page from the next number on."""
        self._behind = False
        try:
            page = await self._observe.replay(from_seq=self._next, limit=1_000)
        except BaseException:
            self._behind = True
            raise
        self._past.extend(event for event in page.events if event.seq >= self._next)
        wanted = self._next
        if not page.end:
            self._behind = True
        if not self._past:
            self._next = max(self._next, page.next)
        if not page.complete and page.oldest > wanted:
            self._next = page.oldest
            raise Gap(wanted, page.oldest - 1)

    async def aclose(self) -> None:
        """Ends it."""
        self._closed = True
        self._arrival.set()
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        if self._route is not None:
            self._scope.link.unsubscribe(self._route)
            self._route = None

    async def __aenter__(self) -> Events:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _first_of(page: ReplayPage) -> int:
    return page.events[0].seq if page.events else page.next


def _observed(scope: Scope, delivery: Delivery) -> Observed:
    source, category = scope.below(delivery)[2:4]
    try:
        body = decode(delivery.payload)
    except ProtocolError:  # agents may tell any bytes
        body = delivery.payload.decode(errors="replace")
    return Observed(source, category, body)


def _filter(source: str, category: str) -> str:
    levels = ["+" if one == "*" else checked("category", one) for one in (source, category)]
    return "/".join(["observe/events", *levels])


def _unix(moment: Moment) -> int:
    if not isinstance(moment, datetime):
        moment = datetime.now().astimezone() - timedelta(milliseconds=milliseconds(moment))
    if moment.tzinfo is None:
        raise Malformed(f"a time needs a time zone: {moment!r}", code=400)
    return round(moment.timestamp() * 1_000)
