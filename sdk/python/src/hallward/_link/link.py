"""One connection, for as long as its agent lives.

paho's network thread does nothing but hand over: every callback becomes an entry of one queue,
which the event loop works off in order. So handlers never run on the network thread, and nothing in
here needs a lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from .._deadline import TimeIsUp, settled
from ..errors import (
    REFUSALS,
    Disconnected,
    Forbidden,
    HallwardError,
    Overflow,
    Refused,
    SessionTaken,
    Timeout,
    TooLarge,
)
from . import client as mqtt_client
from .delivery import About, Delivery, Receipts
from .options import Options
from .routes import Route, Routes, Sink, Subscription

logger = logging.getLogger("hallward")

State = Literal["connecting", "connected", "disconnected", "taken", "closed"]

_TAKEN_OVER = 0x8E
_PACKET_TOO_LARGE = 0x95
_REFUSED_FOR_GOOD = {0x85, 0x86, 0x87, 0x8A}
"""Client id, user name or password, not authorized, banned."""
_BY_REASON = {0x87: 403, 0x83: 409, 0x90: 400, 0x95: 413, 0x97: 429, 0x99: 400}
_SHORT_LIFE, _MAX_SHORT_LIVES = 2.0, 5
"""So many connections in a row that lasted less than so many seconds mean a fight."""
_MAX_HANDED_OVER = 20_000
"""Messages of QoS 0 that may wait for the event loop; those of QoS 1 are bounded by the window."""
_PATIENCE = 0.5
"""Seconds that the window may be full before we do something about it."""
_TURN = 500
"""So many entries are worked off before the event loop may do something else."""


@dataclass(frozen=True)
class ConnectionStatus:
    """What became of the connection. ``resumed``: the session was kept, nothing was missed."""

    state: State
    resumed: bool = False
    reason: str | None = None


class Outgoing:
    """A publish with QoS 1 on its way. ``sent``: whether the gateway may have it."""

    __slots__ = ("acked", "cancelled", "on_ack", "payload", "properties", "sent", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        on_ack: Callable[[int, str | None], None],
        properties: Properties | None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.properties = properties
        self.on_ack = on_ack
        self.sent = False
        self.acked = False
        self.cancelled = False

    def cancel(self) -> None:
        """Nobody waits for it any more. If it was not sent, it never will be."""
        self.cancelled = True


class Link:
    """The connection of one agent: publishes, subscriptions, deliveries, and what became of it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.state: State = "connecting"
        self.error: HallwardError | None = None
        """Why it ended, once it has."""
        self.max_packet: int | None = None
        """How large a packet the gateway takes, if it has said so (MQTT 5)."""
        self._loop = asyncio.get_running_loop()
        self._client = mqtt_client.make(options)
        self._receipts = Receipts(self._acknowledge, self._finished)
        self._routes = Routes()
        self._mail: dict[str, Route] = {}
        self._relief: asyncio.TimerHandle | None = None
        self._set_aside: set[str] = set()
        self._unrouted: list[Delivery] = []
        self._unwanted: dict[str, int | None] = {}
        """What the gateway may have though we do not want it, and the UNSUBSCRIBE on its way."""
        self._queue: deque[Outgoing] = deque()
        self._in_flight: dict[int, Outgoing] = {}
        self._subscribing: dict[int, list[Subscription]] = {}
        self._listeners: list[Callable[[ConnectionStatus], None]] = []
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._handed_over: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._waking = False
        self._resumed = False
        self._connected_at = 0.0
        self._short_lives = 0
        self._dropped = 0
        self._thread_started = False
        self._bind()

    # Life

    async def open(self, timeout: float) -> None:
        """Connects. Raises ``Forbidden`` if the gateway will not have this agent, ``Timeout`` if
        it cannot be reached in time.
        """
        mqtt_client.connect(self._client, self.options)
        self._client.loop_start()
        self._thread_started = True
        try:
            await settled(self._opened, timeout)
        except TimeIsUp:
            why = f" ({self.error})" if self.error else ""
            await self.close()
            raise Timeout(f"no gateway answered at {self._where} in {timeout:g} s{why}") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends session and connection in good order; acknowledgements leave first."""
        if not self.ended:
            self._stop("closed", Disconnected("the agent is closed"))
        if self._thread_started:
            self._thread_started = False
            mqtt_client.disconnect(self._client, self.options)
            await self._loop.run_in_executor(None, mqtt_client.join, self._client)

    def _stop(self, state: State, error: HallwardError) -> None:
        """Nothing more is sent or handed out; whoever waits is told."""
        self.error = error
        self._set_state(ConnectionStatus(state, reason=error.reason))
        self._queue.clear()
        self._in_flight.clear()
        for subscription in self._routes:
            if not subscription.granted.done():
                subscription.granted.set_exception(error)
                subscription.granted.exception()  # somebody may wait for it, or nobody
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()

    def on_status(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """Has the listener called with every change; what is returned ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _set_state(self, status: ConnectionStatus) -> None:
        self.state = status.state
        for listener in list(self._listeners):
            listener(status)

    @property
    def connected(self) -> bool:
        return self.state == "connected"

    @property
    def ended(self) -> bool:
        """For good: by ourselves, or taken over."""
        return self.state in ("closed", "taken")

    @property
    def unacked(self) -> int:
        """Deliveries in hand that are not acknowledged yet."""
        return len(self._receipts)

    def _check_open(self) -> None:
        if self.error is not None and self.ended:
            raise self.error

    # Publishing

    def send(
        self,
        topic: str,
        payload: bytes,
        on_ack: Callable[[int, str | None], None],
        content_type: str | None = None,
    ) -> Outgoing:
        """Publishes with QoS 1, now or once there is a connection and room for it.

        ``on_ack`` gets the PUBACK's reason code and words. Raises ``Overflow`` when too many wait
        for a connection, and ``TooLarge`` for what the gateway would end the connection for.
        """
        self._check_open()
        said = content_type is not None and self.options.protocol == "5"
        properties = mqtt_client.content_type(str(content_type)) if said else None
        outgoing = Outgoing(topic, payload, on_ack, properties)
        if (words := self._too_large(outgoing)) is not None:
            raise TooLarge(words, code=413)
        if not self.connected and len(self._queue) >= self.options.max_offline:
            raise Overflow(f"{len(self._queue)} messages wait for a connection already")
        self._queue.append(outgoing)
        self._pump()
        return outgoing

    def send_from_thread(self, topic: str, payload: bytes) -> None:
        """Publishes from any thread, if there is a connection, and waits for nothing."""
        if self.connected:
            self._client.publish(topic, payload, qos=1)

    def _pump(self) -> None:
        while self._queue and self.connected and len(self._in_flight) < self.options.max_in_flight:
            outgoing = self._queue.popleft()
            if outgoing.cancelled:
                continue
            if (words := self._too_large(outgoing)) is not None:
                outgoing.on_ack(_PACKET_TOO_LARGE, words)
                continue
            info = self._client.publish(
                outgoing.topic, outgoing.payload, qos=1, properties=outgoing.properties
            )
            outgoing.sent = True
            self._in_flight[info.mid] = outgoing

    def _too_large(self, outgoing: Outgoing) -> str | None:
        """Why it cannot be sent, if that is so."""
        if self.max_packet is None:
            return None
        size = mqtt_client.size(outgoing.topic, outgoing.payload, outgoing.properties)
        if size <= self.max_packet:
            return None
        return f"a packet may have at most {self.max_packet} bytes, but this one has {size}"

    def _published(self, mid: int, code: int, reason: str | None) -> None:
        outgoing = self._in_flight.pop(mid, None)
        if outgoing is not None:
            outgoing.acked = True
            if not outgoing.cancelled:
                outgoing.on_ack(code, reason)
            self._pump()

    async def publish(
        self, topic: str, payload: bytes, timeout: float, content_type: str | None = None
    ) -> None:
        """Publishes, and waits for the PUBACK. Raises what it refuses as the error that a reply
        with that code would be; on MQTT 3.1.1 a PUBACK cannot refuse.
        """
        done: asyncio.Future[None] = self._loop.create_future()

        def acked(code: int, reason: str | None) -> None:
            if done.done():
                return
            if code < 0x80:
                done.set_result(None)
            else:
                done.set_exception(refusal(code, reason))

        outgoing = self.send(topic, payload, acked, content_type)
        stop = self.on_status(lambda status: self._give_up(done))
        try:
            await settled(done, timeout)
        except TimeIsUp:
            raise Timeout(f"no PUBACK in {timeout:g} s: {topic}", sent=outgoing.sent) from None
        finally:
            stop()
            outgoing.cancel()
            if not done.cancel() and not done.cancelled():
                done.exception()  # perhaps nobody asks any more

    def _give_up(self, waiting: asyncio.Future[Any]) -> None:
        if self.ended and self.error and not waiting.done():
            waiting.set_exception(self.error)

    # Subscribing

    async def subscribe(
        self,
        topic_filter: str,
        sink: Sink,
        *,
        timeout: float,
        qos: int = 1,
        mail: bool = False,
        retained: bool = False,
    ) -> Route:
        """Has every message that matches handed to the sink, also after a reconnect.

        Returns once the gateway has granted it. ``mail`` is addressed to this agent alone: what
        comes after the last route was taken away waits, unacknowledged, for the next one. What is
        ``retained`` begins with what stands, for every route.
        """
        self._check_open()
        route = Route(topic_filter, sink, retained)
        if mail:
            self._mail[topic_filter] = route
        subscription = self._routes.subscription(topic_filter)
        if subscription is None:
            subscription = Subscription(topic_filter, qos)
            self._routes.add(subscription)
            subscription.routes.append(route)
            self._unwanted.pop(topic_filter, None)
            if topic_filter in self._set_aside:
                subscription.granted.set_result(None)  # it was, and will be asked for again
            self._ask_for([subscription])
        else:
            subscription.routes.append(route)
            if retained:  # only with a SUBSCRIBE the gateway sends what stands
                subscription.active = False
                self._ask_for([subscription])
        self._hand_out_unrouted(route)
        try:
            await settled(subscription.granted, timeout)
        except TimeIsUp:
            self.unsubscribe(route)
            raise Timeout(f"no answer in {timeout:g} s: SUBSCRIBE {topic_filter}") from None
        except BaseException:
            self.unsubscribe(route)
            raise
        return route

    def unsubscribe(self, route: Route) -> None:
        """The sink gets nothing more. With the last route of a filter the gateway is told."""
        subscription = self._routes.subscription(route.filter)
        if subscription is None or route not in subscription.routes:
            return
        subscription.routes.remove(route)
        if not subscription.routes:
            self._routes.remove(route.filter)
            self._unwanted[route.filter] = None
            self._end_unwanted()

    def _end_unwanted(self) -> None:
        """Tells the gateway, which may have it until it has said that it has not."""
        filters = [one for one, mid in self._unwanted.items() if mid is None]
        if filters and self.connected:
            _, mid = self._client.unsubscribe(filters)
            self._unwanted.update(dict.fromkeys(filters, mid))

    def _unsubscribed(self, mid: int) -> None:
        self._unwanted = {one: other for one, other in self._unwanted.items() if other != mid}

    def _ask_for(self, subscriptions: list[Subscription]) -> None:
        subscriptions = [one for one in subscriptions if one.filter not in self._set_aside]
        if subscriptions and self.connected:
            filters = [(one.filter, one.qos) for one in subscriptions]
            _, mid = self._client.subscribe(filters)
            if mid is not None:
                self._subscribing[mid] = subscriptions

    def _subscribed(self, mid: int, codes: list[int]) -> None:
        for subscription, code in zip(self._subscribing.pop(mid, []), codes):
            subscription.active = code < 0x80 and subscription.filter not in self._set_aside
            if subscription.granted.done():
                continue
            if code < 0x80:
                subscription.granted.set_result(None)
            else:
                error = refusal(code, f"SUBSCRIBE {subscription.filter} was refused")
                subscription.granted.set_exception(error)
                subscription.granted.exception()

    # Deliveries

    def _delivered(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        mid: int,
        retained: bool,
        dup: bool,
        about: About,
    ) -> None:
        receipt = None
        if qos:
            if (dup or not self._resumed) and self._receipts.again(mid, topic, payload):
                self._watch_window()
                return
            receipt = self._receipts.receive(mid, topic, payload)
            self._watch_window()
        delivery = Delivery(topic, payload, retained, receipt, about)
        routes = self._routes.find(topic)
        if routes:
            delivery.share(len(routes))
            for route in routes:
                self._hand_out(route, delivery)
        elif any(route.matches(delivery.levels) for route in self._mail.values()):
            self._unrouted.append(delivery)  # bounded by the window
        else:
            delivery.ack()

    @staticmethod
    def _hand_out(route: Route, delivery: Delivery) -> None:
        if route.has(delivery):
            delivery.ack()
            return
        owed = delivery.owed
        try:
            route.sink(delivery)
        except Exception:  # what cannot be read will not be any better when it comes again
            logger.exception("%s: passed over: %r", delivery.topic, delivery.payload[:200])
            if delivery.owed == owed:
                delivery.ack()

    def _hand_out_unrouted(self, route: Route) -> None:
        mine = [one for one in self._unrouted if route.matches(one.levels)]
        self._unrouted = [one for one in self._unrouted if one not in mine]
        for delivery in mine:
            self._hand_out(route, delivery)

    def put_back(self, deliveries: list[Delivery]) -> None:
        """What a route leaves untouched at its end: the next one may have it."""
        self._unrouted += deliveries

    def _acknowledge(self, mid: int) -> None:
        self._client.ack(mid, 1)

    # A window that is full

    def _watch_window(self) -> None:
        if len(self._receipts) >= self.options.window and self._relief is None:
            self._relief = self._loop.call_later(_PATIENCE, self._relieve)

    def _relieve(self) -> None:
        """Gets room for answers, results and work where mail in hand takes up the whole window.

        Nothing can be acknowledged before its handler is done, and that may be waiting for an
        answer, which has no room to come. What is addressed to us waits at the gateway while we do
        not subscribe to it, also what was sent already once the connection is made anew. So mail is
        set aside: its handlers go on, and when they are done we subscribe again, and acknowledge
        what comes again.
        """
        self._relief = None
        if len(self._receipts) < self.options.window or not self.connected:
            return
        topics = set(self._receipts.in_hand())
        aside = {
            topic_filter
            for topic_filter, route in self._mail.items()
            if any(route.matches(topic.split("/")) for topic in topics)
        }
        if aside:
            logger.info("%s: %d in hand, making room", self.options.agent, len(self._receipts))
            self._set_aside |= aside
            for subscription in self._routes:
                subscription.active = subscription.active and subscription.filter not in aside
            self._client.unsubscribe(sorted(aside))
            self._loop.call_later(_PATIENCE, self._break_off)

    def _break_off(self) -> None:
        """Has what was sent already go back, if that is still in the way."""
        if self.connected and self._set_aside and len(self._receipts) >= self.options.window:
            mqtt_client.break_off(self._client)

    def _finished(self) -> None:
        if self._set_aside and not self._mail_in_hand():
            back, self._set_aside = self._set_aside, set()
            self._ask_for([one for one in self._routes if one.filter in back])

    def _mail_in_hand(self) -> bool:
        routes = [self._mail[topic_filter] for topic_filter in self._set_aside]
        levels = [topic.split("/") for topic in self._receipts.in_hand()]
        return any(route.matches(one) for route in routes for one in levels)

    # From paho's thread to the event loop

    def _bind(self) -> None:
        client, hand_over = self._client, self._hand_over
        options = self.options

        def on_connect(
            _c: mqtt.Client, _u: Any, flags: mqtt.ConnectFlags, reason: ReasonCode, said: Any
        ) -> None:
            limit = mqtt_client.max_packet(said)
            hand_over(self._connected, flags.session_present, reason.value, str(reason), limit)

        def on_disconnect(
            _c: mqtt.Client, _u: Any, flags: mqtt.DisconnectFlags, reason: ReasonCode, _p: Any
        ) -> None:
            taken = flags.is_disconnect_packet_from_server and reason.value == _TAKEN_OVER
            if taken and options.protocol == "5":
                client.disconnect()  # so that paho does not connect again
            hand_over(self._disconnected, taken, str(reason))

        def on_message(_c: mqtt.Client, _u: Any, message: mqtt.MQTTMessage) -> None:
            if message.qos == 0 and len(self._handed_over) > _MAX_HANDED_OVER:
                self._dropped += 1
                return
            hand_over(
                self._delivered,
                message.topic,
                message.payload,
                message.qos,
                message.mid,
                message.retain,
                message.dup,
                mqtt_client.about(message.properties),
            )

        def on_publish(
            _c: mqtt.Client, _u: Any, mid: int, reason: ReasonCode, properties: Properties
        ) -> None:
            words = mqtt_client.reason_of(properties) if reason.value >= 0x80 else None
            hand_over(self._published, mid, reason.value, words)

        def on_subscribe(
            _c: mqtt.Client, _u: Any, mid: int, reasons: list[ReasonCode], _p: Any
        ) -> None:
            hand_over(self._subscribed, mid, [reason.value for reason in reasons])

        def on_unsubscribe(_c: mqtt.Client, _u: Any, mid: int, _r: Any, _p: Any) -> None:
            hand_over(self._unsubscribed, mid)

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_connect_fail = lambda _c, _u: hand_over(self._could_not_connect, client.failure)
        client.on_message = on_message
        client.on_publish = on_publish
        client.on_subscribe = on_subscribe
        client.on_unsubscribe = on_unsubscribe

    def _hand_over(self, call: Callable[..., None], *arguments: Any) -> None:
        self._handed_over.append((call, arguments))
        if not self._waking:
            self._waking = True
            self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._work_off)
        except RuntimeError:  # the loop is closed, and with it all who could have listened
            self._handed_over.clear()

    def _work_off(self) -> None:
        self._waking = False
        for _ in range(_TURN):
            try:
                call, arguments = self._handed_over.popleft()
            except IndexError:
                break
            if not self.ended:
                call(*arguments)
        else:
            self._waking = True
            self._loop.call_soon(self._work_off)
        if self._dropped:
            logger.error("%d messages of QoS 0 were lost: too many at once", self._dropped)
            self._dropped = 0

    def _connected(self, resumed: bool, code: int, reason: str, max_packet: int | None) -> None:
        if code != 0:
            self.error = refusal(code, f"the gateway refused the connection: {reason}")
            if code in _REFUSED_FOR_GOOD and not self._opened.done():
                self._opened.set_exception(Forbidden(self.error.reason, code=403))
            return
        self.error = None
        self.max_packet = max_packet
        self.state = "connected"  # listeners hear of it behind our SUBSCRIBE
        self._resumed = resumed
        self._connected_at = self._loop.time()
        self._subscribing.clear()
        for subscription in self._routes:
            subscription.active = subscription.active and resumed
            if not resumed:
                for route in subscription.routes:
                    route.had.clear()
        self._ask_for([one for one in self._routes if not one.active])
        self._unwanted = dict.fromkeys(self._unwanted) if resumed else {}
        self._end_unwanted()
        self._set_state(ConnectionStatus("connected", resumed))
        if not self._opened.done():
            self._opened.set_result(None)
        self._pump()

    def _could_not_connect(self, failure: Exception | None) -> None:
        self._failed_to_connect(mqtt_client.in_words(failure))
        if mqtt_client.is_for_good(failure) and not self._opened.done():
            words = f"{self._where}: {mqtt_client.in_words(failure)}"
            self._opened.set_exception(Disconnected(words))

    def _failed_to_connect(self, words: str) -> None:
        """What is the last thing that went wrong, for who waits and for the log."""
        if self._opened.done() and (self.error is None or self.error.reason != words):
            logger.warning("%s: cannot connect to %s: %s", self.options.agent, self._where, words)
        self.error = Disconnected(words)

    @property
    def _where(self) -> str:
        return f"{self.options.host}:{self.options.port}"

    def _disconnected(self, taken: bool, reason: str) -> None:
        was_connected = self.connected
        self._receipts.connection_lost()
        if taken or (was_connected and self._looks_taken()):
            error = SessionTaken(f"another program has connected as {self.options.agent!r}")
            logger.error("%s; this one stops", error)
            self._stop("taken", error)
        elif was_connected:
            logger.warning("%s: the connection is lost (%s)", self.options.agent, reason)
            self._set_state(ConnectionStatus("disconnected", reason=reason))
        elif not isinstance(self.error, Refused):  # which it said before it hung up
            hint = "" if self.options.secure else " (TLS is mqtts://)"
            self._failed_to_connect(f"it hung up before it had said that it speaks MQTT{hint}")

    def _looks_taken(self) -> bool:
        """MQTT 3.1.1 cannot say that somebody else has connected under our name. Two programs that
        do not notice would take the connection from each other for ever.
        """
        if self.options.protocol == "5":
            return False
        short = self._loop.time() - self._connected_at < _SHORT_LIFE
        self._short_lives = self._short_lives + 1 if short else 0
        if self._short_lives < _MAX_SHORT_LIVES:
            return False
        self._client.disconnect()
        return True


def refusal(code: int, reason: str | None) -> HallwardError:
    """The error for a reason code of MQTT: of a PUBACK, a SUBACK or a CONNACK."""
    number = _BY_REASON.get(code, 503)
    return REFUSALS[number](reason or f"refused with 0x{code:02x}", code=number)
