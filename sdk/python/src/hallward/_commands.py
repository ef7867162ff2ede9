"""Commands and their replies.

A command is published with QoS 1 and answered on ``reply/{me}``. Replies come with QoS 0: they take
no place in the window, so a program that has its hands full of mail still gets its answers. One
that is lost with its connection is asked for again, under the same id, which repeats the answer and
nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import deque
from collections.abc import Callable
from typing import Any

from ._codec import UNREADABLE, Encoding, decode_object, encode, unreadable
from ._link import ConnectionStatus, Delivery, Link, Outgoing
from ._names import new_id
from ._skim import skim
from .errors import (
    REFUSALS,
    Conflict,
    HallwardError,
    Refused,
    Timeout,
    TooLarge,
    TooMany,
    Unavailable,
)
from .messages import NAMES, Reply

logger = logging.getLogger("hallward")

Again = tuple[type[Refused], ...]
"""What is worth another try within the deadline."""
BUSY: Again = (TooMany, Unavailable)
FULL: Again = (TooMany,)

_FIRST_PAUSE = 0.25
_LAST_PAUSE = 60.0
_REFUSALS = 100


class _Unset:
    """Where ``None`` is a value, this stands for none."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


def wire(**fields: Any) -> dict[str, Any]:
    """A message's fields by their names on the wire, without those that are ``None``."""
    return {NAMES[name]: value for name, value in fields.items() if value is not None}


class _Pending:
    """A command that waits for its reply."""

    __slots__ = ("command", "correlation", "future", "outgoing", "payload", "topic")

    def __init__(
        self,
        command: str,
        correlation: str,
        topic: str,
        payload: bytes,
        future: asyncio.Future[Reply],
    ) -> None:
        self.command = command
        self.correlation = correlation
        self.topic = topic
        self.payload = payload
        self.future = future
        self.outgoing: Outgoing | None = None

    @property
    def sent(self) -> bool:
        return self.outgoing is not None and self.outgoing.sent


