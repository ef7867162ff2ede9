"""Which message goes where: subscriptions, and what is done with what they bring."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from .delivery import Delivery

Sink = Callable[[Delivery], None]


class Route:
    """A topic filter and what takes its messages. ``sink`` is called on the event loop.

    ``retained``: its messages are, so whoever begins to listen gets those that stand. The gateway
    sends them with every SUBSCRIBE, also with that of somebody else with the same filter: so a
    route knows what it had last on each topic.
    """

    __slots__ = ("filter", "had", "levels", "retained", "sink")

    def __init__(self, topic_filter: str, sink: Sink, retained: bool = False) -> None:
        self.filter = topic_filter
        self.levels = topic_filter.split("/")
        self.sink = sink
        self.retained = retained
        self.had: dict[str, int] = {}

    def has(self, delivery: Delivery) -> bool:
        """Whether it is sent again only because somebody else subscribes."""
        if not self.retained:
            return False
        content = hash(delivery.payload)
        if delivery.retained and self.had.get(delivery.topic) == content:
            return True
        if delivery.payload:
            self.had[delivery.topic] = content
        else:
            self.had.pop(delivery.topic, None)
        return False

    def matches(self, topic: list[str]) -> bool:
        for index, level in enumerate(self.levels):
            if level == "#":
                return True
            if index >= len(topic) or (level != "+" and level != topic[index]):
                return False
        return len(self.levels) == len(topic)


class Subscription:
    """A filter that the gateway is asked for, as long as it has routes."""

    def __init__(self, topic_filter: str, qos: int) -> None:
        self.filter = topic_filter
        self.qos = qos
        self.routes: list[Route] = []
        self.active = False
        """Whether the gateway has it, as far as it has said."""
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Routes:
    """All subscriptions of a connection, and the way from a topic to its routes."""

    def __init__(self) -> None:
        self._exact: dict[str, Subscription] = {}
        self._wild: dict[str, Subscription] = {}

    def _table(self, topic_filter: str) -> dict[str, Subscription]:
        wild = "+" in topic_filter or "#" in topic_filter
        return self._wild if wild else self._exact

    def subscription(self, topic_filter: str) -> Subscription | None:
        return self._table(topic_filter).get(topic_filter)

    def add(self, subscription: Subscription) -> None:
        self._table(subscription.filter)[subscription.filter] = subscription

    def remove(self, topic_filter: str) -> Subscription | None:
        return self._table(topic_filter).pop(topic_filter, None)

    def __iter__(self) -> Iterator[Subscription]:
        yield from list(self._exact.values())
        yield from list(self._wild.values())

    def find(self, topic: str) -> list[Route]:
        """The routes of a topic, each once."""
        exact = self._exact.get(topic)
        found = list(exact.routes) if exact else []
        if self._wild:
            levels = topic.split("/")
            for subscription in self._wild.values():
                if subscription.routes and subscription.routes[0].matches(levels):
                    found += subscription.routes
        return found
