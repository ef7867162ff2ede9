"""Presence: who is here, and what they can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from ._codec import decode_object
from ._commands import wire
from ._durations import Duration
from ._link import Delivery
from ._names import listed
from ._scope import Scope
from ._streams import Stream
from .messages import ConnectionState, Presence, Status


class Seen(NamedTuple):
    """An agent as it is now; ``presence`` is ``None`` when it has left."""

    room: str
    agent: str
    presence: Presence | None


class PresenceOf:
    """Who is in a room: ``room.presence``."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._said: dict[str, Any] = {}

    async def announce(
        self,
        *,
        name: str | None = None,
        role: str | None = None,
        capabilities: list[str] | None = None,
        capacity: int | None = None,
        status: Status | None = None,
        load: float | None = None,
        metadata: Any = None,
        max_bytes: int | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Says who we are. What is left out stays as it was said before.

        ``role``: approvers can be named by it. ``capacity``: tasks at once. ``status``:
        ``overloaded`` and ``draining`` get no new work. ``metadata``: any JSON up to 8 KiB.
        """
        if capabilities is not None:
            listed("capabilities", capabilities)
        self._said |= wire(
            name=name,
            role=role,
            capabilities=capabilities,
            capacity=capacity,
            status=status,
            load=load,
            metadata=metadata,
            max_bytes=max_bytes,
        )
        await self.announce_as(self._said, timeout=timeout)

    async def announce_as(
        self, announcement: Mapping[str, Any], *, timeout: Duration | None = None
    ) -> None:
        """As `announce`, with the fields as the wire names them."""
        self._said = dict(announcement)
        body = {**self._said, "encoding": self._scope.commands.encoding}
        await self._scope.call("presence/announce", body, timeout=timeout)

    async def leave(self, *, timeout: Duration | None = None) -> None:
        """Leaves the room. Tasks that we had go to others."""
        self._said = {}
        await self._scope.publish(b"", "presence/announce", self._scope.me, timeout=timeout)

    def take_leave(self) -> None:
        """As `leave`, without waiting: the connection ends behind it."""
        topic = self._scope.topic("presence/announce", self._scope.me)
        self._scope.link.send_from_thread(topic, b"")

    async def agents(
        self,
        *,
        role: str | None = None,
        status: Status | None = None,
        connection: ConnectionState | None = None,
        capability: str | None = None,
        timeout: Duration | None = None,
    ) -> list[Presence]:
        """Who is here and meets all conditions."""
        found: list[Presence] = []
        after: str | None = None
        while True:
            body = wire(
                role=role,
                status=status,
                connection=connection,
                capability=capability,
                limit=1_000,
                after=after,
            )
            reply = await self._scope.call("presence/list", body, timeout=timeout)
            page = cast("dict[str, Any]", reply.data)
            found += [Presence.read(one) for one in page["agents"]]
            after = page.get("next")
            if after is None:
                return found

    async def capabilities(self) -> set[str]:
        """What somebody who is online can do."""
        here = await self.agents(connection="online")
        return {capability for agent in here for capability in agent.capabilities}

    async def watch(self, *, all_rooms: bool = False) -> Stream[Seen]:
        """Who is here, and then every change of it; with ``all_rooms`` in every room."""
        stream = cast("Stream[Seen]", self._scope.stream("presence"))

        def received(delivery: Delivery) -> None:
            delivery.ack()
            room, agent = delivery.levels[-4], delivery.levels[-1]
            document = decode_object(delivery.payload) if delivery.payload else None
            stream.put(Seen(room, agent, Presence.read(document) if document else None))

        topic = self._scope.commands.topic(
            "+" if all_rooms else self._scope.room, "presence/agent/+"
        )
        link = self._scope.link
        wait = self._scope.commands.timeout
        route = await link.subscribe(topic, received, timeout=wait, retained=True)
        stream.on_close(lambda: link.unsubscribe(route))
        return stream
