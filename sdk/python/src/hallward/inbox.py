"""Inbox: messages from one agent to another, of any bytes, that wait for their reader."""

from __future__ import annotations

from typing import Any, cast

from ._annotations import convert
from ._codec import JSON_TYPE, decode, encode
from ._durations import Duration
from ._handlers import Handler
from ._link import Delivery
from ._names import checked
from ._scope import Listener, Scope
from ._streams import Stream
from .errors import ProtocolError


class InboxMessage:
    """What somebody sent. ``sender`` is certain: nobody can sign as somebody else.

    ``value`` is what it says, ``text`` and ``payload`` are what came. ``content_type``: what its
    sender said that it is, if that is anything (MQTT 5).
    """

    __slots__ = ("_delivery", "content_type", "payload", "sender")

    def __init__(self, sender: str, delivery: Delivery) -> None:
        self.sender = sender
        self.payload: bytes = delivery.payload
        self.content_type = delivery.about.content_type
        self._delivery = delivery

    @property
    def text(self) -> str:
        """The payload as text. Raises ``UnicodeDecodeError``."""
        return self.payload.decode()

    @property
    def value(self) -> Any:
        """What the payload says in JSON or CBOR. Raises ``ProtocolError`` if it is neither: see
        ``text`` and ``payload``.
        """
        try:
            return decode(self.payload, self.content_type)
        except ProtocolError as error:
            words = f"{error.reason}: see .text, or .payload for the bytes"
            raise ProtocolError(words) from error.__cause__

    def as_(self, kind: type[Any]) -> Any:
        """``value`` as a dataclass, TypedDict, pydantic model … Raises ``Invalid``."""
        return convert(self.value, kind)

    def __repr__(self) -> str:
        return f"InboxMessage(sender={self.sender!r}, payload={self.payload[:60]!r})"


class Inbox:
    """This agent's inbox in a room: ``room.inbox``.

    ``async for message in room.inbox`` reads it; asking for the next message acknowledges the last.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._mine: Stream[InboxMessage] | None = None

    async def send(self, to: str, message: Any, *, timeout: Duration | None = None) -> None:
        """Sends a message. Returns once it is on disk.

        ``message``: bytes go as they are, anything else as JSON, also text, and whatever the agent
        speaks (nobody translates what is in an inbox); up to 256 KiB. It waits for up to 7 days,
        whether ``to`` is here or not.
        Raises ``TooLarge``, and ``TooMany`` if that mailbox is full.
        """
        raw = isinstance(message, (bytes, bytearray, memoryview))
        payload = bytes(cast(bytes, message)) if raw else encode(message, "json")
        levels = ("inbox", checked("agent", to), self._scope.me)
        await self._scope.publish(
            payload, *levels, timeout=timeout, content_type=None if raw else JSON_TYPE
        )

    async def listen(self) -> Stream[InboxMessage]:
        """Messages as they come. Use it as ``async with``, or close it; two at the same time both
        get every message.
        """
        stream = cast("Stream[InboxMessage]", self._scope.stream("inbox", limit=None))
        unread: list[Delivery] = []

        def received(delivery: Delivery) -> None:
            unread.append(delivery)

            def ack() -> None:
                unread.remove(delivery)
                delivery.ack()

            stream.put(self._message(delivery), ack)

        route = await self._subscribe(received)

        def close() -> None:
            self._scope.link.unsubscribe(route)
            self._scope.link.put_back(unread)

        stream.on_close(close)
        return stream

    def on_message(self, handler: Handler[Any]) -> Listener:
        """Has the handler called with every message; several at the same time, so that a slow one
        holds up nobody.

        A message is acknowledged when its handler has returned. If that raises, it is called again
        after a while, until it has not (or raises `Fatal`).
        """

        def received(delivery: Delivery) -> None:
            message = self._message(delivery)
            self._scope.handle(f"message of {message.sender}", handler, message, delivery.ack)

        subscribing = self._scope.handlers.spawn(self._subscribe(received), "inbox")

        def stop() -> None:
            if subscribing.done() and subscribing.exception() is None:
                self._scope.link.unsubscribe(subscribing.result())
            subscribing.cancel()

        return Listener(stop)

    def _message(self, delivery: Delivery) -> InboxMessage:
        return InboxMessage(delivery.levels[-1], delivery)

    async def _subscribe(self, received: Any) -> Any:
        return await self._scope.subscribe(f"inbox/{self._scope.me}/+", received, mail=True)

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> InboxMessage:
        if self._mine is None:
            self._mine = await self.listen()
        return await self._mine.__anext__()

    def ack(self) -> None:
        """Acknowledges the last message of ``async for``, without asking for the next."""
        if self._mine is not None:
            self._mine.ack()
