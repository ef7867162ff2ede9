"""A room: where a team works together."""

from __future__ import annotations

from typing import Any

from ._codec import encode
from ._durations import Duration
from ._names import checked_text
from ._scope import Scope
from .approve import Approve
from .blackboard import Blackboard
from .handoff import Handoff
from .inbox import Inbox
from .messages import ConnectionState, Presence, Status
from .observe import Observe
from .presence import PresenceOf
from .tools import Tools


class Raw:
    """Topics below the room that no pattern has a method for: ``room.raw``."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def publish(self, topic: str, document: Any, *, timeout: Duration | None = None) -> None:
        """Publishes JSON (or CBOR), or bytes as they are, at QoS 1, and waits for the PUBACK.

        Raises what that refuses (MQTT 5); on 3.1.1 refusals are only logged.
        """
        checked_text("a topic", topic)
        whole = isinstance(document, bytes)
        payload = document if whole else encode(document, self._scope.commands.encoding)
        await self._scope.publish(payload, topic, timeout=timeout)


class Room:
    """A room that this agent is in, with a part for each pattern. Made by `Agent.join`."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        """What its parts are made with."""
        self.name = scope.room
        self.handoff = Handoff(scope)
        self.inbox = Inbox(scope)
        self.blackboard = Blackboard(scope)
        self.approve = Approve(scope)
        self.observe = Observe(scope)
        self.presence = PresenceOf(scope)
        self.tools = Tools(scope)
        self.raw = Raw(scope)

    def __repr__(self) -> str:
        return f"Room({self.name!r})"

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
    ) -> None:
        """Says who we are: see `PresenceOf.announce`."""
        await self.presence.announce(
            name=name,
            role=role,
            capabilities=capabilities,
            capacity=capacity,
            status=status,
            load=load,
            metadata=metadata,
        )

    async def agents(
        self,
        *,
        role: str | None = None,
        status: Status | None = None,
        connection: ConnectionState | None = None,
        capability: str | None = None,
    ) -> list[Presence]:
        """Who is here and meets all conditions."""
        return await self.presence.agents(
            role=role, status=status, connection=connection, capability=capability
        )

    async def capabilities(self) -> set[str]:
        """What somebody who is online can do."""
        return await self.presence.capabilities()

    async def leave(self) -> None:
        """Leaves the room. Tasks that we had go to others."""
        await self.presence.leave()