class Commands:
    """Sends commands, and gives each its reply."""

    def __init__(self, link: Link, root: str, encoding: Encoding, timeout: float) -> None:
        self.link = link
        self.root = root
        self.encoding: Encoding = encoding
        self.timeout = timeout
        """The deadline of a call that names none, in seconds."""
        self._pending: dict[str, _Pending] = {}
        self._unasked: list[Callable[[str, Reply], None]] = []
        self._refusals: deque[Reply] = deque(maxlen=_REFUSALS)
        """What was refused last and does not say which command it is about."""
        link.on_status(self._connection_changed)

    @property
    def me(self) -> str:
        return self.link.options.agent

    def topic(self, room: str, *levels: str) -> str:
        """``rooms/{room}/…``"""
        return "/".join((self.root, room, *levels))

    def on_unasked(self, listener: Callable[[str, Reply], None]) -> Callable[[], None]:
        """Has the listener called, with the room, for replies that no call waits for; what is
        returned ends that.
        """
        self._unasked.append(listener)
        return lambda: self._unasked.remove(listener)

    async def call(
        self,
        room: str,
        command: str,
        body: dict[str, Any],
        *,
        rest: str = "",
        timeout: float | None = None,
        again: Again = BUSY,
        empty: bool = False,
    ) -> Reply:
        """Sends a command and returns its reply, which says that it is done, and on disk.

        ``rest`` stands behind ``{me}`` in the topic. Raises the error for the reply's code;
        ``Timeout`` when there is no reply in time.
        """
        timeout = self.timeout if timeout is None else timeout
        deadline = self._now() + timeout
        correlation = body.get("correlationId") or new_id()
        body = {**body, "correlationId": correlation}
        levels = (command, self.me, rest) if rest else (command, self.me)
        topic = self.topic(room, *levels)
        payload = b"" if empty else encode(body, self.encoding)
        key = str(body.get("id") or correlation)
        pause = _FIRST_PAUSE
        while True:
            start = self._now()
            try:
                return await self._once(
                    command, key, correlation, topic, payload, deadline, timeout
                )
            except again as refused:
                wait = max(pause, getattr(refused, "retry_after", 0.0)) * random.uniform(0.5, 1.0)
                # With too little time for a reply, "refused" would become "who knows".
                end = self._now()
                if end + wait + 2 * (end - start) >= deadline:
                    raise
                await asyncio.sleep(wait)
                pause = min(pause * 2, _LAST_PAUSE)

    async def _once(
        self,
        command: str,
        key: str,
        correlation: str,
        topic: str,
        payload: bytes,
        deadline: float,
        timeout: float,
    ) -> Reply:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        if key in self._pending:
            raise Conflict(f"{key!r} is on its way already", code=409, command=command)
        pending = _Pending(command, correlation, topic, payload, future)

        def expire() -> None:
            if not future.done():
                future.set_exception(self._late(pending, timeout))

        self._pending[key] = pending
        alarm = loop.call_at(deadline, expire)
        try:
            self._send(pending)
            return await future
        finally:
            alarm.cancel()
            self._pending.pop(key, None)
            if pending.outgoing is not None:
                pending.outgoing.cancel()

    def _late(self, pending: _Pending, timeout: float) -> Timeout:
        sent = pending.sent
        why = "no reply" if sent else f"no connection ({self.link.state})"
        return Timeout(f"{pending.command}: {why} in {timeout:g} s", sent=sent)

    def _send(self, pending: _Pending) -> None:
        def acked(code: int, reason: str | None) -> None:
            if code >= 0x80:
                self._refused_by_ack(pending, code, reason)

        try:
            pending.outgoing = self.link.send(pending.topic, pending.payload, acked)
        except TooLarge as error:
            error.command = pending.command
            raise

    def _refused_by_ack(self, pending: _Pending, code: int, reason: str | None) -> None:
        """A refusal's reply comes before its PUBACK. One that could not say which command it is
        about (its id was unreadable, say) was passed over; the PUBACK is certain.
        """
        if not pending.future.done():
            from ._link.link import refusal

            error = self.as_replied(refusal(code, reason))
            error.command = pending.command
            pending.future.set_exception(error)

    def as_replied(self, refused: HallwardError) -> HallwardError:
        """What a PUBACK refuses, a reply has refused before: with a code of its own, and without
        saying of which publish it is. The words are the same.
        """
        for reply in reversed(self._refusals):
            where = f" ({reply.path})" if reply.path else ""
            if refused.reason in (reply.reason, f"{reply.reason}{where}"):
                return error_of(reply)
        return refused

    def _connection_changed(self, status: ConnectionStatus) -> None:
        if status.state == "connected":
            for pending in list(self._pending.values()):
                if pending.outgoing is not None and pending.outgoing.acked:
                    try:
                        self._send(pending)
                    except HallwardError as error:
                        if not pending.future.done():
                            pending.future.set_exception(error)
        elif self.link.ended and self.link.error is not None:
            for pending in list(self._pending.values()):
                if not pending.future.done():
                    pending.future.set_exception(self.link.error)

    def received(self, room: str, delivery: Delivery) -> None:
        """Takes what came on ``reply/{me}``."""
        delivery.ack()
        try:
            reply = Reply.read(decode_object(delivery.payload))
        except UNREADABLE as error:
            self._unreadable(delivery, error)
            return
        pending = self._find(reply)
        if pending is None:
            self._tell_unasked(room, reply)
        elif not pending.future.done():
            if reply.status == "accepted":
                pending.future.set_result(reply)
            else:
                pending.future.set_exception(error_of(reply))

    def _unreadable(self, delivery: Delivery, error: Exception) -> None:
        """Whose reply it is shows in the packet, or in what can be read of it."""
        said = skim(delivery.payload)
        names = {said.get("id"), said.get("correlationId"), delivery.about.correlation} - {None}
        mine = [
            one
            for key, one in self._pending.items()
            if one.command == said.get("command", one.command)
            and (not names or key in names or one.correlation in names)
        ]
        if len(mine) != 1:
            logger.error("%s: %s", delivery.topic, error)
        elif not mine[0].future.done():
            told = unreadable("the reply", error)
            told.command = mine[0].command
            mine[0].future.set_exception(told)

    def _find(self, reply: Reply) -> _Pending | None:
        for key in (reply.id, reply.correlation_id):
            pending = self._pending.get(key) if key else None
            if pending is not None and pending.command == reply.command:
                return pending
        if reply.status == "rejected" and reply.id is None and reply.correlation_id is None:
            mine = [one for one in self._pending.values() if one.command == reply.command]
            return mine[0] if len(mine) == 1 and reply.task is None else None
        return None

    def _tell_unasked(self, room: str, reply: Reply) -> None:
        if reply.status == "rejected" and reply.task is None and reply.correlation_id is None:
            self._refusals.append(reply)
            logger.warning("%s refused: %s [%d]", reply.command, reply.reason, reply.code)
        for listener in list(self._unasked):
            listener(room, reply)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def error_of(reply: Reply) -> HallwardError:
    """The exception for a rejection."""
    kind = REFUSALS.get(reply.code, Refused)
    error = kind(reply.reason or "refused", code=reply.code, path=reply.path, command=reply.command)
    if isinstance(error, Conflict):
        error.current, error.lock = reply.current, reply.lock
    if isinstance(error, TooMany) and (found := re.search(r"in (\d+) ms", error.reason)):
        error.retry_after = int(found[1]) / 1_000
    return error
