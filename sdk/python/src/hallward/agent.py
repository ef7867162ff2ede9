"""An agent: a name, a connection, and the rooms that it is in."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Generator
from types import TracebackType
from typing import Any, Literal, cast

from ._codec import Encoding, encode
from ._commands import Commands
from ._durations import Duration, seconds
from ._handlers import Handlers
from ._link import ConnectionStatus, Delivery, Link, Options
from ._scope import Scope
from ._streams import Stream
from .room import Room


def connect(
    url: str,
    *,
    agent: str,
    username: str | None = None,
    password: str | None = None,
    tls: ssl.SSLContext | None = None,
    protocol: Literal["5", "3.1.1"] = "5",
    encoding: Encoding = "json",
    ephemeral: bool = False,
    window: int = 256,
    keepalive: Duration = "30s",
    timeout: Duration = "30s",
    root: str = "rooms",
) -> Connecting:
    """Connects an agent: ``async with connect(…) as me:``, or ``me = await connect(…)``.

    ``url``: ``mqtt://host:1883``, ``mqtts``, ``ws`` or ``wss``; it may name user and password.
    ``agent``: its name, which is the MQTT client id; only one program may use it at a time.
    ``ephemeral``: the session ends with the connection (else an hour after it). ``window``: how
    many deliveries may be in hand, unacknowledged. ``timeout``: of connecting, and the deadline of
    every call that names none. ``root``: the topic level above all rooms.

    Raises ``Forbidden`` if the gateway will not have it, `Disconnected` if its certificate is none
    to trust or it speaks no TLS, `Timeout` if it cannot be reached.
    """
    if encoding not in ("json", "cbor"):
        raise ValueError(f"an encoding is 'json' or 'cbor', not {encoding!r}")
    options = Options.of(
        url,
        agent,
        username=username,
        password=password,
        tls=tls,
        protocol=protocol,
        ephemeral=ephemeral,
        window=window,
        keepalive=seconds(keepalive),
    )
    if encoding == "cbor":
        encode({}, "cbor")  # says at once what to install
    return Connecting(options, root, encoding, seconds(timeout))


class Connecting:
    """What `connect` returns: to be awaited, or entered with ``async with``."""

    def __init__(self, options: Options, root: str, encoding: Encoding, timeout: float) -> None:
        self._options = options
        self._root = root
        self._encoding: Encoding = encoding
        self._timeout = timeout
        self._agent: Agent | None = None

    async def _connect(self) -> Agent:
        link = Link(self._options)
        commands = Commands(link, self._root, self._encoding, self._timeout)
        await link.open(self._timeout)
        return Agent(commands)

    def __await__(self) -> Generator[Any, None, Agent]:
        return self._connect().__await__()

    async def __aenter__(self) -> Agent:
        self._agent = await self._connect()
        return self._agent

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._agent is not None:
            await self._agent.close()


class Agent:
    """A connected agent. Made by `connect`.

    It connects again by itself, as often as it takes; what waited for a reply gets it, and
    iterators go on. `status` tells of it.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._link = commands.link
        self._handlers = Handlers()
        self._rooms: dict[str, asyncio.Future[Room]] = {}

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, {self._link.state})"

    @property
    def name(self) -> str:
        """Its name, which is the MQTT client id."""
        return self._link.options.agent

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._link.connected

    @property
    def unacked(self) -> int:
        """Deliveries in hand that are not acknowledged yet. At ``window`` nothing more comes."""
        return self._link.unacked

    async def join(self, room: str) -> Room:
        """The room of this name, which exists as soon as somebody uses it. Always the same object.

        Raises ``Forbidden`` if this agent may not be there.
        """
        if room not in self._rooms or _failed(self._rooms[room]):
            scope = Scope(room, self._commands, self._handlers)
            self._rooms[room] = self._handlers.spawn(self._join(scope), f"join {room}")
        return await asyncio.shield(self._rooms[room])

    async def _join(self, scope: Scope) -> Room:
        def received(delivery: Delivery) -> None:
            self._commands.received(scope.room, delivery)

        await scope.subscribe(f"reply/{scope.me}", received, qos=0)
        return Room(scope)

    def status(self) -> Stream[ConnectionStatus]:
        """What becomes of the connection, beginning with how it is now. Ends with ``closed`` or
        ``taken``.
        """
        stream = cast("Stream[ConnectionStatus]", Stream("status"))
        stream.put(ConnectionStatus(self._link.state))

        def changed(status: ConnectionStatus) -> None:
            stream.put(status)
            if status.state in ("closed", "taken"):
                stream.finish()

        stream.on_close(self._link.on_status(changed))
        return stream

    async def close(self) -> None:
        """Leaves all rooms, and ends session and connection in good order. Handlers are cancelled;
        what they had not finished is not acknowledged, and waits at the gateway.
        """
        await self._handlers.close()
        for room in self._rooms.values():
            if not _failed(room) and self._link.connected:
                room.result().presence.take_leave()
        await self._link.close()

    async def __aenter__(self) -> Agent:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _failed(future: asyncio.Future[Any]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)
