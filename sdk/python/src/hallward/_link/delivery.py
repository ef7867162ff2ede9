"""What came, and when it may be acknowledged.

The gateway keeps what is for us until we acknowledge it, so nothing is acknowledged before its
handler is done. Acknowledgements leave in the order in which messages came (MQTT-4.6.0-2): one that
is finished early waits for those before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple


class About(NamedTuple):
    """What MQTT 5 says of a message beside its payload."""

    content_type: str | None = None
    correlation: str | None = None


class Delivery:
    """One message, as it is handed to the routes that match its topic.

    Each of them calls `ack` once, when it has done with it.
    """

    __slots__ = ("_owed", "_receipt", "about", "payload", "retained", "topic")

    def __init__(
        self, topic: str, payload: bytes, retained: bool, receipt: Receipt | None, about: About
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.retained = retained
        self.about = about
        self._receipt = receipt
        self._owed = 1

    @property
    def levels(self) -> list[str]:
        """The levels of its topic."""
        return self.topic.split("/")

    def share(self, routes: int) -> None:
        """So many routes have it, and each will acknowledge it."""
        self._owed = routes

    @property
    def owed(self) -> int:
        """How many routes have not acknowledged it yet."""
        return self._owed

    def ack(self) -> None:
        """This route is done with it."""
        self._owed -= 1
        if self._owed == 0 and self._receipt is not None:
            self._receipt.finish()


class Receipt:
    """A delivery with QoS 1 that the gateway waits for."""

    __slots__ = ("_of", "content", "done", "mid", "topic")

    def __init__(self, of: Receipts, mid: int, topic: str, payload: bytes) -> None:
        self._of = of
        self.mid = mid
        self.topic = topic
        self.content = hash(payload)
        self.done = False

    def finish(self) -> None:
        self.done = True
        self._of.finished()


class Receipts:
    """The unacknowledged deliveries of a connection, oldest first.

    What was in hand when a connection broke comes again on the next one, in the same order on each
    topic. It is recognized and not handed out twice: it gets its new packet id, and is acknowledged
    when its handler, which is still running, is done.
    """

    def __init__(self, acknowledge: Callable[[int], None], finished: Callable[[], None]) -> None:
        self._acknowledge = acknowledge
        self._finished = finished
        self._order: deque[Receipt] = deque()
        self._carried: dict[str, deque[Receipt]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def receive(self, mid: int, topic: str, payload: bytes) -> Receipt:
        """Takes down a new delivery."""
        receipt = Receipt(self, mid, topic, payload)
        self._order.append(receipt)
        return receipt

    def again(self, mid: int, topic: str, payload: bytes) -> bool:
        """Whether this delivery was in hand already before the connection broke."""
        carried = self._carried.get(topic)
        while carried:
            receipt = carried.popleft()
            if receipt.content == hash(payload):
                receipt.mid = mid
                self._order.append(receipt)
                self.flush()
                return True
        self._carried.pop(topic, None)
        return False

    def connection_lost(self) -> None:
        """Nothing can be acknowledged any more; what is in hand will come again."""
        before, self._carried = self._carried, {}
        for receipt in self._order:
            self._carried.setdefault(receipt.topic, deque()).append(receipt)
        for topic, rest in before.items():
            self._carried.setdefault(topic, deque()).extend(rest)
        self._order.clear()

    def in_hand(self) -> Iterator[str]:
        """The topics of what is not finished, also of what came before the connection broke."""
        yield from (receipt.topic for receipt in self._order if not receipt.done)
        for topic, carried in self._carried.items():
            yield from (topic for receipt in carried if not receipt.done)

    def finished(self) -> None:
        """One more is finished."""
        self.flush()
        self._finished()

    def flush(self) -> None:
        """Acknowledges all that is finished and has nothing unfinished before it."""
        while self._order and self._order[0].done:
            self._acknowledge(self._order.popleft().mid)
